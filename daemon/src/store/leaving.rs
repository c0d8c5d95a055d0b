//! Files of values that nothing names any more, until they are removed: they take space as before.

use std::collections::HashMap;

use datacache_proto::types::Digest;

/// Files that are about to go, and what they take.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    files: HashMap<Digest, u64>,
    /// What all of them take.
    bytes: u64,
    /// What those take that are set aside, and not removed yet.
    aside: u64,
}

impl Leaving {
    /// Notes that nothing names a file any more.
    pub(super) fn begin(&mut self, digest: Digest, charge: u64) {
        self.bytes += charge - self.files.insert(digest, charge).unwrap_or(0).min(charge);
    }

    /// Notes that a file stays, or is nowhere; returns what it takes, if it was about to go.
    pub(super) fn end(&mut self, digest: &Digest) -> Option<u64> {
        let charge = self.files.remove(digest)?;
        self.bytes -= charge;
        Some(charge)
    }

    /// Notes that a file was set aside; returns what it takes, as far as that is known.
    pub(super) fn set_aside(&mut self, digest: &Digest) -> u64 {
        let charge = self.end(digest).unwrap_or(0);
        self.aside += charge;
        charge
    }

    /// Notes that a file that was set aside is removed.
    pub(super) fn removed(&mut self, charge: u64) {
        self.aside = self.aside.saturating_sub(charge);
    }

    /// Returns what all of them take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes + self.aside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_space_until_it_is_removed_or_named_again() {
        let [one, two] = [1, 2].map(|byte| Digest([byte; 32]));
        let mut leaving = Leaving::default();
        leaving.begin(one, 4_096);
        leaving.begin(one, 4_096);
        leaving.begin(two, 8_192);
        assert_eq!(leaving.bytes(), 12_288);
        assert_eq!((leaving.end(&one), leaving.end(&one)), (Some(4_096), None));
        assert_eq!((leaving.set_aside(&two), leaving.set_aside(&one)), (8_192, 0));
        assert_eq!(leaving.bytes(), 8_192);
        leaving.removed(8_192);
        assert_eq!(leaving.bytes(), 0);
    }
}
