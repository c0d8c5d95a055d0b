//! A daemon in this process that keeps its entries in memory and makes trouble when it is told to.

mod calls;
mod daemon;
mod entry;
mod limits;
mod service;
mod state;
mod trouble;

pub(crate) use daemon::{FakeDaemon, has_no_open_values, has_no_uploads, stored};
pub(crate) use limits::{INLINE_MAX, PAGE, VALUE_MAX};
pub(crate) use trouble::Trouble;
