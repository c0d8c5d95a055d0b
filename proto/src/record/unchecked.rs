//! What is read of a record before it is checked, because the checksum can't be, or would cost too much.

use super::{
    Birth, CREATED_AT, EXPIRES_AT, FORMAT_AT, Record, TAG_COUNT_AT, Tags, VERSION_AT, birth, head_length, key_length,
    number, split_head,
};
use crate::time::Timestamp;

/// How old an entry is, as its record says before that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// When the content was added.
    pub created: Timestamp,
    /// The sequence number of the operation that brought the content.
    pub version: u64,
    /// When the entry ends; `None` for never.
    pub expires: Option<Timestamp>,
}

impl Record<'_> {
    /// Returns the whole key that a record holds because its index key is cut, before the record is checked: its
    /// checksum can only be checked once the key is known. Whatever format and flags are there: a key that damage to those hid could
    /// never be deleted.
    #[must_use]
    pub fn unchecked_key(bytes: &[u8]) -> Option<&[u8]> {
        let (head, rest) = bytes.split_at_checked(head_length(*bytes.get(FORMAT_AT)?))?;
        let (_, rest) = Tags::split(head[TAG_COUNT_AT], rest)?;
        rest.get(..key_length(head)).filter(|key| !key.is_empty())
    }

    /// Returns how old the entry is, without a look at what would have to be read for the checksum. It may be anything where the
    /// record is damaged.
    #[must_use]
    pub fn unchecked_age(bytes: &[u8]) -> Option<Age> {
        let (head, _) = split_head(bytes).ok()?;
        let expires = Some(number(head, EXPIRES_AT)).filter(|expires| *expires > 0).map(Timestamp::from_millis);
        let created = Timestamp::from_millis(number(head, CREATED_AT));
        Some(Age { created, version: number(head, VERSION_AT), expires })
    }

    /// Returns when the entry was born, before the record is checked. It may be anything where that is damaged.
    #[must_use]
    pub fn unchecked_birth(bytes: &[u8]) -> Option<Birth> {
        split_head(bytes).ok().map(|(head, _)| birth(head))
    }
}
