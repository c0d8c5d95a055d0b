//! Values written as canonical text and read back, and what is not a value of the type asked for.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use datacache_proto::json::{JsonError, MAX_DEPTH, Position, canonical_json, from_canonical};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Name {
    First,
    Second,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Newtype(i64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    Empty(()),
    Newtype(Option<f64>),
    Tuple(u8, String, f32),
    Struct { b: Vec<Shape>, a: Box<Shape> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    Ball { radius: f64 },
    Point,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Count(u64),
    Ratio(f64),
    List(Vec<Untagged>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flattened {
    own: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, f64>,
}

#[track_caller]
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let text = canonical_json(value).expect("the value should have a text");
    let back = from_canonical::<T>(&text).expect("the text should be read");
    assert_eq!(&back, value, "{text}");
    // `==` does not tell -0.0 from 0.0.
    assert_eq!(canonical_json(&back), Ok(text));
}

#[track_caller]
fn refused<T: DeserializeOwned + Debug>(text: &str) -> String {
    from_canonical::<T>(text).expect_err("the text should not be read").to_string()
}

#[test]
fn scalars_come_back() {
    comes_back(&());
    comes_back(&(true, false));
    comes_back(&('x', '🍨', "a\"\\\n\0\u{7f}é".to_owned()));
    comes_back(&(i8::MIN, u8::MAX, i16::MIN, u16::MAX, i32::MIN, u32::MAX));
    comes_back(&(i64::MIN, i64::MAX, u64::MAX));
    comes_back(&(i128::MIN, i128::MAX, u128::MAX, 1_u128 << 64, i128::from(i64::MIN) - 1));
    comes_back(&(0_i128, 0_u128, -1_i128));
    comes_back(&Unit);
    comes_back(&Newtype(-3));
    comes_back(&std::time::Duration::new(5, 7));
}

#[test]
fn floats_come_back_exactly() {
    comes_back(&[0.0, -0.0, 1.0, 0.1, 1e16, 1e22, 1e-7, f64::MAX, f64::MIN_POSITIVE, 5e-324]);
    comes_back(&[f64::INFINITY, f64::NEG_INFINITY]);
    comes_back(&[0.0_f32, -0.0, 0.1, 1e-7, f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1)]);
    comes_back(&[f32::INFINITY, f32::NEG_INFINITY]);
    assert!(from_canonical::<f64>(&canonical_json(&f64::NAN).unwrap()).unwrap().is_nan());
    assert!(from_canonical::<f32>(&canonical_json(&-f32::NAN).unwrap()).unwrap().is_nan());
}

#[test]
fn lists_and_maps_come_back() {
    comes_back(&Vec::<u8>::new());
    comes_back(&vec![vec![(1, "a".to_owned())], vec![]]);
    comes_back(&serde_bytes::ByteBuf::from(vec![0, 255, 7]));
    comes_back(&BTreeMap::<String, u8>::new());
    comes_back(&HashMap::from([("z\n".to_owned(), 1), ("é".to_owned(), 2)]));
}

#[test]
fn keys_come_back_as_the_type_they_were() {
    comes_back(&BTreeMap::from([(10_u8, 1), (9, 2)]));
    comes_back(&BTreeMap::from([(i128::MIN, 1), (i128::MAX, 2)]));
    comes_back(&BTreeMap::from([(u128::MAX, 1), (0, 2)]));
    comes_back(&BTreeMap::from([(true, 1), (false, 2)]));
    comes_back(&BTreeMap::from([('é', 1), ('"', 2)]));
    comes_back(&BTreeMap::from([(Name::Second, 1), (Name::First, 2)]));
    comes_back(&BTreeMap::from([(Newtype(10), 1), (Newtype(-9), 2)]));
    comes_back(&BTreeMap::from([(None, 1), (Some(3), 2)]));
    comes_back(&BTreeMap::from([((), 1)]));
    let nested = BTreeMap::from([(9, BTreeMap::from([(100, 1.5), (20, -0.0)])), (10, BTreeMap::new())]);
    comes_back(&nested);
}

#[test]
fn float_keys_come_back_as_floats() {
    struct Floats(Vec<(f64, f32)>);
    impl Serialize for Floats {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
        }
    }
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Floats;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a map with floats as keys")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Floats, A::Error> {
            let mut floats = Vec::new();
            while let Some(entry) = map.next_entry()? {
                floats.push(entry);
            }
            Ok(Floats(floats))
        }
    }
    impl<'de> Deserialize<'de> for Floats {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Visitor)
        }
    }
    let floats = vec![(f64::NEG_INFINITY, 1.0), (-1e16, 2.0), (1e-7, 0.1), (2.0, 4.0), (f64::INFINITY, 5.0)];
    let text = canonical_json(&Floats(floats.clone())).unwrap();
    assert_eq!(from_canonical::<Floats>(&text).unwrap().0, floats);
    let nan = from_canonical::<Floats>("{\"NaN\": 1}").unwrap().0;
    assert!(nan[0].0.is_nan());
}

#[test]
fn enums_of_every_shape_come_back() {
    comes_back(&Shape::Unit);
    comes_back(&Shape::Empty(()));
    comes_back(&vec![Shape::Newtype(None), Shape::Newtype(Some(f64::INFINITY))]);
    comes_back(&Shape::Tuple(1, "x".to_owned(), 0.1));
    comes_back(&Shape::Struct {
        b: vec![Shape::Unit, Shape::Tuple(2, String::new(), 1.0)],
        a: Box::new(Shape::Newtype(Some(1.0))),
    });
    assert_eq!(from_canonical("{\"Unit\": null}"), Ok(Shape::Unit));
}

#[test]
fn types_that_ask_for_no_type_get_the_same_values() {
    comes_back(&vec![Tagged::Ball { radius: f64::INFINITY }, Tagged::Ball { radius: 1.0 }, Tagged::Point]);
    comes_back(&Untagged::List(vec![
        Untagged::Count(u64::MAX),
        Untagged::Ratio(1.0),
        Untagged::Ratio(f64::NEG_INFINITY),
        Untagged::List(vec![]),
    ]));
    comes_back(&Flattened { own: 1, rest: BTreeMap::from([("a".to_owned(), f64::INFINITY), ("z".to_owned(), 0.5)]) });
    let nan = from_canonical("{\"radius\": NaN, \"type\": \"Ball\"}").unwrap();
    assert!(matches!(nan, Tagged::Ball { radius } if radius.is_nan()));
}

#[test]
fn options_come_back_but_for_the_second_level_of_nothing() {
    comes_back(&Some(Some(1)));
    comes_back(&None::<Option<u8>>);
    comes_back(&vec![Some(1.5), None]);
    assert_eq!(from_canonical::<Option<Option<u8>>>(&canonical_json(&Some(None::<u8>)).unwrap()), Ok(None));
    assert_eq!(from_canonical::<Option<()>>(&canonical_json(&Some(())).unwrap()), Ok(None));
    let text = canonical_json(&BTreeMap::from([(Some("null"), 1)])).unwrap();
    assert_eq!(from_canonical(&text), Ok(BTreeMap::from([(None::<String>, 1)])));
}

/// `serde_json::Value` cannot hold them, and serde does not let it say so for the floats.
#[test]
fn a_json_value_has_null_for_floats_that_are_no_numbers_and_refuses_integers_beyond_64_bits() {
    let value: serde_json::Value = from_canonical("[NaN, Infinity, 1e+16, 18446744073709551615, -0.0]").unwrap();
    assert_eq!(value, serde_json::json!([null, null, 1e16, u64::MAX, -0.0]));
    let error = refused::<serde_json::Value>("[1, 18446744073709551616]");
    assert_eq!(error, "JSON of another type, JSON number out of range at line 1, column 5");
}

#[test]
fn a_float_reads_an_integer_of_any_size_it_can_hold() {
    assert_eq!(from_canonical("[1, -2]"), Ok([1.0_f64, -2.0]));
    assert_eq!(from_canonical("9007199254740993"), Ok(9_007_199_254_740_992.0_f64));
    assert_eq!(from_canonical(&format!("1{}", "0".repeat(300))), Ok(1e300));
    let error = refused::<f64>(&format!("[1{}]", "0".repeat(400))[1..402]);
    assert_eq!(error, "JSON of another type, integer too large for a float at line 1, column 1");
}

#[test]
fn what_does_not_fit_the_type_is_named_with_its_place() {
    let cases = [
        (refused::<u8>("256"), "invalid value: integer `256`, expected u8 at line 1, column 1"),
        (
            refused::<u64>("18446744073709551616"),
            "invalid type: integer `18446744073709551616` as i128, expected u64 at line 1, column 1",
        ),
        (refused::<u128>(&u128::MAX.to_string().replace('3', "4")), "integer beyond 128 bits at line 1, column 1"),
        (refused::<i64>("1.0"), "invalid type: floating point `1.0`, expected i64 at line 1, column 1"),
        (refused::<f64>("\"NaN\""), "invalid type: string \"NaN\", expected f64 at line 1, column 1"),
        (refused::<Vec<bool>>("[true,\n 1]"), "invalid type: integer `1`, expected a boolean at line 2, column 2"),
        (refused::<(u8, u8)>("[[], 1]"), "invalid type: sequence, expected u8 at line 1, column 2"),
        (refused::<(u8, u8)>("[1, 2, 3]"), "more items than expected at line 1, column 1"),
        (refused::<(u8, u8)>("[1]"), "invalid length 1, expected a tuple of size 2 at line 1, column 1"),
        (refused::<[u8; 0]>("[1]"), "more items than expected at line 1, column 1"),
        (refused::<Vec<Unit>>("[null, 1]"), "invalid type: integer `1`, expected unit struct Unit at line 1, column 8"),
        (
            refused::<BTreeMap<u8, u8>>("{\"1\": 1, \"x\": 2}"),
            "invalid type: string \"x\", expected u8 at line 1, column 10",
        ),
        (refused::<BTreeMap<(), u8>>("{\"x\": 2}"), "expected the key \"null\" at line 1, column 2"),
        (refused::<Shape>("\"Round\""), "`Struct` at line 1, column 1"),
        (refused::<Shape>("{\"Round\": 1}"), "`Struct` at line 1, column 2"),
        (refused::<Shape>("{}"), "expected an enum's variant, found an empty object at line 1, column 1"),
        (refused::<Shape>("{\"Unit\": null, \"Empty\": null}"), "second key in an enum's variant at line 1, column 1"),
        (refused::<Shape>("{\"Unit\": 1}"), "invalid type: integer `1`, expected unit at line 1, column 10"),
        (refused::<Shape>("\"Newtype\""), "invalid type: unit variant, expected newtype variant at line 1, column 1"),
        (refused::<Vec<Shape>>("[3]"), "expected an enum's variant, as text or as an object at line 1, column 2"),
        (
            refused::<Tagged>(r#"{"type": "Cube"}"#),
            "unknown variant `Cube`, expected `Ball` or `Point` at line 1, column 10",
        ),
        (refused::<Flattened>("{\"a\": 1.0}"), "missing field `own` at line 1, column 1"),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected), "{error:?} should contain {expected:?}");
    }
}

/// Serde keeps what it reads for such types in a form of its own, which has no room for them.
#[test]
fn a_type_that_serde_reads_twice_refuses_wide_integers_and_number_keys() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Wide {
        #[serde(flatten)]
        inner: BTreeMap<String, u128>,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Numbered {
        own: u8,
        #[serde(flatten)]
        inner: BTreeMap<u8, u8>,
    }
    let wide = canonical_json(&Wide { inner: BTreeMap::from([("a".to_owned(), u128::MAX)]) }).unwrap();
    assert!(refused::<Wide>(&wide).contains("as u128"));
    let numbered = canonical_json(&Numbered { own: 1, inner: BTreeMap::from([(9, 2), (10, 3)]) }).unwrap();
    assert_eq!(numbered, r#"{"10": 3, "9": 2, "own": 1}"#);
    assert!(refused::<Numbered>(&numbered).contains("expected u8"));
}

#[test]
fn a_map_that_is_read_in_part_is_refused() {
    #[derive(Debug)]
    struct First;
    impl<'de> serde::de::Visitor<'de> for First {
        type Value = Self;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a map")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
            map.next_entry::<String, u8>().map(|_| self)
        }
    }
    impl<'de> Deserialize<'de> for First {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Self)
        }
    }
    assert!(from_canonical::<Vec<First>>("[{}, {\"a\": 1}]").is_ok());
    let error = refused::<Vec<First>>("[{}, {\"a\": 1, \"b\": 2}]");
    assert!(error.ends_with("more members than expected at line 1, column 6"), "{error}");
}

#[test]
fn malformed_text_is_a_syntax_error_whatever_the_type() {
    for text in ["", "[1", "1 2", "[1,]", "nul", "{\"a\" 1}", "\"\\ud800\""] {
        for error in [
            from_canonical::<serde_json::Value>(text).unwrap_err(),
            from_canonical::<IgnoredAny>(text).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, JsonError::Syntax { .. }), "{text}: {error}");
        }
    }
    assert_eq!(
        from_canonical::<Vec<u8>>("[1,\n  x]"),
        Err(JsonError::Syntax { reason: "expected a value", at: Position { line: 2, column: 3 } })
    );
}

#[test]
fn a_field_nobody_asked_for_is_passed_over_whatever_it_holds() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Small {
        last: u8,
    }
    let deep = "[".repeat(MAX_DEPTH - 1) + &"]".repeat(MAX_DEPTH - 1);
    let huge = "9".repeat(1000);
    let text = format!("{{\"a\": {deep}, \"b\": {huge}, \"c\": [NaN, -Infinity, {{\"\\\"]\": null}}], \"last\": 7}}");
    assert_eq!(from_canonical(&text), Ok(Small { last: 7 }));
}

/// The stack of a test's thread is that of a runtime's thread: 2 MiB, and a debug build's frames are the largest.
#[test]
fn the_deepest_value_is_read_within_an_ordinary_stack() {
    let mut shape = Shape::Unit;
    for _ in 0..(MAX_DEPTH - 1) / 2 {
        shape = Shape::Struct { b: vec![], a: Box::new(shape) };
    }
    comes_back(&shape);
    let mut list = Untagged::Count(1);
    for _ in 0..MAX_DEPTH {
        list = Untagged::List(vec![list]);
    }
    comes_back(&list);
    assert_eq!(canonical_json(&Untagged::List(vec![list])), Err(JsonError::TooDeep));
}

#[test]
fn nesting_is_bounded_when_reading() {
    for open in ["[", "{\"a\":"] {
        let text = open.repeat(1 << 20);
        for error in [refused::<serde_json::Value>(&text), refused::<IgnoredAny>(&text), refused::<Untagged>(&text)] {
            assert!(error.contains("nested deeper than 200 levels"), "{error}");
        }
    }
    let error = refused::<Shape>(&"{\"Struct\":{\"a\":".repeat(1 << 18));
    assert!(error.contains("nested deeper than 200 levels"), "{error}");
}
