//! The keys of objects: what may be one, how Python spells it, and where it is sorted.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Display;

use serde::Serialize;
use serde::ser::{Impossible, Serializer};

use super::JsonError;
use super::number::write_float;

/// The key of an object's member, as text and as what it was.
pub(super) struct Key {
    spelled: Cow<'static, str>,
    kind: Kind,
}

/// What a key was before it became text: Python sorts first and spells then.
enum Kind {
    /// Text, and the words for booleans and null, whose order is the same either way.
    Text,
    Integer(Integer),
    Float(f64),
}

/// Any integer of Rust; the second variant holds only what is too large for the first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Integer {
    Signed(i128),
    Larger(u128),
}

impl Key {
    pub(super) fn text(spelled: impl Into<Cow<'static, str>>) -> Self {
        Self { spelled: spelled.into(), kind: Kind::Text }
    }

    pub(super) fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, JsonError> {
        value.serialize(KeySerializer)
    }

    fn signed(value: impl Into<i128> + Display) -> Self {
        Self { spelled: value.to_string().into(), kind: Kind::Integer(Integer::Signed(value.into())) }
    }

    fn float(value: f64) -> Self {
        let mut spelled = String::new();
        write_float(&mut spelled, value);
        // All NaNs have one spelling, so they have to be one key.
        let value = if value.is_nan() { f64::NAN } else { value };
        Self { spelled: spelled.into(), kind: Kind::Float(value) }
    }

    pub(super) fn spelled(&self) -> &str {
        &self.spelled
    }

    pub(super) fn same_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.kind) == std::mem::discriminant(&other.kind)
    }

    /// Compares two keys of a map whose keys are all of one kind.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (&self.kind, &other.kind) {
            (Kind::Integer(left), Kind::Integer(right)) => left.cmp(right),
            (Kind::Float(left), Kind::Float(right)) => left.total_cmp(right),
            // The order of UTF-8 is the order of its code points.
            _ => self.spelled.cmp(&other.spelled),
        }
    }
}

struct KeySerializer;

fn refused<T>(found: &'static str) -> Result<T, JsonError> {
    Err(JsonError::Key { found })
}

macro_rules! signed_keys {
    ($($method:ident: $type:ty,)*) => {$(
        fn $method(self, value: $type) -> Result<Key, JsonError> {
            Ok(Key::signed(value))
        }
    )*};
}

impl Serializer for KeySerializer {
    type Ok = Key;
    type Error = JsonError;
    type SerializeSeq = Impossible<Key, JsonError>;
    type SerializeTuple = Impossible<Key, JsonError>;
    type SerializeTupleStruct = Impossible<Key, JsonError>;
    type SerializeTupleVariant = Impossible<Key, JsonError>;
    type SerializeMap = Impossible<Key, JsonError>;
    type SerializeStruct = Impossible<Key, JsonError>;
    type SerializeStructVariant = Impossible<Key, JsonError>;

    signed_keys! {
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
    }

    fn serialize_u128(self, value: u128) -> Result<Key, JsonError> {
        let integer = i128::try_from(value).map_or(Integer::Larger(value), Integer::Signed);
        Ok(Key { spelled: value.to_string().into(), kind: Kind::Integer(integer) })
    }

    fn serialize_bool(self, value: bool) -> Result<Key, JsonError> {
        Ok(Key::text(if value { "true" } else { "false" }))
    }

    fn serialize_f32(self, value: f32) -> Result<Key, JsonError> {
        Ok(Key::float(value.into()))
    }

    fn serialize_f64(self, value: f64) -> Result<Key, JsonError> {
        Ok(Key::float(value))
    }

    fn serialize_char(self, value: char) -> Result<Key, JsonError> {
        Ok(Key::text(value.to_string()))
    }

    fn serialize_str(self, value: &str) -> Result<Key, JsonError> {
        Ok(Key::text(value.to_owned()))
    }

    fn serialize_none(self) -> Result<Key, JsonError> {
        Ok(Key::text("null"))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Key, JsonError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Key, JsonError> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Key, JsonError> {
        self.serialize_none()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Key, JsonError> {
        Ok(Key::text(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Key, JsonError> {
        value.serialize(self)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Key, JsonError> {
        refused("a byte string")
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Key, JsonError> {
        refused("an enum's variant with data")
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, JsonError> {
        refused("a list")
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, JsonError> {
        refused("a tuple")
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, JsonError> {
        refused("a tuple")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, JsonError> {
        refused("an enum's variant with data")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, JsonError> {
        refused("a map")
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, JsonError> {
        refused("a struct")
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, JsonError> {
        refused("an enum's variant with data")
    }
}
