//! The fields a codec reads: name, type, and what may be missing. The same words for every codec.
//!
//! Types are strict: a text "1.5" is no float and a bool is no number, because a sensor that suddenly sends another type has
//! been changed by somebody, and guessing would hide it.

use std::borrow::Cow;
use std::fmt;

use arrow::datatypes::{DataType, Field as ArrowField};
use lineside_model::{Quality, schema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// A finite 64-bit number; whole numbers are taken too.
    Float,
    /// A whole 64-bit number.
    Int,
    /// true or false.
    Bool,
    /// Text.
    Text,
    /// A point in time, see `unit`.
    Timestamp,
    /// One of the words good, uncertain and bad.
    Quality,
}

/// How a point in time is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Seconds since 1970, with or without a fraction.
    S,
    /// Milliseconds since 1970, with or without a fraction.
    Ms,
    /// Whole microseconds since 1970.
    #[default]
    Us,
    /// Whole nanoseconds since 1970, cut to microseconds.
    Ns,
    /// Text such as 2024-03-01T12:30:00.25Z.
    Rfc3339,
    /// Text as programs write it, such as 2024-03-01 12:30:00; in UTC where it names no offset.
    Text,
}

impl TimeUnit {
    /// Whether a time is written as text, and not as a number since 1970.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Rfc3339 | Self::Text)
    }
}

/// A field as a table of the pipeline file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldTable {
    /// Its type: float, int, bool, text, timestamp or quality.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// How a timestamp is written: s, ms, us, ns, rfc3339 or text. Default: us.
    pub unit: Option<TimeUnit>,
    /// Where it is in the message, with dots between the levels. Default: its name.
    pub path: Option<String>,
    /// Whether it may be missing or null. The column then has null, and a quality is good. Default: false.
    #[serde(default)]
    pub optional: bool,
}

/// A field in a pipeline file: its type alone, or a table.
#[derive(Clone, Debug)]
pub struct FieldOptions(pub FieldTable);

impl<'de> Deserialize<'de> for FieldOptions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        /// By hand, since serde's untagged enums say only that nothing matched.
        struct Either;
        impl<'de> de::Visitor<'de> for Either {
            type Value = FieldOptions;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type such as \"float\", or a table such as { type = \"float\", path = \"data.v\" }")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<FieldOptions, E> {
                let kind = FieldType::deserialize(de::value::StrDeserializer::new(word))?;
                Ok(FieldOptions(FieldTable { kind, unit: None, path: None, optional: false }))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<FieldOptions, A::Error> {
                FieldTable::deserialize(de::value::MapAccessDeserializer::new(map)).map(FieldOptions)
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for FieldOptions {
    fn schema_name() -> Cow<'static, str> {
        "FieldOptions".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<FieldType>();
        let table = generator.subschema_for::<FieldTable>();
        json_schema!({ "anyOf": [word, table] })
    }
}

/// A field that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Name of the column.
    pub(crate) name: String,
    pub(crate) kind: FieldType,
    pub(crate) unit: TimeUnit,
    pub(crate) optional: bool,
}

impl Field {
    pub(crate) fn new(name: &str, kind: FieldType, unit: Option<TimeUnit>, optional: bool) -> Result<Self, String> {
        if unit.is_some() && kind != FieldType::Timestamp {
            return Err(format!("field \"{name}\" is no timestamp, so it has no unit"));
        }
        Ok(Self { name: name.to_owned(), kind, unit: unit.unwrap_or_default(), optional })
    }

    /// The fields of a reading: what is expected when the user names none.
    pub(crate) fn readings() -> Vec<Self> {
        let field = |name: &str, kind, optional| Self { name: name.to_owned(), kind, unit: TimeUnit::Us, optional };
        vec![
            field(schema::TS, FieldType::Timestamp, false),
            field(schema::SENSOR, FieldType::Text, false),
            field(schema::VALUE, FieldType::Float, false),
            field(schema::QUALITY, FieldType::Quality, true),
        ]
    }

    /// The column it becomes.
    pub(crate) fn column(&self) -> ArrowField {
        let column = |data_type| ArrowField::new(&self.name, data_type, self.optional);
        match self.kind {
            FieldType::Float => column(DataType::Float64),
            FieldType::Int => column(DataType::Int64),
            FieldType::Bool => column(DataType::Boolean),
            FieldType::Text => column(DataType::Utf8),
            FieldType::Timestamp => schema::time_field(&self.name, self.optional),
            FieldType::Quality => ArrowField::new(&self.name, Quality::data_type(), false),
        }
    }

    /// What the user is told was expected.
    pub(crate) fn expected(&self) -> &'static str {
        match (self.kind, self.unit) {
            (FieldType::Float, _) => "a number",
            (FieldType::Int, _) => "a whole number",
            (FieldType::Bool, _) => "true or false",
            (FieldType::Text, _) => "text",
            (FieldType::Quality, _) => "good, uncertain or bad",
            (FieldType::Timestamp, TimeUnit::S) => "seconds since 1970",
            (FieldType::Timestamp, TimeUnit::Ms) => "milliseconds since 1970",
            (FieldType::Timestamp, TimeUnit::Us) => "whole microseconds since 1970",
            (FieldType::Timestamp, TimeUnit::Ns) => "whole nanoseconds since 1970",
            (FieldType::Timestamp, TimeUnit::Rfc3339) => "a time such as 2024-03-01T12:30:00Z",
            (FieldType::Timestamp, TimeUnit::Text) => "a time such as 2024-03-01 12:30:00",
        }
    }
}
