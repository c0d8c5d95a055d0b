//! Histories of concurrent clients: what each of them asked for and was told, between which two moments, and whether some order
//! of it all explains what was seen.
//!
//! That order must put what ended before something else began before it, and each key must then behave as if there was one
//! process only ([`Spot`]). Whether there is one is found out by Wing and Gong's search with the memory that Lowe added to it, of
//! the crate `todc-utils`. Each key is judged by itself: an object that consists of linearizable ones is linearizable. So nothing
//! is said of the keys of a batch together; others may see them change one after the other.
//!
//! - A call whose outcome is unknown may have been done at any time after it began, or not at all.
//! - A life that ends is an operation too ([`Step::End`]): it is done within a millisecond of the moment that the wall clock
//!   shows the entry's deadline.

mod check;
mod event;
mod moment;
mod scene;
mod spot;

pub use check::{Histories, Wrong};
pub use event::{Act, Event, Life};
pub use moment::{WallClock, monotonic};
pub use scene::{Mood, Recorded, Scene};
pub use spot::{Spot, Step};
