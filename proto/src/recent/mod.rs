//! `recent`: the shared index over the log, and the protocol by which readers of other processes trust it.
//!
//! One process (the daemon) writes, any number read, and nobody waits. What is agreed on here is what the words mean
//! and in which order they are touched; who maps the file, reads a segment or asks LMDB is no business of this
//! module.
//!
//! # The pieces
//! Two tables say where in the log a key's newest operation is. Segment n of the log is indexed by table n mod 2. One
//! word, the [`View`], says which segments are to be looked at, and whether the active one has anything to look at; it
//! only grows, and only the daemon's runtime thread stores it.
//!
//! # A lookup, and why it is linearizable
//! [`find`] loads the view, probes the table of the active segment n, then, while n-1 is being applied to LMDB, the
//! other one, and makes sure that the view has not moved before it believes what it saw, be it a slot or an absence.
//! - A slot: the operation it names was the key's newest when it was loaded, since segments never change below their
//!   end.
//! - An absence: n-1 is frozen and the key was not in n at that moment, so LMDB's content at the end of n-1 was the
//!   answer. A transaction begun *afterwards* has at least that, and whatever it has more was put after the lookup began.
//!
//! # Most lookups look at no table
//! The log is empty most of the time: it is applied some seconds after something was written. A probe would be a wait for
//! a line of the table that no cache has, 13% of a whole `get`, only to find that no slot is used. So the view says it:
//! [`View::is_empty`] until the first slot of the active segment's table is used, which [`publish`] says before it uses
//! the slot, and the next [`rotate`] takes back along with the number.
//!
//! A lookup that finds an empty segment alone has nothing to probe, and ends with the load of the view. The key was in
//! no segment at that moment, or in one whose publication had not been acknowledged to anybody: whoever knows of an
//! acknowledged operation, from the daemon or from somebody who has seen it, loads this view or a later one, since of
//! one word nobody sees an older value than what he knows of. That is why it is a part of the view and no word beside
//! it, which would have to be ordered with the view and with the slots.
//!
//! A daemon that dies between the two leaves a view that sends readers to an empty table; its successor leaves that
//! behind with everything else, see [`restart()`].
//!
//! # Who orders what
//! Every load is relaxed and ordered by a fence: Rust promises that a relaxed load works on memory mapped read-only,
//! and promises it for no other; a fence after it orders no less. x86 needs none of these and so hides every mistake
//! here. `tests/view_loom/` runs this code under loom, and again without each of them.
//!
//! | ordering | without it |
//! | --- | --- |
//! | [`Fence::AfterView`] | a reader sees the new view, and in its table the slots of two segments ago |
//! | [`Fence::BeforeRecheck`] | a reader sees a reused table, and the old view twice; or a slot, but not its frame |
//! | [`Fence::BeforeClear`] | a reader sees a cleared slot, and the view from before its segment was retired |
//! | Release, publishing a slot | a reader sees a slot, but not its frame; a checksum saves it, and it asks the daemon |
//! | Release, storing the view | a reader sees a segment retired, and LMDB without it |
//!
//! And to say that a table is used after the operation was acknowledged, not before, shows readers the past.

mod header;
mod key_hash;
mod layout;
mod mapped;
mod place;
mod reader;
mod restart;
mod slot;
#[cfg(test)]
mod testing;
mod view;
mod words;
mod writer;

pub use header::{Field, Header, HeaderError, Mark};
pub use key_hash::{KeyHash, Places};
pub use layout::{FILE_LEN, LAYOUT_VERSION, ROTATE_AT, SLOTS, WORDS};
pub use mapped::{LengthError, Mapped, MappedMut};
pub use place::Place;
pub use reader::{Candidate, Found, Segments, approach, find};
pub use restart::{RestartError, RestartSteps, restart};
pub use slot::{Location, Offset};
pub use view::{Table, View};
pub use words::{Fence, Word, Words, WordsMut};
pub use writer::{PublishError, Published, RotateError, begin, clear_free, finish, publish, retire, rotate};
