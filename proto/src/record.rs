//! An entry as it is stored, in the log and in the index alike: how it is laid out, encoded, and read without a copy.
//!
//! ```text
//!  0  checksum      u64   xxh3-64 of all that follows, seeded with the hash of namespace and key
//!  8  format        u8    2
//!  9  codec         u8    see `Codec`
//! 10  flags         u8    1 = the value is a blob, 2 = bound to a scope, 4 = the whole key is in the record,
//!                         8 = pinned, 16 = born in the main queue
//! 11  tag count     u8
//! 12  key length    u24   0 without flag 4
//! 15  note          u8    what the eviction's policy noted at the birth
//! 16  seq           u64   of the last operation on the entry
//! 24  version       u64   of the content: the seq of the operation that brought it
//! 32  created       u64   milliseconds since the epoch
//! 40  expires       u64   the same; 0 = never
//! 48  value length  u64
//! 56  birth         u64   the seq of the operation that made the key an entry, when it had none
//! 64  tags, each a length (u8) and its text; the key; the value, or the 32 bytes of its SHA-256
//! ```
//!
//! All numbers are little-endian. The seed ties a record to its key: a record that damage moved to another key is
//! found out like any other. Old readers refuse a newer `format`; flags unknown to them are a newer format too.
//!
//! Format 1 had no birth: what it has comes at 56. It is read as if the entry was born with its content, in the small queue, and is
//! never written.

mod tags;
mod unchecked;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::key::Key;
use crate::time::Timestamp;
use crate::types::{Codec, Digest, Metadata};

pub use self::tags::{Tags, TagsBuf};
pub use self::unchecked::Age;

const FORMAT: u8 = 2;
/// The one without a birth.
const FORMAT_1: u8 = 1;
const FORMAT_AT: usize = 8;
const CODEC_AT: usize = FORMAT_AT + 1;
const FLAGS_AT: usize = CODEC_AT + 1;
const TAG_COUNT_AT: usize = FLAGS_AT + 1;
const KEY_LENGTH_AT: usize = TAG_COUNT_AT + 1;
const NOTE_AT: usize = KEY_LENGTH_AT + 3;
const SEQ_AT: usize = NOTE_AT + 1;
const VERSION_AT: usize = SEQ_AT + 8;
const CREATED_AT: usize = VERSION_AT + 8;
const EXPIRES_AT: usize = CREATED_AT + 8;
const VALUE_LENGTH_AT: usize = EXPIRES_AT + 8;
const BIRTH_AT: usize = VALUE_LENGTH_AT + 8;
/// Where the variable part begins.
const HEAD: usize = BIRTH_AT + 8;

const BLOB: u8 = 1;
const BOUND: u8 = 2;
const WHOLE_KEY: u8 = 4;
const KNOWN_FLAGS_OF_1: u8 = BLOB | BOUND | WHOLE_KEY;
const PINNED: u8 = 8;
const BORN_IN_MAIN: u8 = 16;
const KNOWN_FLAGS: u8 = KNOWN_FLAGS_OF_1 | PINNED | BORN_IN_MAIN;

/// A record read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the bytes stand for.
    pub codec: Codec,
    /// Whether the entry lives only while it is leased.
    pub bound: bool,
    /// Whether it stays when there is no room for all.
    pub pinned: bool,
    /// The sequence number of the last operation on the entry.
    pub seq: u64,
    /// The sequence number of the operation that brought the content.
    pub version: u64,
    /// Since when the key has an entry.
    pub birth: Birth,
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

/// The operation that made a key an entry after it had none, and the place in the eviction's queues that it was given. What replaces
/// the entry while it is there keeps its birth, and so does a touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    /// The operation's sequence number.
    pub seq: u64,
    /// Whether it joined the main queue, else the small one.
    pub main: bool,
    /// What the policy noted.
    pub note: u8,
}

impl Birth {
    /// Returns a birth by the operation `seq`, into the small queue and without a note.
    #[must_use]
    pub const fn at(seq: u64) -> Self {
        Self { seq, main: false, note: 0 }
    }
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
    /// Returns the record of bytes that the operation `seq` makes an entry: without anything that an entry need not have, created at
    /// the epoch.
    #[must_use]
    pub fn plain(seq: u64, value: Value<'a>) -> Self {
        Self {
            codec: Codec::Bytes,
            bound: false,
            pinned: false,
            seq,
            version: seq,
            birth: Birth::at(seq),
            created: Timestamp::default(),
            expires: None,
            tags: Tags::default(),
            key: None,
            value,
        }
    }

    /// Reads a record; `seed` is the hash of its namespace and key.
    ///
    /// # Errors
    /// [`RecordError`] where any byte is not as it was written.
    pub fn decode(bytes: &'a [u8], seed: u64) -> Result<Self, RecordError> {
        // Of the older format, which is the shorter one.
        let head = bytes.get(..BIRTH_AT).ok_or(RecordError::Short)?;
        if number(head, 0) != xxh3_64_with_seed(&bytes[FORMAT_AT..], seed) {
            return Err(RecordError::Checksum);
        }
        Self::unchecked(bytes)
    }

    /// Reads a record whose checksum was looked at before.
    ///
    /// # Errors
    /// [`RecordError`] where it is none.
    pub fn unchecked(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let (head, rest) = split_head(bytes)?;
        let flags = head[FLAGS_AT];
        let (tags, rest) = Tags::split(head[TAG_COUNT_AT], rest).ok_or(RecordError::Field)?;
        let (key, rest) = rest.split_at_checked(key_length(head)).ok_or(RecordError::Short)?;
        Ok(Self {
            codec: Codec::from_byte(head[CODEC_AT]).ok_or(RecordError::Field)?,
            bound: flags & BOUND != 0,
            pinned: flags & PINNED != 0,
            seq: number(head, SEQ_AT),
            version: number(head, VERSION_AT),
            birth: birth(head),
            created: Timestamp::from_millis(number(head, CREATED_AT)),
            expires: Some(number(head, EXPIRES_AT)).filter(|&at| at != 0).map(Timestamp::from_millis),
            tags,
            key: (flags & WHOLE_KEY != 0).then_some(key),
            value: value(flags, number(head, VALUE_LENGTH_AT), rest)?,
        })
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
        head[KEY_LENGTH_AT..NOTE_AT].copy_from_slice(&key_length.to_le_bytes()[..NOTE_AT - KEY_LENGTH_AT]);
        head[NOTE_AT] = self.birth.note;
        head[SEQ_AT..VERSION_AT].copy_from_slice(&self.seq.to_le_bytes());
        head[VERSION_AT..CREATED_AT].copy_from_slice(&self.version.to_le_bytes());
        head[CREATED_AT..EXPIRES_AT].copy_from_slice(&self.created.as_millis().to_le_bytes());
        let expires = self.expires.map_or(0, |at| at.as_millis().max(1));
        head[EXPIRES_AT..VALUE_LENGTH_AT].copy_from_slice(&expires.to_le_bytes());
        head[VALUE_LENGTH_AT..BIRTH_AT].copy_from_slice(&self.value.len().to_le_bytes());
        head[BIRTH_AT..HEAD].copy_from_slice(&self.birth.seq.to_le_bytes());
    }

    fn flags(&self) -> u8 {
        let blob = if self.value.digest().is_some() { BLOB } else { 0 };
        let bound = if self.bound { BOUND } else { 0 };
        let whole_key = if self.key.is_some() { WHOLE_KEY } else { 0 };
        let pinned = if self.pinned { PINNED } else { 0 };
        let main = if self.birth.main { BORN_IN_MAIN } else { 0 };
        blob | bound | whole_key | pinned | main
    }

    /// Returns how many bytes it takes as [`Record::encode`] writes it.
    #[must_use]
    pub fn encoded_length(&self) -> usize {
        let value = match self.value {
            Value::Inline(bytes) => bytes.len(),
            Value::Blob { digest, .. } => digest.0.len(),
        };
        HEAD + self.tags.encoded.len() + self.key.map_or(0, <[u8]>::len) + value
    }

    /// Tells whether it stays when there is no room for all: a pinned one, and one that others hold.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.pinned || self.bound
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
            pinned: self.pinned,
            digest: self.value.digest(),
        }
    }
}

/// Splits a record's head off, by its format.
fn split_head(bytes: &[u8]) -> Result<(&[u8], &[u8]), RecordError> {
    let &[format, _, flags, ..] = bytes.get(FORMAT_AT..).ok_or(RecordError::Short)? else {
        return Err(RecordError::Short);
    };
    let known = match format {
        FORMAT => KNOWN_FLAGS,
        FORMAT_1 => KNOWN_FLAGS_OF_1,
        format => return Err(RecordError::Format { format }),
    };
    if flags & !known != 0 {
        return Err(RecordError::Format { format });
    }
    bytes.split_at_checked(head_length(format)).ok_or(RecordError::Short)
}

/// Returns where the variable part of a record begins; one that says it is of no format is taken for one of the newest.
fn head_length(format: u8) -> usize {
    if format == FORMAT_1 { BIRTH_AT } else { HEAD }
}

fn birth(head: &[u8]) -> Birth {
    match head[FORMAT_AT] {
        FORMAT_1 => Birth::at(number(head, VERSION_AT)),
        _ => Birth { seq: number(head, BIRTH_AT), main: head[FLAGS_AT] & BORN_IN_MAIN != 0, note: head[NOTE_AT] },
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
    let mut length = [0; 4];
    length[..NOTE_AT - KEY_LENGTH_AT].copy_from_slice(&head[KEY_LENGTH_AT..NOTE_AT]);
    usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were cut"))
}

#[cfg(test)]
mod tests;
