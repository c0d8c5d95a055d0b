//! Any serde value written as canonical JSON.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::JsonError;
use super::key::Key;
use super::members::Members;
use super::text::Text;

/// Returns the canonical JSON text of `value`; the [module](super) tells what that is.
///
/// ```
/// use datacache_proto::json::canonical_json;
///
/// assert_eq!(canonical_json(&("é", [1.0, -0.0], None::<u8>)), Ok(r#"["é", [1.0, -0.0], null]"#.into()));
/// ```
///
/// # Errors
/// A map's key that JSON does not have, nesting deeper than [`MAX_DEPTH`](super::MAX_DEPTH), and whatever
/// the value's own serialization reports.
pub fn canonical_json<T: Serialize + ?Sized>(value: &T) -> Result<String, JsonError> {
    let mut text = Text::default();
    value.serialize(&mut text)?;
    Ok(text.into_string())
}

/// A list that is being written, perhaps as the data of an enum's variant.
pub(super) struct ListWriter<'t> {
    text: &'t mut Text,
    separator: &'static str,
    in_variant: bool,
}

impl<'t> ListWriter<'t> {
    fn open(text: &'t mut Text, in_variant: bool) -> Result<Self, JsonError> {
        text.open('[');
        text.check_depth()?;
        Ok(Self { text, separator: "", in_variant })
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        self.text.raw(self.separator);
        self.separator = ", ";
        value.serialize(&mut *self.text)
    }

    fn close(self) {
        self.text.close(']');
        if self.in_variant {
            self.text.close('}');
        }
    }
}

/// An object that is being written, perhaps as the data of an enum's variant.
pub(super) struct ObjectWriter<'t> {
    text: &'t mut Text,
    members: Members,
    in_variant: bool,
}

impl<'t> ObjectWriter<'t> {
    fn open(text: &'t mut Text, in_variant: bool) -> Result<Self, JsonError> {
        let members = Members::open(text);
        text.check_depth()?;
        Ok(Self { text, members, in_variant })
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), JsonError> {
        self.members.begin(self.text, Key::text(name));
        value.serialize(&mut *self.text)
    }

    fn close(self) {
        self.members.close(self.text);
        if self.in_variant {
            self.text.close('}');
        }
    }
}

/// Opens `{"variant": `, which its data closes.
fn open_variant(text: &mut Text, variant: &str) -> Result<(), JsonError> {
    text.open('{');
    text.check_depth()?;
    text.string(variant);
    text.raw(": ");
    Ok(())
}

macro_rules! integers {
    ($($method:ident: $type:ty,)*) => {$(
        fn $method(self, value: $type) -> Result<(), JsonError> {
            self.integer(value);
            Ok(())
        }
    )*};
}

impl<'t> Serializer for &'t mut Text {
    type Ok = ();
    type Error = JsonError;
    type SerializeSeq = ListWriter<'t>;
    type SerializeTuple = ListWriter<'t>;
    type SerializeTupleStruct = ListWriter<'t>;
    type SerializeTupleVariant = ListWriter<'t>;
    type SerializeMap = ObjectWriter<'t>;
    type SerializeStruct = ObjectWriter<'t>;
    type SerializeStructVariant = ObjectWriter<'t>;

    integers! {
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
    }

    fn serialize_bool(self, value: bool) -> Result<(), JsonError> {
        self.boolean(value);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), JsonError> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), JsonError> {
        self.float(value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), JsonError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), JsonError> {
        self.string(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), JsonError> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<(), JsonError> {
        self.null();
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), JsonError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), JsonError> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), JsonError> {
        self.serialize_none()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), JsonError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), JsonError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), JsonError> {
        open_variant(self, variant)?;
        value.serialize(&mut *self)?;
        self.close('}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<ListWriter<'t>, JsonError> {
        ListWriter::open(self, false)
    }

    fn serialize_tuple(self, _: usize) -> Result<ListWriter<'t>, JsonError> {
        ListWriter::open(self, false)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<ListWriter<'t>, JsonError> {
        ListWriter::open(self, false)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<ListWriter<'t>, JsonError> {
        open_variant(self, variant)?;
        ListWriter::open(self, true)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<ObjectWriter<'t>, JsonError> {
        ObjectWriter::open(self, false)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<ObjectWriter<'t>, JsonError> {
        ObjectWriter::open(self, false)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<ObjectWriter<'t>, JsonError> {
        open_variant(self, variant)?;
        ObjectWriter::open(self, true)
    }
}

macro_rules! lists {
    ($($trait:ident: $method:ident,)*) => {$(
        impl $trait for ListWriter<'_> {
            type Ok = ();
            type Error = JsonError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
                self.item(value)
            }

            fn end(self) -> Result<(), JsonError> {
                self.close();
                Ok(())
            }
        }
    )*};
}

lists! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
}

macro_rules! structs {
    ($($trait:ident,)*) => {$(
        impl $trait for ObjectWriter<'_> {
            type Ok = ();
            type Error = JsonError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), JsonError> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), JsonError> {
                self.close();
                Ok(())
            }
        }
    )*};
}

structs! {
    SerializeStruct,
    SerializeStructVariant,
}

impl SerializeMap for ObjectWriter<'_> {
    type Ok = ();
    type Error = JsonError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), JsonError> {
        self.members.begin(self.text, Key::of(key)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        value.serialize(&mut *self.text)
    }

    fn end(self) -> Result<(), JsonError> {
        self.close();
        Ok(())
    }
}
