//! JSON for programs: the exact shapes that `--json` promises.

use datacache_proto::key::Key;
use datacache_proto::time::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::moment::rfc3339;

/// A key as JSON: text as a string, an integer as a number, bytes as `{"hex": "00ff"}`.
pub(crate) struct JsonKey<'a>(pub(crate) &'a Key);

impl Serialize for JsonKey<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.0.as_text() {
            return serializer.serialize_str(text);
        }
        if let Some(integer) = self.0.as_integer() {
            return serializer.serialize_i64(integer);
        }
        let shown = self.0.to_string();
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("hex", shown.trim_start_matches("0x"))?;
        map.end()
    }
}

/// A moment as JSON: RFC 3339 in UTC.
pub(crate) struct JsonMoment(pub(crate) Timestamp);

impl Serialize for JsonMoment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}

/// Returns `value` as one line of JSON.
pub(crate) fn to_line<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own shapes have only keys of text and finite numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_keys_stay_apart() {
        let keys = [Key::text("42\n"), Key::integer(42), Key::bytes(&[0x00, 0xff, 0x42])];
        let shown = keys.each_ref().map(|key| to_line(&JsonKey(key)));
        assert_eq!(shown, [r#""42\n""#, "42", r#"{"hex":"00ff42"}"#]);
    }

    #[test]
    fn a_byte_key_of_zeros_keeps_all_its_digits() {
        assert_eq!(to_line(&JsonKey(&Key::bytes(&[0, 0]))), r#"{"hex":"0000"}"#);
    }
}
