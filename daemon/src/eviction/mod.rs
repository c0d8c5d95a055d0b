//! Eviction: who goes when there is no room for all. Pure: it knows no files, no clock and no store, and the same history leads
//! to the same plans.
//!
//! # Who does what
//! [`Evictor`] decides, its owner does. For a new entry [`Evictor::add`] tells the [`Place`] to queue it at, or
//! [`Evictor::admit`] where it is not sure yet that there will be one. When something has
//! to go, [`Evictor::plan`] asks for the first places of the queues, one after the other, and says of each what becomes of it:
//! evicted, kept at the end of a queue, or passed over. A plan looks at a bounded number of places, so a clean-up is a row of slices.
//!
//! Nothing is to be told when an entry is read: a read leaves a mark in [`access`](datacache_proto::access), which is looked at
//! when the entry's turn comes, and then used up. Nor when one is deleted or expires: its place says so then, and only how the
//! two queues share the bytes is less exact until that. An entry that replaces another keeps the other's place.
//!
//! What is held, pinned or leased, is passed over once and counts no more: not in the shares of the queues either, so that what may go
//! is found however much is held. When it is let go it is told a place like a new entry. An owner that begins once more with the first places
//! meets it again.
//!
//! The limit is the owner's affair too, in bytes, in entries, or both: a plan is told how much has to go. Shares of the queues
//! are shares of what they hold.
//!
//! # What it costs at 10^7 entries
//! The policy has nothing for each entry but its ghost, the fingerprints of what was evicted: 8 to 16 bytes an entry, 64 MiB at
//! the most, which is reached at some 8 million. An addition looks into two cache lines of that, and a place that goes into one.
//!
//! The queues are for the owner to keep, and only ever read at the front and written at the end. In memory a place takes some 16
//! bytes, in a file it is appended: hash, bytes, note, and how to find the entry. The store has no table that finds an entry by
//! its hash or its version (one by sequence cost half of all that was written), so a place has to name the key; a file that is
//! read and written in order can afford that, memory for 10^7 keys can't. Whoever follows a place to its entry needs to tell that
//! entry from a later one of the same key.
//!
//! [`Evictor::save`] returns the rest as bytes: written when the daemon ends, or now and then, since what a crash takes of it is
//! what was learned lately. Places that a crash takes need not be known to the sums: a queue that gives out is empty, whatever
//! they say.
//!
//! # S3-FIFO, and what it learns
//! New entries join a small queue. Its first entry goes, if nobody read it, and else moves to the main queue. There the first
//! entry stays for another round for each time that it was read. What went is remembered by its fingerprint, and joins the main
//! queue if it comes back: S3-FIFO as its authors describe it (SOSP 2023). On top of that:
//!
//! - **Reasons are weighed.** An entry is let into the main queue for a reason: it came back after about so long, or it was read
//!   once, twice, three times. Of each reason it is known how many of the entries that it let in lately were read by the time
//!   that the main queue looked at them. One that is less than 0.6 times as good as the main queue is on the whole lets nothing
//!   in, but for one in 16, so that it is known when that changes. Thus the ghost can be long, two laps (a lap is as much evicted
//!   as is held), without ruining caches for which it is too long.
//! - **The small queue finds its size**, from 2% to 50% of the bytes, 10% in the beginning: it grows when an entry comes back
//!   that left it less than a twentieth of a lap ago, and shrinks, twice as far, when one does that left the main queue so.
//! - **Until anything is evicted** the main queue takes what the small one has no room for: elsewhere a loop finds a main queue
//!   that nothing ever gets into.
//! - **One new entry in 256** joins the main queue at once. In a loop that is longer than all that is remembered, these are what
//!   is hit.
//!
//! # Sizes
//! Queues and laps are measured in bytes. An entry far larger than the mean (of some 10,000 additions) has to be read more often
//! to stay, for what it takes many others could have: twice above 8 times the mean, three times above 32. One that is larger than
//! the small queue stands there all the same: it costs those before it, which are new as well, and is next; what is known stays.
//!
//! # Measurements
//! Hit ratios of [`Policy::S3Fifo`] and of libCacheSim 0.3.5, entries of one size, on four traces: a web site's pages, a file
//! server, programs and a database at the same time, a virtual machine's disk. Each trace with room for 1%, 10% and 25% of its ids.
//!
//! | | web07 | sprite | multi2 | cloudphysics | mean |
//! | --- | --- | --- | --- | --- | --- |
//! | ours | 0.439 0.582 0.641 | 0.236 0.858 0.926 | 0.225 0.514 0.614 | 0.170 0.250 0.374 | 0.4857 |
//! | S3-FIFO | 0.438 0.582 0.639 | 0.213 0.860 0.925 | 0.097 0.510 0.603 | 0.170 0.245 0.373 | 0.4711 |
//! | best of nine policies, each time another | 0.438 0.582 0.644 | 0.213 0.865 0.933 | 0.129 0.516 0.644 | 0.173 0.248 0.386 | 0.4809 |
//! | Belady's bound | 0.534 0.681 0.731 | 0.422 0.914 0.944 | 0.277 0.549 0.686 | 0.207 0.371 0.477 | 0.5659 |
//!
//! Numbers were chosen on these, and held against fourteen other traces with the same shares of room: 2_pools, loop, multi1,
//! multi3, web12, two of an ORM, w106, scarab, corda, OLTP, P3, P6 and P12, of long ones the first 600,000 or 900,000 requests. (How
//! far a return moves the share, and what decides in the beginning, was chosen on all.) 0.4752 against 0.4682 of S3-FIFO,
//! 0.4523 of LIRS, 0.4482 of ARC and 0.4149 of LRU. Of all of P3 and P6, with 1%, 5%, 10% and
//! 25%: 0.042, 0.194, 0.353, 0.586 and 0.060, 0.309, 0.625, 0.871, where S3-FIFO has 0.042, 0.191, 0.339, 0.587 and 0.060, 0.291,
//! 0.531, 0.872.
//!
//! What each part is worth: the means of the four and of the fourteen, with marks that no two keys share.
//!
//! | | the four | the fourteen |
//! | --- | --- | --- |
//! | all parts | 0.4886 | 0.4796 |
//! | reasons not weighed | 0.4806 | 0.4731 |
//! | a ghost of one lap | 0.4792 | 0.4760 |
//! | the small queue always 10% | 0.4840 | 0.4730 |
//! | the small queue takes all until it is full | 0.4853 | 0.4744 |
//! | no new entry in the main queue at once | 0.4880 | 0.4794 |
//! | marks shared as in `access` | 0.4857 | 0.4752 |
//!
//! Half and twice of each number (a share of 5% or 20%, one in 8 or 32, one in 128 or 512) are within 0.003 of these, 0.5 and 0.7
//! for the goodness of reasons within 0.002. Where each return moves the small queue's share equally far however many entries
//! there are, small caches learn too slowly or large ones waver: 0.4869 and 0.4757 at best.
//!
//! Of sizes: on a trace with sizes of a content network and on five of the others with sizes drawn at random (log-normal), 0.5%
//! to 25% of the bytes, the mean share of requests and of bytes that hit was 0.516 and 0.475, without regard for large entries
//! 0.507 and 0.477, with plain S3-FIFO 0.503 and 0.475.
//!
//! # What did not help
//! - *A ghost of one and a half or two laps without weighing*: better for loops, and 0.03 worse for the file server.
//! - *What left the main queue joins it again when it comes back*: worse on nearly all, a loop washes the main queue out.
//! - *A share that moves by ghosts alone as in ARC*, by a step for each return however late: 0.447 to 0.468 on the four.
//! - *Two reads to leave the small queue*, as others have it: better or worse by less than 0.001, since reasons are weighed.
//! - *More than 3 reads counted*: 7 and 15 gain nothing. *Fewer*: 1 costs 0.002.
//! - *Keeping the reads when an entry moves to the main queue*, or giving some to what came back: 0.002 to 0.004 worse.
//! - *Large entries at once to the main queue*, or counted as small ones in the small queue: 0.002 to 0.02 worse, or no
//!   different.
//! - *A longer ghost with weighing* (2.5 to 8 laps): up to 0.01 worse, and it takes memory.
//!
//! # What is only approximate
//! - Marks are shared by keys whose hashes end alike, and go no further than 3. What that costs is above, with 4 cells an entry;
//!   with 16 cells it is half as much.
//! - `lru` is a queue that goes round, with a second chance for what was read, which hit a little more than the exact one on
//!   these traces (0.428 and 0.426); `lfu` counts to 15.
//! - Notes of one policy are read by the next when it is changed: what they say is forgotten within a round.

mod chance;
mod clock;
mod evictor;
mod ghost;
mod learned;
mod place;
mod plan;
mod policy;
mod queues;
mod s3fifo;
mod saved;
mod slots;
mod tally;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod volume;

pub use evictor::{Addition, Evictor};
pub use place::{Front, Head, Note, Place, Queue, State};
pub use plan::{Ending, Plan, Verdict};
pub use policy::{Policy, UnknownPolicy};
pub use saved::SavedError;
pub use volume::Volume;
