//! What one reader has seen, and whether what it sees next can be.

use std::fmt;

use super::ledger::Ledger;
use super::version::{State, Version};

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// No entry.
    Absent,
    /// A value without a byte.
    Empty,
    /// The value of a version.
    Number(u64),
    /// Some entry; which one it is was not asked.
    Present,
}

/// What must not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Bytes that are no version's, or another key's.
    Bytes {
        /// The key that was read.
        key: u64,
        /// How many bytes there were.
        length: usize,
    },
    /// A version, or an absence, that no order of what happened explains.
    Order {
        /// The key that was read.
        key: u64,
        /// What was seen.
        seen: Seen,
        /// The oldest version that it could be.
        oldest: u64,
        /// The newest version that it could be.
        newest: u64,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { key, length } => write!(f, "key {key}: {length} bytes that were never written under it"),
            Self::Order { key, seen, oldest, newest } => {
                write!(f, "key {key}: {seen:?} is none of the versions {oldest} to {newest}")
            }
        }
    }
}

impl std::error::Error for Wrong {}

impl Seen {
    /// Tells what version a value is of.
    ///
    /// # Errors
    /// [`Wrong::Bytes`] where it is none of this key.
    pub fn of(key: u64, value: Option<&[u8]>) -> Result<Self, Wrong> {
        match value {
            None => Ok(Self::Absent),
            Some([]) => Ok(Self::Empty),
            Some(bytes) => match Version::of(bytes) {
                Some(version) if version.key == key => Ok(Self::Number(version.number)),
                _ => Err(Wrong::Bytes { key, length: bytes.len() }),
            },
        }
    }

    fn is(self, version: Version) -> bool {
        match (self, version.state()) {
            (Self::Absent, State::Absent) | (Self::Empty, State::Empty) => true,
            (Self::Number(number), State::Value(_)) => number == version.number,
            (Self::Present, state) => state != State::Absent,
            _ => false,
        }
    }
}

/// One reader's knowledge of one key.
#[derive(Debug)]
pub struct Watcher {
    key: u64,
    /// The oldest version that is explained by all it saw.
    last: u64,
}

impl Watcher {
    /// Begins to watch a key.
    #[must_use]
    pub fn new(key: u64) -> Self {
        Self { key, last: 0 }
    }

    /// Notes what is known before a read begins.
    pub fn begin(&mut self, ledger: &Ledger) {
        self.last = self.last.max(ledger.finished(self.key));
    }

    /// Judges what a read saw that has ended now.
    ///
    /// # Errors
    /// [`Wrong::Order`] where it can't be.
    pub fn end(&mut self, ledger: &Ledger, seen: Seen) -> Result<(), Wrong> {
        let (oldest, newest) = (self.last, ledger.begun(self.key));
        let explained = (oldest..=newest).find(|number| seen.is(Version { key: self.key, number: *number }));
        self.last = explained.ok_or(Wrong::Order { key: self.key, seen, oldest, newest })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: u64 = 3;

    fn first(state: impl Fn(State) -> bool, after: u64) -> u64 {
        (after + 1..).find(|number| state(Version { key: KEY, number: *number }.state())).unwrap()
    }

    fn is_value(state: State) -> bool {
        matches!(state, State::Value(_))
    }

    fn is_absent(state: State) -> bool {
        state == State::Absent
    }

    /// Does one read with these bounds.
    fn sees(watcher: &mut Watcher, finished: u64, begun: u64, seen: Seen) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::create(&folder.path().join("ledger"));
        ledger.finish(KEY, finished);
        watcher.begin(&ledger);
        ledger.begin(KEY, begun);
        watcher.end(&ledger, seen).is_ok()
    }

    #[test]
    fn a_version_is_seen_only_between_what_was_finished_and_what_was_begun() {
        let one = first(is_value, 0);
        let other = first(is_value, one);
        let sees = |finished, begun, number| sees(&mut Watcher::new(KEY), finished, begun, Seen::Number(number));
        assert!(sees(one, other, one) && sees(one, other, other));
        assert!(!sees(other, other, one), "it was replaced before the read began");
        assert!(!sees(one, one, other), "it had not begun when the read ended");
    }

    #[test]
    fn an_absence_needs_a_deletion() {
        let gone = first(is_absent, first(is_value, 0));
        let back = first(is_value, gone);
        let sees = |finished, begun, seen| sees(&mut Watcher::new(KEY), finished, begun, seen);
        assert!(sees(0, back, Seen::Absent) && sees(gone, back, Seen::Absent));
        assert!(!sees(back, back, Seen::Absent) && sees(back, back, Seen::Present));
        assert!(!sees(gone, gone, Seen::Present));
    }

    #[test]
    fn no_reader_goes_back() {
        let one = first(is_value, 0);
        let other = first(is_value, one);
        let mut watcher = Watcher::new(KEY);
        assert!(sees(&mut watcher, 0, other, Seen::Number(other)));
        assert!(!sees(&mut watcher, 0, other, Seen::Number(one)));
        assert!(sees(&mut watcher, 0, other, Seen::Number(other)));
    }

    #[test]
    fn the_value_of_another_key_is_wrong() {
        let value = Version { key: KEY, number: first(is_value, 0) }.value().unwrap();
        assert!(Seen::of(KEY, Some(&value)).is_ok());
        assert_eq!(Seen::of(KEY + 1, Some(&value)), Err(Wrong::Bytes { key: KEY + 1, length: value.len() }));
    }
}
