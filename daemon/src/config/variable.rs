//! Variables of the environment that look like ours: which of them set nothing.

use std::ffi::OsString;
use std::fmt;

use datacache_proto::paths::{CONFIG_VARIABLE, DIR_VARIABLE, SOCKET_VARIABLE};

use super::nearest::nearest;
use super::setting::SETTINGS;

/// What the names of our variables begin with.
const PREFIX: &str = "DATACACHE_";
/// The variables that name places, and those that only clients look at.
const OTHERS: [&str; 5] = [DIR_VARIABLE, SOCKET_VARIABLE, CONFIG_VARIABLE, "DATACACHE_PROGRAM", "DATACACHE_DIRECT"];

/// A variable that looks like ours and sets nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its name.
    pub name: String,
    /// The variable of ours that is most like it.
    pub nearest: Option<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the variable {} sets nothing", self.name)?;
        self.nearest.as_ref().map_or(Ok(()), |nearest| write!(f, "; did you mean {nearest}?"))
    }
}

/// Returns those of `names` that look like ours and set nothing.
pub(super) fn unknown(names: impl Iterator<Item = OsString>) -> Vec<Unknown> {
    let known: Vec<String> =
        SETTINGS.iter().map(|setting| setting.variable()).chain(OTHERS.map(str::to_owned)).collect();
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let strange = names.filter(|name| name.starts_with(PREFIX) && !known.contains(name));
    let mut unknown: Vec<_> = strange.map(|name| Unknown { nearest: nearest_variable(&name, &known), name }).collect();
    unknown.sort_by(|a, b| a.name.cmp(&b.name));
    unknown
}

/// What all of them begin with would make any two alike.
fn nearest_variable(name: &str, known: &[String]) -> Option<String> {
    let rest = |name: &str| name.trim_start_matches(PREFIX).to_lowercase();
    let known: Vec<String> = known.iter().map(|known| rest(known)).collect();
    let nearest = nearest(&rest(name), known.iter().map(String::as_str))?;
    Some(format!("{PREFIX}{}", nearest.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_ours_and_sets_nothing_is_told_with_the_nearest_that_does() {
        let names =
            ["DATACACHE_IDLE_EXITS", "DATACACHE_DIR", "DATACACHE_LOG", "DATACACHE_ZZZ", "HOME", "MY_DATACACHE_X"];
        let told: Vec<_> = unknown(names.into_iter().map(OsString::from)).iter().map(Unknown::to_string).collect();
        let idle = "the variable DATACACHE_IDLE_EXITS sets nothing; did you mean DATACACHE_IDLE_EXIT?";
        assert_eq!(told, [idle, "the variable DATACACHE_ZZZ sets nothing"]);
    }

    #[test]
    fn every_variable_of_ours_is_known() {
        let names = SETTINGS.iter().map(|setting| setting.variable()).chain(OTHERS.map(str::to_owned));
        assert_eq!(unknown(names.map(OsString::from)), []);
    }
}
