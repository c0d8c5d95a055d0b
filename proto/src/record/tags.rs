//! The tags of a record, as they are encoded in it.

use crate::key::Tag;

/// The tags of a record: their encoded texts, checked when the record was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tags<'a> {
    pub(super) count: u8,
    pub(super) encoded: &'a [u8],
}

impl<'a> Tags<'a> {
    /// Takes `count` encoded tags from the front of `bytes`; returns them and the rest.
    pub(super) fn split(count: u8, bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut rest = bytes;
        for _ in 0..count {
            let (&length, tail) = rest.split_first()?;
            let (text, tail) = tail.split_at_checked(usize::from(length))?;
            std::str::from_utf8(text).ok()?;
            rest = tail;
        }
        let encoded = &bytes[..bytes.len() - rest.len()];
        Some((Self { count, encoded }, rest))
    }

    /// Returns the texts, in the order they were stored.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut rest = self.encoded;
        std::iter::from_fn(move || {
            let (&length, tail) = rest.split_first()?;
            let (text, tail) = tail.split_at_checked(usize::from(length))?;
            rest = tail;
            std::str::from_utf8(text).ok()
        })
    }

    /// Returns the tags as values of their own.
    #[must_use]
    pub fn to_vec(&self) -> Vec<Tag> {
        self.iter().filter_map(|text| Tag::new(text).ok()).collect()
    }
}

/// Tags encoded for a new record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagsBuf {
    count: u8,
    encoded: Vec<u8>,
}

impl TagsBuf {
    /// Encodes `tags`, which [`crate::key::check_tags`] has let pass.
    #[must_use]
    pub fn new(tags: &[Tag]) -> Self {
        let mut encoded = Vec::new();
        for tag in tags {
            encoded.push(u8::try_from(tag.as_str().len()).expect("tags are at most 255 bytes"));
            encoded.extend_from_slice(tag.as_str().as_bytes());
        }
        Self { count: u8::try_from(tags.len()).expect("at most 64 tags were let pass"), encoded }
    }

    /// Returns them as a record holds them.
    #[must_use]
    pub fn as_tags(&self) -> Tags<'_> {
        Tags { count: self.count, encoded: &self.encoded }
    }
}
