//! Whether entries and their places in the eviction's queues agree: what a look at the whole store compares, and how places are made
//! anew.

use std::collections::HashMap;

use datacache_proto::layout::DIRECTORY_NAMESPACE;
use datacache_proto::record::Birth;
use heed::{RoTxn, RwTxn};

use super::placing::{PlaceRow, Places, Standing, birth_of, number_of};
use super::rows::entry_of;
use super::table_keys::namespace_of;
use super::tables::Tables;
use crate::eviction::{Place, Queue};

/// Tells whether an entry has its place, and that leads to it.
pub(super) fn has_its_place(
    tables: &Tables,
    txn: &RoTxn<'_>,
    (namespace, index_key): (u32, &[u8]),
    birth: Birth,
) -> heed::Result<bool> {
    let places = tables.places.filter(|_| namespace != DIRECTORY_NAMESPACE);
    let Some(places) = places else { return Ok(true) };
    let Some(standing) = places.standing(txn, namespace, birth)? else { return Ok(false) };
    let row = places.row(txn, standing)?;
    let leads_here = row.is_some_and(|row| row.birth == birth.seq && row.index_key == index_key);
    Ok(leads_here && standing.namespace == namespace)
}

/// Tells whether the place in a row of a queue is the one that an entry has.
pub(super) fn is_of_an_entry(
    tables: &Tables,
    txn: &RoTxn<'_>,
    queue: Queue,
    (key, row): (&[u8], &[u8]),
) -> heed::Result<bool> {
    let standing = namespace_of(key).zip(number_of(key));
    let standing = standing.map(|(namespace, number)| Standing { queue, namespace, number });
    let Some(((standing, row), places)) = standing.zip(PlaceRow::decode(row)).zip(tables.places) else {
        return Ok(false);
    };
    let entry = tables.entry(txn, row.index_key)?.and_then(|entry| entry_of(row.index_key, entry));
    let Some((namespace, _, record)) = entry else { return Ok(false) };
    let is_its_own = record.birth.seq == row.birth && namespace == standing.namespace;
    Ok(is_its_own && places.standing(txn, namespace, record.birth)? == Some(standing))
}

/// Tells whether a row of `moved` leads to a place of that birth. Whether that is an entry's, is asked of the place.
pub(super) fn leads_to_a_place(places: &Places, txn: &RoTxn<'_>, (key, row): (&[u8], &[u8])) -> heed::Result<bool> {
    let Some((birth, standing)) = birth_of(key).zip(Standing::decode(row)) else { return Ok(false) };
    Ok(places.row(txn, standing)?.is_some_and(|row| row.birth == birth))
}

/// The places that entries have been given since they were born, by birth: those that can be told, while all rows are made anew.
#[derive(Debug, Default)]
pub(super) struct Moved(HashMap<u64, (Place, Standing)>);

impl Moved {
    /// Reads them.
    pub(super) fn read(places: &Places, txn: &RoTxn<'_>) -> heed::Result<Self> {
        let mut moved = HashMap::new();
        for row in places.moved.iter(txn)? {
            let (key, row) = row?;
            let Some((birth, standing)) = birth_of(key).zip(Standing::decode(row)) else { continue };
            let Some(row) = places.row(txn, standing)?.filter(|row| row.birth == birth) else { continue };
            moved.insert(birth, (Place { queue: standing.queue, note: row.note }, standing));
        }
        Ok(Self(moved))
    }

    /// Gives an entry that takes `charge` bytes the place that it had, or else the one that it was born with.
    pub(super) fn restore(
        &self,
        places: &Places,
        txn: &mut RwTxn<'_>,
        (namespace, index_key): (u32, &[u8]),
        (birth, charge): (Birth, u64),
    ) -> heed::Result<()> {
        match self.0.get(&birth.seq) {
            Some((place, standing)) if standing.namespace == namespace => {
                places.keep(txn, (namespace, birth), (*place, standing.number), (index_key, charge))
            }
            _ => places.enter(txn, namespace, index_key, birth, charge),
        }
    }
}
