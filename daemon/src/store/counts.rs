//! How much a namespace holds, and all blobs together: rows of the table `counters`.

use std::ops::{Add, Neg};

use datacache_proto::record::Record;
use heed::RwTxn;

use super::table_keys::namespace_prefix;
use super::tables::Tables;

/// Stands in the table of counters for all blobs together; no namespace has this number.
pub(super) const BLOBS_COUNTED: u32 = u32::MAX;

/// How long a row is.
const ROW: usize = 40;
/// How long it was before held entries were counted, of which it says nothing.
const ROW_WITHOUT_HELD_ENTRIES: usize = 32;
/// How long it was up to layout 3, which knew no charges.
const ROW_OF_3: usize = 16;

/// What a namespace holds, or all blobs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries that are there, also those whose time is over and that were not removed yet.
    pub entries: u64,
    /// The sum of their values' lengths in bytes.
    pub bytes: u64,
    /// What they take on the disk, in bytes: see `charge`. Of blobs, whole blocks.
    pub charge: u64,
    /// Of that, what pinned and bound entries take.
    pub held: u64,
    /// Of the entries, those that are pinned or bound.
    pub held_entries: u64,
}

/// By how much counts change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    entries: i64,
    bytes: i64,
    charge: i64,
    held: i64,
    held_entries: i64,
}

impl Counts {
    /// Returns what an entry counts for that takes `charge` bytes of the disk.
    pub(super) fn of_entry(record: &Record<'_>, charge: u64) -> Self {
        // Nothing is charged where there is nowhere to write it down, nor the other.
        let (held, held_entries) = if record.is_held() && charge > 0 { (charge, 1) } else { (0, 0) };
        Self { entries: 1, bytes: record.value.len(), charge, held, held_entries }
    }

    /// Returns what an entry counts for whose record is damaged: it is there, and nothing else is known of it.
    pub(super) fn of_damaged() -> Self {
        Self { entries: 1, ..Self::default() }
    }

    /// Adds a change, which may be negative.
    pub(super) fn change(&mut self, change: Change) {
        self.entries = self.entries.saturating_add_signed(change.entries);
        self.bytes = self.bytes.saturating_add_signed(change.bytes);
        self.charge = self.charge.saturating_add_signed(change.charge);
        self.held = self.held.saturating_add_signed(change.held);
        self.held_entries = self.held_entries.saturating_add_signed(change.held_entries);
    }

    pub(super) fn encode(self) -> [u8; ROW] {
        let mut row = [0; ROW];
        let numbers = [self.entries, self.bytes, self.charge, self.held, self.held_entries];
        for (place, number) in row.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        row
    }

    pub(super) fn decode(row: &[u8]) -> Option<Self> {
        if ![ROW, ROW_WITHOUT_HELD_ENTRIES, ROW_OF_3].contains(&row.len()) {
            return None;
        }
        let mut numbers =
            row.chunks_exact(8).map(|number| number.try_into().map(u64::from_le_bytes).unwrap_or_default());
        let mut next = || numbers.next().unwrap_or_default();
        Some(Self { entries: next(), bytes: next(), charge: next(), held: next(), held_entries: next() })
    }
}

impl Change {
    /// Returns what has changed where there is `new` in the place of `old`.
    pub(super) fn between(old: Counts, new: Counts) -> Self {
        let change = |old, new| signed(new) - signed(old);
        Self {
            entries: change(old.entries, new.entries),
            bytes: change(old.bytes, new.bytes),
            charge: change(old.charge, new.charge),
            held: change(old.held, new.held),
            held_entries: change(old.held_entries, new.held_entries),
        }
    }

    /// Returns the change by what comes.
    pub(super) fn more(new: Counts) -> Self {
        Self::between(Counts::default(), new)
    }

    /// Returns the change by what goes.
    pub(super) fn less(old: Counts) -> Self {
        Self::between(old, Counts::default())
    }
}

impl Add for Change {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            entries: self.entries + other.entries,
            bytes: self.bytes + other.bytes,
            charge: self.charge + other.charge,
            held: self.held + other.held,
            held_entries: self.held_entries + other.held_entries,
        }
    }
}

impl Neg for Change {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            entries: -self.entries,
            bytes: -self.bytes,
            charge: -self.charge,
            held: -self.held,
            held_entries: -self.held_entries,
        }
    }
}

impl Tables {
    /// Writes what a namespace holds, as an older build reads it where the index has its layout.
    pub(super) fn put_counts(&self, txn: &mut RwTxn<'_>, namespace: u32, counts: Counts) -> heed::Result<()> {
        let row = counts.encode();
        let length = if self.is_older() { ROW_OF_3 } else { ROW };
        self.counters.put(txn, &namespace_prefix(namespace), &row[..length])
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back_as_they_went_in_and_older_ones_without_charges() {
        let counts = Counts { entries: 1, bytes: 2, charge: 3, held: 4, held_entries: 5 };
        let row = counts.encode();
        assert_eq!(Counts::decode(&row), Some(counts));
        assert_eq!(Counts::decode(&row[..ROW_WITHOUT_HELD_ENTRIES]), Some(Counts { held_entries: 0, ..counts }));
        assert_eq!(Counts::decode(&row[..ROW_OF_3]), Some(Counts { charge: 0, held: 0, held_entries: 0, ..counts }));
        assert_eq!([0, 8, 24, 31, 39].map(|length| Counts::decode(&row[..length])), [None; 5]);
    }

    #[test]
    fn a_change_leads_from_one_to_the_other_and_back() {
        let old = Counts { entries: 1, bytes: 20, charge: 300, held: 4, held_entries: 1 };
        let new = Counts { entries: 2, bytes: 10, charge: 400, held: 0, held_entries: 0 };
        let (mut counts, change) = (old, Change::between(old, new));
        counts.change(change);
        assert_eq!(counts, new);
        counts.change(-change);
        assert_eq!(counts, old);
        assert_eq!(Change::more(new) + Change::less(old), change);
    }
}
