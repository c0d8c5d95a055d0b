//! What the daemon knows, and what it has seen.

use std::collections::{BTreeMap, HashMap, VecDeque};

use datacache_proto::key::Key;
use datacache_proto::types::{CallId, Introduction};

use super::entry::Entry;
use super::trouble::Trouble;

/// What the daemon knows and has seen.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) entries: BTreeMap<(String, Key), Entry>,
    /// The calls that came, in order.
    pub(crate) calls: Vec<(&'static str, Option<CallId>)>,
    /// The changes that were made and not answered from a stored reply.
    pub(crate) done: Vec<&'static str>,
    pub(crate) introductions: Vec<Introduction>,
    pub(crate) trouble: VecDeque<(&'static str, Trouble)>,
    /// Connections that are open.
    pub(crate) connections: usize,
    /// The protocol to answer `hello` with.
    pub(crate) protocol: u32,
    /// The most bytes of a value that `introduce` tells.
    pub(crate) value_max: Option<u64>,
    /// The most bytes of a value that there is ever room for.
    pub(crate) room: Option<u64>,
    pub(super) is_staging_hidden: bool,
    pub(super) replies: HashMap<CallId, u64>,
    pub(super) uploads: HashMap<u64, Vec<u8>>,
    pub(super) handles: HashMap<u64, Vec<u8>>,
    pub(super) next: u64,
}

impl State {
    /// Returns the calls of a name that came.
    pub(crate) fn calls_of(&self, verb: &str) -> Vec<Option<CallId>> {
        self.calls.iter().filter(|(name, _)| *name == verb).map(|(_, call)| *call).collect()
    }

    /// Returns how often a change was really made.
    pub(crate) fn done_of(&self, verb: &str) -> usize {
        self.done.iter().filter(|name| **name == verb).count()
    }
}
