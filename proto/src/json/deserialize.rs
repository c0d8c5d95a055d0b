//! JSON text read into any serde type, with the floats and integers that `serde_json` does not read.

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::JsonError;
use super::fault::Fault;
use super::key_reader::KeyReader;
use super::number::Number;
use super::source::{Kind, Source};

/// Reads canonical text, or any JSON in Python's spelling, into a value.
///
/// What [`canonical_json`](super::canonical_json) wrote comes back as it was, but for what the [module](super) lists.
///
/// ```
/// use datacache_proto::json::{canonical_json, from_canonical};
///
/// let value = (u128::MAX, Some(-0.0_f64), f64::NEG_INFINITY);
/// assert_eq!(from_canonical(&canonical_json(&value)?), Ok(value));
///
/// let error = from_canonical::<Vec<u8>>("[1, 256]").unwrap_err();
/// assert!(error.to_string().ends_with("expected u8 at line 1, column 5"));
/// # Ok::<(), datacache_proto::json::JsonError>(())
/// ```
///
/// # Errors
/// [`JsonError::Syntax`] as [`canonicalize`](super::canonicalize()) reports it, [`JsonError::Mismatch`] where the
/// value is not a `T`.
pub fn from_canonical<T: DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    let mut reader = Reader { source: Source::new(text) };
    T::deserialize(&mut reader)
        .and_then(|value| reader.source.finish().map(|()| value))
        .map_err(|fault| fault.explain(text))
}

/// Reads values off a source, as the type asked for wants them.
struct Reader<'j> {
    source: Source<'j>,
}

impl Reader<'_> {
    fn read<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        match self.source.kind()? {
            Kind::Null => {
                self.source.null()?;
                visitor.visit_unit()
            }
            Kind::Boolean => visitor.visit_bool(self.source.boolean()?),
            Kind::Number => match self.source.number()? {
                Number::Integer(digits) => visit_integer(digits, visitor),
                Number::Float(value) => visitor.visit_f64(value),
            },
            Kind::Text => visitor.visit_str(self.source.text()?),
            Kind::List => self.read_list(visitor),
            Kind::Object => self.read_object(visitor),
        }
    }

    fn read_list<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        let mut items = Items { reader: self, first: true, ended: false };
        let value = visitor.visit_seq(&mut items)?;
        // A tuple stops asking at its last item, before the end of the list is read.
        if !items.ended && items.reader.source.item(items.first)? {
            return Err(Fault::custom("more items than expected"));
        }
        Ok(value)
    }

    fn read_object<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        let mut members = Members { reader: self, first: true, ended: false };
        let value = visitor.visit_map(&mut members)?;
        if !members.ended && members.reader.source.member(members.first)?.is_some() {
            return Err(Fault::custom("more members than expected"));
        }
        Ok(value)
    }

    fn read_float<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        if self.source.kind()? != Kind::Number {
            return self.read(visitor);
        }
        match self.source.number()? {
            Number::Float(value) => visitor.visit_f64(value),
            Number::Integer(digits) => match digits.parse::<f64>() {
                Ok(value) if value.is_finite() => visitor.visit_f64(value),
                _ => Err(Fault::custom("integer too large for a float")),
            },
        }
    }

    fn read_enum<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        match self.source.kind()? {
            Kind::Text => visitor.visit_enum(self.source.text()?.into_deserializer()),
            Kind::Object => {
                let value = visitor.visit_enum(&mut *self)?;
                match self.source.member(false)? {
                    None => Ok(value),
                    Some(_) => Err(Fault::custom("second key in an enum's variant")),
                }
            }
            _ => Err(Fault::custom("expected an enum's variant, as text or as an object")),
        }
    }
}

/// Hands an integer on as the smallest type that holds it.
fn visit_integer<'de, V: Visitor<'de>>(digits: &str, visitor: V) -> Result<V::Value, Fault> {
    if let Ok(value) = digits.parse() {
        visitor.visit_u64(value)
    } else if let Ok(value) = digits.parse() {
        visitor.visit_i64(value)
    } else if let Ok(value) = digits.parse() {
        visitor.visit_i128(value)
    } else if let Ok(value) = digits.parse() {
        visitor.visit_u128(value)
    } else {
        Err(Fault::custom("integer beyond 128 bits"))
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.source.kind()?;
        let start = self.source.index();
        self.read(visitor).map_err(|fault| fault.at(start))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.source.kind()?;
        let start = self.source.index();
        self.read_float(visitor).map_err(|fault| fault.at(start))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.source.kind()? == Kind::Null {
            self.source.null()?;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        self.source.kind()?;
        let start = self.source.index();
        visitor.visit_newtype_struct(&mut *self).map_err(|fault| fault.at(start))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.source.kind()?;
        let start = self.source.index();
        self.read_enum(visitor).map_err(|fault| fault.at(start))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.source.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char str string
        bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
    }
}

/// The items of a list.
struct Items<'r, 'j> {
    reader: &'r mut Reader<'j>,
    first: bool,
    ended: bool,
}

impl<'de> SeqAccess<'de> for &mut Items<'_, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        if self.ended || !self.reader.source.item(self.first)? {
            self.ended = true;
            return Ok(None);
        }
        self.first = false;
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

/// The members of an object.
struct Members<'r, 'j> {
    reader: &'r mut Reader<'j>,
    first: bool,
    ended: bool,
}

impl<'de> MapAccess<'de> for &mut Members<'_, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        if self.ended {
            return Ok(None);
        }
        let before = self.reader.source.index();
        let Some(key) = self.reader.source.member(self.first)? else {
            self.ended = true;
            return Ok(None);
        };
        self.first = false;
        let key = seed.deserialize(KeyReader::new(key));
        key.map(Some).map_err(|fault| fault.at(self.reader.source.key_after(before)))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(&mut *self.reader)
    }
}

/// An enum's variant that has data: an object of one member, whose end `read_enum` reads.
impl<'de> EnumAccess<'de> for &mut Reader<'_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let before = self.source.index();
        let Some(name) = self.source.member(true)? else {
            return Err(Fault::custom("expected an enum's variant, found an empty object"));
        };
        let variant = seed.deserialize(KeyReader::new(name));
        match variant {
            Ok(variant) => Ok((variant, self)),
            Err(fault) => Err(fault.at(self.source.key_after(before))),
        }
    }
}

impl<'de> VariantAccess<'de> for &mut Reader<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        de::Deserialize::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_any(visitor)
    }
}
