//! A daemon that dies under load, again and again: whenever it happens to, and at every instant that has a name. After each death a
//! daemon that lives looks after what is left, and all of it is compared with what was acknowledged.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`content`] | values, each of which follows from its number |
//! | [`book`] | what one worker was told is done, and what it was doing when the daemon died |
//! | [`worker`] | four that write and two that upload |
//! | [`instant`] | where a daemon can be had to die |
//! | [`daemon`] | its process |
//! | [`check`] | what has to be there after a death, and what must not |
//! | [`campaign`] | lives of a store, one death after the other |

pub mod book;
pub mod campaign;
pub mod check;
pub mod content;
pub mod daemon;
pub mod instant;
pub mod worker;

pub use campaign::{Campaign, Death, Tally};
pub use instant::Instant;
