//! What is measured. A group of rows shares what has to be filled first.

pub(crate) mod burst;
pub(crate) mod growth;
pub(crate) mod large;
pub(crate) mod mapped;
pub(crate) mod open;
pub(crate) mod scale;
pub(crate) mod start;
pub(crate) mod storm;

use crate::Fault;
use crate::bench::Bench;
use crate::outcome::Outcome;

/// A group of rows.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Bench) -> Result<Vec<Outcome>, Fault>,
}

/// All of them, in the order of the report.
pub(crate) const ALL: [Row; 10] = [
    Row { name: "small", about: "get, asynchronous get and set in a small cache", run: scale::small },
    Row { name: "million", about: "get and set in a large cache", run: scale::million },
    Row { name: "huge", about: "get and set in a huge cache, with --huge", run: scale::huge },
    Row { name: "burst", about: "many values, many at a time", run: burst::burst },
    Row { name: "minute", about: "the same for a minute, with --minute", run: burst::minute },
    Row { name: "storm", about: "several processes at once on few keys", run: storm::storm },
    Row { name: "open", about: "open, one get, close", run: open::open },
    Row { name: "mapped", about: "get of large values as a map", run: mapped::mapped },
    Row { name: "large", about: "add of large values, from a file and from memory", run: large::large },
    Row { name: "start", about: "start of the daemon, and its memory", run: start::start },
];

/// Returns those that were asked for; all, where none was.
///
/// # Errors
/// Where one is not known.
pub(crate) fn choose(only: &[String]) -> Result<Vec<&'static Row>, Fault> {
    if let Some(unknown) = only.iter().find(|name| ALL.iter().all(|row| row.name != **name)) {
        return Err(format!("there is no row `{unknown}`; --list tells which there are").into());
    }
    let is_chosen = |row: &&Row| only.is_empty() || only.iter().any(|name| name == row.name);
    Ok(ALL.iter().filter(is_chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_name_and_in_their_order() {
        let names = |only: &[&str]| {
            let only: Vec<_> = only.iter().map(|name| (*name).to_owned()).collect();
            choose(&only).map(|rows| rows.iter().map(|row| row.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), ALL.len());
        assert_eq!(names(&["storm", "small"]).unwrap(), ["small", "storm"]);
        assert!(names(&["small", "smal"]).unwrap_err().to_string().contains("`smal`"));
    }
}
