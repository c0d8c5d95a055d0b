//! Random JSON, written in two ways and read in two ways, always with one canonical text.

use std::collections::BTreeMap;
use std::fmt;

use datacache_proto::json::{JsonError, canonical_json, canonicalize, from_canonical};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

/// Any value that canonical text has and serde can hand over. An object is a list, so that the order and the number
/// of its members are free.
#[derive(Debug, Clone)]
enum Json {
    Null,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => value.serialize(serializer),
            Self::Integer(value) => value.serialize(serializer),
            Self::Float(value) => value.serialize(serializer),
            Self::Text(value) => value.serialize(serializer),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(members) => serializer.collect_map(members.iter().map(|(key, value)| (key, value))),
        }
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Json, E> {
        Ok(Json::Integer(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

/// SplitMix64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn json(&mut self, depth: u64) -> Json {
        match self.below(if depth == 0 { 5 } else { 8 }) {
            0 => Json::Null,
            1 => Json::Boolean(self.below(2) == 0),
            2 => Json::Integer(self.integer()),
            3 => Json::Float(self.float()),
            4 => Json::Text(self.text()),
            5 => Json::List((0..self.below(5)).map(|_| self.json(depth - 1)).collect()),
            _ => Json::Object((0..self.below(8)).map(|_| (self.text(), self.json(depth - 1))).collect()),
        }
    }

    /// Of every size from one bit to 127.
    fn integer(&mut self) -> i128 {
        let bits = i128::from(self.next()) << 63 | i128::from(self.next() >> 1);
        let value = bits >> self.below(127);
        if self.below(2) == 0 { value } else { -value }
    }

    /// Any double at all, or one of those that people write.
    fn float(&mut self) -> f64 {
        match self.below(4) {
            0 => f64::from_bits(self.next()),
            1 => [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e16, 1e-5, 100.0][self.below(7) as usize],
            2 => self.below(100_000) as f64 / 100.0,
            _ => (self.next() >> self.below(64)) as f64,
        }
    }

    /// Short, and of few characters, so that keys repeat and share beginnings.
    fn text(&mut self) -> String {
        const CHARACTERS: [char; 16] = [
            'a', 'b', '1', '"', '\\', '/', '\0', '\n', '\u{1f}', '\u{7f}', 'é', '\u{2028}', '\u{e000}', '\u{ffff}',
            '𐀀', '🍨',
        ];
        (0..self.below(4)).map(|_| CHARACTERS[self.below(16) as usize]).collect()
    }

    fn blank(&mut self, source: &mut String) {
        for _ in 0..self.below(3) {
            source.push([' ', '\t', '\n', '\r'][self.below(4) as usize]);
        }
    }

    /// Writes `json` as source with blanks anywhere and as many escapes as chance will have.
    fn source(&mut self, json: &Json, source: &mut String) {
        self.blank(source);
        match json {
            Json::Null => source.push_str("null"),
            Json::Boolean(value) => source.push_str(&value.to_string()),
            Json::Integer(value) => source.push_str(&value.to_string()),
            Json::Float(value) => self.float_source(*value, source),
            Json::Text(value) => self.text_source(value, source),
            Json::List(items) => {
                source.push('[');
                for (at, item) in items.iter().enumerate() {
                    source.push_str(if at > 0 { "," } else { "" });
                    self.source(item, source);
                }
                source.push(']');
            }
            Json::Object(members) => {
                source.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    source.push_str(if at > 0 { "," } else { "" });
                    self.blank(source);
                    self.text_source(key, source);
                    self.blank(source);
                    source.push(':');
                    self.source(value, source);
                }
                source.push('}');
            }
        }
        self.blank(source);
    }

    fn float_source(&mut self, value: f64, source: &mut String) {
        let written = match value {
            value if value.is_nan() => "NaN".to_owned(),
            value if value.is_infinite() => format!("{}Infinity", if value < 0.0 { "-" } else { "" }),
            value if self.below(2) == 0 => format!("{value:E}"),
            value => format!("{value:.1100}"),
        };
        source.push_str(&written);
    }

    fn text_source(&mut self, value: &str, source: &mut String) {
        source.push('"');
        for character in value.chars() {
            let must = matches!(character, '"' | '\\' | '\0'..='\u{1f}');
            if must || self.below(2) == 0 {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let upper_case = self.below(2) == 0;
                    source.push_str(&if upper_case { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") });
                }
            } else {
                source.push(character);
            }
        }
        source.push('"');
    }
}

/// Writes canonical text the plain way: a sorted map for each object, and `serde_json` for text.
fn model(json: &Json) -> String {
    match json {
        Json::Null => "null".to_owned(),
        Json::Boolean(value) => value.to_string(),
        Json::Integer(value) => value.to_string(),
        // Floats have tests of their own, against Python.
        Json::Float(value) => canonical_json(value).expect("every float has a text"),
        Json::Text(value) => quoted(value),
        Json::List(items) => format!("[{}]", items.iter().map(model).collect::<Vec<_>>().join(", ")),
        Json::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().map(|(key, value)| (key, model(value))).collect();
            let members = sorted.iter().map(|(key, value)| format!("{}: {value}", quoted(key)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("every text is JSON")
}

#[test]
fn values_and_sources_have_one_canonical_text_and_it_stays() {
    for seed in 0..3000 {
        let mut random = Random(seed);
        let json = random.json(5);
        let text = model(&json);
        assert_eq!(canonical_json(&json).unwrap(), text, "seed {seed}");

        let mut source = String::new();
        random.source(&json, &mut source);
        assert_eq!(canonicalize(&source).unwrap(), text, "seed {seed}");
        assert_eq!(canonicalize(&text).unwrap(), text, "seed {seed}");

        let from_source: Json = from_canonical(&source).unwrap();
        assert_eq!(canonical_json(&from_source).unwrap(), text, "seed {seed}");
        let from_text: Json = from_canonical(&text).unwrap();
        assert_eq!(canonical_json(&from_text).unwrap(), text, "seed {seed}");
    }
}

/// Whatever is damaged, reading ends with a value or an error, and both readers agree which.
#[test]
fn damaged_source_is_read_or_refused_but_never_panics() {
    for seed in 0..3000 {
        let mut random = Random(seed);
        let json = random.json(4);
        let mut source = String::new();
        random.source(&json, &mut source);
        let mut bytes = source.into_bytes();
        for _ in 0..=random.below(2) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(3) {
                0 => bytes.truncate(at),
                1 => drop(bytes.remove(at)),
                _ => bytes[at] = b"{}[]\",:\\0123456789eE+-.truefalsnINu"[random.below(35) as usize],
            }
            if bytes.is_empty() {
                break;
            }
        }
        let damaged = String::from_utf8_lossy(&bytes);
        let text = canonicalize(&damaged);
        let value: Result<Json, _> = from_canonical(&damaged);
        match (text, value) {
            (Ok(text), Ok(value)) => assert_eq!(canonical_json(&value).unwrap(), text, "seed {seed}"),
            // A float that lost its point may be an integer that no type of Rust holds, and stays a text.
            (_, Err(JsonError::Mismatch { message, .. })) => assert!(message.contains("integer"), "seed {seed}"),
            (Err(text), Err(value)) => assert_eq!(text, value, "seed {seed}"),
            (text, value) => panic!("seed {seed}: {text:?} but {value:?} from {damaged}"),
        }
    }
}
