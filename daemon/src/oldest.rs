//! Since when the oldest entry of each namespace is there. Nothing is kept about that when entries come and go: it is looked for when
//! somebody asks, by a walk over the index beside the calls, whose findings hold until they are gone.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use datacache_proto::time::Timestamp;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::daemon::{Daemon, aside};
use crate::store::{Elder, ElderWalk, Elders, Store, StoreError};
use crate::writer::WriteError;

/// How many entries are kept in mind of each namespace, as long as the namespaces are few, and of all together.
const OF_EACH: usize = 256;
const OF_ALL: usize = 4_096;
/// How many entries are looked at before it is asked whether the daemon still runs; some milliseconds.
const ROWS: usize = 32_768;
/// How long statistics wait for a walk. It goes on without them.
const PATIENCE: Duration = Duration::from_millis(100);
/// How many times as long as it took, the next walk comes after one, and how long at least.
const PAUSE: u32 = 100;
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// What is known of the oldest entries.
#[derive(Debug, Default)]
pub(crate) struct Oldest {
    known: RefCell<Option<Known>>,
    is_walking: Cell<bool>,
    walked: Notify,
}

/// What a walk has found, as far as it is still there.
#[derive(Debug)]
struct Known {
    /// What the walk did not find was added later.
    begun: Timestamp,
    /// Before this, nobody walks again.
    again: Instant,
    namespaces: HashMap<u32, Eldest>,
}

/// The oldest entries of a namespace.
#[derive(Debug)]
struct Eldest {
    /// Those that may still be there, the oldest last.
    elders: Vec<Elder>,
    /// No entry is older.
    since: Timestamp,
    /// The same once none of `elders` is there.
    afterwards: Timestamp,
}

impl Eldest {
    fn new(elders: Elders, begun: Timestamp) -> Self {
        let (elders, is_cut) = elders.into_parts();
        let youngest = elders.first().map_or(begun, |elder| elder.created);
        let since = elders.last().map_or(begun, |elder| elder.created);
        Self { elders, since, afterwards: if is_cut { youngest } else { begun } }
    }

    /// Forgets those that are gone, up to the oldest that is there.
    fn check(&mut self, is_there: impl Fn(&Elder) -> Result<bool, StoreError>) -> Result<(), StoreError> {
        while let Some(oldest) = self.elders.last() {
            if is_there(oldest)? {
                break;
            }
            self.elders.pop();
        }
        self.since = self.elders.last().map_or(self.afterwards, |oldest| oldest.created);
        Ok(())
    }
}

impl Oldest {
    /// Returns a moment before which no entry of a namespace was added, as far as it is known.
    pub(crate) fn of(&self, namespace: u32) -> Option<Timestamp> {
        let known = self.known.borrow();
        let known = known.as_ref()?;
        Some(known.namespaces.get(&namespace).map_or(known.begun, |eldest| eldest.since))
    }

    /// Forgets what is gone; tells whether the oldest entry of every namespace that has any is known.
    fn check(&self, store: &Store, now: Timestamp) -> Result<bool, StoreError> {
        let mut known = self.known.borrow_mut();
        let Some(known) = known.as_mut() else { return Ok(false) };
        let mut is_known = true;
        for (_, namespace) in store.namespaces() {
            let has_elder = match known.namespaces.get_mut(&namespace) {
                Some(eldest) => {
                    eldest.check(|elder| store.has_elder(namespace, elder, now))?;
                    !eldest.elders.is_empty()
                }
                None => false,
            };
            is_known &= has_elder || store.counts(namespace).entries == 0;
        }
        Ok(is_known)
    }

    fn may_walk(&self) -> bool {
        !self.is_walking.get() && self.known.borrow().as_ref().is_none_or(|known| Instant::now() >= known.again)
    }
}

/// Sees to it that the oldest entries are known, if that can be done soon; else in a while they are.
///
/// # Errors
/// Where the index can't be read.
pub(crate) async fn look(daemon: &Rc<Daemon>) -> Result<(), WriteError> {
    let oldest = &daemon.oldest;
    let is_known = daemon.writer.try_read(|store| oldest.check(store, Timestamp::now()))?;
    if is_known || !oldest.may_walk() {
        return Ok(());
    }
    oldest.is_walking.set(true);
    let walking = Rc::clone(daemon);
    daemon.tasks.spawn(async move {
        let walked = walk(&walking).await;
        walking.oldest.is_walking.set(false);
        if let Err(error) = walked {
            tracing::debug!(error = &error as &dyn std::error::Error, "the oldest entries are not found");
        }
        walking.oldest.walked.notify_waiters();
    });
    timeout(PATIENCE, oldest.walked.notified()).await.ok();
    Ok(())
}

async fn walk(daemon: &Daemon) -> Result<(), WriteError> {
    let (began, now) = (Instant::now(), Timestamp::now());
    let (namespaces, unapplied) = daemon.writer.read(|store| (store.namespaces().len(), store.unapplied_since()))?;
    // What is in the log alone is not found.
    let begun = unapplied.map_or(now, |unapplied| unapplied.min(now));
    let mut walk = ElderWalk::new((OF_ALL / namespaces.max(1)).min(OF_EACH));
    let mut is_done = false;
    while !is_done {
        daemon.check_serving()?;
        let reader = daemon.reader()?;
        let page = aside(move || {
            let done = reader.walk_elders(&mut walk, ROWS, now);
            (walk, done)
        });
        let (so_far, done) = page.await?;
        (walk, is_done) = (so_far, daemon.writer.settle(done)?);
    }
    let eldest = |(namespace, elders)| (namespace, Eldest::new(elders, begun));
    let namespaces = walk.finish().into_iter().map(eldest).collect();
    let again = Instant::now() + (began.elapsed() * PAUSE).max(PAUSE_MIN);
    *daemon.oldest.known.borrow_mut() = Some(Known { begun, again, namespaces });
    Ok(())
}
