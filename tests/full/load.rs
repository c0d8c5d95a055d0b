//! What fills a store: small entries without end, and what is known of them.

use std::collections::BTreeSet;
use std::time::Duration;

use datacache_client::Error;
use datacache_client::blocking::DataCache;
use datacache_tests::Home;

/// Writes wait for the log to be applied, and other tests keep the machine busy.
const PATIENT: Duration = Duration::from_secs(60);

/// How many entries are added in a call.
const BATCH: u64 = 500;

/// From one to the next of those that are deleted in no order: a prime number, so that it comes to all.
const STRIDE: u64 = 2_654_435_761;

/// Opens the cache for someone who has time, and starts the daemon for it.
pub(crate) fn open(home: &Home) -> DataCache {
    home.start();
    DataCache::open(home.options().call_timeout(PATIENT)).unwrap()
}

/// Entries that were acknowledged: all of a number below `end`, but those that were deleted again.
#[derive(Debug, Default)]
pub(crate) struct Load {
    end: u64,
    deleted: BTreeSet<u64>,
}

impl Load {
    /// Adds entries until the cache refuses; returns how it does.
    pub(crate) fn add_until_refused(&mut self, cache: &DataCache) -> Error {
        loop {
            if let Err(refusal) = self.add(cache) {
                return refusal;
            }
        }
    }

    /// Adds some more.
    pub(crate) fn add(&mut self, cache: &DataCache) -> Result<(), Error> {
        let batch = self.end..self.end + BATCH;
        cache.add_many(batch.clone().map(|number| (key(number), value(number)))).run()?;
        self.end = batch.end;
        Ok(())
    }

    /// Deletes the `count` oldest of them.
    pub(crate) fn delete(&mut self, cache: &DataCache, count: usize) -> Result<(), Error> {
        self.delete_first(cache, count, 0..self.end)
    }

    /// Deletes `count` of them, of all ages and in no order.
    pub(crate) fn delete_scattered(&mut self, cache: &DataCache, count: usize) -> Result<(), Error> {
        let end = self.end;
        self.delete_first(cache, count, (0..end).map(|step| step * STRIDE % end))
    }

    fn delete_first(
        &mut self,
        cache: &DataCache,
        count: usize,
        numbers: impl Iterator<Item = u64>,
    ) -> Result<(), Error> {
        let batch: Vec<u64> = numbers.filter(|number| !self.deleted.contains(number)).take(count).collect();
        let gone = cache.delete_many(batch.iter().map(|number| key(*number)))?;
        assert_eq!(gone, batch.len() as u64, "all were there");
        self.deleted.extend(batch);
        Ok(())
    }

    /// Takes in that all of them were deleted.
    pub(crate) fn forget(&mut self) {
        self.deleted = (0..self.end).collect();
    }

    /// Returns how many there should be.
    pub(crate) fn left(&self) -> u64 {
        self.end - self.deleted.len() as u64
    }

    /// Looks whether exactly what should be is there.
    pub(crate) fn check(&self, cache: &DataCache) {
        assert_eq!(cache.len().unwrap(), self.left());
        let mut numbers = 0..self.end;
        while let Some(first) = numbers.next() {
            let batch: Vec<u64> = std::iter::once(first).chain(numbers.by_ref().take(999)).collect();
            let found = cache.get_many(batch.iter().map(|number| key(*number))).unwrap();
            for (number, found) in batch.into_iter().zip(found) {
                let expected = (!self.deleted.contains(&number)).then(|| value(number));
                assert_eq!(found.as_deref(), expected.as_deref(), "entry {number}");
            }
        }
    }
}

/// In an order that is not that of the numbers, so that the index is changed all over.
fn key(number: u64) -> String {
    format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn value(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(20)
}
