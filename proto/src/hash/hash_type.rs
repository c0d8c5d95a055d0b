//! The names of the hash functions: hashlib's, in any case.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Names a hash function.
///
/// Reads hashlib's names in any case, from text and through serde; writes them in lower case.
///
/// ```
/// use datacache_proto::hash::HashType;
///
/// assert_eq!("SHA3_256".parse(), Ok(HashType::Sha3_256));
/// assert_eq!(HashType::default().to_string(), "sha256");
/// let error = "sha-512".parse::<HashType>().unwrap_err();
/// assert!(error.to_string().contains("did you mean sha512?"));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum HashType {
    /// MD5, 128 bits; broken: anyone can make two values of one key.
    Md5,
    /// SHA-1, 160 bits; broken: anyone can make two values of one key.
    Sha1,
    /// SHA-2 with 224 bits.
    Sha224,
    /// SHA-2 with 256 bits, the default.
    #[default]
    Sha256,
    /// SHA-2 with 384 bits.
    Sha384,
    /// SHA-2 with 512 bits.
    Sha512,
    /// SHA-3 with 224 bits.
    Sha3_224,
    /// SHA-3 with 256 bits.
    Sha3_256,
    /// SHA-3 with 384 bits.
    Sha3_384,
    /// SHA-3 with 512 bits.
    Sha3_512,
    /// BLAKE2b with 512 bits.
    Blake2b,
    /// BLAKE2s with 256 bits.
    Blake2s,
}

/// Tells why a name is not a [`HashType`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HashTypeError {
    /// No hash function has that name.
    #[error("unknown hash type {name:?}{}, known are {}", hint(*nearest), known_names())]
    Unknown {
        /// The name as it was given.
        name: String,
        /// A known type whose name is at most two edits away.
        nearest: Option<HashType>,
    },
    /// The function makes hashes of any length, and a name gives none.
    #[error("hash type {name:?} needs a length, use one that has its own: {}", known_names())]
    NeedsLength {
        /// The name as it was given.
        name: String,
    },
}

impl HashType {
    /// Every type, in the order in which messages list them.
    pub const ALL: [Self; 12] = [
        Self::Md5,
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Sha3_224,
        Self::Sha3_256,
        Self::Sha3_384,
        Self::Sha3_512,
        Self::Blake2b,
        Self::Blake2s,
    ];

    /// Returns hashlib's name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Sha3_224 => "sha3_224",
            Self::Sha3_256 => "sha3_256",
            Self::Sha3_384 => "sha3_384",
            Self::Sha3_512 => "sha3_512",
            Self::Blake2b => "blake2b",
            Self::Blake2s => "blake2s",
        }
    }

    fn nearest(lower_case: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .map(|hash_type| (strsim::osa_distance(lower_case, hash_type.name()), hash_type))
            .filter(|(edits, _)| *edits <= 2)
            .min_by_key(|(edits, _)| *edits)
            .map(|(_, hash_type)| hash_type)
    }
}

impl FromStr for HashType {
    type Err = HashTypeError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let lower_case = name.to_ascii_lowercase();
        let known = Self::ALL.into_iter().find(|it| it.name() == lower_case);
        known.ok_or_else(|| match lower_case.as_str() {
            "shake_128" | "shake_256" => HashTypeError::NeedsLength { name: name.into() },
            _ => HashTypeError::Unknown { name: name.into(), nearest: Self::nearest(&lower_case) },
        })
    }
}

impl TryFrom<String> for HashType {
    type Error = HashTypeError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<HashType> for &'static str {
    fn from(hash_type: HashType) -> Self {
        hash_type.name()
    }
}

impl fmt::Display for HashType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn known_names() -> String {
    HashType::ALL.map(HashType::name).join(", ")
}

fn hint(nearest: Option<HashType>) -> String {
    nearest.map_or_else(String::new, |it| format!(" (did you mean {it}?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_in_any_case() {
        for hash_type in HashType::ALL {
            assert_eq!(hash_type.name().parse(), Ok(hash_type));
            assert_eq!(hash_type.name().to_uppercase().parse(), Ok(hash_type));
        }
    }

    #[test]
    fn serde_writes_the_lower_case_name_and_reads_any_case() {
        for hash_type in HashType::ALL {
            let text = serde_json::to_string(&hash_type).unwrap();
            assert_eq!(text, format!("{:?}", hash_type.name()));
            assert_eq!(serde_json::from_str::<HashType>(&text).unwrap(), hash_type);
            let upper_case = text.to_uppercase();
            assert_eq!(serde_json::from_str::<HashType>(&upper_case).unwrap(), hash_type);
        }
    }

    #[test]
    fn a_hash_type_crosses_a_format_that_does_not_describe_itself() {
        let bytes = postcard::to_stdvec(&HashType::Sha3_384).unwrap();
        assert_eq!(postcard::from_bytes::<HashType>(&bytes).unwrap(), HashType::Sha3_384);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones_and_the_nearest() {
        let error = "sha265".parse::<HashType>().unwrap_err();
        assert_eq!(error, HashTypeError::Unknown { name: "sha265".into(), nearest: Some(HashType::Sha256) });
        assert_eq!(
            error.to_string(),
            "unknown hash type \"sha265\" (did you mean sha256?), known are md5, sha1, sha224, \
             sha256, sha384, sha512, sha3_224, sha3_256, sha3_384, sha3_512, blake2b, blake2s"
        );
    }

    #[test]
    fn a_name_that_resembles_none_gets_no_suggestion() {
        for name in ["", "crc32", "ripemd160", "şha256sum"] {
            let error = name.parse::<HashType>().unwrap_err();
            assert_eq!(error, HashTypeError::Unknown { name: name.into(), nearest: None });
        }
    }

    #[test]
    fn shake_needs_a_length() {
        for name in ["shake_128", "SHAKE_256"] {
            let error = name.parse::<HashType>().unwrap_err();
            assert_eq!(error, HashTypeError::NeedsLength { name: name.into() });
            assert!(error.to_string().contains("needs a length"), "{error}");
        }
    }
}
