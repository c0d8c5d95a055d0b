//! The question for a page of entries, and the page.

use serde::{Deserialize, Serialize};

use super::Metadata;
use crate::key::Tag;

/// Which entries to list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListQuery {
    /// The namespace's name.
    pub namespace: String,
    /// Only text keys that begin with this.
    pub prefix: Option<String>,
    /// Only entries with this tag.
    pub tag: Option<Tag>,
    /// Where the page before ended: its `next`.
    #[serde(with = "serde_bytes")]
    pub after: Option<Vec<u8>>,
    /// The most entries on a page, 1 to 4,096.
    pub limit: u32,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPage {
    /// The entries, by key, or by age where a tag was asked for.
    pub entries: Vec<Metadata>,
    /// What to put into `after` for the next page; `None` at the end.
    #[serde(with = "serde_bytes")]
    pub next: Option<Vec<u8>>,
}
