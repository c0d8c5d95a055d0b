//! A generation that takes the place of the live one while the store is in use: the same index, in a file without the free pages.
//!
//! LMDB gives no page back to the filesystem, so a file is as long as its index ever was. Whoever has time copies the rows into a
//! new generation (takeover does the same for another layout), beside the daemon and in a snapshot. It takes over only where nothing
//! was written since: then both have the same content, the log is empty, and what the writer knows by heart holds for the one as for
//! the other. So a write during the copy wins, and the copy is thrown away.
//!
//! # The order
//! 1. The successor has all that a live generation has, and all of it is on the disk: index, empty segment, shared index. The files `access`
//!    and `checked` are the same as before, under a second name: who counts or looks there goes on.
//! 2. On the writer's thread: readers of the live one are told that it is over, and go where the link leads.
//! 3. The link leads to the successor, in one step and for good. From here on the store writes there.
//! 4. The one before is removed. It is kept open for a while: a thread that ends gives back its place in LMDB's table of readers.
//!
//! Whoever dies before step 3 leaves the live generation, whose shared index the next daemon makes anew; whoever dies later, the
//! successor. Both are whole, and a start removes what is not live. The file before keeps its blocks for as long as any process has it
//! open: clients let go of it when they read next, or end.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datacache_proto::layout::{ACCESS, CHECKED, LOG};
use datacache_proto::log::SEGMENT_HEADER;
use datacache_proto::recent::{FILE_LEN, Mark, RestartError, finish};
use tracing::{error, warn};

use super::blob::BlobStore;
use super::error::OpenError;
use super::expiring::Expiring;
use super::failpoint::failpoint;
use super::generation;
use super::index::Index;
use super::index_size::IndexSize;
use super::position::Position;
use super::queues::Queues;
use super::recovery::begin_anew;
use super::restart_steps::Steps;
use super::room::HEAD;
use super::segment::Segment;
use super::store::{Next, Store};
use super::tables::{Meta, Tables};

/// A file that is shorter is left as it is (32 MiB): a reserve as large lies behind its end.
const WORTH_IT: u64 = 32 << 20;

/// What a successor is made of, for another thread.
#[derive(Debug)]
pub struct Succession {
    path: PathBuf,
    live: PathBuf,
    store_id: u128,
    tables: Arc<Tables>,
    blobs: BlobStore,
    /// The last sequence number, which the index has.
    applied: u64,
    /// The number of its first segment.
    number: u64,
}

/// A generation that can become the live one.
#[derive(Debug)]
pub struct Successor {
    made: Made,
    tables: Arc<Tables>,
    index: Arc<Index>,
    segment: Arc<Segment>,
    applied: u64,
}

/// The folder of a generation that is not live.
#[derive(Debug)]
struct Made {
    path: PathBuf,
    generation: PathBuf,
    /// Keeps its number in the filesystem from another.
    folder: File,
}

/// The generation that was live before. Its index is closed when this is dropped, if nobody else looks into it.
#[derive(Debug)]
pub struct Former {
    path: PathBuf,
    live: PathBuf,
    _tables: Arc<Tables>,
}

/// What a generation is filled with.
type Filled = (Arc<Tables>, Arc<Index>, Arc<Segment>);

impl Store {
    /// Tells whether the index has a large file of which at least half is free. What can't be looked at has not.
    #[must_use]
    pub fn has_much_free(&self) -> bool {
        let tables = &self.lookup.tables;
        let is_free = |used| tables.room.end().is_ok_and(|length| length >= WORTH_IT && used <= length / 2);
        !tables.is_older() && tables.used().is_ok_and(is_free)
    }

    /// Returns what makes a successor of the live generation; `None` while the index has not everything, or something is to be done
    /// about the log.
    #[must_use]
    pub fn succession(&self) -> Option<Succession> {
        self.is_at_rest().then(|| Succession {
            path: self.options.path.clone(),
            live: self.generation.clone(),
            store_id: self.id,
            tables: Arc::clone(&self.lookup.tables),
            blobs: self.blobs.clone(),
            applied: self.applied,
            // Above the one that is prepared.
            number: self.lookup.active.number() + 2,
        })
    }

    /// Tells whether the index has everything, and no thread is to do anything about the log.
    fn is_at_rest(&self) -> bool {
        let is_applied = self.applied == self.last_seq && self.end == SEGMENT_HEADER as u64;
        let is_ready = self.lookup.applying.is_none() && matches!(self.next, Next::Ready(_));
        is_applied
            && is_ready
            && !self.sparseness.is_under_way
            && self.scarcity.asked == 0
            && !self.is_short()
            && !self.is_poisoned()
    }

    /// Goes on in a successor. Takes a few milliseconds, since the disk is waited for. `None` where that failed: the daemon has to start
    /// anew then.
    ///
    /// # Errors
    /// The successor, for which it is too late: something was written since it was begun, or is to be done. All is as before.
    pub fn succeed(&mut self, successor: Successor) -> Result<Option<Former>, Successor> {
        if !self.is_at_rest() || successor.applied != self.last_seq {
            return Err(successor);
        }
        // IMPORTANT: in this order, as for a takeover. Else a daemon that died in between would leave readers where nobody writes.
        finish(&self.lookup.index.words());
        failpoint!(SuccessionBegun);
        if let Err(error) = generation::put_current(&self.options.path) {
            // Which of the two the next daemon finds does not matter.
            error!(%error, "the link to the index can't be changed; the daemon has to start anew");
            self.poisoned = true;
            return Ok(None);
        }
        failpoint!(SuccessionDone);
        Ok(Some(self.go_on_in(successor)))
    }

    fn go_on_in(&mut self, successor: Successor) -> Former {
        let Successor { made: Made { path, generation, .. }, tables, index, segment, .. } = successor;
        let number = segment.number();
        let former = std::mem::replace(&mut self.lookup.tables, Arc::clone(&tables));
        self.former = Arc::downgrade(&former);
        self.blobs.look_into(tables);
        self.lookup.index = index;
        self.lookup.trail.clear();
        self.tail.rotate(Arc::clone(&segment), SEGMENT_HEADER as u64);
        self.lookup.active = segment;
        self.expiring = Expiring::new(number);
        self.queues = Queues::new(number);
        self.synced = Position { segment: number, offset: SEGMENT_HEADER as u64 };
        self.sweep_anew();
        self.generation.clone_from(&generation);
        self.measure(IndexSize::copied);
        self.check_counts();
        self.prepare_next();
        self.ask_for_room();
        Former { path, live: generation, _tables: former }
    }
}

impl Succession {
    /// Makes the successor, as long as `goes_on` says so; `None` where it was over before. Blocks for as long as it takes to read and
    /// write all that the index has.
    ///
    /// # Errors
    /// Where it can't be made. The store is as before.
    pub fn prepare(self, goes_on: impl Fn() -> bool) -> Result<Option<Successor>, OpenError> {
        let io = |source| OpenError::Io { action: "make another generation of", path: self.path.clone(), source };
        let used = self.tables.used().map_err(|source| self.index(source))?;
        let wanted = used + FILE_LEN + 4 * HEAD;
        if !self.tables.room.has_room_for_another(wanted).map_err(io)? {
            return Err(OpenError::NoSpace { path: self.path.clone() });
        }
        let made = Made::after(&self.path, &self.live).map_err(io)?;
        match self.fill(&made.generation, goes_on) {
            Ok(Some((tables, index, segment))) => {
                Ok(Some(Successor { made, tables, index, segment, applied: self.applied }))
            }
            failed => {
                made.remove();
                failed.map(|_| None)
            }
        }
    }

    fn fill(&self, generation: &Path, goes_on: impl Fn() -> bool) -> Result<Option<Filled>, OpenError> {
        let io = |source| OpenError::Io { action: "make another generation of", path: self.path.clone(), source };
        if !self.tables.copy_to(generation, goes_on).map_err(|source| self.index(source))? {
            return Ok(None);
        }
        failpoint!(SuccessorCopied);
        share(&self.live, generation).map_err(io)?;
        let tables = Arc::new(Tables::open_in(&self.path, generation)?);
        if !self.note_numbers(&tables).map_err(|source| self.index(source))? {
            return Ok(None);
        }
        let (index, segment) = self.begin(generation, &tables)?;
        tables.leave_room();
        // IMPORTANT: the names of the files in it, and its own, before anything names it.
        let synced = File::open(generation).and_then(|folder| folder.sync_all());
        synced.and_then(|()| File::open(&self.path)?.sync_all()).map_err(io)?;
        generation::prepare_current(&self.path, generation).map_err(io)?;
        failpoint!(SuccessorReady);
        Ok(Some((tables, index, segment)))
    }

    /// Tells whether the copy has everything and may become as large as the original, and notes which segment it begins with.
    fn note_numbers(&self, tables: &Tables) -> heed::Result<bool> {
        let mut txn = tables.env.write_txn()?;
        let fits = tables.meta(&txn, Meta::Applied)?.unwrap_or(0) == self.applied
            && tables.env.info().map_size >= self.tables.env.info().map_size;
        tables.set_meta(&mut txn, Meta::NextSegment, self.number)?;
        txn.commit()?;
        Ok(fits)
    }

    /// Makes its first segment and the shared index that names it.
    fn begin(&self, generation: &Path, tables: &Tables) -> Result<(Arc<Index>, Arc<Segment>), OpenError> {
        let (path, log) = (&self.path, generation.join(LOG));
        let mut steps = Steps { path, log, store_id: self.store_id, tables, blobs: &self.blobs, made: None };
        let index = begin_anew(generation, &mut steps)?;
        let marked = index.set_mark(Mark::InUse);
        marked.map_err(|source| steps.failed(RestartError::Step { source: source.into() }))?;
        Ok((Arc::new(index), steps.made.take().expect("it was begun with one")))
    }

    fn index(&self, source: heed::Error) -> OpenError {
        OpenError::Index { action: "copy", path: self.path.clone(), source }
    }
}

impl Successor {
    /// Throws it away. Blocks.
    pub fn discard(self) {
        self.made.remove();
    }
}

impl Made {
    /// Makes the folder of the generation after the live one.
    fn after(path: &Path, live: &Path) -> io::Result<Self> {
        let generation = generation::create_generation_after(path, live)?;
        let folder = File::open(&generation)?;
        Ok(Self { path: path.to_owned(), generation, folder })
    }

    /// Removes it where it does not become the live one.
    fn remove(&self) {
        // IMPORTANT: not where another stands in its place: that is of a daemon that opened the store meanwhile.
        let is_ours = self.is_there().unwrap_or(false);
        let remove = || generation::forget_current(&self.path).and_then(|()| fs::remove_dir_all(&self.generation));
        if is_ours && let Err(error) = remove() {
            warn!(%error, "a generation that is not live can't be removed");
        }
    }

    fn is_there(&self) -> io::Result<bool> {
        let (ours, found) = (self.folder.metadata()?, fs::symlink_metadata(&self.generation)?);
        Ok((ours.dev(), ours.ino()) == (found.dev(), found.ino()))
    }
}

impl Former {
    /// Removes its files. Their blocks are given back once nobody has them open. Blocks.
    pub fn remove(&self) {
        // IMPORTANT: not where the folder was replaced meanwhile: what is there is another daemon's.
        let is_ours = generation::current(&self.path).is_ok_and(|live| live.as_ref() == Some(&self.live));
        if is_ours && let Err(error) = generation::remove_others(&self.path, &self.live) {
            warn!(%error, "generations that are not live can't be removed");
        }
        failpoint!(FormerRemoved);
    }
}

/// Gives a generation those files of the live one that processes go on with.
fn share(live: &Path, generation: &Path) -> io::Result<()> {
    for name in [ACCESS, CHECKED] {
        match fs::hard_link(live.join(name), generation.join(name)) {
            // What was hashed is not kept on every filesystem.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name == CHECKED => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
