//! Readers that don't come to the end of a read: a process that is stopped in the middle of one, above all. What is freed in the index
//! from then on can't be used again before they go on, or end.

use std::cell::RefCell;
use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};

use datacache_proto::time::Timestamp;
use datacache_proto::types::Laggard;
use tokio::time::sleep;

use crate::daemon::Daemon;
use crate::store::{Place, Readers};

/// How often readers are looked at while calls come in, or while one of them lags.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A read takes microseconds. One that takes this long will take longer.
const LAGS_AFTER: Duration = Duration::from_secs(4);

/// The reader that has been at one read for the longest time.
#[derive(Debug, Default)]
pub(crate) struct Laggards(RefCell<Option<Oldest>>);

#[derive(Clone, Copy, Debug)]
struct Oldest {
    place: Place,
    /// When it was first seen at it.
    seen: (Instant, Timestamp),
    /// How long the index's file was then.
    length: u64,
    /// How long it is by now.
    length_now: u64,
    /// Whether it was told of.
    is_told: bool,
}

/// What a look at the readers brought that is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// A process has begun to lag.
    Lags(Laggard),
    /// It goes on, or has ended.
    GoesOn(u32),
}

impl Laggards {
    /// Returns the process that lags, where one does.
    pub(crate) fn current(&self) -> Option<Laggard> {
        self.0.borrow().filter(|oldest| oldest.is_told).map(Oldest::laggard)
    }

    /// Returns for how long the process that has been at one read for the longest time is at it, where one was when it was last
    /// looked.
    pub(crate) fn oldest_read(&self) -> Option<Duration> {
        self.0.borrow().map(|oldest| oldest.seen.0.elapsed())
    }

    /// Takes in who reads at this moment, but for the daemon itself and its child; returns what is new about it.
    fn look(&self, readers: &Readers, own: [Option<u32>; 2], now: (Instant, Timestamp)) -> [Option<News>; 2] {
        let mut oldest = self.0.borrow_mut();
        let others = readers.places.iter().filter(|place| !own.contains(&Some(place.pid)));
        // One that sees the last transaction holds nothing back, but will with the next.
        let first = others.filter(|place| place.reading.is_some()).min_by_key(|place| place.reading).copied();
        let (before, is_same) = (*oldest, oldest.map(|oldest| oldest.place) == first);
        let begun =
            |place| Oldest { place, seen: now, length: readers.length, length_now: readers.length, is_told: false };
        *oldest = if is_same { before } else { first.map(begun) };
        let mut lags = None;
        if let Some(oldest) = oldest.as_mut() {
            oldest.length_now = readers.length;
            if !oldest.is_told && now.0.duration_since(oldest.seen.0) >= LAGS_AFTER {
                oldest.is_told = true;
                lags = Some(News::Lags(oldest.laggard()));
            }
        }
        let gone = before.filter(|before| before.is_told && !is_same).map(|before| News::GoesOn(before.place.pid));
        [gone, lags]
    }

    fn is_watching(&self) -> bool {
        self.0.borrow().is_some()
    }
}

impl Oldest {
    fn laggard(self) -> Laggard {
        let is_stopped = state(self.place.pid).is_some_and(|state| matches!(state, 'T' | 't'));
        let grown_bytes = self.length_now.saturating_sub(self.length);
        Laggard { pid: self.place.pid, is_stopped, since: self.seen.1, grown_bytes }
    }
}

/// Returns the letter that the system has for what a process does.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Looks after readers, for ever. Never waits for one of them: the table is read as it is, on a thread that has its own place in it.
pub(crate) async fn watch(daemon: Rc<Daemon>) {
    let mut calls = daemon.activity.count();
    loop {
        if !daemon.laggards.is_watching() {
            daemon.activity.beyond(calls).await;
        }
        sleep(LOOK_EVERY).await;
        calls = daemon.activity.count();
        let Ok((looked, child)) = daemon.writer.read(|store| (store.readers(), store.examining_process())) else {
            return;
        };
        match looked {
            Ok(readers) => {
                let now = (Instant::now(), Timestamp::now());
                let news = daemon.laggards.look(&readers, [Some(daemon.process.pid), child], now);
                news.into_iter().flatten().for_each(tell);
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "readers can't be looked at");
            }
        }
    }
}

fn tell(news: News) {
    match news {
        News::Lags(Laggard { pid, is_stopped, since: _, grown_bytes }) => {
            tracing::warn!(
                pid,
                is_stopped,
                grown_bytes,
                "a process does not come to the end of a read: until it goes on or ends, the index can't use again what is freed, and grows"
            );
        }
        News::GoesOn(pid) => {
            tracing::info!(pid, "the process that did not come to the end of a read goes on, or has ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 1;
    const CHILD: u32 = 2;

    fn place(pid: u32, reading: impl Into<Option<u64>>) -> Place {
        Place { pid, thread: 1, reading: reading.into() }
    }

    /// Looks each second; the index grows by a mebibyte each.
    fn looks(seconds: impl IntoIterator<Item = Vec<Place>>) -> (Laggards, Vec<News>) {
        let (laggards, begun) = (Laggards::default(), Instant::now());
        let mut news = Vec::new();
        for (second, places) in seconds.into_iter().enumerate() {
            let now = (begun + second as u32 * Duration::from_secs(1), Timestamp::from_millis(second as u64 * 1_000));
            let readers = Readers { places, length: (second as u64) << 20 };
            news.extend(laggards.look(&readers, [Some(OWN), Some(CHILD)], now).into_iter().flatten());
        }
        (laggards, news)
    }

    #[test]
    fn a_process_that_stays_in_one_read_is_told_of_once_with_how_the_index_grew_since() {
        let (laggards, news) = looks(vec![vec![place(0x7fff_ffff, 7), place(9, None)]; 6]);
        let lags = |grown_bytes| Laggard {
            pid: 0x7fff_ffff,
            is_stopped: false,
            since: Timestamp::from_millis(0),
            grown_bytes,
        };
        assert_eq!(news, [News::Lags(lags(4 << 20))]);
        assert_eq!(laggards.current(), Some(lags(5 << 20)));
    }

    #[test]
    fn its_end_is_told_and_the_next_one_has_its_own_time() {
        let seconds = vec![vec![place(8, 7), place(9, 8)]; 5].into_iter().chain([vec![place(9, 8)], vec![]]);
        let (laggards, news) = looks(seconds);
        assert!(matches!(news[..], [News::Lags(Laggard { pid: 8, .. }), News::GoesOn(8)]), "{news:?}");
        assert_eq!(laggards.current(), None);
    }

    #[test]
    fn who_reads_often_and_the_daemon_itself_and_its_child_do_not_lag() {
        let (laggards, news) =
            looks((0..9).map(|second| vec![place(8, second), place(OWN, 1), place(CHILD, 1), place(7, None)]));
        assert_eq!((laggards.current(), news), (None, vec![]));
    }
}
