//! What an entry takes on the disk, and its namespace pays: its rows in the index, each by a fixed formula, and the blocks of its
//! blob, whoever else names that.
//!
//! It follows from the key and the record alone, so that the writer, who has not applied anything yet, and the index, which counts what it
//! has, come to the same sum. It is what LMDB takes for the rows themselves, on pages of 4 KiB whatever the machine has: pages that
//! are not full, those that lead to others, and rows of `moved` come on top.

use datacache_proto::layout::{DIRECTORY_NAMESPACE, MAX_INDEX_KEY};
use datacache_proto::record::Record;

use super::counts::Counts;
use super::placing::{MOVED_KEY, MOVED_ROW, PLACE_KEY, PLACE_ROW};
use super::table_keys::{EXPIRY_KEY, tag_key_length};
use super::tables::Tables;

/// What LMDB gives a value that does not fit beside others, and a filesystem mostly a file.
pub(super) const PAGE: u64 = 4_096;
/// What LMDB has at the head of a page.
const PAGE_HEAD: usize = 16;
/// What it has for each row: lengths and flags, and where on the page it is.
const ROW_HEAD: usize = 8;
const ROW_AT: usize = 2;
/// A row with a larger key and value has pages of its own for its value, and their number in its place.
const MOST_IN_PAGE: usize = 2_038;
const PAGE_NUMBER: usize = 8;
/// What an index key has before the key.
const NAMESPACE: usize = 4;

impl Tables {
    /// Returns what an entry counts for. Nothing is charged in an index of an older layout, which has nowhere to write it down.
    pub(super) fn counts_of(&self, namespace: u32, key: &[u8], record: &Record<'_>) -> Counts {
        let charge = if self.is_older() { 0 } else { charge(namespace, key, record) };
        Counts::of_entry(record, charge)
    }

    /// Returns what a blob counts for.
    pub(super) fn counts_of_blob(&self, length: u64) -> Counts {
        let charge = if self.is_older() { 0 } else { blocks(length) };
        Counts { entries: 1, bytes: length, charge, ..Counts::default() }
    }
}

/// Returns what the entry of an encoded key takes, in bytes.
pub(super) fn charge(namespace: u32, key: &[u8], record: &Record<'_>) -> u64 {
    let index_key = index_key_length(key);
    let mut bytes = row(index_key, record.encoded_length());
    if record.expires.is_some() {
        bytes += row(EXPIRY_KEY, index_key);
    }
    bytes += record.tags.iter().map(|tag| row(tag_key_length(tag), index_key)).sum::<u64>();
    // The directory of namespaces is never evicted, and has no places.
    if namespace != DIRECTORY_NAMESPACE {
        bytes += place_row(index_key);
    }
    bytes.saturating_add(record.value.digest().map_or(0, |_| blocks(record.value.len())))
}

/// Returns how long the index key of an encoded key is.
pub(super) fn index_key_length(key: &[u8]) -> usize {
    MAX_INDEX_KEY.min(NAMESPACE + key.len())
}

/// Returns what the row takes that says where an entry went which was given another place.
pub(super) fn moved_row() -> u64 {
    row(MOVED_KEY, MOVED_ROW)
}

/// Returns what the row of a place takes.
pub(super) fn place_row(index_key: usize) -> u64 {
    row(PLACE_KEY, PLACE_ROW + index_key)
}

/// Returns what the file of a blob takes: whole blocks.
pub(super) fn blocks(length: u64) -> u64 {
    length.div_ceil(PAGE).saturating_mul(PAGE)
}

/// Returns what LMDB takes for a row.
fn row(key: usize, value: usize) -> u64 {
    let node = ROW_HEAD + key + value;
    let (beside, pages) = match node <= MOST_IN_PAGE {
        true => (node, 0),
        false => (ROW_HEAD + key + PAGE_NUMBER, ((PAGE_HEAD + value) as u64).div_ceil(PAGE)),
    };
    (beside + ROW_AT).next_multiple_of(2) as u64 + pages * PAGE
}

#[cfg(test)]
mod tests {
    use super::super::apply::derive_rows;
    use super::*;
    use datacache_proto::key::Tag;
    use datacache_proto::layout::{index_key, is_cut};
    use datacache_proto::record::{TagsBuf, Value};
    use datacache_proto::time::Timestamp;
    use datacache_proto::types::Digest;

    fn record<'a>(seq: u64, value: Value<'a>, tags: &'a TagsBuf) -> Record<'a> {
        Record { tags: tags.as_tags(), ..Record::plain(seq, value) }
    }

    #[test]
    fn a_row_takes_an_even_number_of_bytes_on_a_page_or_whole_pages() {
        assert_eq!(row(20, 30), 60);
        assert_eq!(row(20, 31), 62);
        assert_eq!(row(20, 2_010), 2_040);
        assert_eq!(row(20, 2_011), 38 + 4_096);
        assert_eq!([4_080, 4_081].map(|value| row(20, value)), [38 + 4_096, 38 + 8_192]);
    }

    #[test]
    fn all_that_an_entry_has_is_paid_for() {
        let (none, two) = (TagsBuf::default(), TagsBuf::new(&["a", "bb"].map(|tag| Tag::new(tag).unwrap())));
        let key = [1; 16];
        let plain = record(1, Value::Inline(&[0; 100]), &none);
        let of = |record: &Record<'_>| charge(1, &key, record);
        assert_eq!(of(&plain), row(20, 164) + row(12, 37));
        assert_eq!(charge(DIRECTORY_NAMESPACE, &key, &plain), row(20, 164));
        assert_eq!(of(&Record { expires: Some(Timestamp::MAX), ..plain }), of(&plain) + row(20, 20));
        let tagged = Record { tags: two.as_tags(), ..plain };
        assert_eq!(of(&tagged), row(20, 164 + 5) + row(12, 37) + row(14, 20) + row(15, 20));
        let blob = record(1, Value::Blob { length: 4_097, digest: Digest([1; 32]) }, &none);
        assert_eq!(of(&blob), row(20, 96) + row(12, 37) + 8_192);
        assert_eq!(blocks(u64::MAX) >> 12, u64::MAX >> 12, "nothing is too large to be counted");
    }

    #[test]
    fn a_key_too_long_for_the_index_pays_for_what_stands_there() {
        let (none, key) = (TagsBuf::default(), [1; 60_000]);
        let record = Record { key: is_cut(&key).then_some(&key[..]), ..record(1, Value::Inline(b""), &none) };
        assert_eq!(charge(1, &key, &record), row(511, 60_064) + row(12, 528));
    }

    /// Puts entries of `length` bytes, with keys in a disorder, into an index; returns what they pay and what it takes.
    fn measured(length: usize, tags: &[&str], expires: bool) -> (u64, u64) {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(folder.path()).unwrap();
        let empty = tables.used().unwrap();
        let tags = TagsBuf::new(&tags.iter().map(|tag| Tag::new(tag).unwrap()).collect::<Vec<_>>());
        let value = vec![7; length];
        let (mut paid, mut txn) = (0, tables.env.write_txn().unwrap());
        for number in 0..10_000_u64 {
            let key = [&[1][..], &number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()].concat();
            let expires = expires.then(|| Timestamp::from_millis(number + 1));
            let record = Record { expires, ..record(number + 1, Value::Inline(&value), &tags) };
            let (index_key, mut row) = (index_key(1, &key), Vec::new());
            record.encode(0, &mut row);
            tables.entries.put(&mut txn, &index_key, &row).unwrap();
            derive_rows(&tables, &mut txn, 1, &index_key, &record).unwrap();
            let charge = charge(1, &key, &record);
            tables.places.unwrap().enter(&mut txn, 1, &index_key, record.birth, charge).unwrap();
            paid += charge;
        }
        txn.commit().unwrap();
        (paid, tables.used().unwrap() - empty)
    }

    #[test]
    fn what_entries_pay_is_about_what_the_index_takes() {
        for (length, tags, expires) in
            [(0, &[][..], false), (100, &["a tag", "another"], true), (1_500, &[], true), (3_000, &[], false)]
        {
            let (paid, taken) = measured(length, tags, expires);
            // Keys in a disorder leave pages two thirds full, rows of which two fit a page a little less.
            assert!((taken * 55 / 100..=taken * 11 / 10).contains(&paid), "{length} bytes: {paid} of {taken}");
        }
    }
}
