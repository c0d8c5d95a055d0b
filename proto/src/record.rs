//! An entry as it is stored, in the log and in the index alike: how it is laid out, encoded, and read without a copy.
//!
//! ```text
//!  0  checksum      u64   xxh3-64 of all that follows, seeded with the hash of namespace and key
//!  8  format        u8    1
//!  9  codec         u8    see `Codec`
//! 10  flags         u8    1 = the value is a blob, 2 = bound to a scope, 4 = the whole key is in the record
//! 11  tag count     u8
//! 12  key length    u32   0 without flag 4
//! 16  seq           u64   of the last operation on the entry
//! 24  version       u64   of the content: the seq of the operation that brought it
//! 32  created       u64   milliseconds since the epoch
//! 40  expires       u64   the same; 0 = never
//! 48  value length  u64
//! 56  tags, each a length (u8) and its text; the key; the value, or the 32 bytes of its SHA-256
//! ```
//!
//! All numbers are little-endian. The seed ties a record to its key: a record that damage moved to another key is
//! found out like any other. Old readers refuse a newer `format`; flags unknown to them are a newer format too.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::key::{Key, Tag};
use crate::time::Timestamp;
use crate::types::{Codec, Digest, Metadata};

const FORMAT: u8 = 1;
const FORMAT_AT: usize = 8;
const CODEC_AT: usize = FORMAT_AT + 1;
const FLAGS_AT: usize = CODEC_AT + 1;
const TAG_COUNT_AT: usize = FLAGS_AT + 1;
const KEY_LENGTH_AT: usize = TAG_COUNT_AT + 1;
const SEQ_AT: usize = KEY_LENGTH_AT + 4;
const VERSION_AT: usize = SEQ_AT + 8;
const CREATED_AT: usize = VERSION_AT + 8;
const EXPIRES_AT: usize = CREATED_AT + 8;
const VALUE_LENGTH_AT: usize = EXPIRES_AT + 8;
/// Where the variable part begins.
const HEAD: usize = VALUE_LENGTH_AT + 8;

const BLOB: u8 = 1;
const BOUND: u8 = 2;
const WHOLE_KEY: u8 = 4;
const KNOWN_FLAGS: u8 = BLOB | BOUND | WHOLE_KEY;

/// A record read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the bytes stand for.
    pub codec: Codec,
    /// Whether the entry lives only while it is leased.
    pub bound: bool,
    /// The sequence number of the last operation on the entry.
    pub seq: u64,
    /// The sequence number of the operation that brought the content.
    pub version: u64,
    /// When the content was added.
    pub created: Timestamp,
    /// When the entry ends; `None` for never.
    pub expires: Option<Timestamp>,
    /// The tags.
    pub tags: Tags<'a>,
    /// The encoded key, where it is too long for the index.
    pub key: Option<&'a [u8]>,
    /// The value, or where it lies.
    pub value: Value<'a>,
}

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

/// The value of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// The bytes themselves.
    Inline(&'a [u8]),
    /// A file of the store.
    Blob {
        /// Its length in bytes.
        length: u64,
        /// Its name.
        digest: Digest,
    },
}

impl Value<'_> {
    /// Returns the value's length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty value is an ordinary one; nobody asks for it")]
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Blob { length, .. } => *length,
        }
    }

    /// Returns the blob's name, where the value is one.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Inline(_) => None,
            Self::Blob { digest, .. } => Some(*digest),
        }
    }
}

/// The tags of a record: their encoded texts, checked when the record was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tags<'a> {
    count: u8,
    encoded: &'a [u8],
}

impl<'a> Tags<'a> {
    /// Takes `count` encoded tags from the front of `bytes`; returns them and the rest.
    fn split(count: u8, bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
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

/// A record that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is shorter than its own fields say.
    #[error("the record is cut short")]
    Short,
    /// Its bytes are not those that were written, or belong to another key.
    #[error("the record's checksum is wrong")]
    Checksum,
    /// A newer build wrote it.
    #[error("the record has format {format}, which this build does not know")]
    Format {
        /// Its format.
        format: u8,
    },
    /// A field has no meaning.
    #[error("the record has a field without meaning")]
    Field,
}

impl<'a> Record<'a> {
    /// Reads a record; `seed` is the hash of its namespace and key.
    ///
    /// # Errors
    /// [`RecordError`] where any byte is not as it was written.
    pub fn decode(bytes: &'a [u8], seed: u64) -> Result<Self, RecordError> {
        let head = bytes.get(..HEAD).ok_or(RecordError::Short)?;
        if number(head, 0) != xxh3_64_with_seed(&bytes[FORMAT_AT..], seed) {
            return Err(RecordError::Checksum);
        }
        let flags = head[FLAGS_AT];
        if head[FORMAT_AT] != FORMAT || flags & !KNOWN_FLAGS != 0 {
            return Err(RecordError::Format { format: head[FORMAT_AT] });
        }
        let (tags, rest) = Tags::split(head[TAG_COUNT_AT], &bytes[HEAD..]).ok_or(RecordError::Field)?;
        let (key, rest) = rest.split_at_checked(key_length(head)).ok_or(RecordError::Short)?;
        Ok(Self {
            codec: Codec::from_byte(head[CODEC_AT]).ok_or(RecordError::Field)?,
            bound: flags & BOUND != 0,
            seq: number(head, SEQ_AT),
            version: number(head, VERSION_AT),
            created: Timestamp::from_millis(number(head, CREATED_AT)),
            expires: Some(number(head, EXPIRES_AT)).filter(|&at| at != 0).map(Timestamp::from_millis),
            tags,
            key: (flags & WHOLE_KEY != 0).then_some(key),
            value: value(flags, number(head, VALUE_LENGTH_AT), rest)?,
        })
    }

    /// Returns the value of a record whose checksum was looked at before; what is no record has none.
    #[must_use]
    pub fn unchecked_value(bytes: &'a [u8]) -> Option<Value<'a>> {
        let head = bytes.get(..HEAD)?;
        let (_, rest) = Tags::split(head[TAG_COUNT_AT], &bytes[HEAD..])?;
        let (_, rest) = rest.split_at_checked(key_length(head))?;
        value(head[FLAGS_AT], number(head, VALUE_LENGTH_AT), rest).ok()
    }

    /// Returns the whole key that a record holds because its index key is cut, before the record is checked: its
    /// checksum can only be checked once the key is known.
    #[must_use]
    pub fn unchecked_key(bytes: &[u8]) -> Option<&[u8]> {
        let head = bytes.get(..HEAD).filter(|head| head[FLAGS_AT] & WHOLE_KEY != 0)?;
        let (_, rest) = Tags::split(head[TAG_COUNT_AT], &bytes[HEAD..])?;
        rest.get(..key_length(head))
    }

    /// Returns how old the entry is, without a look at what would have to be read for the checksum. It may be anything where the
    /// record is damaged.
    #[must_use]
    pub fn unchecked_age(bytes: &[u8]) -> Option<Age> {
        let head = bytes.get(..HEAD).filter(|head| head[FORMAT_AT] == FORMAT)?;
        let expires = Some(number(head, EXPIRES_AT)).filter(|expires| *expires > 0).map(Timestamp::from_millis);
        let created = Timestamp::from_millis(number(head, CREATED_AT));
        Some(Age { created, version: number(head, VERSION_AT), expires })
    }

    /// Appends the record's bytes to `out`; `seed` is the hash of its namespace and key.
    pub fn encode(&self, seed: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEAD]);
        out.extend_from_slice(self.tags.encoded);
        out.extend_from_slice(self.key.unwrap_or_default());
        match self.value {
            Value::Inline(bytes) => out.extend_from_slice(bytes),
            Value::Blob { digest, .. } => out.extend_from_slice(&digest.0),
        }
        let bytes = &mut out[start..];
        self.fill_head(bytes);
        let checksum = xxh3_64_with_seed(&bytes[FORMAT_AT..], seed);
        bytes[..FORMAT_AT].copy_from_slice(&checksum.to_le_bytes());
    }

    fn fill_head(&self, head: &mut [u8]) {
        let key_length = self.key.map_or(0, |key| u32::try_from(key.len()).expect("keys are at most 64 KiB"));
        head[FORMAT_AT] = FORMAT;
        head[CODEC_AT] = self.codec as u8;
        head[FLAGS_AT] = self.flags();
        head[TAG_COUNT_AT] = self.tags.count;
        head[KEY_LENGTH_AT..SEQ_AT].copy_from_slice(&key_length.to_le_bytes());
        head[SEQ_AT..VERSION_AT].copy_from_slice(&self.seq.to_le_bytes());
        head[VERSION_AT..CREATED_AT].copy_from_slice(&self.version.to_le_bytes());
        head[CREATED_AT..EXPIRES_AT].copy_from_slice(&self.created.as_millis().to_le_bytes());
        let expires = self.expires.map_or(0, |at| at.as_millis().max(1));
        head[EXPIRES_AT..VALUE_LENGTH_AT].copy_from_slice(&expires.to_le_bytes());
        head[VALUE_LENGTH_AT..HEAD].copy_from_slice(&self.value.len().to_le_bytes());
    }

    fn flags(&self) -> u8 {
        let blob = if self.value.digest().is_some() { BLOB } else { 0 };
        let bound = if self.bound { BOUND } else { 0 };
        let whole_key = if self.key.is_some() { WHOLE_KEY } else { 0 };
        blob | bound | whole_key
    }

    /// Tells whether the entry's time is over at `now`: from the very millisecond of its expiry on.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Returns what there is to tell of the entry under `key`.
    #[must_use]
    pub fn metadata(&self, key: Key) -> Metadata {
        Metadata {
            key,
            codec: self.codec,
            size: self.value.len(),
            tags: self.tags.to_vec(),
            created: self.created,
            expires: self.expires,
            version: self.version,
            bound: self.bound,
            digest: self.value.digest(),
        }
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

fn value(flags: u8, length: u64, rest: &[u8]) -> Result<Value<'_>, RecordError> {
    if flags & BLOB != 0 {
        let digest = Digest(rest.try_into().map_err(|_| RecordError::Short)?);
        return Ok(Value::Blob { length, digest });
    }
    if rest.len() as u64 != length {
        return Err(RecordError::Short);
    }
    Ok(Value::Inline(rest))
}

fn key_length(head: &[u8]) -> usize {
    let bytes = head[KEY_LENGTH_AT..SEQ_AT].try_into().expect("four bytes were cut");
    usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were cut"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(texts: &[&str]) -> TagsBuf {
        TagsBuf::new(&texts.iter().map(|text| Tag::new(text).unwrap()).collect::<Vec<_>>())
    }

    fn sample<'a>(tags: &'a TagsBuf, value: Value<'a>) -> Record<'a> {
        Record {
            codec: Codec::Text,
            bound: true,
            seq: 12,
            version: 7,
            created: Timestamp::from_millis(1_000),
            expires: Some(Timestamp::from_millis(2_000)),
            tags: tags.as_tags(),
            key: Some(b"\x01a long key"),
            value,
        }
    }

    #[test]
    fn a_record_comes_back_as_it_went_in() {
        let tags = tags(&["a", "naïve", &"x".repeat(255)]);
        for value in
            [Value::Inline(b""), Value::Inline(b"value"), Value::Blob { length: 1 << 40, digest: Digest([9; 32]) }]
        {
            let record = sample(&tags, value);
            let mut bytes = vec![0xee; 3];
            record.encode(42, &mut bytes);
            assert_eq!(Record::decode(&bytes[3..], 42), Ok(record));
            assert_eq!(Record::unchecked_key(&bytes[3..]), record.key);
            let age = Age { created: record.created, version: record.version, expires: record.expires };
            assert_eq!(Record::unchecked_age(&bytes[3..]), Some(age));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let tags = tags(&["tag"]);
        let mut bytes = Vec::new();
        sample(&tags, Value::Inline(b"some value")).encode(42, &mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(&damaged, 42).is_err(), "bit {bit} may flip unseen");
        }
        for length in 0..bytes.len() {
            assert!(Record::decode(&bytes[..length], 42).is_err(), "a cut at {length} goes unseen");
        }
    }

    #[test]
    fn a_record_under_a_foreign_key_is_refused() {
        let tags = TagsBuf::default();
        let mut bytes = Vec::new();
        sample(&tags, Value::Inline(b"v")).encode(42, &mut bytes);
        assert_eq!(Record::decode(&bytes, 43), Err(RecordError::Checksum));
    }

    #[test]
    fn a_record_of_a_newer_format_is_told_from_a_damaged_one() {
        let tags = TagsBuf::default();
        let mut bytes = Vec::new();
        sample(&tags, Value::Inline(b"v")).encode(42, &mut bytes);
        bytes[FORMAT_AT] = 2;
        let checksum = xxh3_64_with_seed(&bytes[FORMAT_AT..], 42);
        bytes[..8].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Record::decode(&bytes, 42), Err(RecordError::Format { format: 2 }));
    }

    #[test]
    fn an_entry_is_expired_from_its_deadline_on() {
        let tags = TagsBuf::default();
        let record = sample(&tags, Value::Inline(b"v"));
        assert!(!record.is_expired(Timestamp::from_millis(1_999)));
        assert!(record.is_expired(Timestamp::from_millis(2_000)));
        assert!(!Record { expires: None, ..record }.is_expired(Timestamp::MAX));
    }
}
