//! What is known of tags: the largest, and those whose entries are read most.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The largest and the hottest tags, as they were found when they were last counted.
///
/// The daemon counts them when it is asked, beside its work, and has the log applied for it every ten seconds at most: what the index
/// does not have yet is not counted, entries whose time is over are until they are removed, and what changes meanwhile is counted
/// before or after. It does not count again before twenty times as long has passed as counting took, so that it takes a twentieth of a core at most; until
/// then the answer is the one that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagStats {
    /// When they had been counted; `None` before that was done for the first time: ask again. In JSON, milliseconds since 1970.
    #[serde(rename = "taken_unix_ms")]
    pub taken: Option<Timestamp>,
    /// How long counting kept a core, in milliseconds.
    pub took_ms: u64,
    /// How many tags there are, all namespaces together.
    pub tags: u64,
    /// How many pairs of an entry and a tag of it there are.
    pub pairs: u64,
    /// Of each namespace the [`TagStats::BEST`] tags with the most entries, the most bytes and the most reads; by namespace and
    /// tag. Of very many namespaces, the tags with the most entries.
    pub rows: Vec<TagRow>,
}

impl TagStats {
    /// How many tags of a namespace are told of for being first in each way; there are three ways.
    pub const BEST: usize = 32;
}

/// What is known of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRow {
    /// The namespace's name.
    pub namespace: String,
    /// The tag.
    pub tag: String,
    /// How many entries have it: counted.
    pub entries: u64,
    /// Bytes of their values: estimated from the sample, exact where all were looked at.
    pub bytes: u64,
    /// How often one of them was read lately, from 0 to 300: the mean of the marks (0 to 3) of those looked at, in hundredths. The
    /// marks are a guess, see [`crate::access`].
    pub heat: u16,
    /// How many of the entries were looked at, 64 at most. Where there are more tags than there is time for, 0, and then nothing is
    /// known but their number.
    pub sampled: u64,
}
