//! What a client did to one key, as it is written down.

use serde::{Deserialize, Serialize};

/// Something that was done to a key, by a call or by a look into the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The key.
    pub key: u64,
    /// The worker that did it.
    pub worker: u64,
    /// When it began, see [`monotonic`](super::monotonic).
    pub begun: u64,
    /// When it had ended; `None` where it is unknown whether it was done at all.
    pub ended: Option<u64>,
    /// What it was.
    pub act: Act,
}

/// What was done, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Act {
    /// The key was given a value.
    Put {
        /// Which; no other put has the same.
        value: u64,
        /// How long it lives, `None` for ever.
        life: Option<Life>,
        /// Whether it has the tag that [`Act::Evict`] is about.
        tagged: bool,
    },
    /// The value was read.
    Get {
        /// Which it was.
        seen: Option<u64>,
    },
    /// It was asked whether there is a value.
    Has {
        /// The answer.
        seen: bool,
    },
    /// The value was given another life.
    Touch {
        /// That life, `None` for ever.
        life: Option<Life>,
        /// Whether there was a value, if that is known.
        was: Option<bool>,
    },
    /// The value was deleted.
    Delete {
        /// Whether there was one, if that is known.
        was: Option<bool>,
    },
    /// All values with the tag were deleted.
    Evict,
}

/// A life that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Life {
    /// Which; nothing else gives the same.
    pub number: u64,
    /// Its last moment, in milliseconds of the wall clock since 1970.
    pub deadline: u64,
}

impl Act {
    /// Returns the life that this may have given.
    #[must_use]
    pub fn life(&self) -> Option<Life> {
        match *self {
            Self::Put { life, .. } | Self::Touch { life, .. } => life,
            _ => None,
        }
    }

    /// Returns the same without what came of it.
    #[must_use]
    pub fn untold(self) -> Self {
        match self {
            Self::Touch { life, .. } => Self::Touch { life, was: None },
            Self::Delete { .. } => Self::Delete { was: None },
            other => other,
        }
    }

    /// Tells whether it changes nothing.
    #[must_use]
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Get { .. } | Self::Has { .. })
    }
}
