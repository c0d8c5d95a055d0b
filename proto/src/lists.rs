//! Lists in messages: how many items are taken into memory. An item of two bytes in a message can take fifty there.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use crate::key::MAX_TAGS;
use crate::types::BATCH_MAX;

/// The most tags that are listed for an entry. More than [`MAX_TAGS`] are refused by name, unless they are equal; more than
/// this end the connection.
pub(crate) const TAGS: usize = 16 * MAX_TAGS;
/// The most keys or tags of a call. More than [`BATCH_MAX`] keys are refused by name; more than this end the connection.
pub(crate) const NAMES: usize = 2 * BATCH_MAX;
/// The most scopes of an introduction.
pub(crate) const SCOPES: usize = 1 << 17;

/// Reads a list of at most `MAX` items.
///
/// # Errors
/// Where there are more; the others are not read.
pub(crate) fn at_most<'de, const MAX: usize, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_seq(AtMost::<MAX, T>(PhantomData))
}

struct AtMost<const MAX: usize, T>(PhantomData<T>);

impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for AtMost<MAX, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            list.push(item);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    struct Three(#[serde(deserialize_with = "at_most::<3, _, _>")] Vec<u8>);

    #[test]
    fn a_list_is_read_up_to_its_limit_and_no_further() {
        let read = |list: &[u8]| postcard::from_bytes::<Three>(&postcard::to_stdvec(list).unwrap());
        for length in 0..=3 {
            assert_eq!(read(&[7; 3][..length]), Ok(Three(vec![7; length])));
        }
        assert!(read(&[7; 4]).is_err());
    }

    #[test]
    fn a_length_that_is_only_claimed_takes_no_memory() {
        assert!(postcard::from_bytes::<Three>(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
    }
}
