//! What the bytes of a value stand for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the bytes of a value stand for; travels with the entry, so that no reader is handed another type silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Codec {
    /// Raw bytes.
    Bytes = 0,
    /// UTF-8 text.
    Text = 1,
    /// Canonical JSON text.
    Json = 2,
}

impl Codec {
    /// Returns the codec of a stored byte, `None` where this build knows none.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Bytes, Self::Text, Self::Json].into_iter().find(|codec| *codec as u8 == byte)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}
