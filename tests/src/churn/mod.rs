//! A store in turmoil whose every reader knows what it may see.
//!
//! Each key is written by one process only, and what it holds at a version follows from the two numbers ([`Version`]). In
//! memory that all of them share, the writer notes a version before it begins with it and after it is done ([`Ledger`]). So a
//! reader knows the bounds of what it may find: nothing older than what was done before its read began or than what it saw
//! before, nothing newer than what had begun when the read ended ([`Watcher`]). Who does all that is a [`Crew`].

mod crew;
mod ledger;
mod version;
mod watcher;

pub use crew::{Crew, Done};
pub use ledger::Ledger;
pub use version::{State, Version};
pub use watcher::{Seen, Watcher, Wrong};
