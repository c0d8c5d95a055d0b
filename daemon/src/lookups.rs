//! Looking many keys up in one call: as many answers, from the first key on, as fit a message.

use datacache_proto::error::WireError;
use datacache_proto::key::Key;
use datacache_proto::record::Record;
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Fallback, Lookup};

use crate::connection::Connection;
use crate::service::lookup;
use crate::store::Store;

/// The most bytes of values in one answer. All else in it takes 60 bytes a key at the most, so that it fits a message.
const VALUES_MAX: u64 = 3 << 20;
/// How many keys are looked up before other calls get their turn.
const PIECE: usize = 512;

/// What was found so far.
struct Page {
    found: Vec<Lookup>,
    /// Bytes of values in it.
    bytes: u64,
}

/// Looks keys up and counts the reads; `namespace` is `None` where nothing was ever added to it. Each answer is right for a
/// moment during the call, not all for the same one.
///
/// # Errors
/// Where the store can't be read.
pub(crate) async fn get_many(
    connection: &Connection,
    namespace: Option<u32>,
    keys: Vec<Key>,
    fallback: Fallback,
) -> Result<Vec<Lookup>, WireError> {
    let daemon = &connection.daemon;
    let Some(number) = namespace else {
        daemon.fallbacks.count(fallback, keys.len() as u64);
        return Ok(vec![Lookup::Miss; keys.len()]);
    };
    let mut page = Page { found: Vec::with_capacity(keys.len()), bytes: 0 };
    for piece in keys.chunks(PIECE) {
        let turn = connection.looking.lock().await;
        let is_full = daemon.writer.read(|store| page.take(store, number, piece))??;
        if is_full {
            break;
        }
        // IMPORTANT: before the turn ends. All calls of a connection are one task, so the next one would take its own at once,
        // and many of them would keep all other clients waiting.
        tokio::task::yield_now().await;
        drop(turn);
    }
    let misses = page.found.iter().filter(|found| **found == Lookup::Miss).count() as u64;
    let reads = page.found.len() as u64;
    daemon.fallbacks.count(fallback, reads);
    daemon.events.count(number, |events| {
        events.hits += reads - misses;
        events.misses += misses;
    });
    Ok(page.found)
}

impl Page {
    /// Looks keys up until the page is full; tells whether it is.
    fn take(&mut self, store: &Store, namespace: u32, keys: &[Key]) -> Result<bool, WireError> {
        let now = Timestamp::now();
        for key in keys {
            let found = store.read(namespace, key, now, |record| self.has_room(record).then(|| lookup(record)))?;
            match found {
                Some(None) => return Ok(true),
                Some(Some(found)) => self.push(found),
                None => self.push(Lookup::Miss),
            }
        }
        Ok(false)
    }

    /// The first value always fits a message.
    fn has_room(&self, record: &Record<'_>) -> bool {
        record.value.digest().is_some() || self.bytes == 0 || self.bytes + record.value.len() <= VALUES_MAX
    }

    fn push(&mut self, found: Lookup) {
        if let Lookup::Inline { value, .. } = &found {
            self.bytes += value.len() as u64;
        }
        self.found.push(found);
    }
}
