//! The instants at which a daemon can be had to die: `store::failpoint` names them, and this says when a daemon comes to each.

use std::fmt;

use crate::program::mortal_program;
use crate::{Home, Run};

/// Tells the daemon where to die.
pub const VARIABLE: &str = "DATACACHE_FAILPOINT";

/// A store is made.
pub const MAKING: &[&str] = &["GenerationMade", "IdentityDrawn", "CurrentPrepared", "CurrentInPlace"];
/// A store is made, or found after another boot.
pub const SHARING: &[&str] = &["SharedPrepared", "SharedInPlace"];
/// A daemon moves an index aside that can't be read.
pub const DAMAGED: &[&str] = &["DamagedCleared", "DamagedEnded", "DamagedMoved", "DamagedUnlinked"];
/// It forgets an index that is not there any more.
pub const LOST: &[&str] = &["LostFound", "LostUnlinked"];
/// It makes a table of readers anew that is damaged or gone.
pub const UNSEEN: &[&str] = &["UnseenEnded", "UnseenCopied", "UnseenReplaced", "UnseenForgotten"];
/// It puts a smaller index in the place of its own.
pub const SUCCESSION: &[&str] =
    &["SuccessorCopied", "SuccessorReady", "SuccessionBegun", "SuccessionDone", "FormerRemoved"];
/// It fills up sparse pages of its index.
pub const PACKING: &[&str] = &["RunPacked", "PagesFreed"];
/// A daemon starts that comes after one which died.
pub const STARTING: &[&str] = &[
    "StoreMade",
    "StoreLocked",
    "FoldersMade",
    "TablesOpened",
    "AccessOpened",
    "LogCaughtUp",
    "TakeoverRetired",
    "TakeoverCleared",
    "TakeoverSegmentMade",
    "TakeoverSegmentNoted",
    "TakeoverViewed",
    "TakeoverSwept",
    "MarkedInUse",
    "StoreRecovered",
    "StoreOpened",
    "SocketBound",
    "SocketInPlace",
    "LinkPrepared",
];
/// It finds a blob that nobody names.
pub const ORPHANED: &[&str] = &["OrphansFound"];
/// It works: all of this comes again and again.
pub const WORKING: &[&str] = &[
    "FrameDecided",
    "FrameTorn",
    "FrameWritten",
    "SlotPublished",
    "FramePublished",
    "BlobsSynced",
    "LogSynced",
    "TableCleared",
    "SegmentBare",
    "SegmentMade",
    "SegmentAllocated",
    "SegmentDurable",
    "RotationBegun",
    "RotationViewed",
    "RotationHandedOver",
    "SliceReady",
    "SliceCommitted",
    "SegmentHalfApplied",
    "SegmentApplied",
    "RetirementBegun",
    "RetirementViewed",
    "SegmentLeft",
    "SegmentEmptied",
    "SegmentRemoved",
    "UploadMade",
    "UploadWritten",
    "UploadFinished",
    "BlobSealed",
    "BlobLinked",
    "BatchAdopted",
    "BatchDurable",
    "NameLeft",
    "NameRemoved",
    "BlobHashed",
    "BlobDropped",
    "BlobSetAside",
];
/// It ends.
pub const ENDING: &[&str] = &["CloseApplied", "CloseStopped", "CloseLogRemoved", "CloseMarked"];

/// A named instant, and which time the daemon dies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant {
    /// Its name.
    pub name: &'static str,
    /// Counts from 1.
    pub time: u32,
}

impl Instant {
    /// Returns the first time of an instant.
    #[must_use]
    pub fn first(name: &'static str) -> Self {
        Self { name, time: 1 }
    }

    /// Returns the names of all that there are, as the daemon knows them.
    ///
    /// # Panics
    /// Where it does not say.
    #[must_use]
    pub fn names(home: &Home) -> Vec<String> {
        let mut program = home.program(mortal_program());
        program.arg("daemon").env(VARIABLE, "?");
        let outcome = Run::new(program).outcome();
        let names = outcome.told().trim().rsplit_once("there are: ").map(|(_, names)| names);
        let names = names.unwrap_or_else(|| panic!("it does not tell the names: {outcome:?}"));
        names.split(' ').map(str::to_owned).collect()
    }

    /// Tells whether a daemon comes there only when it ends.
    #[must_use]
    pub fn is_at_the_end(self) -> bool {
        ENDING.contains(&self.name)
    }
}

impl fmt::Display for Instant {
    /// As the daemon reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.time)
    }
}
