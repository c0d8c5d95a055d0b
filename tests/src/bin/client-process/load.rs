//! Threads that use the cache all the time, in every way that could be under way when their process forks.

use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use datacache_client::blocking::DataCache;

use crate::check::{Done, ensure};

/// How long a thread may take for a round before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// The threads' common knowledge.
#[derive(Debug, Default)]
pub(crate) struct Load {
    is_over: AtomicBool,
    /// Rounds of each thread.
    rounds: [AtomicU64; 5],
    failed: Mutex<Option<String>>,
}

impl Load {
    /// Starts the threads: two read, one writes, one adds large values, one has the log applied.
    pub(crate) fn start<'s>(&'s self, scope: &'s Scope<'s, '_>, cache: &'s DataCache) {
        let works: [fn(&DataCache, u64) -> Done; 5] = [read, read, write, add_large, rotate];
        for (number, work) in works.into_iter().enumerate() {
            scope.spawn(move || {
                while !self.is_over.load(Ordering::Relaxed) {
                    let round = self.rounds[number].fetch_add(1, Ordering::Relaxed);
                    if let Err(error) = work(cache, round) {
                        let told = format!("thread {number}, round {round}: {}", crate::chain(&*error));
                        self.failed.lock().unwrap().get_or_insert(told);
                        return;
                    }
                }
            });
        }
    }

    /// Waits until each thread has done more.
    ///
    /// # Errors
    /// Where one hangs or has failed.
    pub(crate) fn wait_for_more(&self) -> Done {
        let rounds = || self.rounds.each_ref().map(|rounds| rounds.load(Ordering::Relaxed));
        let (before, deadline) = (rounds(), Instant::now() + PATIENCE);
        while rounds().iter().zip(before).any(|(now, before)| *now <= before) {
            if let Some(failed) = self.failed.lock().unwrap().take() {
                return Err(failed.into());
            }
            ensure(Instant::now() < deadline, "a thread that hangs").map_err(|error| format!("{error}: {before:?}"))?;
            thread::yield_now();
        }
        Ok(())
    }

    /// Has the threads end.
    pub(crate) fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Returns how many rounds there were.
    ///
    /// # Errors
    /// Where one has failed.
    pub(crate) fn finish(self) -> Result<u64, Box<dyn Error>> {
        match self.failed.into_inner().unwrap() {
            Some(failed) => Err(failed.into()),
            None => Ok(self.rounds.into_iter().map(AtomicU64::into_inner).sum()),
        }
    }
}

fn read(cache: &DataCache, _: u64) -> Done {
    ensure(cache.get_as::<String>("small")?.as_deref() == Some("value"), "a small value")?;
    ensure(cache.get("large")?.is_some_and(|value| value.len() == 200_000), "a large value")?;
    ensure(!cache.contains("missing")?, "a miss")
}

fn write(cache: &DataCache, round: u64) -> Done {
    let text = round.to_string();
    cache.set("of the load", &*text)?;
    ensure(cache.get_as::<String>("of the load")? == Some(text), "what was written")?;
    ensure(cache.delete("of the load")?, "what was deleted")
}

fn add_large(cache: &DataCache, round: u64) -> Done {
    let value: Vec<u8> = round.to_le_bytes().repeat(10_000);
    cache.set("large, of the load", &value)?;
    ensure(cache.get("large, of the load")?.as_deref() == Some(&value), "the large value that was written")
}

/// A list has the log applied, and sends readers to the next segment.
fn rotate(cache: &DataCache, _: u64) -> Done {
    Ok(cache.list().page_size(1).next().transpose().map(drop)?)
}
