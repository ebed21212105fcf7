//! Rows in ClickHouse's `RowBinary`: the values of the columns one after the other, without names, types or separators
//! (<https://clickhouse.com/docs/interfaces/formats/RowBinary>). It takes ClickHouse a fraction of the time that text does.
//!
//! The type of a field is the type of its column, to the bit: nothing is converted. What looks different in text asks
//! [`Serializer::is_human_readable`]. The client's own encoder is for row types that are known where it inserts, and not public.

use serde::Serialize;
use serde::ser::{Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, Serializer};
use serde_json::Error;

/// Writes a row, or one value of it.
pub(super) struct Encoder<'a> {
    bytes: &'a mut Vec<u8>,
    /// The columns of the rows before; none where a value is written.
    columns: Option<&'a mut Vec<&'static str>>,
}

impl<'a> Encoder<'a> {
    /// Writes a row of these columns, or the first of any.
    pub(super) const fn of_row(bytes: &'a mut Vec<u8>, columns: &'a mut Vec<&'static str>) -> Self {
        Self {
            bytes,
            columns: Some(columns),
        }
    }

    const fn of_value(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, columns: None }
    }

    fn put(self, value: &[u8]) -> Result<(), Error> {
        self.value()?.extend_from_slice(value);
        Ok(())
    }

    fn put_counted(self, value: &[u8]) -> Result<(), Error> {
        let bytes = self.value()?;
        put_count(bytes, value.len());
        bytes.extend_from_slice(value);
        Ok(())
    }

    fn value(self) -> Result<&'a mut Vec<u8>, Error> {
        match self.columns {
            None => Ok(self.bytes),
            Some(_) => Err(Error::custom("a row is a struct of its columns")),
        }
    }

    fn elements(self, count: Option<usize>) -> Result<Elements<'a>, Error> {
        let count = count.ok_or_else(|| Error::custom("how many elements there are has to be known"))?;
        let bytes = self.value()?;
        put_count(bytes, count);
        Ok(Elements(bytes))
    }
}

/// A length, seven bits a byte.
fn put_count(bytes: &mut Vec<u8>, mut count: usize) {
    while count >= 0x80 {
        let [low, ..] = count.to_le_bytes();
        bytes.push(0x80 | low);
        count >>= 7;
    }
    let [low, ..] = count.to_le_bytes();
    bytes.push(low);
}

fn no_type<T>() -> Result<T, Error> {
    Err(Error::custom("no column is of such a type"))
}

/// The columns of a row.
pub(super) struct Fields<'a> {
    bytes: &'a mut Vec<u8>,
    columns: &'a mut Vec<&'static str>,
    /// Whether it is the first row, which says what columns there are.
    is_first: bool,
    count: usize,
}

impl SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        column: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        if self.is_first {
            self.columns.push(column);
        } else if self.columns.get(self.count) != Some(&column) {
            return Err(Error::custom("rows of one table differ in their columns"));
        }
        self.count += 1;
        value.serialize(Encoder::of_value(self.bytes))
    }

    fn end(self) -> Result<(), Error> {
        if self.count != self.columns.len() {
            return Err(Error::custom("a row lacks columns of the row before"));
        }
        Ok(())
    }
}

/// What is in an array or a map.
pub(super) struct Elements<'a>(&'a mut Vec<u8>);

impl SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Encoder::of_value(self.0))
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

impl SerializeMap for Elements<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        key.serialize(Encoder::of_value(self.0))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Encoder::of_value(self.0))
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

macro_rules! numbers {
    ($($name:ident: $kind:ty),*) => {
        $(fn $name(self, value: $kind) -> Result<(), Error> {
            self.put(&value.to_le_bytes())
        })*
    };
}

impl<'a> Serializer for Encoder<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Elements<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn is_human_readable(&self) -> bool {
        false
    }

    numbers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_f32: f32, serialize_f64: f64
    );

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.put(&[u8::from(value)])
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.put_counted(value.as_bytes())
    }

    /// A UUID: its two halves as numbers.
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        let Ok(bytes) = <[u8; 16]>::try_from(value) else {
            return no_type();
        };
        self.put(&u128::from_be_bytes(bytes).rotate_left(64).to_le_bytes())
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.put(&[1])
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        let bytes = self.value()?;
        bytes.push(0);
        value.serialize(Encoder::of_value(bytes))
    }

    fn serialize_unit(self) -> Result<(), Error> {
        no_type()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        no_type()
    }

    /// An `Enum8`: our definitions number its values from 1 in the order of their declaration here.
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), Error> {
        let number = i8::try_from(index + 1).map_err(Error::custom)?;
        self.serialize_i8(number)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        no_type()
    }

    fn serialize_seq(self, count: Option<usize>) -> Result<Elements<'a>, Error> {
        self.elements(count)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Error> {
        no_type()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTuple, Error> {
        no_type()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        no_type()
    }

    fn serialize_map(self, count: Option<usize>) -> Result<Elements<'a>, Error> {
        self.elements(count)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, Error> {
        let Some(columns) = self.columns else {
            return no_type();
        };
        Ok(Fields {
            bytes: self.bytes,
            is_first: columns.is_empty(),
            columns,
            count: 0,
        })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        no_type()
    }
}
