//! What the commands do: one file for each family of verbs, with its arguments.

pub(crate) mod add;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod control;
pub(crate) mod daemon;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod hash;
pub(crate) mod ls;
pub(crate) mod service;
pub(crate) mod stat;
pub(crate) mod stats;
pub(crate) mod top;
pub(crate) mod verify;
