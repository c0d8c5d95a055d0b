//! The engine: synchronous, single-threaded at its heart, and ignorant of sockets, calls and runtimes.
//!
//! # What it is
//! A log, a small shared-memory index over it, and LMDB as the materialised view of the log. A write is appended to the log and
//! published in the index, and is then done; a thread applies the log to LMDB, a segment at a time, in large durable
//! transactions. A look goes to the index first, then to LMDB. So a reader in any process sees a write at once, and no writer waits
//! for a commit.
//!
//! # Who does what
//! | | thread | file |
//! | --- | --- | --- |
//! | decide, append, publish | the owner's | `write`, `turn`, `before`, `charge`, `draft`, `memory`, `pools` |
//! | make a miss of what is damaged | the owner's | `damage`, `condemned` |
//! | look, count, plan an expiry sweep | the owner's | `lookup`, `trail`, `len`, `sweep`, `due_walk`, `expiring` |
//! | tell what clients read themselves, and who reads | the owner's | `reads`, `access`, `readers` |
//! | retire a segment, remove blobs | the owner's | `progress` |
//! | tell what survives a loss of power | the owner's | `durability` |
//! | plan other bulk operations, list | any | `plan`, `list` |
//! | make way for a batch below a limit, evict | the owner's | `making_way`, `misfit`, `share`, `evicting`, `place_walk`, `place_count`, `pools`, `pool`, `line`, `queues`, `admission`, `marks` |
//! | tell what is taken and what may be | the owner's | `space`, `usage`, `index_size`, `swelling`, `leaving`, `headroom`, `rules`, `stats` |
//! | make do with little room | the owner's, `datacache-sync` | `scarcity`, `room` |
//! | apply a segment to LMDB | `datacache-apply` | `apply`, `placing`, `replay`, `salvage` |
//! | fill up sparse pages of LMDB before more is evicted | the owner's, `datacache-apply` | `sparseness`; `packing`, `filling` |
//! | sync, make and remove segments | `datacache-sync` | `syncer` |
//! | copy the index into a smaller file, go on in it | any, the owner's | `successor` |
//! | look at the whole store, mend derived rows | any | `verify`, `verify_places`, `repair` |
//! | look at what was staged, adopt it | any, the owner's | `incoming` |
//! | adopt the blobs of a batch ahead of it | any | `adopter` |
//! | look the keys of a batch up ahead of it | any | `foresight` |
//! | hash and remove blobs | `datacache-blobs` | `verifier` |
//! | open, recover | the owner's, before all else | `opening`, `folder`, `generation`, `recovery`, `restart_steps`, `takeover` |
//! | end in good order | the owner's, after all else | `closing` |
//! | die, where a test wants it | any | `failpoint` |
//! | tell whether an index can be trusted | the owner's, before all else | `trial`, `deaths`, `unseen`, `examiner`; in a child `examination` |
//!
//! # Invariants
//! - There is one path for every change: an operation in a frame of the log. What a bulk operation plans is a list of
//!   conditional deletes that go that way.
//! - Operations are numbered without a gap. A frame is applied only if it follows what the index has.
//! - The writer's memory changes with the draft and is taken back with it: after a failed append nothing has happened.
//! - An operation is published after its frame is written, a segment retired after LMDB's commit, its table cleared after that.
//! - Each entry of a namespace has one place in the eviction's queues at any commit of the index, and no place is without an entry. But
//!   what a record that is damaged was charged for stays counted when it goes, and so does its place where the record doesn't tell it any
//!   more, until `verify --repair`.
//! - A blob is there as long as a record of the index or an operation of the log names it, or a batch that is under way holds
//!   it. It goes in the writer's turn, when none does.
//! - The blobs of a batch are on the disk before its frame is in the log.
//! - A number of a segment is never used twice.
//! - Nothing is appended to a segment that was found at the start.
//!
//! # Limits
//! Before a batch that adds is decided on, it is asked whether there is room for it below the limits of its namespace and of the store; where
//! there is none, the batch is left to its caller, who has way made for it: a slice of an eviction is a frame of its own, of deletes and
//! of new places for what is kept. So at no moment are there more entries than a limit says. Of bytes that holds as far as they can be told
//! ahead: the index is measured when a segment is retired and reckoned in between, by its rows and by the full pages that they split. What
//! is not applied and packed yet is waited for, and not evicted for; but what a batch will split itself has to have room like its rows, if
//! it ever can. An eviction waits for the log, too, where its own notes would lead beyond the limit. What may always be done, to delete, to touch, to replace by
//! something smaller, is asked nothing; there is a margin for that.
//!
//! What is evicted leaves a little of every page of the index, and is room only once pages are free: sparse pages are filled up before more
//! is evicted beside the calls. A batch that has no room below the limit waits for that only where much would have to go.
//!
//! What goes by itself, the log that is not applied and files that nothing names any more, takes room like all else. It is evicted for up
//! to a thirty-second of a limit, and waited for beyond that; a log that takes more than an eighth is applied at once. Files that are set
//! aside are not waited for once the log is empty: the thread that removes them may be hashing a large one for minutes. For so long the
//! store may take as much more than its limit as they do. A store that is above its limit takes from the pool that has the most which may go;
//! what is there under the policy `none` never goes, nor what is pinned or leased. That is passed over in memory alone, and a put that lets
//! it go gives it another place, so that it is met: where nothing may go, nothing is written.
//!
//! # Durability
//! The process dies: nothing acknowledged is lost; the log is in the page cache. Power goes: what was acknowledged since the last sync may
//! be lost (`sync_interval`, and at each rotation), the rest is there in order and without a gap. What was written as durable is there. An
//! entry whose blob did not reach the disk is missing; never is an older value back.
//!
//! A batch of commands is done whole or not at all, also across a crash; each key is linearizable; other processes may see the
//! keys of a batch appear one after the other.
//!
//! # What it departs from
//! The design drew a slot as pointing at a frame. It points at the operation, which has a checksum of its own: a reader of one key must not
//! fetch a batch of 8 MiB. There is no table `by_holder`: holders are few, and the writer knows them by heart.

mod access;
mod admission;
mod adopter;
mod apply;
mod before;
mod blob;
mod blob_row;
mod body;
mod charge;
mod closing;
mod command;
mod condemned;
mod content;
mod counts;
mod crowding;
mod damage;
mod deaths;
mod draft;
mod due_walk;
mod durability;
mod elders;
mod environment;
mod error;
mod evicting;
mod examination;
mod examiner;
mod expiring;
#[cfg(test)]
pub(crate) mod failing;
pub(crate) mod failpoint;
mod filling;
mod folder;
mod foresight;
mod generation;
mod headroom;
mod histogram;
mod identity;
mod incoming;
mod index;
mod index_copy;
mod index_size;
mod leases;
mod leaving;
mod len;
mod line;
mod list;
mod lmdb_damage;
mod load;
mod lookup;
mod making_way;
mod marks;
mod memory;
mod misfit;
mod moved_aside;
mod opening;
mod options;
mod outcomes;
mod packing;
mod place_count;
mod place_walk;
mod placing;
mod plan;
mod pool;
mod pools;
mod position;
mod progress;
mod queues;
mod readers;
mod reads;
mod recovery;
mod references;
mod renewal;
mod repair;
mod replay;
mod replies;
mod restart_steps;
mod room;
mod rows;
mod rules;
mod salvage;
mod scarcity;
mod segment;
mod share;
mod shared;
mod slice;
mod space;
mod sparseness;
mod states;
mod stats;
#[expect(clippy::module_inception, reason = "the noun of the file is the store")]
mod store;
mod successor;
mod sweep;
mod swelling;
mod syncer;
mod table_keys;
mod tables;
mod tag_walk;
mod takeover;
#[cfg(test)]
mod testing;
mod threads;
mod timings;
mod trail;
mod trial;
mod turn;
mod unseen;
mod upload;
mod usage;
mod verifier;
mod verify;
mod verify_places;
mod walk;
mod write;

pub use adopter::Adopter;
pub use blob::{BlobStore, Found};
pub use command::{Batch, Command, Condition, Holder, NewValue, Outcome, Put};
pub use counts::Counts;
pub use damage::Lost;
pub use elders::{Elder, ElderWalk, Elders};
pub use error::{OpenError, StoreError};
pub use examiner::{Examiner, Occasion, Verdict, examine};
pub use foresight::{Foreseer, Foresight};
pub use histogram::{Amounts, Spans};
pub use incoming::Incoming;
pub use len::LenCount;
pub use making_way::{Owner, Way};
pub use moved_aside::moved_aside;
pub use options::StoreOptions;
pub use plan::{Cursor, Plan, Reader};
pub use position::Position;
pub use readers::{Place, Readers};
pub use repair::{Corrections, Repairs};
pub use rules::{Reserve, Rule, Rules};
pub use states::{Learned, Remembered};
pub use store::{Counters, Store};
pub use successor::{Former, Succession, Successor};
pub use tag_walk::{CountedTag, SampledEntry, TagWalk};
pub use upload::Upload;
pub use usage::Usage;
pub use verify::Report;
pub use write::BatchResult;
