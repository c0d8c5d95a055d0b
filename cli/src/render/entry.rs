//! An entry without its value: the line of a list, and the page of `stat`.

use datacache_proto::key::{Key, Tag};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Codec, Metadata};
use serde::Serialize;

use super::human;
use super::json::{self, JsonKey, JsonMoment};
use super::line::one_line;
use super::moment::rfc3339;
use super::table::aligned;

/// What `ls --json` tells of an entry. Scripts rely on the names.
#[derive(Serialize)]
struct Listed<'a> {
    key: JsonKey<'a>,
    size: u64,
    tags: &'a [Tag],
    created: JsonMoment,
    /// `null` for never.
    expires: Option<JsonMoment>,
    codec: Codec,
    /// Whether it stays when others are evicted.
    pinned: bool,
}

/// What `stat --json` tells: the same and more.
#[derive(Serialize)]
struct Described<'a> {
    #[serde(flatten)]
    listed: Listed<'a>,
    version: u64,
    bound: bool,
    /// The name of the blob, `null` where the value lies in the index.
    sha256: Option<String>,
}

impl<'a> From<&'a Metadata> for Listed<'a> {
    fn from(entry: &'a Metadata) -> Self {
        Self {
            key: JsonKey(&entry.key),
            size: entry.size,
            tags: &entry.tags,
            created: JsonMoment(entry.created),
            expires: entry.expires.map(JsonMoment),
            codec: entry.codec,
            pinned: entry.pinned,
        }
    }
}

/// Returns the key as one line: text with its control characters escaped, integers in decimal, bytes as `0x…`.
pub(crate) fn key_line(key: &Key) -> String {
    one_line(&key.to_string()).into_owned()
}

/// Returns the entry's line in `ls --json`, without its end.
pub(crate) fn listed_json(entry: &Metadata) -> String {
    json::to_line(&Listed::from(entry))
}

/// Returns the line of `stat --json`, without its end.
pub(crate) fn described_json(entry: &Metadata) -> String {
    json::to_line(&Described {
        listed: entry.into(),
        version: entry.version,
        bound: entry.bound,
        sha256: entry.digest.map(|digest| digest.to_string()),
    })
}

/// Returns the page of `stat` for people.
pub(crate) fn described(entry: &Metadata, now: Timestamp) -> String {
    let when = |moment| format!("{} ({})", rfc3339(moment), human::distance(moment, now));
    let tags: Vec<_> = entry.tags.iter().map(|tag| one_line(tag.as_str())).collect();
    let rows = [
        ("key", key_line(&entry.key)),
        ("size", human::size(entry.size)),
        ("codec", entry.codec.to_string()),
        ("tags", if tags.is_empty() { "none".into() } else { tags.join(", ") }),
        ("created", when(entry.created)),
        ("expires", entry.expires.map_or_else(|| "never".into(), when)),
        ("bound", if entry.bound { "to a scope" } else { "no" }.into()),
        ("pinned", if entry.pinned { "yes" } else { "no" }.into()),
        ("version", entry.version.to_string()),
        ("stored", entry.digest.map_or_else(|| "inline".into(), |digest| format!("blob {digest}"))),
    ];
    aligned(&rows.map(|(name, value)| [name.to_owned(), value]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::types::Digest;

    fn entry() -> Metadata {
        Metadata {
            key: Key::text("a\tkey"),
            codec: Codec::Text,
            size: 2048,
            tags: vec![Tag::new("one").unwrap(), Tag::new("two").unwrap()],
            created: Timestamp::from_millis(1_714_564_800_250),
            expires: None,
            version: 7,
            bound: false,
            pinned: false,
            digest: None,
        }
    }

    #[test]
    fn a_listed_entry_has_the_promised_names_in_order() {
        let line = r#"{"key":"a\tkey","size":2048,"tags":["one","two"],"created":"2024-05-01T12:00:00.250Z","expires":null,"codec":"text","pinned":false}"#;
        assert_eq!(listed_json(&entry()), line);
    }

    #[test]
    fn a_described_entry_tells_its_end_and_its_blob() {
        let expires = Some(Timestamp::from_millis(1_714_564_801_000));
        let line = described_json(&Metadata { expires, digest: Some(Digest([0xab; 32])), ..entry() });
        assert!(line.contains(r#""expires":"2024-05-01T12:00:01.000Z""#), "{line}");
        assert!(line.contains(&format!(r#""sha256":"{}""#, "ab".repeat(32))), "{line}");
        assert!(described_json(&entry()).ends_with(r#""version":7,"bound":false,"sha256":null}"#));
    }

    #[test]
    fn the_page_for_people_lines_up() {
        let now = Timestamp::from_millis(1_714_564_860_250);
        let page = "key      a\\tkey
size     2.00 KiB (2048 bytes)
codec    text
tags     one, two
created  2024-05-01T12:00:00.250Z (1 minute ago)
expires  never
bound    no
pinned   no
version  7
stored   inline
";
        assert_eq!(described(&entry(), now), page);
    }

    #[test]
    fn a_byte_key_is_shown_in_hexadecimal() {
        assert_eq!(key_line(&Key::bytes(b"\x00\n")), "0x000a");
        assert_eq!(key_line(&Key::integer(-3)), "-3");
    }
}
