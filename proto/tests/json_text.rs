//! Values of every serde kind, and the canonical text that Python writes for them.

use std::collections::{BTreeMap, HashMap};

use datacache_proto::json::{JsonError, MAX_DEPTH, canonical_json};
use serde::ser::Error;
use serde::{Serialize, Serializer};

#[track_caller]
fn text(value: impl Serialize) -> String {
    canonical_json(&value).expect("the value should have a text")
}

/// A map with its keys in the order given, repeated ones too.
struct Pairs<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Pairs<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

struct Float(f64);

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

#[derive(Serialize)]
struct Unit;

#[derive(Serialize)]
struct Newtype(i32);

#[derive(Serialize)]
struct Pair(i32, &'static str);

#[derive(Serialize)]
enum Shape {
    Unit,
    Newtype(Option<i32>),
    Tuple(i32, f32),
    Struct { b: bool, a: char },
}

#[derive(Serialize)]
#[serde(untagged)]
enum AnyKey {
    Number(i32),
    Text(&'static str),
}

#[test]
fn scalars_are_spelled_as_python_does() {
    assert_eq!(text(()), "null");
    assert_eq!(text(None::<u8>), "null");
    assert_eq!(text(Some(Some(1))), "1");
    assert_eq!(text([true, false]), "[true, false]");
    assert_eq!(text('🍨'), "\"🍨\"");
    assert_eq!(text((1.0, 1e16, 1.5e-7, -0.0)), "[1.0, 1e+16, 1.5e-07, -0.0]");
    let extremes = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    assert_eq!(text(extremes), "[NaN, Infinity, -Infinity]");
}

#[test]
fn integers_are_written_in_full() {
    assert_eq!(text((i8::MIN, u8::MAX, i16::MIN, u16::MAX)), "[-128, 255, -32768, 65535]");
    assert_eq!(text((i32::MIN, u32::MAX)), "[-2147483648, 4294967295]");
    assert_eq!(text((i64::MIN, u64::MAX)), "[-9223372036854775808, 18446744073709551615]");
    assert_eq!(text(i128::MIN), "-170141183460469231731687303715884105728");
    assert_eq!(text(u128::MAX), "340282366920938463463374607431768211455");
}

/// Python has doubles only: `struct.unpack("f", struct.pack("f", 0.1))` is `0.10000000149011612` there.
#[test]
fn a_single_float_is_written_as_the_double_it_equals() {
    assert_eq!(text((0.1_f32, 1.5_f32, f32::NAN)), "[0.10000000149011612, 1.5, NaN]");
    assert_eq!(text(f32::MAX), "3.4028234663852886e+38");
    assert_eq!(text(f32::from_bits(1)), "1.401298464324817e-45");
}

#[test]
fn text_escapes_only_what_json_demands() {
    assert_eq!(
        text("\0\u{8}\t\n\u{b}\u{c}\r\u{1f}\"\\/\u{7f}\u{2028}é🍨"),
        "\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\\\"\\\\/\u{7f}\u{2028}é🍨\""
    );
    assert_eq!(text(BTreeMap::from([("a\"\n", 1)])), "{\"a\\\"\\n\": 1}");
}

#[test]
fn lists_tuples_and_bytes_are_lists() {
    assert_eq!(text(Vec::<u8>::new()), "[]");
    assert_eq!(text((1, (2,), [3; 2])), "[1, [2], [3, 3]]");
    assert_eq!(text(serde_bytes::Bytes::new(b"\x00\xff")), "[0, 255]");
    assert_eq!(text(Pair(1, "x")), "[1, \"x\"]");
}

#[test]
fn structs_and_enums_look_as_serde_json_makes_them() {
    assert_eq!(text(Unit), "null");
    assert_eq!(text(Newtype(7)), "7");
    assert_eq!(text(Shape::Unit), "\"Unit\"");
    assert_eq!(text(Shape::Newtype(None)), "{\"Newtype\": null}");
    assert_eq!(text(Shape::Tuple(1, 2.0)), "{\"Tuple\": [1, 2.0]}");
    let shape = Shape::Struct { b: true, a: 'x' };
    assert_eq!(text(shape), "{\"Struct\": {\"a\": \"x\", \"b\": true}}");
}

/// In UTF-16 the second key would come first.
#[test]
fn keys_are_sorted_by_code_point() {
    let keys = ["\u{ffff}", "𐀀", "b", "a", "B", "", "_", "é"];
    let map: HashMap<_, _> = keys.into_iter().zip(0..).collect();
    assert_eq!(text(map), "{\"\": 5, \"B\": 4, \"_\": 6, \"a\": 3, \"b\": 2, \"é\": 7, \"\u{ffff}\": 0, \"𐀀\": 1}");
}

#[test]
fn members_out_of_order_keep_their_values() {
    let inner = |x| Pairs(vec![("z", vec![x]), ("a", vec![x, x]), ("m", vec![])]);
    let outer = Pairs(vec![("2", inner(2)), ("3", inner(3)), ("1", inner(1))]);
    let sorted = |x| format!("{{\"a\": [{x}, {x}], \"m\": [], \"z\": [{x}]}}");
    let (one, two, three) = (sorted(1), sorted(2), sorted(3));
    assert_eq!(text(outer), format!("{{\"1\": {one}, \"2\": {two}, \"3\": {three}}}"));
}

#[test]
fn of_equal_keys_the_last_counts() {
    let pairs = Pairs(vec![("b", 1), ("a", 2), ("b", 3), ("a", 4), ("c", 5), ("b", 6)]);
    assert_eq!(text(pairs), "{\"a\": 4, \"b\": 6, \"c\": 5}");
    assert_eq!(text(Pairs(vec![("a", 1), ("a", 2)])), "{\"a\": 2}");
    let nan = Pairs(vec![(Float(-f64::NAN), 1), (Float(0.5), 2), (Float(f64::NAN), 3)]);
    assert_eq!(text(nan), "{\"0.5\": 2, \"NaN\": 3}");
}

/// `json.dumps({10: 1, 9: 2, -1: 3}, sort_keys=True)` is `{"-1": 3, "9": 2, "10": 1}`: Python sorts, then spells.
#[test]
fn number_keys_are_sorted_as_numbers() {
    assert_eq!(text(HashMap::from([(10, 1), (9, 2), (-1, 3)])), r#"{"-1": 3, "9": 2, "10": 1}"#);
    assert_eq!(
        text(HashMap::from([(u128::MAX, 'a'), (5, 'b'), (1 << 127, 'c'), (1 << 64, 'd')])),
        "{\"5\": \"b\", \"18446744073709551616\": \"d\", \
         \"170141183460469231731687303715884105728\": \"c\", \
         \"340282366920938463463374607431768211455\": \"a\"}"
    );
    let floats = [1.5, 10.0, 2.0, f64::INFINITY, 1e16, 1e-7];
    assert_eq!(
        text(Pairs(floats.map(Float).into_iter().zip(1..).collect())),
        r#"{"1e-07": 6, "1.5": 1, "2.0": 3, "10.0": 2, "1e+16": 5, "Infinity": 4}"#
    );
    let singles = Pairs(vec![(100.0_f32, 1), (0.1, 2)]);
    assert_eq!(text(singles), r#"{"0.10000000149011612": 2, "100.0": 1}"#);
}

#[test]
fn words_and_names_can_be_keys() {
    assert_eq!(text(BTreeMap::from([(true, 1), (false, 2)])), r#"{"false": 2, "true": 1}"#);
    assert_eq!(text(BTreeMap::from([((), 1)])), r#"{"null": 1}"#);
    assert_eq!(text(BTreeMap::from([(None, 1), (Some("a"), 2)])), r#"{"a": 2, "null": 1}"#);
    assert_eq!(text(Pairs(vec![(Shape::Unit, 1)])), r#"{"Unit": 1}"#);
    assert_eq!(text(Pairs(vec![(Newtype(2), 1), (Newtype(-3), 0)])), r#"{"-3": 0, "2": 1}"#);
    assert_eq!(text(BTreeMap::from([('é', 1), ('e', 2)])), r#"{"e": 2, "é": 1}"#);
}

/// Python refuses to sort such keys, so there is no text of Python's to be equal to.
#[test]
fn keys_of_several_kinds_are_sorted_by_their_spelling() {
    let keys = [AnyKey::Number(9), AnyKey::Text("95"), AnyKey::Number(10), AnyKey::Text("9")];
    let pairs = Pairs(keys.into_iter().zip(0..).collect());
    assert_eq!(text(pairs), r#"{"10": 2, "9": 3, "95": 1}"#);
}

#[test]
fn a_key_that_json_does_not_have_is_refused_by_its_kind() {
    let refused = |error: Result<String, JsonError>| match error {
        Err(JsonError::Key { found }) => found,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(canonical_json(&BTreeMap::from([([1], 1)]))), "a tuple");
    assert_eq!(refused(canonical_json(&BTreeMap::from([(vec![1], 1)]))), "a list");
    let map = BTreeMap::from([(BTreeMap::<u8, u8>::new(), 1)]);
    assert_eq!(refused(canonical_json(&map)), "a map");
    let bytes = Pairs(vec![(serde_bytes::Bytes::new(b"a"), 1)]);
    assert_eq!(refused(canonical_json(&bytes)), "a byte string");
    let shape = Pairs(vec![(Shape::Newtype(None), 1)]);
    assert_eq!(refused(canonical_json(&shape)), "an enum's variant with data");
}

#[test]
fn a_value_that_refuses_to_be_written_says_why() {
    struct Stubborn;
    impl Serialize for Stubborn {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("not today"))
        }
    }
    let error = canonical_json(&[Stubborn]).unwrap_err();
    assert_eq!(error.to_string(), "value without JSON text, not today");
}

#[test]
fn nesting_is_bounded() {
    struct Nested(usize);
    impl Serialize for Nested {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self.0 {
                0 => serializer.serialize_unit(),
                depth if depth % 2 == 0 => serializer.collect_seq([Self(depth - 1)]),
                depth => serializer.serialize_newtype_variant("", 0, "v", &Self(depth - 1)),
            }
        }
    }
    assert!(canonical_json(&Nested(MAX_DEPTH)).is_ok());
    assert_eq!(canonical_json(&Nested(MAX_DEPTH + 1)), Err(JsonError::TooDeep));
    assert_eq!(canonical_json(&Nested(1_000_000)), Err(JsonError::TooDeep));
}
