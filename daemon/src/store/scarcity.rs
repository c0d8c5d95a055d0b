//! What the writer does where room gets scarce: it has room made ahead, and takes only what makes the store smaller while there is
//! not enough. What is reserved for that, see `room`.

use datacache_proto::log::SEGMENT_HEADER;
use tracing::{info, warn};

use super::command::{Batch, Command};
use super::error::StoreError;
use super::room::HEAD;
use super::store::Store;
use super::syncer::SyncJob;

/// How much is appended to the log before room is made for more, in bytes.
const STEP: u64 = 4 << 20;

/// What the writer knows about room.
#[derive(Debug, Default)]
pub(super) struct Scarcity {
    /// Why only that is taken which makes the store smaller.
    pub(super) shortage: Option<StoreError>,
    /// Set when an append found no room in the active segment: nothing more is tried there.
    pub(super) is_cramped: bool,
    /// When the active segment is that long, room is made for more.
    due: u64,
}

impl Store {
    /// Returns why a batch is refused before it is tried. Nothing fits behind a log that can't be applied, or on a full disk, but
    /// what makes room does.
    pub(super) fn refusal(&self, batch: &Batch) -> Option<StoreError> {
        if self.poisoned {
            return Some(StoreError::ApplyFailed { errno: None });
        }
        let obstacle = self.apply_failure.as_ref().or(self.scarcity.shortage.as_ref())?;
        (!frees(batch)).then(|| obstacle.again())
    }

    /// Has room made for what is appended next, after every few megabytes.
    pub(super) fn keep_room(&mut self) {
        if self.end >= self.scarcity.due {
            self.ask_for_room();
        }
        // Half of the head is left to those who come before the next segment is there.
        if self.scarcity.shortage.is_some() && self.end > HEAD / 2 {
            self.checkpoint = true;
        }
    }

    /// Has the thread that syncs look whether there is room for what the log has and is about to get.
    pub(super) fn ask_for_room(&mut self) {
        self.scarcity.due = self.end + STEP;
        let applying = self.lookup.applying.as_ref().map_or(0, |segment| segment.length());
        self.syncer.send(SyncJob::MakeRoom { backlog: self.end + applying + STEP });
    }

    /// Takes in whether there is room.
    pub(super) fn note_room(&mut self, shortage: Option<StoreError>) {
        match (&self.scarcity.shortage, &shortage) {
            (None, Some(error)) => {
                let error = error as &dyn std::error::Error;
                warn!(error, "only what makes the store smaller is taken until there is room again");
                self.checkpoint |= self.end > SEGMENT_HEADER as u64;
            }
            (Some(_), None) => info!("there is room again"),
            _ => {}
        }
        self.scarcity.shortage = shortage;
    }

    /// Takes in that an append failed; tells whether it was for want of room, and the log goes on in the next segment, which has
    /// some for what makes the store smaller.
    pub(super) fn note_append_failed(&mut self, error: &StoreError) -> bool {
        if !matches!(error, StoreError::NoSpace { .. }) {
            return false;
        }
        self.note_room(Some(error.again()));
        // It is as short as that until it is found otherwise.
        self.ask_for_room();
        // Where the head of a segment has no room, the next one's hasn't either.
        let is_used = self.end > SEGMENT_HEADER as u64;
        self.scarcity.is_cramped |= is_used;
        is_used
    }

    /// Begins a segment.
    pub(super) fn note_rotated(&mut self) {
        self.scarcity.is_cramped = false;
        self.ask_for_room();
    }
}

/// Tells whether a batch makes the store smaller.
fn frees(batch: &Batch) -> bool {
    let frees = |command: &Command| matches!(command, Command::Delete { .. } | Command::Release { .. });
    batch.commands.iter().all(frees)
}
