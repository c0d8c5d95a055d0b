//! The canonical JSON text of a value: what is hashed for its key, and what is stored.
//!
//! It is the text that Python's `json.dumps(value, sort_keys=True, ensure_ascii=False)` makes, byte by
//! byte, so that Rust and Python find each other's entries:
//!
//! - `", "` and `": "` separate; text keeps its non-ASCII characters and escapes only what it must.
//! - Keys are sorted by code point. A map whose keys are all integers, or all floats, is sorted by
//!   number, as Python does. A key that comes twice keeps its last value.
//! - Floats are written in Python's shortest form (`1e+16`, `1.5e-07`, `100.0`, `-0.0`, `NaN`,
//!   `Infinity`). An `f32` is widened first, since Python has doubles only: `0.1_f32` is
//!   `0.10000000149011612`.
//! - Integers are written in full, up to `u128`, and read from source with up to 4300 digits (Python's limit).
//! - Tuples and bytes are lists, `()` and `None` are `null`, structs are maps, and enums are
//!   externally tagged, as with `serde_json`.
//! - Integers, floats, booleans, `None` and unit variants may be keys, and are written as Python writes them
//!   (`"1"`, `"1.5"`, `"true"`, `"null"`).
//!
//! [`canonical_json`] makes the text from a value, [`canonicalize`](canonicalize()) from JSON source, and
//! [`from_canonical`] reads it back.
//!
//! ```
//! use std::collections::BTreeMap;
//! use datacache_proto::json::{JsonError, canonical_json, canonicalize, from_canonical};
//!
//! let value = BTreeMap::from([("pi", 3.14), ("inf", f64::INFINITY), ("big", 1e16)]);
//! let text = r#"{"big": 1e+16, "inf": Infinity, "pi": 3.14}"#;
//! assert_eq!(canonical_json(&value)?, text);
//! assert_eq!(canonicalize(r#"{"pi":3.14,"inf":Infinity,"big":1E16}"#)?, text);
//!
//! let back: BTreeMap<String, f64> = from_canonical(text)?;
//! assert_eq!(back["inf"], f64::INFINITY);
//! # Ok::<(), JsonError>(())
//! ```
//!
//! # What does not come back as it went in
//!
//! JSON has no place for these differences, here as in `serde_json` and in Python:
//!
//! - `Some(None)` and `Some(())` come back as `None`; so does a key `Some("null")` of an optional type.
//! - A NaN comes back without its sign and payload. A target that asks for no type gets it as a float:
//!   `serde_json::Value` makes `null` of it, and of the infinities.
//! - An integer beyond 64 bits reaches `i128`, `u128` and floats only. Any other target, `serde_json::Value` and
//!   types read through `#[serde(flatten)]` or an untagged or internally tagged enum among them, gets an
//!   error, and so does every integer beyond 128 bits that is not read as a float.
//! - Maps with number keys below `#[serde(flatten)]` are written but not read (serde hands their keys on as text).
//! - The text of a map with number keys, made canonical again from source, is sorted by code point instead. So it is in
//!   Python, whose JSON reader, too, makes text of such keys.
//! - `serde_json`'s `RawValue`, and its `Number` with the feature `arbitrary_precision`, show themselves as private
//!   structs to everyone but `serde_json`, and are written as such.

mod canonicalize;
mod deserialize;
mod error;
mod fault;
mod key;
mod key_reader;
mod members;
mod number;
mod serialize;
mod source;
mod text;

pub use canonicalize::canonicalize;
pub use deserialize::from_canonical;
pub use error::{JsonError, Position};
pub use serialize::canonical_json;

/// How many lists and objects may lie within each other, when writing and when reading.
///
/// It bounds the stack that a hostile document can use. An enum's variant that has data counts as an
/// object. Python's own limit is about 1000.
pub const MAX_DEPTH: usize = 200;
