//! A walk over the tags of all entries, in slices that each have a snapshot of their own. Counts every entry of a tag, and looks at some.

use std::ops::Bound;

use datacache_proto::recent::KeyHash;
use datacache_proto::record::Value;
use heed::RoTxn;

use super::error::StoreError;
use super::plan::Reader;
use super::rows::entry_of;
use super::table_keys::namespace_of;
use super::tables::Tables;

/// How many rows a slice looks at.
const SLICE: usize = 4_096;
/// How many entries of a tag are looked at.
const SAMPLE: usize = 64;
/// How many entries are looked at in any case, all tags together. To look at one costs as much as to count twenty.
const LOOKS_FREE: u64 = 4_096;
/// For how many rows another one may be.
const ROWS_A_LOOK: u64 = 16;
/// What follows a tag in a key: its end, and the version.
const BEHIND_TAG: usize = 1 + 8;

/// A tag whose entries have been counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedTag {
    /// The namespace's number.
    pub namespace: u32,
    /// The tag.
    pub tag: String,
    /// How many entries have it.
    pub entries: u64,
    /// Some of them, spread evenly over their ages.
    pub sample: Vec<SampledEntry>,
}

/// An entry that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampledEntry {
    /// What its marks are found by.
    pub hash: KeyHash,
    /// Bytes of its value.
    pub bytes: u64,
}

/// How far a walk has come.
#[derive(Clone, Debug, Default)]
pub struct TagWalk {
    after: Option<Vec<u8>>,
    /// The tag that it is in the middle of.
    current: Option<Current>,
    rows: u64,
    looks: u64,
    /// The tags that were counted and not yet taken.
    counted: Vec<CountedTag>,
}

#[derive(Clone, Debug)]
struct Current {
    /// What the keys of its rows begin with.
    prefix: Vec<u8>,
    counted: CountedTag,
    /// How many entries are passed over for one that is looked at.
    stride: u64,
}

impl TagWalk {
    /// Takes the tags that have been counted since this was last asked, by namespace and tag.
    pub fn take(&mut self) -> Vec<CountedTag> {
        std::mem::take(&mut self.counted)
    }

    /// Returns how many rows it has seen: pairs of an entry and a tag.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn row(&mut self, tables: &Tables, txn: &RoTxn<'_>, key: &[u8], index_key: &[u8]) -> heed::Result<()> {
        let Some(prefix) = key.len().checked_sub(8).map(|end| &key[..end]) else { return Ok(()) };
        if self.current.as_ref().is_none_or(|current| current.prefix != prefix) {
            self.close();
            self.current = Current::begin(prefix);
        }
        self.rows += 1;
        let Some(current) = &mut self.current else { return Ok(()) };
        let is_due = current.counted.entries.is_multiple_of(current.stride);
        current.counted.entries += 1;
        if is_due && self.looks < LOOKS_FREE + self.rows / ROWS_A_LOOK {
            self.looks += 1;
            let row = tables.entry(txn, index_key)?;
            current.add(row.and_then(|row| sampled(index_key, row)));
        }
        Ok(())
    }

    fn close(&mut self) {
        self.counted.extend(self.current.take().map(|current| current.counted));
    }
}

impl Current {
    /// Begins a tag; `None` where the key is damaged.
    fn begin(prefix: &[u8]) -> Option<Self> {
        let namespace = namespace_of(prefix)?;
        let tag = prefix.get(4..prefix.len().checked_sub(BEHIND_TAG - 8)?)?;
        let tag = std::str::from_utf8(tag).ok()?.to_owned();
        let counted = CountedTag { namespace, tag, entries: 0, sample: Vec::new() };
        Some(Self { prefix: prefix.to_owned(), counted, stride: 1 })
    }

    /// Takes an entry into the sample. Where that is full, every second one goes, and from there on half as many are looked at.
    fn add(&mut self, entry: Option<SampledEntry>) {
        self.counted.sample.extend(entry);
        if self.counted.sample.len() > SAMPLE {
            let mut place = 0_usize;
            self.counted.sample.retain(|_| {
                place += 1;
                !place.is_multiple_of(2)
            });
            self.stride *= 2;
        }
    }
}

fn sampled(index_key: &[u8], row: &[u8]) -> Option<SampledEntry> {
    let (namespace, key, record) = entry_of(index_key, row)?;
    let bytes = match record.value {
        Value::Inline(value) => value.len() as u64,
        Value::Blob { length, .. } => length,
    };
    Some(SampledEntry { hash: KeyHash::of(namespace, key.encoded()), bytes })
}

impl Reader {
    /// Goes on with a walk for a slice; tells whether there is more. Less than a millisecond where the index is in memory.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn walk_tags(&self, walk: &mut TagWalk) -> Result<bool, StoreError> {
        self.slice(walk).map_err(|source| StoreError::Read { source })
    }

    fn slice(&self, walk: &mut TagWalk) -> heed::Result<bool> {
        let txn = self.tables.env.read_txn()?;
        let from = walk.after.take();
        let from = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        for (seen, row) in self.tables.by_tag.range(&txn, &(from, Bound::Unbounded))?.enumerate() {
            let (key, index_key) = row?;
            walk.row(&self.tables, &txn, key, index_key)?;
            if seen + 1 == SLICE {
                walk.after = Some(key.to_vec());
                return Ok(true);
            }
        }
        walk.close();
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Batch, Command, NewValue, Put};
    use super::super::store::Store;
    use super::super::testing::{NOW, put_of, store, wait};
    use super::*;
    use datacache_proto::key::{Key, Tag};

    /// Adds entries `from..to` of a namespace, each with a value as long as its number modulo 100, and these tags.
    fn add(store: &mut Store, namespace: &str, numbers: std::ops::Range<i64>, tags: &[&str]) {
        let put = |number: i64| {
            let value = vec![7; usize::try_from(number % 100).unwrap()];
            let tags = tags.iter().map(|tag| Tag::new(tag).unwrap()).collect();
            let (namespace, key) = (namespace.into(), Key::integer(number).into());
            Command::Put(Put { namespace, key, tags, ..put_of(NewValue::Inline(value.into())) })
        };
        for numbers in numbers.collect::<Vec<_>>().chunks(1_000) {
            let mut results = Vec::new();
            let batch = Batch::all(numbers.iter().copied().map(put).collect(), None);
            store.write(&mut [batch].into(), NOW, &mut results);
            results.pop().unwrap().unwrap();
        }
    }

    fn walked(store: &mut Store) -> (Vec<CountedTag>, TagWalk, usize) {
        let target = store.request_checkpoint();
        wait(store, |store| store.applied() >= target);
        let (reader, mut walk, mut slices) = (store.reader(), TagWalk::default(), 1);
        let mut counted = Vec::new();
        while reader.walk_tags(&mut walk).unwrap() {
            slices += 1;
            counted.extend(walk.take());
        }
        counted.extend(walk.take());
        (counted, walk, slices)
    }

    #[test]
    fn every_entry_of_a_tag_is_counted_and_few_are_looked_at_whichever_slices_they_are_in() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        add(&mut store, "m", 0..10, &["a", "b"]);
        add(&mut store, "n", 0..9_000, &["a"]);
        add(&mut store, "n", 9_000..9_003, &["ab"]);
        let (counted, walk, slices) = walked(&mut store);
        let numbers = ["m", "n"].map(|name| store.namespace(name).unwrap());
        let told: Vec<_> = counted.iter().map(|tag| (tag.namespace, &*tag.tag, tag.entries)).collect();
        let expected = [(numbers[0], "a", 10), (numbers[0], "b", 10), (numbers[1], "a", 9_000), (numbers[1], "ab", 3)];
        assert_eq!(told, expected);
        assert_eq!((walk.rows(), slices), (9_023, 3));
        let lengths = |at: usize| counted[at].sample.iter().map(|entry| entry.bytes).collect::<Vec<_>>();
        assert_eq!(lengths(0), (0..10).collect::<Vec<_>>());
        assert_eq!(lengths(3), [0, 1, 2]);
        let sample = &counted[2].sample;
        assert!((SAMPLE / 2..=SAMPLE).contains(&sample.len()), "{}", sample.len());
        let places: Vec<_> =
            (0..9_000).filter(|number| sample.iter().any(|entry| entry.hash == hash(numbers[1], *number))).collect();
        assert_eq!(places.len(), sample.len());
        assert!(
            places[0] < 1_000 && places.is_sorted() && *places.last().unwrap() >= 8_000,
            "over all ages: {places:?}"
        );
    }

    fn hash(namespace: u32, number: i64) -> KeyHash {
        KeyHash::of(namespace, Key::integer(number).encoded())
    }

    /// As many tags as entries: to look at one of each would cost twenty times what counting does.
    #[test]
    fn of_very_many_tags_not_each_is_looked_into() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        for number in 0..6_000 {
            add(&mut store, "n", number..number + 1, &[&format!("tag {number:04}")]);
        }
        let (counted, walk, _) = walked(&mut store);
        assert_eq!((counted.len(), walk.rows()), (6_000, 6_000));
        assert!(counted.iter().all(|tag| tag.entries == 1));
        let looks = counted.iter().map(|tag| tag.sample.len()).sum::<usize>() as u64;
        assert_eq!(looks, LOOKS_FREE + 6_000 / ROWS_A_LOOK);
    }
}
