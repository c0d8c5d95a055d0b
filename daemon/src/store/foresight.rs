//! What LMDB says of the keys of a batch, looked up on another thread while the writer is at work on what came before. To walk the
//! tree for each key and to read the old record is a third of what a large batch takes the writer.
//!
//! It is as good as the writer's own look as long as no segment was retired since before it began: what the shared index does
//! not have at the writer's turn was in LMDB at the last retirement, and no slice that was committed since is about it, or
//! the index would have it. After a retirement it is forgotten, and the writer looks for itself.

use std::sync::Arc;

use datacache_proto::layout::index_key;
use datacache_proto::recent::KeyHash;
use datacache_proto::record::Record;
use tracing::debug;

use super::before::Before;
use super::command::Put;
use super::lookup::{Seen, seen};
use super::store::Store;
use super::tables::Tables;
use super::walk::Walk;

/// Looks keys of one namespace up from any thread.
#[derive(Debug)]
pub struct Foreseer {
    tables: Arc<Tables>,
    namespace: u32,
    /// How many segments were retired when it was made.
    segments: u64,
}

/// What was there under the keys of puts, in their order.
#[derive(Clone, Debug)]
pub struct Foresight {
    segments: u64,
    /// Shorter than the puts where the index could not be read: the writer finds that out for itself.
    foreseen: Vec<Foreseen>,
}

/// What was there under one key: the entry, and whether it has the content of the put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foreseen {
    pub(super) before: Option<Before>,
    pub(super) same: bool,
}

impl Store {
    /// Returns what looks keys of a namespace up ahead of the writer; `None` where nothing was ever added to it.
    #[must_use]
    pub fn foreseer(&self, namespace: &str) -> Option<Foreseer> {
        let (tables, segments) = (Arc::clone(&self.lookup.tables), self.counters.segments);
        Some(Foreseer { tables, namespace: self.namespace(namespace)?, segments })
    }
}

impl Foreseer {
    /// Looks up what the puts will find, all of which must be about its namespace. Blocks.
    #[must_use]
    pub fn look(self, puts: &[Put]) -> Foresight {
        let foreseen = self.try_look(puts).unwrap_or_else(|error| {
            debug!(%error, "a batch is not looked up ahead");
            Vec::new()
        });
        Foresight { segments: self.segments, foreseen }
    }

    fn try_look(&self, puts: &[Put]) -> heed::Result<Vec<Foreseen>> {
        let txn = self.tables.env.read_txn()?;
        let mut walk = Walk::new(self.tables.entries, &txn);
        let look = |put: &Put| {
            let row = walk.get(&index_key(self.namespace, &put.key))?;
            let seen = row.map_or(Seen::Absent, |row| seen(row, KeyHash::of(self.namespace, &put.key)));
            let count = |record: &Record<'_>| self.tables.counts_of(self.namespace, &put.key, record);
            let (before, same) = Before::of(seen, count, |record| put.has_content_of(record));
            Ok(Foreseen { before, same })
        };
        puts.iter().map(look).collect()
    }
}

impl Foresight {
    /// Tells whether it still holds, when so many segments were retired.
    pub(super) fn holds(&self, segments: u64) -> bool {
        self.segments == segments
    }

    /// Returns what was there under the key of the put at `index`.
    pub(super) fn of(&self, index: usize) -> Option<Foreseen> {
        self.foreseen.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Batch, Command, NewValue, Outcome};
    use super::super::testing::{NOW, put, put_of, store, wait};
    use super::*;

    fn applied(store: &mut Store) {
        let target = store.request_checkpoint();
        wait(store, |store| store.applied() >= target);
    }

    fn foresee(store: &Store, put: &Put) -> Foresight {
        store.foreseer(&put.namespace).unwrap().look(std::slice::from_ref(put))
    }

    fn write(store: &mut Store, put: Put, foresight: Foresight) -> (u64, bool) {
        let batch = Batch { foresight: Some(foresight), ..Batch::of(Command::Put(put), None) };
        let mut results = Vec::new();
        store.write(&mut [batch].into(), NOW, &mut results);
        match results.pop().unwrap().unwrap()[..] {
            [Outcome::Added(added)] => (added.version, added.replaced),
            ref other => panic!("a put came out as {other:?}"),
        }
    }

    fn inline(length: usize) -> NewValue {
        NewValue::Inline(vec![7; length].into())
    }

    fn bytes(store: &Store) -> u64 {
        store.counts(store.namespace("n").unwrap()).bytes
    }

    #[test]
    fn what_was_foreseen_is_what_the_writer_would_have_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        put(&mut store, inline(3));
        applied(&mut store);
        let same = put_of(inline(3));
        let foreseen = foresee(&store, &same);
        let before = foreseen.of(0).unwrap();
        assert!(before.same && before.before.unwrap().counts.bytes == 3);
        let version = before.before.unwrap().version;
        assert_eq!(write(&mut store, same, foreseen), (version, true));
        assert_eq!(bytes(&store), 3);
    }

    /// Returns a store with an entry of 50 bytes in the log, and what was foreseen of putting one of 3 when the index had one of 3.
    fn overtaken(folder: &tempfile::TempDir) -> (Store, Put, Foresight) {
        let mut store = store(folder);
        put(&mut store, inline(3));
        applied(&mut store);
        let new = put_of(inline(3));
        let foreseen = foresee(&store, &new);
        put(&mut store, inline(50));
        (store, new, foreseen)
    }

    #[test]
    fn what_came_into_the_log_meanwhile_goes_before_what_was_foreseen() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, new, foreseen) = overtaken(&folder);
        assert!(write(&mut store, new, foreseen).1);
        assert_eq!(bytes(&store), 3);
    }

    #[test]
    fn what_was_foreseen_before_a_segment_was_retired_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, new, foreseen) = overtaken(&folder);
        applied(&mut store);
        assert!(write(&mut store, new, foreseen).1);
        assert_eq!(bytes(&store), 3, "the entry of 50 bytes was counted out");
        applied(&mut store);
    }
}
