//! The additions of one call: written down one behind the other by the client, and read where they lie by the daemon. Neither
//! makes a copy of each key and value, which cost more than all else that is done about a small one.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::Appending;
use crate::key::Tag;
use crate::lists::{TAGS, at_most};
use crate::time::Timestamp;
use crate::types::{Addition, Body, Codec, Digest};

/// Additions in one piece of memory, each as postcard writes an [`AdditionRef`]; cheap to clone.
///
/// # Examples
/// ```
/// use datacache_proto::additions::Additions;
///
/// let none: Additions = Vec::new().into();
/// assert_eq!((none.len(), none.iter().count()), (0, 0));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Additions {
    count: u32,
    #[serde(with = "in_one_piece")]
    bytes: Bytes,
}

/// Additions that are being written down.
#[derive(Debug, Default)]
pub struct AdditionsBuilder {
    count: u32,
    bytes: Vec<u8>,
}

/// An [`Addition`] read in place, or about to be written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdditionRef<'a> {
    /// The namespace's name.
    pub namespace: &'a str,
    /// The entry's key, as [`Key::encoded`](crate::key::Key::encoded) gives it. Not checked.
    #[serde(with = "serde_bytes")]
    pub key: &'a [u8],
    /// What the bytes stand for.
    pub codec: Codec,
    /// The value, or where it lies.
    #[serde(borrow)]
    pub body: BodyRef<'a>,
    /// When the entry ends by itself; `None` for never.
    pub expires: Option<Timestamp>,
    /// The entry's tags. Not checked.
    #[serde(borrow, deserialize_with = "at_most::<TAGS, _, _>")]
    pub tags: Vec<&'a str>,
    /// The scope that the entry is bound to.
    pub scope: Option<u64>,
    /// Whether it stays when there is no room for all; its time still ends.
    pub pinned: bool,
    /// Whether the answer waits until the entry survives a loss of power.
    pub durable: bool,
}

/// A [`Body`] read in place, or about to be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyRef<'a> {
    /// The bytes themselves.
    Inline(#[serde(with = "serde_bytes")] &'a [u8]),
    /// A file in the staging folder.
    Staged {
        /// Its name there.
        name: &'a str,
        /// Its length in bytes.
        length: u64,
        /// Its SHA-256, as the client counted it.
        digest: Digest,
    },
    /// What the connection sent by `upload`.
    Uploaded {
        /// The number that `upload_begin` gave.
        upload: u64,
        /// The sum of the chunks in bytes.
        length: u64,
    },
}

/// Bytes that are no addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the additions of the call can't be read")]
pub struct Malformed;

impl Additions {
    /// Returns how many there are said to be.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns them in their order; an error is the last item.
    pub fn iter(&self) -> impl Iterator<Item = Result<AdditionRef<'_>, Malformed>> {
        let mut rest = Some(&self.bytes[..]);
        (1..=self.count).map_while(move |number| {
            let taken = postcard::take_from_bytes(rest.take()?);
            let (addition, behind) = match taken {
                // What is behind the last one would be lost without a word.
                Ok((_, behind)) if number == self.count && !behind.is_empty() => return Some(Err(Malformed)),
                Ok(taken) => taken,
                Err(_) => return Some(Err(Malformed)),
            };
            rest = Some(behind);
            Some(Ok(addition))
        })
    }

    /// Returns a part that one of them shows, without copying it.
    #[must_use]
    pub fn part(&self, part: &[u8]) -> Bytes {
        self.bytes.slice_ref(part)
    }
}

impl AdditionsBuilder {
    /// Begins with room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { count: 0, bytes: Vec::with_capacity(bytes) }
    }

    /// Writes one down behind the others.
    pub fn push(&mut self, addition: &AdditionRef<'_>) {
        let written = postcard::serialize_with_flavor(addition, Appending(&mut self.bytes));
        written.expect("additions are plain data, and memory is the only limit");
        self.count += 1;
    }

    /// Returns them all.
    #[must_use]
    pub fn finish(self) -> Additions {
        Additions { count: self.count, bytes: self.bytes.into() }
    }
}

impl From<Vec<Addition>> for Additions {
    fn from(additions: Vec<Addition>) -> Self {
        let mut builder = AdditionsBuilder::default();
        additions.iter().for_each(|addition| builder.push(&addition.into()));
        builder.finish()
    }
}

impl<'a> From<&'a Addition> for AdditionRef<'a> {
    fn from(addition: &'a Addition) -> Self {
        let Addition { namespace, key, codec, body, expires, tags, scope, pinned, durable } = addition;
        Self {
            namespace,
            key: key.encoded(),
            codec: *codec,
            body: body.into(),
            expires: *expires,
            tags: tags.iter().map(Tag::as_str).collect(),
            scope: *scope,
            pinned: *pinned,
            durable: *durable,
        }
    }
}

impl<'a> From<&'a Body> for BodyRef<'a> {
    fn from(body: &'a Body) -> Self {
        match body {
            Body::Inline(bytes) => Self::Inline(bytes),
            Body::Staged { name, length, digest } => Self::Staged { name, length: *length, digest: *digest },
            Body::Uploaded { upload, length } => Self::Uploaded { upload: *upload, length: *length },
        }
    }
}

impl From<BodyRef<'_>> for Body {
    fn from(body: BodyRef<'_>) -> Self {
        match body {
            BodyRef::Inline(bytes) => Self::Inline(bytes.to_vec()),
            BodyRef::Staged { name, length, digest } => Self::Staged { name: name.to_owned(), length, digest },
            BodyRef::Uploaded { upload, length } => Self::Uploaded { upload, length },
        }
    }
}

/// Bytes as they are, not one by one.
mod in_one_piece {
    use bytes::Bytes;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(&bytes[..], serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        serde_bytes::deserialize::<Vec<u8>, D>(deserializer).map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    fn addition(key: &str, body: Body) -> Addition {
        Addition {
            namespace: "n".into(),
            key: Key::from(key),
            codec: Codec::Text,
            body,
            expires: Some(Timestamp::from_millis(7)),
            tags: vec![Tag::new("a").unwrap(), Tag::new("b").unwrap()],
            scope: Some(3),
            pinned: true,
            durable: true,
        }
    }

    fn some() -> Vec<Addition> {
        let staged = Body::Staged { name: "s".into(), length: 1 << 40, digest: Digest([9; 32]) };
        let uploaded = Body::Uploaded { upload: 2, length: 300 };
        let bodies = [Body::Inline(vec![0xff; 200]), staged, uploaded, Body::Inline(Vec::new())];
        bodies.into_iter().map(|body| addition("k", body)).collect()
    }

    #[test]
    fn additions_come_back_over_the_wire_in_their_order() {
        let additions = some();
        let sent = postcard::to_stdvec(&Additions::from(additions.clone())).unwrap();
        let received: Additions = postcard::from_bytes(&sent).unwrap();
        assert_eq!(received.len(), additions.len());
        for (received, sent) in received.iter().zip(&additions) {
            let received = received.unwrap();
            assert_eq!(received, sent.into());
            assert_eq!(Body::from(received.body), sent.body);
        }
    }

    #[test]
    fn a_part_is_shared_and_not_copied() {
        let additions = Additions::from(some());
        let first = additions.iter().next().unwrap().unwrap();
        let part = additions.part(first.key);
        assert_eq!((&part[..], part.as_ptr()), (first.key, first.key.as_ptr()));
    }

    #[test]
    fn bytes_that_are_no_additions_are_an_error_and_nothing_worse() {
        let whole = Additions::from(some());
        for length in 0..whole.bytes.len() {
            let cut = Additions { count: whole.count, bytes: whole.bytes.slice(..length) };
            let read: Vec<_> = cut.iter().collect();
            assert!(read.len() <= cut.len() && read.last() == Some(&Err(Malformed)), "a cut at {length} goes unseen");
        }
        let more = Additions { count: u32::MAX, ..whole.clone() };
        assert_eq!((more.iter().count(), more.iter().last()), (5, Some(Err(Malformed))));
        let fewer = Additions { count: 3, ..whole };
        assert_eq!((fewer.iter().count(), fewer.iter().last()), (3, Some(Err(Malformed))));
    }

    /// Every other value of every byte: whatever a length or a kind is turned into.
    #[test]
    fn a_byte_that_is_another_shows_nothing_that_was_not_sent() {
        let whole = Additions::from(some());
        let changed = (0..whole.bytes.len()).flat_map(|at| (1..=u8::MAX).map(move |by| (at, by)));
        for (at, by) in changed {
            let mut bytes = whole.bytes.to_vec();
            bytes[at] ^= by;
            let changed = Additions { count: whole.count, bytes: bytes.into() };
            let read: Vec<_> = changed.iter().collect();
            let is_error = read.iter().position(Result::is_err).map(|error| error + 1);
            assert_eq!(is_error.unwrap_or(changed.len()), read.len(), "with {by} at {at}");
            for addition in read.into_iter().flatten() {
                assert_eq!(changed.part(addition.key), addition.key);
                assert!(addition.tags.len() <= changed.bytes.len());
                if let BodyRef::Inline(value) = addition.body {
                    assert_eq!(changed.part(value), value);
                }
            }
        }
    }
}
