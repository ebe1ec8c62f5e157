//! Reads JSON messages into columns in one pass, without building a tree of values first.
//!
//! Fields are found by the place they had in the message before: senders keep the order of their keys, so that one comparison
//! a key is the rule and a search the exception.

use std::borrow::Cow;
use std::fmt;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use lineside_model::{Reason, Result};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::columns::{Cell, Columns, Fault, Scalar, cell, short};
use super::field::Field;
use super::{Decoded, Decoder, decode};

/// Reads JSON objects, one a message or many in an array.
#[derive(Clone, Debug)]
pub(super) struct JsonDecoder {
    pub(super) fields: Vec<Field>,
    pub(super) schema: SchemaRef,
    pub(super) root: Level,
    pub(super) many: bool,
    pub(super) max_bytes: usize,
}

/// The keys that matter on one level of the message.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    keys: Vec<(Box<str>, Target)>,
    /// For each place in the object the key that stood there last time.
    order: Vec<Option<usize>>,
}

#[derive(Clone, Debug)]
enum Target {
    /// The value of this field.
    Field(usize),
    /// An object with fields inside.
    Level(Level),
}

impl Level {
    /// Adds the path of a field.
    ///
    /// # Errors
    /// If another field is at the same place, or one would have to be a value and an object at once.
    pub(super) fn add(&mut self, path: &str, field: usize) -> Result<(), String> {
        let (key, rest) = match path.split_once('.') {
            Some((key, rest)) => (key, Some(rest)),
            None => (path, None),
        };
        if key.is_empty() {
            return Err("a path has a name between all dots, such as \"data.value\"".to_owned());
        }
        let known = self.keys.iter_mut().find(|(name, _)| &**name == key).map(|(_, target)| target);
        match (known, rest) {
            (None, None) => self.keys.push((key.into(), Target::Field(field))),
            (None, Some(rest)) => {
                let mut level = Self::default();
                level.add(rest, field)?;
                self.keys.push((key.into(), Target::Level(level)));
            }
            (Some(Target::Level(level)), Some(rest)) => level.add(rest, field)?,
            (Some(_), _) => return Err(format!("\"{key}\" is read for another field already")),
        }
        Ok(())
    }

    /// Which key this is, at the `place`th place of the object.
    fn find(&mut self, place: usize, key: &str) -> Option<usize> {
        let guess = self.order.get(place).copied().flatten();
        if let Some(n) = guess
            && self.keys.get(n).is_some_and(|(name, _)| &**name == key)
        {
            return guess;
        }
        let found = self.keys.iter().position(|(name, _)| &**name == key);
        // Bounded, so that an object with a million keys does not make us remember a million places.
        if place < self.keys.len() * 2 + 16 {
            if self.order.len() <= place {
                self.order.resize(place + 1, None);
            }
            self.order[place] = found;
        }
        found
    }
}

impl Decoder for JsonDecoder {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn decode(&mut self, payloads: &[Bytes]) -> Result<Decoded> {
        let Self { fields, schema, root, many, max_bytes } = self;
        let mut cells = fields.iter().map(|_| Cell::default()).collect::<Vec<_>>();
        decode::each(payloads, fields, SchemaRef::clone(schema), *max_bytes, |payload, columns| {
            // Checked as a whole first: the JSON reader would not look at the bytes of fields it skips.
            let text = decode::text(payload)?;
            let mut fault = None;
            let mut json = serde_json::Deserializer::from_str(text);
            let mut row = Row { fields, cells: &mut cells, fault: &mut fault };
            let read = if *many && text.trim_ascii_start().starts_with('[') {
                json.deserialize_seq(Rows { level: root, row: &mut row, columns })
            } else {
                let object = Object { level: root, row: &mut row, may_be_null: false };
                object.deserialize(&mut json).and_then(|()| row.finish(columns))
            };
            let read = read.and_then(|()| json.end());
            if read.is_err() {
                // What the message had before its fault is not for the next one.
                cells.fill_with(Cell::default);
            }
            match (fault, read) {
                (Some(fault), _) => Err(fault),
                (None, Err(error)) => Err(broken(&error, text)),
                (None, Ok(())) => Ok(()),
            }
        })
    }
}

#[cold]
fn broken(error: &serde_json::Error, text: &str) -> Fault {
    if text.trim_ascii().is_empty() {
        return Fault::new(Reason::Empty, "the message is only white space");
    }
    let detail = error.to_string();
    // serde_json has no other mark for a number that no double holds, such as 1e999.
    let reason = if detail.starts_with("number out of range") { Reason::NotFinite } else { Reason::Malformed };
    Fault::new(reason, format!("{detail}: {}", short(text)))
}

/// What is known of the row that is being read.
struct Row<'r, 'a> {
    fields: &'r [Field],
    cells: &'r mut [Cell<'a>],
    fault: &'r mut Option<Fault>,
}

impl Row<'_, '_> {
    /// Notes why, and stops the reading.
    #[cold]
    fn fail<E: serde::de::Error>(&mut self, fault: Fault) -> E {
        *self.fault = Some(fault);
        E::custom("")
    }

    /// Adds the row to the columns.
    fn finish<E: serde::de::Error>(&mut self, columns: &mut Columns<'_>) -> Result<(), E> {
        columns.push(self.cells).map_err(|fault| self.fail(fault))
    }
}

/// An array of objects.
struct Rows<'l, 'w, 'r, 'a, 'c, 'f> {
    level: &'l mut Level,
    row: &'w mut Row<'r, 'a>,
    columns: &'c mut Columns<'f>,
}

impl<'a> Visitor<'a> for Rows<'_, '_, '_, 'a, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { level, row, columns } = self;
        let before = columns.rows();
        while items.next_element_seed(Object { level, row, may_be_null: false })?.is_some() {
            row.finish(columns)?;
        }
        if columns.rows() == before {
            return Err(row.fail(Fault::new(Reason::Empty, "the array has no elements")));
        }
        Ok(())
    }
}

#[cold]
fn no_object(found: &str) -> Fault {
    Fault::new(Reason::WrongType, format!("expected an object, found {found}"))
}

/// An object on some level.
struct Object<'l, 'w, 'r, 'a> {
    level: &'l mut Level,
    row: &'w mut Row<'r, 'a>,
    /// Whether null may stand for it: then the fields inside are missing.
    may_be_null: bool,
}

impl<'a> DeserializeSeed<'a> for Object<'_, '_, '_, 'a> {
    type Value = ();
    fn deserialize<D: Deserializer<'a>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Object<'_, '_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let mut place = 0;
        while let Some(key) = map.next_key_seed(Key { level: self.level, place })? {
            place += 1;
            match key.and_then(|n| self.level.keys.get_mut(n)).map(|(_, target)| target) {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(Target::Field(n)) => map.next_value_seed(Value { n: *n, row: self.row })?,
                Some(Target::Level(level)) => {
                    map.next_value_seed(Object { level, row: self.row, may_be_null: true })?;
                }
            }
        }
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        if self.may_be_null { Ok(()) } else { Err(self.row.fail(no_object("null"))) }
    }
    fn visit_seq<A: SeqAccess<'a>>(self, _: A) -> Result<(), A::Error> {
        Err(self.row.fail(no_object("an array")))
    }
    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Err(self.row.fail(no_object("true or false")))
    }
    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        Err(self.row.fail(no_object("a number")))
    }
    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        Err(self.row.fail(no_object("a number")))
    }
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Err(self.row.fail(no_object("a number")))
    }
    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Err(self.row.fail(no_object("a text")))
    }
}

/// A key: which of ours it is.
struct Key<'l> {
    level: &'l mut Level,
    place: usize,
}

impl<'a> DeserializeSeed<'a> for Key<'_> {
    type Value = Option<usize>;
    fn deserialize<D: Deserializer<'a>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.level.find(self.place, key))
    }
}

/// The value of a field.
struct Value<'w, 'r, 'a> {
    n: usize,
    row: &'w mut Row<'r, 'a>,
}

impl<'a> Value<'_, '_, 'a> {
    #[inline]
    fn take<E: serde::de::Error>(self, scalar: Scalar<'a>) -> Result<(), E> {
        let (Some(field), Some(place)) = (self.row.fields.get(self.n), self.row.cells.get_mut(self.n)) else {
            return Err(E::custom("no such field"));
        };
        match cell(field, scalar) {
            Ok(cell) => {
                *place = cell;
                Ok(())
            }
            Err(fault) => Err(self.row.fail(fault)),
        }
    }

    #[cold]
    fn wrong<E: serde::de::Error>(self, found: &str) -> E {
        match self.row.fields.get(self.n) {
            Some(field) => self.row.fail(Fault::wrong_type(field, found)),
            None => E::custom("no such field"),
        }
    }
}

impl<'a> DeserializeSeed<'a> for Value<'_, '_, 'a> {
    type Value = ();
    fn deserialize<D: Deserializer<'a>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Value<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_bool<E: serde::de::Error>(self, v: bool) -> Result<(), E> {
        self.take(Scalar::Bool(v))
    }
    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<(), E> {
        self.take(Scalar::Int(v))
    }
    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<(), E> {
        self.take(i64::try_from(v).map_or(Scalar::Large(v), Scalar::Int))
    }
    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<(), E> {
        self.take(Scalar::Float(v))
    }
    fn visit_borrowed_str<E: serde::de::Error>(self, v: &'a str) -> Result<(), E> {
        self.take(Scalar::Text(Cow::Borrowed(v)))
    }
    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<(), E> {
        self.take(Scalar::Text(Cow::Owned(v.to_owned())))
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.take(Scalar::Null)
    }
    fn visit_seq<A: SeqAccess<'a>>(self, _: A) -> Result<(), A::Error> {
        Err(self.wrong("an array"))
    }
    fn visit_map<A: MapAccess<'a>>(self, _: A) -> Result<(), A::Error> {
        Err(self.wrong("an object"))
    }
}
