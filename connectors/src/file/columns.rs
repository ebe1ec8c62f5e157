//! The types of a file's columns: as the user names them, as a parser reads them, and as the pipeline gets them.
//!
//! Every time column becomes the engine's one time type, whatever the file has: text, or a number since 1970 in the unit
//! that the user names. A row with a number that is NaN or infinite is dropped and counted, as it is with every codec.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType, Field, Float64Type, SchemaRef, TimeUnit};
use lineside_model::schema::time_type;
use lineside_model::{Error, Result};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Holds {
    /// A number with a fraction.
    Float,
    /// A whole number.
    Int,
    /// True or false.
    Bool,
    /// Text.
    Text,
    /// A point in time.
    Timestamp,
}

/// The unit of a time that is written as a number since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Unit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl Unit {
    fn arrow(self) -> TimeUnit {
        match self {
            Self::S => TimeUnit::Second,
            Self::Ms => TimeUnit::Millisecond,
            Self::Us => TimeUnit::Microsecond,
            Self::Ns => TimeUnit::Nanosecond,
        }
    }
}

/// The type of a column in the pipeline file: a word such as `"float"`, or a table such as `{ type = "timestamp", unit = "ms" }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Column {
    /// Only the type; a timestamp is text such as `2026-01-31T12:00:00Z`, and in UTC where it names no offset.
    Word(Holds),
    /// The type and the unit.
    Table(ColumnTable),
}

/// The long form of a column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnTable {
    /// What the column holds.
    #[serde(rename = "type")]
    holds: Holds,
    /// For a timestamp that is a number since 1970: its unit.
    unit: Option<Unit>,
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        let read = if value.is_object() {
            ColumnTable::deserialize(value).map(Self::Table)
        } else {
            Holds::deserialize(value).map(Self::Word)
        };
        read.map_err(D::Error::custom)
    }
}

impl Column {
    pub(super) fn holds(self) -> Holds {
        match self {
            Self::Word(holds) | Self::Table(ColumnTable { holds, .. }) => holds,
        }
    }

    pub(super) fn unit(self) -> Option<Unit> {
        match self {
            Self::Word(_) => None,
            Self::Table(table) => table.unit,
        }
    }

    /// The type that the pipeline gets.
    pub(super) fn data_type(self) -> DataType {
        match self.holds() {
            Holds::Float => DataType::Float64,
            Holds::Int => DataType::Int64,
            Holds::Bool => DataType::Boolean,
            Holds::Text => DataType::Utf8,
            Holds::Timestamp => time_type(),
        }
    }

    /// Says why a column of type `from` in a file cannot be read as this.
    pub(super) fn refuses(self, from: &DataType) -> Option<Cow<'static, str>> {
        let to = self.data_type();
        if self.holds() == Holds::Timestamp && from.is_numeric() {
            return self.unit().is_none().then(|| {
                Cow::from("the column holds numbers: name their unit, such as { type = \"timestamp\", unit = \"ms\" }")
            });
        }
        (!can_cast_types(from, &to)).then(|| Cow::from(format!("the file has {from}, which does not become {to}")))
    }
}

/// One column as it is read and as it is given.
#[derive(Clone, Debug)]
pub(super) struct ReadColumn {
    /// Its name and the type the pipeline gets.
    pub(super) field: Field,
    /// The unit, if the file has numbers since 1970.
    pub(super) unit: Option<Unit>,
}

impl ReadColumn {
    /// A column that the user typed.
    pub(super) fn typed(name: &str, column: Column) -> Self {
        Self { field: Field::new(name, column.data_type(), true), unit: column.unit() }
    }

    /// A column of this type in the file, given as the engine wants it: one time type, plain text, no views.
    pub(super) fn found(name: &str, data_type: &DataType) -> Self {
        let given = match data_type {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => time_type(),
            DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            DataType::Dictionary(_, value)
                if matches!(**value, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) =>
            {
                DataType::Utf8
            }
            DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
            DataType::Null => DataType::Utf8,
            other => other.clone(),
        };
        Self { field: Field::new(name, given, true), unit: None }
    }

    /// The type that a CSV parser reads: numbers since 1970 are whole numbers there.
    pub(super) fn in_csv(&self) -> Field {
        match self.unit {
            Some(_) => Field::new(self.field.name(), DataType::Int64, true),
            None => self.field.clone(),
        }
    }

    /// The type that a JSON parser reads: it takes text and numbers for a timestamp, the numbers in its unit.
    pub(super) fn in_json(&self) -> Field {
        match self.unit {
            Some(unit) => Field::new(self.field.name(), DataType::Timestamp(unit.arrow(), Some("UTC".into())), true),
            None => self.field.clone(),
        }
    }

    fn give(&self, read: &ArrayRef) -> Result<ArrayRef> {
        let wanted = self.field.data_type();
        if read.data_type() == wanted {
            return Ok(Arc::clone(read));
        }
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let cast = |array: &ArrayRef, to: &DataType| {
            cast_with_options(array, to, &strict)
                .map_err(|e| Error::data(format!("column \"{}\" does not become {to}", self.field.name())).caused_by(e))
        };
        match self.unit {
            Some(unit) if read.data_type().is_numeric() => {
                let whole = cast(read, &DataType::Int64)?;
                cast(&cast(&whole, &DataType::Timestamp(unit.arrow(), Some("UTC".into())))?, wanted)
            }
            _ => match read.data_type() {
                // A time without a zone is UTC here, not local time.
                DataType::Timestamp(unit, None) => {
                    cast(&cast(read, &DataType::Timestamp(*unit, Some("UTC".into())))?, wanted)
                }
                _ => cast(read, wanted),
            },
        }
    }
}

/// Columns as read become columns as given.
///
/// # Errors
/// A value of a typed file does not fit the type that the user asked for.
pub(super) fn give(columns: &[ReadColumn], schema: &SchemaRef, read: &RecordBatch) -> Result<RecordBatch> {
    let arrays =
        columns.iter().zip(read.columns()).map(|(column, array)| column.give(array)).collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), arrays)?)
}

/// Leaves out rows that have a number which is NaN or infinite, and says how many those were.
///
/// # Errors
/// Only for our bugs.
pub(super) fn finite(rows: RecordBatch) -> Result<(RecordBatch, usize)> {
    let floats = || rows.columns().iter().filter_map(|column| column.as_primitive_opt::<Float64Type>());
    // A sum over x·0 is zero if every x is finite, and NaN otherwise; it is one multiplication a value and no branch.
    if floats().all(|column| column.values().iter().map(|x| x * 0.0).sum::<f64>() == 0.0) {
        return Ok((rows, 0));
    }
    let keep = (0..rows.num_rows())
        .map(|row| floats().all(|column| column.is_null(row) || column.value(row).is_finite()))
        .collect::<BooleanArray>();
    let kept = filter_record_batch(&rows, &keep)?;
    let lost = rows.num_rows() - kept.num_rows();
    Ok((kept, lost))
}
