//! What the structured target can ask for: a few names, values and moments that meet one another often.

use arbitrary::Arbitrary;
use datacache_proto::key::{Key, Tag};
use datacache_proto::types::Digest;
use sha2::Digest as _;

/// The namespaces.
pub const SPACES: [&str; 3] = ["default", "oteapi", "naïve"];
/// The tags.
pub const TAGS: [&str; 3] = ["a", "ab", "ü"];
/// Scopes that are open at a time; one that has ended is followed by another.
pub const SCOPES: u64 = 2;
/// Later than all of it.
const FAR: u64 = 1 << 42;

/// One call, or a turn of the daemon's life. Numbers stand for names, see below.
#[derive(Arbitrary, Debug)]
pub enum Step {
    Add(Item),
    /// The same call once more, as after an answer that did not arrive.
    Again,
    AddMany(Vec<Item>),
    Delete(u8, Vec<u8>),
    Touch(u8, u8, Expiry),
    Evict(u8, u8),
    Expire(u8),
    Clear(u8),
    Release(u8),
    Get(u8, u8),
    Read(u8, u8),
    List {
        space: u8,
        tag: Option<u8>,
        has_prefix: bool,
        limit: u8,
    },
    Restart {
        dies: bool,
    },
    Reconnect,
}

/// An entry to be added.
#[derive(Arbitrary, Clone, Debug)]
pub struct Item {
    pub space: u8,
    pub key: u8,
    pub codec: u8,
    pub body: Content,
    pub expires: Expiry,
    pub tags: u8,
    pub scope: Option<u8>,
    pub pinned: bool,
    pub durable: bool,
}

/// A value, and how it gets there.
#[derive(Arbitrary, Clone, Debug)]
pub enum Content {
    Inline { byte: u8, length: u8 },
    Staged(u8),
    Uploaded(u8),
}

/// When an entry ends.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Expiry {
    Never,
    Past,
    Later(u8),
}

/// Returns the namespace that a number stands for.
#[must_use]
pub fn space_of(number: u8) -> &'static str {
    SPACES[usize::from(number) % SPACES.len()]
}

/// How many keys there are.
pub const KEYS: u8 = 10;

/// Returns the key that a number stands for: text, bytes, an integer, and ones too long for the index.
#[must_use]
pub fn key_of(number: u8) -> Key {
    match number % KEYS {
        0 => Key::from(42),
        1 => Key::from(b"42"),
        2 => Key::from("42"),
        3 => Key::from("long".repeat(200)),
        4 => Key::from(format!("{}!", "long".repeat(200))),
        number => Key::from(format!("k{}", number * 3)),
    }
}

/// Returns the tags whose bits are set.
#[must_use]
pub fn tags_of(bits: u8) -> Vec<Tag> {
    let is_in = |number: &usize| bits & 1 << number != 0;
    (0..TAGS.len()).filter(is_in).map(|number| Tag::new(TAGS[number]).expect("it is one")).collect()
}

/// Returns the moment of an expiry.
#[must_use]
pub fn moment(expires: Expiry) -> Option<u64> {
    match expires {
        Expiry::Never => None,
        Expiry::Past => Some(1_000),
        Expiry::Later(more) => Some(FAR + u64::from(more)),
    }
}

/// Any moment between [`Expiry::Past`] and [`Expiry::Later`].
#[must_use]
pub fn now() -> u64 {
    1 << 41
}

/// Returns one of the values that are files.
#[must_use]
pub fn large(number: u8) -> Vec<u8> {
    let number = number % 4;
    vec![b'0' + number; [0, 300, 40_000, 70_000][usize::from(number)]]
}

/// Returns the name of a blob.
#[must_use]
pub fn digest(value: &[u8]) -> Digest {
    Digest(sha2::Sha256::digest(value).into())
}
