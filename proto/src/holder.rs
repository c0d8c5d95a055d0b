//! Who holds a store: what a daemon writes into the store's lock.
//!
//! Frozen: alike in all protocols and layouts. It is how a daemon that speaks another protocol can still be ended.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::num::ParseIntError;
use std::path::Path;
use std::str::FromStr;

use crate::layout::LOCK;
use crate::process::{Process, pid_namespace};

/// A daemon's process, and where its number counts.
///
/// ```
/// use datacache_proto::holder::Holder;
///
/// let holder = Holder::current()?;
/// assert_eq!(holder.to_string().parse(), Ok(holder));
/// assert!(holder.is_visible());
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub process: Process,
    /// Its pid namespace, as [`pid_namespace`] tells it.
    pub namespace: u64,
}

impl Holder {
    /// Returns the calling process.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn current() -> io::Result<Self> {
        Ok(Self { process: Process::current()?, namespace: pid_namespace() })
    }

    /// Returns the process that holds the lock of the store in a folder; `None` where nobody does, or it can't be told from here.
    #[must_use]
    pub fn of(store: &Path) -> Option<Process> {
        let mut lock = File::open(store.join(LOCK)).ok()?;
        let mut text = String::new();
        lock.read_to_string(&mut text).ok()?;
        let holder: Self = text.parse().ok()?;
        let is_held = matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock));
        (is_held && holder.is_visible()).then_some(holder.process)
    }

    /// Tells whether nobody holds the lock of the store in a folder, as far as it can be told from here: not where there is none.
    #[must_use]
    pub fn has_none(store: &Path) -> bool {
        File::open(store.join(LOCK)).is_ok_and(|lock| lock.try_lock_shared().is_ok())
    }

    /// Tells whether its number means the same process to us.
    #[must_use]
    pub fn is_visible(&self) -> bool {
        self.namespace == pid_namespace()
    }
}

/// A text that is no holder's: nobody has written one yet, or the write was cut short.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lock of the store does not tell who holds it")]
pub struct UnknownHolder;

impl From<ParseIntError> for UnknownHolder {
    fn from(_: ParseIntError) -> Self {
        Self
    }
}

/// Four words and the end of the line, without which the last word may be cut short.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Process { boot, pid, start } = self.process;
        writeln!(f, "{pid} {start} {boot:032x} {}", self.namespace)
    }
}

impl FromStr for Holder {
    type Err = UnknownHolder;

    fn from_str(text: &str) -> Result<Self, UnknownHolder> {
        let line = text.strip_suffix('\n').ok_or(UnknownHolder)?;
        let words: Vec<&str> = line.split(' ').collect();
        let [pid, start, boot, namespace] = words[..] else { return Err(UnknownHolder) };
        let process = Process { boot: u128::from_str_radix(boot, 16)?, pid: pid.parse()?, start: start.parse()? };
        Ok(Self { process, namespace: namespace.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_frozen() {
        let holder = Holder { process: Process { boot: 0xabc, pid: 7, start: 11 }, namespace: 4_026_531_836 };
        let text = "7 11 00000000000000000000000000000abc 4026531836\n";
        assert_eq!(holder.to_string(), text);
        assert_eq!(text.parse(), Ok(holder));
    }

    #[test]
    fn what_was_cut_short_names_nobody() {
        let text = Holder::current().unwrap().to_string();
        for length in 0..text.len() {
            assert_eq!(text[..length].parse::<Holder>(), Err(UnknownHolder), "{length} bytes");
        }
        for wrong in ["a 11 0 5\n", "7 11 x 5\n", "7 11 0 5 6\n", "-7 11 0 5\n"] {
            assert_eq!(wrong.parse::<Holder>(), Err(UnknownHolder), "{wrong:?}");
        }
    }
}
