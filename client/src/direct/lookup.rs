//! One look at a key: the shared index, the log, LMDB, in the order in which every reader looks.
//!
//! An entry that is found and has ended by then is there no more, but nor need there be nothing: if the process stood still between the two,
//! another one may have taken its place meanwhile. What had not ended for certain when the look began is looked for again.

use std::ops::Range;

use datacache_proto::key::Key;
use datacache_proto::layout::{DIRECTORY_NAMESPACE, index_key};
use datacache_proto::log::{Kind, OPERATION_HEAD};
use datacache_proto::recent::{Candidate, Found, KeyHash, Location, find};
use datacache_proto::record::{Record, RecordError, Value};
use datacache_proto::time::Timestamp;
use datacache_proto::types::Fallback;
use heed::{RoTxn, WithTls};

use super::clock;
use super::map::{Map, Trust};
use super::segments::Buffer;
use crate::namespace::Namespace;

/// A key in a namespace, with what is derived from both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'k> {
    pub(super) namespace: u32,
    pub(super) key: &'k [u8],
    pub(super) hash: KeyHash,
}

/// Why a look came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The map is of the past: open the store again.
    Over,
    /// Ask the daemon.
    Ask(Fallback),
}

impl From<Fallback> for Obstacle {
    fn from(fallback: Fallback) -> Self {
        Self::Ask(fallback)
    }
}

/// What became of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
enum Outcome {
    /// It was shown what there is.
    Shown,
    /// There is nothing here that tells of the key.
    Absent,
    /// An entry was found that ended at that moment, perhaps after the look had begun.
    Ended(Timestamp),
}

impl<'k> Place<'k> {
    #[inline]
    pub(super) fn of(namespace: u32, key: &'k Key) -> Self {
        Self { namespace, key: key.encoded(), hash: KeyHash::of(namespace, key.encoded()) }
    }
}

impl Map {
    /// Shows `judge` the live entry of a key, `None` where there is none.
    #[inline]
    pub(super) fn look(&self, place: Place<'_>, mut judge: impl FnMut(Option<&Record<'_>>)) -> Result<(), Obstacle> {
        let mut begun = Timestamp::default();
        while let Outcome::Ended(moment) = self.look_from(begun, place, &mut judge)? {
            begun = moment;
        }
        Ok(())
    }

    /// Does that once; the moment `begun` has come.
    #[inline]
    fn look_from(
        &self,
        begun: Timestamp,
        place: Place<'_>,
        mut judge: impl FnMut(Option<&Record<'_>>),
    ) -> Result<Outcome, Obstacle> {
        match self.look_in_log(begun, place, &mut judge)? {
            Outcome::Absent => self.read(|txn| self.look_in_index(txn, begun, place, judge)),
            told => Ok(told),
        }
    }

    /// Shows `judge` those of many keys, with one transaction; returns what it says of each.
    pub(super) fn look_many<T>(
        &self,
        places: &[Place<'_>],
        judge: impl Fn(Option<&Record<'_>>) -> T,
    ) -> Result<Vec<T>, Obstacle> {
        let begun = Timestamp::default();
        let mut seen: Vec<Option<T>> = places.iter().map(|_| None).collect();
        let (mut absent, mut ended) = (Vec::new(), Vec::new());
        // IMPORTANT: all of them, before the transaction begins.
        for (place, seen) in places.iter().zip(&mut seen) {
            match self.look_in_log(begun, *place, |record| *seen = Some(judge(record)))? {
                Outcome::Shown => {}
                Outcome::Absent => absent.push((place, seen)),
                Outcome::Ended(_) => ended.push((place, seen)),
            }
        }
        if !absent.is_empty() {
            self.read(|txn| {
                absent.into_iter().try_for_each(|(place, seen)| {
                    let told = self.look_in_index(txn, begun, *place, |record| *seen = Some(judge(record)))?;
                    if told != Outcome::Shown {
                        ended.push((place, seen));
                    }
                    Ok(())
                })
            })?;
        }
        for (place, seen) in ended {
            self.look(*place, |record| *seen = Some(judge(record)))?;
        }
        Ok(seen.into_iter().flatten().collect())
    }

    /// Looks where what is not in LMDB yet is found; what is absent there is to be asked for in a transaction that begins later.
    #[inline]
    fn look_in_log(
        &self,
        begun: Timestamp,
        place: Place<'_>,
        mut judge: impl FnMut(Option<&Record<'_>>),
    ) -> Result<Outcome, Obstacle> {
        if self.trust == Trust::Closed {
            return Ok(Outcome::Absent);
        }
        let mut buffer = Buffer::default();
        let mut fetch = |at| self.fetch(at, place, &mut buffer);
        match find(&self.memory.recent(), place.hash, &mut fetch) {
            Found::Absent { .. } => Ok(Outcome::Absent),
            Found::Here((Kind::Delete, _)) => {
                judge(None);
                Ok(Outcome::Shown)
            }
            Found::Here((_, body)) => show(&buffer.bytes()[body], place.hash, begun, judge),
            Found::Over => Err(Obstacle::Over),
            Found::Unstable | Found::Unreadable { .. } => Err(Fallback::Unreadable.into()),
        }
    }

    /// Reads the operation at `at` and tells whether it is about the key: its kind, and its body in `buffer`.
    fn fetch(&self, at: Location, place: Place<'_>, buffer: &mut Buffer) -> Candidate<(Kind, Range<usize>)> {
        let Some(operation) = self.segments.read(at, buffer) else { return Candidate::Unreadable };
        if operation.namespace != place.namespace || operation.key != place.key {
            return Candidate::Other;
        }
        let start = OPERATION_HEAD + operation.key.len();
        Candidate::Mine((operation.kind, start..start + operation.body.len()))
    }

    /// Has `look` look into LMDB.
    #[inline]
    fn read<T>(&self, look: impl FnOnce(&RoTxn<'_, WithTls>) -> Result<T, Obstacle>) -> Result<T, Obstacle> {
        // IMPORTANT: begun now. One from before the look into the shared index may lack what was applied meanwhile.
        self.environment.read(|txn| {
            // IMPORTANT: after it was begun. What a daemon that was opened before then has acknowledged is not in it.
            if self.trust == Trust::Closed && !self.is_still_closed() {
                return Err(Obstacle::Over);
            }
            look(txn)
        })
    }

    #[inline]
    fn look_in_index(
        &self,
        txn: &RoTxn<'_, WithTls>,
        begun: Timestamp,
        place: Place<'_>,
        mut judge: impl FnMut(Option<&Record<'_>>),
    ) -> Result<Outcome, Obstacle> {
        match self.environment.entry(txn, &index_key(place.namespace, place.key))? {
            Some(row) => show(row, place.hash, begun, judge),
            None => {
                judge(None);
                Ok(Outcome::Shown)
            }
        }
    }

    /// Returns the number of a namespace, `None` where nothing was ever put into one of that name.
    #[inline]
    pub(super) fn number(&self, namespace: &Namespace) -> Result<Option<u32>, Obstacle> {
        match namespace.number(self.id) {
            Some(number) => Ok(Some(number)),
            None => self.look_number_up(namespace),
        }
    }

    #[cold]
    fn look_number_up(&self, namespace: &Namespace) -> Result<Option<u32>, Obstacle> {
        let key = Key::text(namespace.name());
        let mut number = None;
        self.look(Place::of(DIRECTORY_NAMESPACE, &key), |record| {
            number = record.and_then(|record| match record.value {
                Value::Inline(number) => number.try_into().ok().map(u32::from_le_bytes),
                Value::Blob { .. } => None,
            });
        })?;
        if let Some(number) = number {
            namespace.keep(self.id, number);
        }
        Ok(number)
    }
}

/// Shows a record once its checksum is right. One whose time is over is none if that was so when the look began; `begun` had come by then.
#[inline]
fn show(
    bytes: &[u8],
    hash: KeyHash,
    begun: Timestamp,
    mut judge: impl FnMut(Option<&Record<'_>>),
) -> Result<Outcome, Obstacle> {
    match &Record::decode(bytes, hash.to_bits()) {
        Ok(record) => {
            let over = record.expires.filter(|expires| clock::has_come(*expires));
            if let Some(moment) = over.filter(|moment| *moment > begun) {
                return Ok(Outcome::Ended(moment));
            }
            judge(over.is_none().then_some(record));
            Ok(Outcome::Shown)
        }
        Err(RecordError::Format { .. }) => Err(Fallback::Layout.into()),
        Err(_) => Err(Fallback::Unreadable.into()),
    }
}

#[cfg(test)]
mod tests {
    use datacache_proto::layout;
    use datacache_proto::recent::{self, Mark, View};

    use super::super::testing::Store;
    use super::*;

    fn get(map: &Map, namespace: u32, key: &str) -> Result<Option<Vec<u8>>, Obstacle> {
        let mut seen = None;
        map.look(Place::of(namespace, &Key::from(key)), |record| {
            seen = record.map(|record| match record.value {
                Value::Inline(bytes) => bytes.to_vec(),
                Value::Blob { .. } => panic!("no file was put there"),
            });
        })?;
        Ok(seen)
    }

    #[test]
    fn what_the_log_does_not_have_is_looked_up_in_the_index() {
        let store = Store::new();
        store.put(1, "k", b"v");
        let map = Map::open(store.path()).unwrap();
        assert_eq!(get(&map, 1, "k"), Ok(Some(b"v".to_vec())));
        assert_eq!((get(&map, 1, "l"), get(&map, 2, "k")), (Ok(None), Ok(None)));
    }

    #[test]
    fn a_damaged_record_is_the_daemons_business() {
        let store = Store::new();
        store.put_row(layout::tables::ENTRIES, &index_key(1, Key::from("k").encoded()), &[7; 100]);
        let map = Map::open(store.path()).unwrap();
        assert_eq!(get(&map, 1, "k"), Err(Obstacle::Ask(Fallback::Unreadable)));
    }

    /// The process may stand still between its look and its look at the clock, and another entry take the place meanwhile.
    #[test]
    fn an_entry_that_ended_after_a_look_had_begun_is_looked_for_again() {
        let store = Store::new();
        let (moment, key) = (Timestamp::from_millis(5), Key::from("k"));
        let place = Place::of(1, &key);
        store.put_until(1, "k", b"v", Some(moment));
        let map = Map::open(store.path()).unwrap();
        let look = |begun| {
            let mut seen = None;
            let told = map.look_from(begun, place, |record| seen = Some(record.is_some())).unwrap();
            (told, seen)
        };
        assert_eq!(look(Timestamp::from_millis(4)), (Outcome::Ended(moment), None));
        assert_eq!(look(moment), (Outcome::Shown, Some(false)));
        assert_eq!(get(&map, 1, "k"), Ok(None));
        assert_eq!(map.look_many(&[place, place], |record| record.is_some()), Ok(vec![false, false]));
    }

    #[test]
    fn a_namespace_that_is_not_there_is_asked_for_again_and_one_that_is_there_is_not() {
        let store = Store::new();
        let map = Map::open(store.path()).unwrap();
        let [there, missing] = ["n", "missing"].map(Namespace::new);
        assert_eq!((map.number(&there), there.number(map.id)), (Ok(Some(1)), Some(1)));
        assert_eq!((map.number(&missing), missing.number(map.id)), (Ok(None), None));
    }

    #[test]
    fn a_map_of_a_generation_that_ends_is_of_the_past() {
        let store = Store::new();
        let map = Map::open(store.path()).unwrap();
        store.write_recent(|header| header, Mark::InUse, View::OVER);
        assert_eq!(get(&map, 1, "k"), Err(Obstacle::Over));
    }

    #[test]
    fn a_closed_store_is_read_until_it_is_opened() {
        let store = Store::new();
        store.put(1, "k", b"v");
        let foreign = |header: recent::Header| recent::Header { boot: header.boot ^ 1, ..header };
        store.write_recent(foreign, Mark::Closed, View::alone(1));
        let map = Map::open(store.path()).unwrap();
        assert_eq!(get(&map, 1, "k"), Ok(Some(b"v".to_vec())));
        store.write_recent(foreign, Mark::InUse, View::alone(1));
        assert_eq!(get(&map, 1, "k"), Err(Obstacle::Over));
        store.write_recent(foreign, Mark::Closed, View::alone(1));
        assert!(get(&map, 1, "k").is_ok());
        let recent = store.generation().join(layout::RECENT);
        std::fs::copy(&recent, store.path().join("other")).unwrap();
        std::fs::rename(store.path().join("other"), recent).unwrap();
        assert_eq!(get(&map, 1, "k"), Err(Obstacle::Over));
    }
}
