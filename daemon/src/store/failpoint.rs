//! Named instants at which tests have the process die as a SIGKILL at that very moment would have it: nothing is unwound, nothing is
//! written, no other thread gets to say anything.
//!
//! Only the feature `failpoints` compiles them in, which no product has: without it the macro stands for nothing at all. With it,
//! `DATACACHE_FAILPOINT` says where the process dies. Each instant is named once here, so that tests can see to it that none is
//! left out.

/// Marks an instant. With a second part, that is done before the process dies there, and only then.
macro_rules! failpoint {
    ($name:ident) => {
        #[cfg(feature = "failpoints")]
        $crate::store::failpoint::Failpoint::$name.reached(|| ());
    };
    ($name:ident, $last:expr) => {
        #[cfg(feature = "failpoints")]
        $crate::store::failpoint::Failpoint::$name.reached(|| drop($last));
    };
}
pub(crate) use failpoint;

#[cfg(feature = "failpoints")]
pub(crate) use armed::Failpoint;

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    /// Names the instant, and which time it comes to that: `FrameWritten:3`. The first time where no number is given.
    const VARIABLE: &str = "DATACACHE_FAILPOINT";

    /// Makes the enumeration, and the list of all.
    macro_rules! failpoints {
        ($($(#[$about:meta])* $name:ident,)+) => {
            /// An instant.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub(crate) enum Failpoint {
                $($(#[$about])* $name,)+
            }

            const ALL: &[Failpoint] = &[$(Failpoint::$name,)+];
        };
    }

    failpoints! {
        // A store is made, or found.
        /// Its folder is there, and nothing in it.
        StoreMade,
        /// The lock is ours.
        StoreLocked,
        /// The folders of blobs are there.
        FoldersMade,
        /// The first generation has its folders.
        GenerationMade,
        /// LMDB has opened the index.
        TablesOpened,
        /// A new store has its identity.
        IdentityDrawn,
        /// The file of counters is there.
        AccessOpened,
        /// A file of shared memory is whole, under another name.
        SharedPrepared,
        /// It has its name.
        SharedInPlace,
        /// The link to a new generation is there, under another name.
        CurrentPrepared,
        /// It has its name.
        CurrentInPlace,

        // An index that can't be read, or is lost.
        /// What was moved aside before is gone.
        DamagedCleared,
        /// Readers of the index are told that it is over.
        DamagedEnded,
        /// It has its place aside, and the link leads nowhere.
        DamagedMoved,
        /// The link is gone too, perhaps not for good.
        DamagedUnlinked,
        /// A link was found that leads nowhere.
        LostFound,
        /// It is gone.
        LostUnlinked,

        // A table of readers that is damaged or gone.
        /// Readers of the index are told that it is over.
        UnseenEnded,
        /// The index has a copy, which is on the disk.
        UnseenCopied,
        /// The copy has its place, perhaps not for good.
        UnseenReplaced,
        /// There is no table of readers.
        UnseenForgotten,

        // Another generation takes the place of the live one while the store is in use.
        /// The index has a copy, and its generation nothing else.
        SuccessorCopied,
        /// The generation has all that a live one has.
        SuccessorReady,
        /// Readers of the live one are told that it is over.
        SuccessionBegun,
        /// The other one is the live one, and nothing was written to it.
        SuccessionDone,
        /// The files of the one before are gone.
        FormerRemoved,

        // Recovery.
        /// The index has all of the log.
        LogCaughtUp,
        /// The view no longer names the segment that the daemon before was applying.
        TakeoverRetired,
        /// The next segment may be made.
        TakeoverCleared,
        /// It is there.
        TakeoverSegmentMade,
        /// The index says that the log begins with it.
        TakeoverSegmentNoted,
        /// Readers look into it.
        TakeoverViewed,
        /// The older ones are gone.
        TakeoverSwept,
        /// The mark says that the store is in use.
        MarkedInUse,
        /// All that recovery does is done.
        StoreRecovered,
        /// The store can be written.
        StoreOpened,

        // A write.
        /// A frame is decided on, its blob adopted, and the log has nothing of it.
        FrameDecided,
        /// The log has half of it.
        FrameTorn,
        /// The log has it, and nobody sees it.
        FrameWritten,
        /// One of its operations is seen.
        SlotPublished,
        /// All are, and nobody was answered.
        FramePublished,
        /// The end of the log is about to be synced.
        BlobsSynced,
        /// It is synced, and whoever waits for that does not know.
        LogSynced,

        // Rotation.
        /// The free table is clear.
        TableCleared,
        /// The next segment has its name and not its head.
        SegmentBare,
        /// It has its head.
        SegmentMade,
        /// It has its blocks.
        SegmentAllocated,
        /// It survives a loss of power.
        SegmentDurable,
        /// The writer is about to begin it.
        RotationBegun,
        /// Readers look into it, and the segment before is with nobody.
        RotationViewed,
        /// The segment before is handed to the thread that applies it.
        RotationHandedOver,

        // Applying and retirement.
        /// A slice is about to be committed.
        SliceReady,
        /// It is.
        SliceCommitted,
        /// The index has some slices of a segment, and not the others.
        SegmentHalfApplied,
        /// The index has a whole segment, and the writer does not know.
        SegmentApplied,
        /// Rows of sparse pages are on fewer pages, which is about to be committed.
        RunPacked,
        /// It is, and the writer does not know.
        PagesFreed,
        /// The writer is about to take it out of the view.
        RetirementBegun,
        /// It is out of the view.
        RetirementViewed,
        /// Its file is about to be removed.
        SegmentLeft,
        /// Its file is empty.
        SegmentEmptied,
        /// It is gone.
        SegmentRemoved,

        // Blobs.
        /// A value that comes in chunks has a file.
        UploadMade,
        /// The file has some of it.
        UploadWritten,
        /// It has all of it.
        UploadFinished,
        /// A staged file may no longer be written.
        BlobSealed,
        /// It has its blob's name, and nothing names the blob.
        BlobLinked,
        /// The blobs of a batch have their names.
        BatchAdopted,
        /// They survive a loss of power.
        BatchDurable,
        /// A staged name, or a blob that was set aside, is about to go.
        NameLeft,
        /// It is gone.
        NameRemoved,
        /// A blob's content was hashed, and the log does not know.
        BlobHashed,
        /// Nothing names a blob any more.
        BlobDropped,
        /// It is set aside.
        BlobSetAside,
        /// Blobs were found that nobody names.
        OrphansFound,

        // The end.
        /// All of the log is applied.
        CloseApplied,
        /// The threads are gone.
        CloseStopped,
        /// The log is gone.
        CloseLogRemoved,
        /// The mark says so.
        CloseMarked,

        // The socket.
        /// It listens, under another name.
        SocketBound,
        /// It has its name.
        SocketInPlace,
        /// A link between socket and store is there, under another name.
        LinkPrepared,
    }

    impl Failpoint {
        /// Dies if this is where the process is to die, and the time for it has come.
        pub(crate) fn reached(self, last: impl FnOnce()) {
            static ARMED: OnceLock<Option<(Failpoint, u32)>> = OnceLock::new();
            static TIMES: AtomicU32 = AtomicU32::new(0);
            let armed = ARMED.get_or_init(from_environment);
            let Some((_, time)) = armed.filter(|(armed, _)| *armed == self) else { return };
            if TIMES.fetch_add(1, Ordering::Relaxed) + 1 == time {
                last();
                die();
            }
        }
    }

    fn from_environment() -> Option<(Failpoint, u32)> {
        let text = std::env::var(VARIABLE).ok()?;
        let (name, time) = text.split_once(':').unwrap_or((&text, "1"));
        let found = ALL.iter().find(|point| format!("{point:?}") == name).zip(time.parse().ok());
        if found.is_none() {
            eprintln!(
                "{VARIABLE} is `{text}`; there are: {}",
                ALL.iter().map(|point| format!("{point:?}")).collect::<Vec<_>>().join(" ")
            );
            std::process::exit(2);
        }
        found.map(|(point, time)| (*point, time))
    }

    fn die() -> ! {
        kill_process(getpid(), Signal::KILL).ok();
        // The signal is on its way.
        loop {
            std::thread::park();
        }
    }
}
