//! One look at a key: the shared index, the log, LMDB, in the order in which every reader looks.

use std::ops::Range;

use datacache_proto::key::Key;
use datacache_proto::layout::{DIRECTORY_NAMESPACE, index_key};
use datacache_proto::log::{Kind, OPERATION_HEAD};
use datacache_proto::recent::{Candidate, Found, KeyHash, Location, find};
use datacache_proto::record::{Record, RecordError, Value};
use datacache_proto::time::Timestamp;
use datacache_proto::types::Fallback;

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

impl<'k> Place<'k> {
    #[inline]
    pub(super) fn of(namespace: u32, key: &'k Key) -> Self {
        Self { namespace, key: key.encoded(), hash: KeyHash::of(namespace, key.encoded()) }
    }
}

impl Map {
    /// Shows `judge` the live entry of a key, `None` where there is none, and returns what it says.
    #[inline]
    pub(super) fn look<T>(
        &self,
        place: Place<'_>,
        judge: impl FnOnce(Option<&Record<'_>>) -> T,
    ) -> Result<T, Obstacle> {
        if self.trust == Trust::All {
            let mut buffer = Buffer::default();
            let mut fetch = |at| self.fetch(at, place, &mut buffer);
            match find(&self.recent.words(), place.hash, &mut fetch) {
                Found::Absent { .. } => {}
                Found::Here((Kind::Delete, _)) => return Ok(judge(None)),
                Found::Here((_, body)) => return show(&buffer.bytes()[body], place.hash, judge),
                Found::Over => return Err(Obstacle::Over),
                Found::Unstable | Found::Unreadable { .. } => return Err(Fallback::Unreadable.into()),
            }
        }
        self.look_in_index(place, judge)
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

    fn look_in_index<T>(&self, place: Place<'_>, judge: impl FnOnce(Option<&Record<'_>>) -> T) -> Result<T, Obstacle> {
        // IMPORTANT: begun now. One from before the look into the shared index may lack what was applied meanwhile.
        let txn = self.environment.begin()?;
        // IMPORTANT: after it was begun. What a daemon that was opened before then has acknowledged is not in it.
        if self.trust == Trust::Closed && !self.is_still_closed() {
            return Err(Obstacle::Over);
        }
        match self.environment.entry(&txn, &index_key(place.namespace, place.key))? {
            None => Ok(judge(None)),
            Some(row) => show(row, place.hash, judge),
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
        let number = self.look(Place::of(DIRECTORY_NAMESPACE, &key), |record| match record?.value {
            Value::Inline(number) => number.try_into().ok().map(u32::from_le_bytes),
            Value::Blob { .. } => None,
        })?;
        if let Some(number) = number {
            namespace.keep(self.id, number);
        }
        Ok(number)
    }
}

/// Shows a record once its checksum is right, unless its time is over.
#[inline]
fn show<T>(bytes: &[u8], hash: KeyHash, judge: impl FnOnce(Option<&Record<'_>>) -> T) -> Result<T, Obstacle> {
    let record = Record::decode(bytes, hash.to_bits()).map_err(|error| match error {
        RecordError::Format { .. } => Fallback::Layout,
        _ => Fallback::Unreadable,
    })?;
    // The time is asked for only where it matters.
    let is_live = record.expires.is_none() || !record.is_expired(Timestamp::now());
    Ok(judge(is_live.then_some(&record)))
}
