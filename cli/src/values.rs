//! How single values are typed: keys, tags, namespaces, and what the bytes of a value stand for.

use clap::ValueEnum;
use datacache_proto::key::{Key, KeyError, NamespaceError, Tag, TagError, check_namespace};
use datacache_proto::types::Codec;

/// Takes the name of a namespace.
pub(crate) fn namespace(text: &str) -> Result<String, NamespaceError> {
    check_namespace(text).map(|()| text.to_owned())
}

/// Takes a tag.
pub(crate) fn tag(text: &str) -> Result<Tag, TagError> {
    Tag::new(text)
}

/// The option that says how the keys of a command are typed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// How keys are typed: as text, as the hexadecimal digits of bytes, or as an integer
    #[arg(long, value_enum, value_name = "KIND", default_value_t = KeyType::Text)]
    key_type: KeyType,
}

/// The kinds of keys; they never collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KeyType {
    Text,
    Hex,
    Integer,
}

/// A key that can't be taken as it was typed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeySpellingError {
    /// It can't name an entry.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It is not made of pairs of hexadecimal digits.
    #[error("the key `{text}` is not made of pairs of hexadecimal digits; write for example `0x00ff`")]
    Hex {
        /// What was typed.
        text: String,
    },
    /// It is not an integer, or has more than 64 bits.
    #[error("the key `{text}` is not an integer of 64 bits")]
    Integer {
        /// What was typed.
        text: String,
    },
}

impl KeyArgs {
    /// Takes a key as its kind is typed.
    ///
    /// # Errors
    /// [`KeySpellingError`] says why it can't be one.
    pub(crate) fn read(self, text: &str) -> Result<Key, KeySpellingError> {
        let key = match self.key_type {
            KeyType::Text => Key::text(text),
            KeyType::Hex => Key::bytes(&from_hex(text)?),
            KeyType::Integer => {
                Key::integer(text.parse().map_err(|_| KeySpellingError::Integer { text: text.into() })?)
            }
        };
        key.check()?;
        Ok(key)
    }

    /// Takes several keys, or none of them.
    ///
    /// # Errors
    /// [`KeySpellingError`] of the first that can't be one.
    pub(crate) fn read_all(self, texts: &[String]) -> Result<Vec<Key>, KeySpellingError> {
        texts.iter().map(|text| self.read(text)).collect()
    }
}

fn from_hex(text: &str) -> Result<Vec<u8>, KeySpellingError> {
    let malformed = || KeySpellingError::Hex { text: text.to_owned() };
    let digits: Option<Vec<u32>> =
        text.strip_prefix("0x").unwrap_or(text).chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0).ok_or_else(malformed)?;
    Ok(digits.chunks(2).filter_map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok()).collect())
}

/// The options that say what content stands for.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct CodecArgs {
    /// Take the content for text; it has to be UTF-8
    #[arg(long, conflicts_with = "json")]
    text: bool,
    /// Take the content for JSON, in its canonical form: two spellings of one value are one value
    #[arg(long)]
    json: bool,
}

impl CodecArgs {
    /// Returns what the content stands for; bytes where nothing was said.
    pub(crate) fn codec(self) -> Codec {
        match (self.text, self.json) {
            (true, _) => Codec::Text,
            (_, true) => Codec::Json,
            _ => Codec::Bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key_type: KeyType, text: &str) -> Result<Key, KeySpellingError> {
        KeyArgs { key_type }.read(text)
    }

    #[test]
    fn a_key_is_text_unless_said_otherwise() {
        assert_eq!(read(KeyType::Text, "0x42"), Ok(Key::text("0x42")));
        assert_eq!(read(KeyType::Hex, "0x00fF"), Ok(Key::bytes(&[0x00, 0xff])));
        assert_eq!(read(KeyType::Hex, "42"), Ok(Key::bytes(&[0x42])));
        assert_eq!(read(KeyType::Integer, "-42"), Ok(Key::integer(-42)));
    }

    #[test]
    fn every_kind_of_key_is_shown_as_it_can_be_typed() {
        assert_eq!(read(KeyType::Hex, &Key::bytes(b"\0\xfe").to_string()), Ok(Key::bytes(b"\0\xfe")));
        assert_eq!(read(KeyType::Integer, &Key::integer(i64::MIN).to_string()), Ok(Key::integer(i64::MIN)));
    }

    #[test]
    fn bad_keys_are_refused_with_the_reason() {
        for text in ["0xabc", "zz", "é0", "+1"] {
            assert_eq!(read(KeyType::Hex, text), Err(KeySpellingError::Hex { text: text.into() }));
        }
        assert_eq!(read(KeyType::Hex, "0x"), Err(KeyError::Empty.into()));
        assert_eq!(read(KeyType::Text, ""), Err(KeyError::Empty.into()));
        let text = "9223372036854775808".to_owned();
        assert_eq!(read(KeyType::Integer, &text), Err(KeySpellingError::Integer { text }));
    }
}
