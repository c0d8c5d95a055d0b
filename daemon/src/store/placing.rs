//! Which place an entry has in the eviction's queues: the rows of the tables `small`, `main` and `moved`.
//!
//! A place's number is the sequence number of the operation that gave it: the entry's birth, or the last operation that kept it. So
//! a queue is in the order in which places were given. Each entry of a namespace has one place, and no place is without an entry; the
//! directory of namespaces, which is never evicted, has none. From an entry its place is found by its birth: it stands there, or, if
//! it was kept since, where `moved` says.

use datacache_proto::layout::{self, DIRECTORY_NAMESPACE};
use datacache_proto::record::Birth;
use heed::{RoTxn, RwTxn};

use super::table_keys::namespace_of;
use super::tables::Table;
use crate::eviction::{Note, Place, Queue};

/// How long the key of a place is.
pub(super) const PLACE_KEY: usize = 12;
/// What a place's row has before the index key.
pub(super) const PLACE_ROW: usize = 17;
/// How long the key of a row of `moved` is.
pub(super) const MOVED_KEY: usize = 8;
/// How long such a row is.
pub(super) const MOVED_ROW: usize = 1 + PLACE_KEY;

/// The tables of places. An index of an older layout has none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) small: Table,
    pub(super) main: Table,
    pub(super) moved: Table,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) queue: Queue,
    pub(super) namespace: u32,
    pub(super) number: u64,
}

/// The row of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlaceRow<'r> {
    /// What the policy noted when it gave the place.
    pub(super) note: Note,
    /// The birth of the entry.
    pub(super) birth: u64,
    /// What the entry took when it was given the place.
    pub(super) charge: u64,
    /// Its key in the table of entries.
    pub(super) index_key: &'r [u8],
}

impl<'r> PlaceRow<'r> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(PLACE_ROW + self.index_key.len());
        row.push(self.note.to_bits());
        row.extend_from_slice(&self.birth.to_le_bytes());
        row.extend_from_slice(&self.charge.to_le_bytes());
        row.extend_from_slice(self.index_key);
        row
    }

    pub(super) fn decode(row: &'r [u8]) -> Option<Self> {
        let (head, index_key) = row.split_at_checked(PLACE_ROW)?;
        Some(Self {
            note: Note::from_bits(head[0]),
            birth: u64::from_le_bytes(head[1..9].try_into().ok()?),
            charge: u64::from_le_bytes(head[9..].try_into().ok()?),
            index_key,
        })
    }
}

/// Returns the key of a place; number 0 sorts before every place of the namespace.
#[expect(clippy::big_endian_bytes, reason = "LMDB sorts keys by their bytes")]
pub(super) fn place_key(namespace: u32, number: u64) -> [u8; PLACE_KEY] {
    let mut key = [0; PLACE_KEY];
    key[..4].copy_from_slice(&namespace.to_be_bytes());
    key[4..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Returns the number in the key of a place.
#[expect(clippy::big_endian_bytes, reason = "the inverse of `place_key`")]
pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(4..)?.try_into().ok()?))
}

/// Returns the key of a row of `moved`.
#[expect(clippy::big_endian_bytes, reason = "LMDB sorts keys by their bytes")]
pub(super) fn moved_key(birth: u64) -> [u8; MOVED_KEY] {
    birth.to_be_bytes()
}

/// Returns the birth in a key of `moved`.
#[expect(clippy::big_endian_bytes, reason = "the inverse of `moved_key`")]
pub(super) fn birth_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}

/// Returns the place that an entry was born with.
pub(super) fn born_at(birth: Birth) -> Place {
    Place { queue: if birth.main { Queue::Main } else { Queue::Small }, note: Note::from_bits(birth.note) }
}

impl Standing {
    fn born(namespace: u32, birth: Birth) -> Self {
        Self { queue: born_at(birth).queue, namespace, number: birth.seq }
    }

    fn key(&self) -> [u8; PLACE_KEY] {
        place_key(self.namespace, self.number)
    }

    fn encode(&self) -> [u8; MOVED_ROW] {
        let mut row = [0; MOVED_ROW];
        row[0] = u8::from(self.queue == Queue::Main);
        row[1..].copy_from_slice(&self.key());
        row
    }

    /// Reads a row of `moved`.
    pub(super) fn decode(row: &[u8]) -> Option<Self> {
        let (&[queue], key) = row.split_first_chunk()?;
        let queue = if queue == 0 { Queue::Small } else { Queue::Main };
        Some(Self { queue, namespace: namespace_of(key)?, number: number_of(key)? })
    }
}

impl Places {
    /// Has `table` make the tables.
    pub(super) fn make(mut table: impl FnMut(Option<&'static str>) -> heed::Result<Table>) -> heed::Result<Self> {
        Ok(Self {
            small: table(Some(layout::tables::SMALL))?,
            main: table(Some(layout::tables::MAIN))?,
            moved: table(Some(layout::tables::MOVED))?,
        })
    }

    pub(super) fn tables(&self) -> [Table; 3] {
        [self.small, self.main, self.moved]
    }

    /// Returns the table of a queue.
    pub(super) fn of(&self, queue: Queue) -> Table {
        match queue {
            Queue::Small => self.small,
            Queue::Main => self.main,
        }
    }

    /// Gives an entry that takes `charge` bytes the place that it was born with.
    pub(super) fn enter(
        &self,
        txn: &mut RwTxn<'_>,
        namespace: u32,
        index_key: &[u8],
        birth: Birth,
        charge: u64,
    ) -> heed::Result<()> {
        if namespace == DIRECTORY_NAMESPACE {
            return Ok(());
        }
        let row = PlaceRow { note: born_at(birth).note, birth: birth.seq, charge, index_key };
        self.put(txn, Standing::born(namespace, birth), &row)
    }

    /// Takes an entry's place away, wherever that is; returns where it was.
    pub(super) fn leave(&self, txn: &mut RwTxn<'_>, namespace: u32, birth: Birth) -> heed::Result<Option<Standing>> {
        let born = Standing::born(namespace, birth);
        // Most stand where they were born, and a delete says whether that was so: one descent.
        if self.of(born.queue).delete(txn, &born.key())? {
            return Ok(Some(born));
        }
        let Some(kept) = self.kept(txn, birth)? else { return Ok(None) };
        self.moved.delete(txn, &moved_key(birth.seq))?;
        self.of(kept.queue).delete(txn, &kept.key())?;
        Ok(Some(kept))
    }

    /// Gives an entry another place, which has the number `number`.
    pub(super) fn keep(
        &self,
        txn: &mut RwTxn<'_>,
        (namespace, birth): (u32, Birth),
        (place, number): (Place, u64),
        (index_key, charge): (&[u8], u64),
    ) -> heed::Result<()> {
        self.leave(txn, namespace, birth)?;
        let row = PlaceRow { note: place.note, birth: birth.seq, charge, index_key };
        let standing = Standing { queue: place.queue, namespace, number };
        self.moved.put(txn, &moved_key(birth.seq), &standing.encode())?;
        self.put(txn, standing, &row)
    }

    /// Returns where the entry of this birth stands; `None` where it has no place.
    pub(super) fn standing(&self, txn: &RoTxn<'_>, namespace: u32, birth: Birth) -> heed::Result<Option<Standing>> {
        let born = Standing::born(namespace, birth);
        if self.of(born.queue).get(txn, &born.key())?.is_some() { Ok(Some(born)) } else { self.kept(txn, birth) }
    }

    /// Returns where the entry of this birth stands if it was given another place than it was born with.
    fn kept(&self, txn: &RoTxn<'_>, birth: Birth) -> heed::Result<Option<Standing>> {
        Ok(self.moved.get(txn, &moved_key(birth.seq))?.and_then(Standing::decode))
    }

    /// Returns the row of a place.
    pub(super) fn row<'t>(&self, txn: &'t RoTxn<'_>, standing: Standing) -> heed::Result<Option<PlaceRow<'t>>> {
        Ok(self.of(standing.queue).get(txn, &standing.key())?.and_then(PlaceRow::decode))
    }

    fn put(&self, txn: &mut RwTxn<'_>, standing: Standing, row: &PlaceRow<'_>) -> heed::Result<()> {
        self.of(standing.queue).put(txn, &standing.key(), &row.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tables::Tables;
    use super::*;

    const KEPT: Place = Place { queue: Queue::Main, note: Note::from_bits(3) };
    const BIRTH: Birth = Birth { seq: 5, main: false, note: 0x81 };

    /// Gives an entry of namespace 1 its place, and shows `then` the tables.
    fn entered(then: impl FnOnce(&Places, &mut RwTxn<'_>)) {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(folder.path()).unwrap();
        let (places, mut txn) = (tables.places.unwrap(), tables.env.write_txn().unwrap());
        places.enter(&mut txn, 1, b"key", BIRTH, 700).unwrap();
        then(&places, &mut txn);
    }

    fn rows(places: &Places, txn: &RoTxn<'_>) -> [u64; 3] {
        places.tables().map(|table| table.len(txn).unwrap())
    }

    #[test]
    fn rows_come_back_as_they_went_in_and_sort_by_number_within_a_namespace() {
        let row = PlaceRow { note: Note::from_bits(9), birth: 1 << 40, charge: 1 << 50, index_key: b"key" };
        assert_eq!(PlaceRow::decode(&row.encode()), Some(row));
        assert_eq!(PlaceRow::decode(&row.encode()[..PLACE_ROW - 1]), None);
        for queue in [Queue::Small, Queue::Main] {
            let standing = Standing { queue, namespace: 7, number: 1 << 40 };
            assert_eq!(Standing::decode(&standing.encode()), Some(standing));
            assert_eq!(Standing::decode(&standing.encode()[1..]), None);
        }
        assert!(place_key(1, 255) < place_key(1, 256) && place_key(1, u64::MAX) < place_key(2, 0));
        assert_eq!((number_of(&place_key(1, 77)), birth_of(&moved_key(77))), (Some(77), Some(77)));
    }

    #[test]
    fn an_entry_is_found_where_it_was_born_and_then_where_it_was_kept() {
        entered(|places, txn| {
            let born = Standing { queue: Queue::Small, namespace: 1, number: 5 };
            assert_eq!(places.standing(txn, 1, BIRTH).unwrap(), Some(born));
            let row = PlaceRow { note: Note::from_bits(0x81), birth: 5, charge: 700, index_key: b"key" };
            assert_eq!(places.row(txn, born).unwrap(), Some(row));
            for number in [9, 12] {
                places.keep(txn, (1, BIRTH), (KEPT, number), (b"key", 800)).unwrap();
                let kept = Standing { queue: Queue::Main, namespace: 1, number };
                assert_eq!(places.standing(txn, 1, BIRTH).unwrap(), Some(kept));
                let row = PlaceRow { note: KEPT.note, birth: 5, charge: 800, index_key: b"key" };
                assert_eq!(places.row(txn, kept).unwrap(), Some(row));
                assert_eq!(rows(places, txn), [0, 1, 1]);
            }
            places.leave(txn, 1, BIRTH).unwrap();
            assert_eq!(rows(places, txn), [0; 3]);
        });
    }

    #[test]
    fn an_entry_that_has_no_place_leaves_none() {
        entered(|places, txn| {
            assert_eq!(places.standing(txn, 1, Birth::at(6)).unwrap(), None);
            assert_eq!(places.leave(txn, 2, BIRTH).unwrap(), None, "one of another namespace");
            assert_eq!(rows(places, txn), [1, 0, 0]);
            places.leave(txn, 1, BIRTH).unwrap();
            assert_eq!(rows(places, txn), [0; 3]);
        });
    }

    #[test]
    fn the_directory_of_namespaces_has_no_places() {
        entered(|places, txn| {
            places.enter(txn, DIRECTORY_NAMESPACE, b"key", Birth::at(9), 1).unwrap();
            assert_eq!(rows(places, txn), [1, 0, 0]);
        });
    }
}
