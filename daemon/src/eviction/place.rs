//! Where an entry stands, and what is to be known of it when its turn comes.

use datacache_proto::recent::KeyHash;

/// One of the two queues. New places join at the end, and the first is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Of entries that are new.
    Small,
    /// Of entries that were found worth more than one look.
    Main,
}

/// What the policy wants to remember with a place. Its owner keeps it, and reads nothing into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Note(pub(super) u8);

impl Note {
    /// Takes a note up that was kept as a byte.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Returns the byte to keep.
    pub const fn to_bits(self) -> u8 {
        self.0
    }
}

/// Where an entry stands: at the end of a queue, since it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The queue that it joins.
    pub queue: Queue,
    /// What to keep with it.
    pub note: Note,
}

/// The first place of a queue, and what became of its entry.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The hash of its namespace and key.
    pub hash: KeyHash,
    /// The note that was kept.
    pub note: Note,
    /// The bytes that the entry had when it was given this place.
    pub placed: u64,
    /// The bytes that it has now: another value may have replaced the first.
    pub bytes: u64,
    /// How often it was read since it was last looked at, from 0 to 3:
    /// [`Access::frequency`](datacache_proto::access::Access::frequency).
    pub frequency: u8,
    /// What may be done with it.
    pub state: State,
}

/// What stands first in a queue, as far as its owner finds out.
#[derive(Clone, Copy, Debug)]
pub enum Front {
    /// An entry.
    Head(Head),
    /// Nobody.
    Nobody,
    /// It has looked for as long as a slice may.
    Later,
}

/// For an owner that finds out at once.
impl From<Option<Head>> for Front {
    fn from(first: Option<Head>) -> Self {
        first.map_or(Self::Nobody, Self::Head)
    }
}

/// What may be done with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It may be evicted.
    Free,
    /// It is pinned or leased: it stays, whatever the policy thinks of it, and is looked at no more as long as that is so.
    Held,
    /// It is not there any more, or has another place.
    Gone,
}
