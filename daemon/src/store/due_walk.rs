//! The walk over the rows of the expiry index that are due, from one namespace that has such rows to the next: what it costs goes with
//! those, and not with all names that were ever given.

use std::ops::Bound;

use datacache_proto::key::Key;
use datacache_proto::layout::DIRECTORY_NAMESPACE;
use datacache_proto::time::Timestamp;

use super::rows::key_in;
use super::table_keys::{EXPIRY_KEY, expiry_key, expiry_of, namespace_of};
use super::tables::Tables;

/// How many looks for a next row that is due there are on a page: as many namespaces as there may be would hold up all calls.
pub(super) const LOOKS: usize = 1_000;

/// What a walk is after.
#[derive(Clone, Copy, Debug)]
pub(super) struct DueWalk {
    /// The namespace it is about; `None` for all.
    pub(super) only: Option<u32>,
    /// What ended until then is passed over.
    pub(super) after: Timestamp,
    /// What ends later is not due.
    pub(super) until: Timestamp,
}

/// A page of a walk.
#[derive(Debug, Default)]
pub(super) struct DuePage {
    /// The entries that are due: namespace and key.
    pub(super) due: Vec<(u32, Key)>,
    /// The earliest end of what was looked at and is not due.
    pub(super) upcoming: Option<Timestamp>,
    /// The key that the next page begins behind; `None` after the last.
    pub(super) next: Option<Vec<u8>>,
}

/// What follows from a row.
enum Step {
    Take(u32),
    /// The next row that may be due is behind this key.
    Seek(Vec<u8>),
    End,
}

impl DueWalk {
    /// Returns the key that the walk begins behind.
    pub(super) fn start(&self) -> Vec<u8> {
        self.start_of(self.only.unwrap_or(DIRECTORY_NAMESPACE + 1))
    }

    fn start_of(&self, namespace: u32) -> Vec<u8> {
        expiry_key(namespace, self.after, u64::MAX).to_vec()
    }

    /// Looks for what is due behind a key: `limit` rows at most, and no longer than a page may.
    pub(super) fn page(&self, tables: &Tables, mut behind: Vec<u8>, limit: usize) -> heed::Result<DuePage> {
        let txn = tables.env.read_txn()?;
        let (mut page, mut taken) = (DuePage::default(), 0);
        for _ in 0..LOOKS {
            let range = (Bound::Excluded(&behind[..]), Bound::Unbounded);
            let mut on = None;
            for row in tables.by_expiry.range(&txn, &range)? {
                let (key, index_key) = row?;
                match self.step(key, &mut page) {
                    Step::Take(namespace) => {
                        page.due.extend(key_in(tables, &txn, index_key)?.map(|key| (namespace, key)));
                    }
                    Step::Seek(to) => {
                        on = Some(to);
                        break;
                    }
                    Step::End => break,
                }
                taken += 1;
                if taken == limit {
                    page.next = Some(key.to_vec());
                    return Ok(page);
                }
            }
            let Some(on) = on else { return Ok(page) };
            behind = on;
        }
        page.next = Some(behind);
        Ok(page)
    }

    fn step(&self, key: &[u8], page: &mut DuePage) -> Step {
        // What is damaged is left to `verify`.
        let sound = namespace_of(key).zip(expiry_of(key)).filter(|_| key.len() == EXPIRY_KEY);
        let Some((namespace, expires)) = sound else { return Step::Seek(key.to_vec()) };
        if self.only.is_some_and(|only| only != namespace) {
            return Step::End;
        }
        if expires > self.until {
            page.upcoming = page.upcoming.into_iter().chain([expires]).min();
            return namespace.checked_add(1).map_or(Step::End, |next| Step::Seek(self.start_of(next)));
        }
        match expires > self.after {
            true => Step::Take(namespace),
            false => Step::Seek(self.start_of(namespace)),
        }
    }
}
