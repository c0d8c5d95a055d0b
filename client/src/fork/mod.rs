//! Forks: how a process tells that it was forked, what must not happen while one is, and things that must not cross one.
//!
//! A forked child shares the parent's socket, epoll set and locks as they stood. It must not drop what it inherited: that
//! would take the parent's socket out of the parent's epoll set, and a lock that another thread held stays locked for ever. So
//! the child leaks it, and closes the descriptors only.

mod mark;
mod per_process;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use mark::{Mark, hold_off};
pub(crate) use per_process::{Inherited, PerProcess};
