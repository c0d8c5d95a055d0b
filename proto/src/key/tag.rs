//! Tags: how long one may be, and how many an entry can have.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest tag in bytes.
pub const MAX_TAG: usize = 255;
/// The most tags an entry can have.
pub const MAX_TAGS: usize = 64;

/// A validated label for groups of entries: 1 to [`MAX_TAG`] bytes of text without NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

impl Tag {
    /// Takes `text` for a tag.
    ///
    /// # Errors
    /// [`TagError`] where it is empty, too long, or contains NUL.
    pub fn new(text: &str) -> Result<Self, TagError> {
        if text.is_empty() {
            return Err(TagError::Empty);
        }
        if text.len() > MAX_TAG {
            return Err(TagError::TooLong { length: text.len() as u64 });
        }
        if text.contains('\0') {
            return Err(TagError::ContainsNul { tag: text.to_owned() });
        }
        Ok(Self(text.into()))
    }

    /// Returns its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Tag {
    type Error = TagError;

    fn try_from(text: String) -> Result<Self, TagError> {
        Self::new(&text)
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0.as_ref().to_owned()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tag, or a set of tags, that an entry can't have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum TagError {
    /// It has no text.
    #[error("a tag is empty; give at least one character")]
    Empty,
    /// It is longer than [`MAX_TAG`].
    #[error("a tag is {length} bytes long, the limit is {MAX_TAG}")]
    TooLong {
        /// Its length in bytes.
        length: u64,
    },
    /// It contains the character U+0000.
    #[error("the tag {tag:?} contains a NUL character")]
    ContainsNul {
        /// The tag.
        tag: String,
    },
    /// There are more than [`MAX_TAGS`].
    #[error("the entry has {count} tags, the limit is {MAX_TAGS}")]
    TooMany {
        /// How many there are.
        count: u64,
    },
}

/// Sorts tags, drops those that are there twice, and checks their number.
///
/// # Errors
/// [`TagError::TooMany`] where more than [`MAX_TAGS`] different ones remain.
pub fn check_tags(mut tags: Vec<Tag>) -> Result<Vec<Tag>, TagError> {
    tags.sort_unstable();
    tags.dedup();
    match tags.len() {
        count if count > MAX_TAGS => Err(TagError::TooMany { count: count as u64 }),
        _ => Ok(tags),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_tags_are_refused_with_the_reason() {
        assert_eq!(Tag::new(""), Err(TagError::Empty));
        assert_eq!(Tag::new("a\0b"), Err(TagError::ContainsNul { tag: "a\0b".into() }));
        assert_eq!(Tag::new(&"x".repeat(256)), Err(TagError::TooLong { length: 256 }));
        let tags = |count: usize| (0..count).map(|n| Tag::new(&n.to_string()).unwrap()).collect();
        assert_eq!(check_tags(tags(64)).map(|tags| tags.len()), Ok(64));
        assert_eq!(check_tags(tags(65)), Err(TagError::TooMany { count: 65 }));
    }
}
