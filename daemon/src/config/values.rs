//! Typed text read as what it should be, within its bounds.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use datacache_proto::time::Lifetime;

use super::amount::Size;
use super::log_filter::LogFilter;
use super::setting::{Fault, Typed, name_in};

/// Reads the typed values as what they should be.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    /// The namespace whose settings they are; `None` for the daemon's.
    namespace: Option<&'a str>,
    typed: &'a BTreeMap<&'static str, Typed>,
}

impl<'a> Values<'a> {
    /// Reads the daemon's settings: each has a value.
    pub(super) fn new(typed: &'a BTreeMap<&'static str, Typed>) -> Self {
        Self { namespace: None, typed }
    }

    /// Reads the settings of a namespace, which has some of them.
    pub(super) fn of_namespace(name: &'a str, typed: &'a BTreeMap<&'static str, Typed>) -> Self {
        Self { namespace: Some(name), typed }
    }

    /// Tells whether there is a value.
    pub(super) fn has(self, name: &'static str) -> bool {
        self.typed.contains_key(name)
    }

    /// Returns the text of a setting, which has one.
    pub(super) fn text(self, name: &'static str) -> &'a str {
        self.typed(name).text.trim()
    }

    fn typed(self, name: &'static str) -> &'a Typed {
        self.typed.get(name).expect("every setting has at least its default")
    }

    pub(super) fn fault(self, name: &'static str, reason: impl Display) -> Fault {
        let full = self.namespace.map_or_else(|| name.to_owned(), |namespace| name_in(namespace, name));
        Fault { name: full, source_of_value: self.typed(name).source.clone(), reason: reason.to_string() }
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(self, name: &'static str) -> Result<T, Fault> {
        self.typed(name).text.parse().map_err(|error| self.fault(name, error))
    }

    pub(super) fn within<T>(self, name: &'static str, range: RangeInclusive<T>) -> Result<T, Fault>
    where
        T: FromStr<Err: Display> + PartialOrd + Display,
    {
        let value = self.parsed(name)?;
        if range.contains(&value) {
            return Ok(value);
        }
        Err(self.fault(name, format_args!("{value} is not within {} to {}", range.start(), range.end())))
    }

    pub(super) fn span(self, name: &'static str, range: RangeInclusive<Duration>) -> Result<Duration, Fault> {
        match self.parsed::<Lifetime>(name)? {
            Lifetime::For(span) if range.contains(&span) => Ok(span),
            other => {
                let [least, most] = [*range.start(), *range.end()].map(Lifetime::For);
                Err(self.fault(name, format_args!("{other} is not within {least} to {most}")))
            }
        }
    }

    /// Reads a size, or nothing where it is one of these words; the first of them is proposed.
    pub(super) fn size_or(self, name: &'static str, none: &[&str]) -> Result<Option<u64>, Fault> {
        if none.iter().any(|word| self.text(name).eq_ignore_ascii_case(word)) {
            return Ok(None);
        }
        self.size_or_words(name, &format!("`{}`", none[0])).map(|size| Some(size.0))
    }

    /// Reads a size; what is none is told to be one, or one of these words.
    pub(super) fn size_or_words(self, name: &'static str, words: &str) -> Result<Size, Fault> {
        self.parsed::<Size>(name).map_err(|fault| Fault { reason: format!("{}, or {words}", fault.reason), ..fault })
    }

    pub(super) fn filter(self, name: &'static str) -> Result<String, Fault> {
        Ok(self.parsed::<LogFilter>(name)?.0)
    }
}
