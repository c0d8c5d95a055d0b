//! What a store may take, as it is typed.

use std::collections::BTreeMap;

use super::amount::Size;
use super::quantity;
use super::setting::{Fault, Typed};
use super::values::Values;
use crate::eviction::Policy;
use crate::store::{Reserve, Rule, Rules};

/// The least limit in bytes: what is kept beside the entries would leave no room for them.
const LIMIT_MIN: Size = Size(1 << 20);
const AUTO: &str = "auto";
pub(super) const NONE: &str = "none";

/// Reads the rules of the store and those of its namespaces.
///
/// # Errors
/// The first value that is not within its bounds.
pub(super) fn read(
    values: Values<'_>,
    namespaces: &BTreeMap<String, BTreeMap<&'static str, Typed>>,
) -> Result<Rules, Fault> {
    let is_limit_auto = is(values, "limit", AUTO);
    let all = Rule {
        limit: if is_limit_auto { None } else { limit(values, "`auto` or `none`")? },
        limit_entries: limit_entries(values)?,
        policy: Some(values.parsed::<Policy>("policy")?),
    };
    let rules = namespaces.iter().map(|(name, typed)| Ok((name.clone(), rule(Values::of_namespace(name, typed))?)));
    let namespaces = rules.collect::<Result<_, Fault>>()?;
    Ok(Rules { all, is_limit_auto, namespaces, held_percent: percent(values)?, reserve: reserve(values)? })
}

/// Reads the rule of a namespace, of which nothing has to be set.
fn rule(values: Values<'_>) -> Result<Rule, Fault> {
    Ok(Rule {
        limit: if values.has("limit") { limit(values, "`none`")? } else { None },
        limit_entries: if values.has("limit_entries") { limit_entries(values)? } else { None },
        policy: if values.has("policy") { Some(values.parsed("policy")?) } else { None },
    })
}

fn is(values: Values<'_>, name: &'static str, word: &str) -> bool {
    values.text(name).eq_ignore_ascii_case(word)
}

fn limit(values: Values<'_>, words: &str) -> Result<Option<u64>, Fault> {
    if is(values, "limit", NONE) {
        return Ok(None);
    }
    let limit = values.size_or_words("limit", words)?;
    match limit < LIMIT_MIN {
        true => {
            Err(values.fault("limit", format_args!("{limit} is less than {LIMIT_MIN}, below which nothing works well")))
        }
        false => Ok(Some(limit.0)),
    }
}

fn limit_entries(values: Values<'_>) -> Result<Option<u64>, Fault> {
    let name = "limit_entries";
    if is(values, name, NONE) {
        return Ok(None);
    }
    if values.text(name).parse::<u64>().is_err() {
        let text = values.text(name);
        return Err(values.fault(name, format_args!("`{text}` is not a number of entries, or `{NONE}`")));
    }
    values.within(name, 1..=u64::MAX).map(Some)
}

fn reserve(values: Values<'_>) -> Result<Reserve, Fault> {
    match is(values, "reserve", AUTO) {
        true => Ok(Reserve::Share),
        false => values.size_or_words("reserve", "`auto`").map(|size| Reserve::Bytes(size.0)),
    }
}

/// A number alone may be meant for bytes or for entries, but for 0.
fn percent(values: Values<'_>) -> Result<u8, Fault> {
    let text = values.text("held_max");
    let told = quantity::parse(text).and_then(|(number, unit)| Some((u8::try_from(number).ok()?, unit)));
    let proposed = match told.filter(|(share, _)| *share <= 100) {
        Some((share, "%") | (share @ 0, "")) => return Ok(share),
        Some((share, "")) => format!("`{share}%`"),
        _ => "for example `50%`".to_owned(),
    };
    Err(values.fault("held_max", format_args!("`{text}` is not a share; write {proposed}")))
}
