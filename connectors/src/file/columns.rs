//! The types of a file's columns: as the user names them, as a parser reads them, and as the pipeline gets them.
//!
//! Every time column becomes the engine's one time type, whatever the file has: text, or a number since 1970 in the unit
//! that the user names. A row with a number that is NaN or infinite is dropped and counted, as it is with every codec.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::{can_cast_types, cast, filter_record_batch, nullif};
use arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, SchemaRef, TimeUnit as ArrowUnit, TimestampMicrosecondType,
};
use lineside_model::schema::time_type;
use lineside_model::{Quality, Result};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::codec::{self, FieldType, TimeUnit, micros, time_of};

/// The type of a column in the pipeline file: a word such as `"float"`, or a table such as `{ type = "timestamp", unit = "ms" }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Column {
    /// Only the type; a timestamp is text such as `2026-01-31T12:00:00Z`, and in UTC where it names no offset.
    Word(FieldType),
    /// The type and the unit.
    Table(ColumnTable),
}

/// The long form of a column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnTable {
    /// What the column holds.
    #[serde(rename = "type")]
    kind: FieldType,
    /// For a timestamp: how it is written, a number since 1970 (s, ms, us, ns) or text (rfc3339, text). Default: text.
    unit: Option<TimeUnit>,
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        let read = if value.is_object() {
            ColumnTable::deserialize(value).map(Self::Table)
        } else {
            FieldType::deserialize(value).map(Self::Word)
        };
        read.map_err(D::Error::custom)
    }
}

impl Column {
    pub(crate) fn kind(self) -> FieldType {
        match self {
            Self::Word(kind) | Self::Table(ColumnTable { kind, .. }) => kind,
        }
    }

    pub(crate) fn unit(self) -> Option<TimeUnit> {
        match self {
            Self::Word(_) => None,
            Self::Table(table) => table.unit,
        }
    }

    /// The type that the pipeline gets.
    pub(crate) fn data_type(self) -> DataType {
        match self.kind() {
            FieldType::Float => DataType::Float64,
            FieldType::Int => DataType::Int64,
            FieldType::Bool => DataType::Boolean,
            FieldType::Text => DataType::Utf8,
            FieldType::Timestamp => time_type(),
            FieldType::Quality => Quality::data_type(),
        }
    }

    /// Says why a column of type `from` in a file cannot be read as this.
    pub(crate) fn refuses(self, from: &DataType) -> Option<Cow<'static, str>> {
        let to = if self.kind() == FieldType::Quality { DataType::Utf8 } else { self.data_type() };
        if self.kind() == FieldType::Timestamp && from.is_numeric() {
            return self.unit().is_none_or(TimeUnit::is_text).then(|| {
                Cow::from("the column holds numbers: name their unit, such as { type = \"timestamp\", unit = \"ms\" }")
            });
        }
        (!can_cast_types(from, &to)).then(|| Cow::from(format!("the file has {from}, which does not become {to}")))
    }
}

/// One column as it is read and as it is given.
#[derive(Clone, Debug)]
pub(crate) struct ReadColumn {
    /// Its name and the type the pipeline gets.
    pub(crate) field: Field,
    /// How the user says that times are written.
    unit: Option<TimeUnit>,
}

impl ReadColumn {
    /// A column that the user typed.
    pub(crate) fn typed(name: &str, column: Column) -> Self {
        Self { field: Field::new(name, column.data_type(), true), unit: column.unit() }
    }

    /// A column of this type in the file, given as the engine wants it: one time type, plain text, no views.
    pub(crate) fn found(name: &str, data_type: &DataType) -> Self {
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

    fn is_quality(&self) -> bool {
        *self.field.data_type() == Quality::data_type()
    }

    /// How a CSV line is read: every value may be missing.
    pub(crate) fn in_csv(&self) -> codec::Field {
        let kind = match self.field.data_type() {
            DataType::Float64 => FieldType::Float,
            DataType::Int64 => FieldType::Int,
            DataType::Boolean => FieldType::Bool,
            DataType::Timestamp(..) => FieldType::Timestamp,
            _ if self.is_quality() => FieldType::Quality,
            _ => FieldType::Text,
        };
        let unit = self.unit.unwrap_or(TimeUnit::Text);
        codec::Field { name: self.field.name().clone(), kind, unit, optional: true }
    }

    /// The type that a JSON parser reads: it takes text and numbers for a timestamp, the numbers in its unit.
    pub(crate) fn in_json(&self) -> Field {
        let data_type = match self.unit {
            Some(TimeUnit::Rfc3339) => DataType::Utf8,
            Some(unit) => DataType::Timestamp(arrow_unit(unit), Some("UTC".into())),
            None if self.is_quality() => DataType::Utf8,
            None => self.field.data_type().clone(),
        };
        Field::new(self.field.name(), data_type, true)
    }

    /// The column as given; null where a value does not become one of its type.
    fn give(&self, read: &ArrayRef) -> Result<ArrayRef> {
        let wanted = self.field.data_type();
        if self.is_quality() {
            let words = cast(read, &DataType::Utf8)?;
            let words = words.as_string::<i32>().iter();
            let read = words.map(|word| word.map_or(Some(Quality::Good), Quality::from_word)).collect::<Vec<_>>();
            let unknown = read.iter().map(Option::is_none).collect::<Vec<_>>();
            let known = Quality::column(read.into_iter().map(Option::unwrap_or_default));
            return Ok(nullif(&known, &BooleanArray::from(unknown))?);
        }
        if read.data_type() == wanted {
            return Ok(Arc::clone(read));
        }
        match (read.data_type(), self.unit) {
            (from, Some(unit)) if from.is_floating() => Ok(fractions(&cast(read, &DataType::Float64)?, unit)),
            (from, Some(unit)) if from.is_numeric() => Ok(times(&cast(read, &DataType::Int64)?, unit)),
            (DataType::Utf8, Some(unit @ TimeUnit::Rfc3339)) => {
                let texts = read.as_string::<i32>().iter();
                let times = texts.map(|text| time_of(unit, text?)).collect::<TimestampMicrosecondArray>();
                Ok(Arc::new(times.with_timezone("UTC")))
            }
            // A time without a zone is UTC here, not local time.
            (DataType::Timestamp(unit, _), _) if *wanted == time_type() => {
                Ok(times(&cast(read, &DataType::Int64)?, codec_unit(*unit)))
            }
            _ => Ok(cast(read, wanted)?),
        }
    }
}

fn arrow_unit(unit: TimeUnit) -> ArrowUnit {
    match unit {
        TimeUnit::S => ArrowUnit::Second,
        TimeUnit::Ms => ArrowUnit::Millisecond,
        TimeUnit::Ns => ArrowUnit::Nanosecond,
        TimeUnit::Us | TimeUnit::Text | TimeUnit::Rfc3339 => ArrowUnit::Microsecond,
    }
}

fn codec_unit(unit: ArrowUnit) -> TimeUnit {
    match unit {
        ArrowUnit::Second => TimeUnit::S,
        ArrowUnit::Millisecond => TimeUnit::Ms,
        ArrowUnit::Microsecond => TimeUnit::Us,
        ArrowUnit::Nanosecond => TimeUnit::Ns,
    }
}

/// Microseconds in a unit of time that has some.
fn factor(unit: TimeUnit) -> Option<i64> {
    micros(unit, 1).filter(|factor| *factor > 0)
}

/// Whole numbers since 1970 as times; null where there is none, or where it is beyond the range of the engine's time.
fn times(numbers: &ArrayRef, unit: TimeUnit) -> ArrayRef {
    let numbers = numbers.as_primitive::<Int64Type>();
    let values = numbers.values();
    let times = match factor(unit) {
        Some(1) => values.clone(),
        // All in range, which is the rule: one multiplication a value and no branch.
        Some(factor) if all_near(values, factor) => values.iter().map(|time| time * factor).collect(),
        _ => {
            let times = numbers.unary_opt::<_, TimestampMicrosecondType>(|time| micros(unit, time));
            return Arc::new(times.with_timezone("UTC"));
        }
    };
    Arc::new(TimestampMicrosecondArray::new(times, numbers.nulls().cloned()).with_timezone("UTC"))
}

/// Whether all whole numbers are so near to 1970 (278,000 years in any unit) that they have microseconds for sure.
fn all_near(numbers: &[i64], factor: i64) -> bool {
    let near = 1 << (i64::MAX / factor).ilog2();
    // Shifted up by the bound none is negative, and all together have no bit above it.
    numbers.iter().fold(0, |all, number| all | number.cast_unsigned().wrapping_add(near)) < 2 * near
}

/// The same for numbers with a fraction.
fn fractions(numbers: &ArrayRef, unit: TimeUnit) -> ArrayRef {
    let scale = factor(unit).map_or(1e-3, |factor| factor as f64);
    let times = numbers.as_primitive::<Float64Type>().unary_opt::<_, TimestampMicrosecondType>(|time| {
        let micros = (time * scale).round();
        (micros.abs() < i64::MAX as f64).then_some(micros as i64)
    });
    Arc::new(times.with_timezone("UTC"))
}

/// Rows as given, and how many were left out.
#[derive(Debug)]
pub(crate) struct Given {
    /// The rows.
    pub(crate) rows: RecordBatch,
    /// Rows with a value that does not become one of its column's type.
    pub(crate) wrong: usize,
    /// Rows with a number that is NaN or infinite.
    pub(crate) not_finite: usize,
}

/// Columns as read become columns as given.
///
/// # Errors
/// Only for our bugs.
pub(crate) fn give(columns: &[ReadColumn], schema: &SchemaRef, read: &RecordBatch) -> Result<Given> {
    let arrays =
        columns.iter().zip(read.columns()).map(|(column, array)| column.give(array)).collect::<Result<Vec<_>>>()?;
    // What became null on the way was no value of the type.
    let mut fits = Vec::new();
    for (read, given) in read.columns().iter().zip(&arrays) {
        if let (false, Some(given)) = (Arc::ptr_eq(read, given), given.logical_nulls()) {
            let read = read.logical_nulls();
            fits.push(move |row| given.is_valid(row) || read.as_ref().is_some_and(|read| read.is_null(row)));
        }
    }
    let mut rows = RecordBatch::try_new(Arc::clone(schema), arrays)?;
    if !fits.is_empty() {
        let keep = (0..rows.num_rows()).map(|row| fits.iter().all(|fits| fits(row))).collect::<BooleanArray>();
        if keep.true_count() < keep.len() {
            rows = filter_record_batch(&rows, &keep)?;
        }
    }
    let wrong = read.num_rows() - rows.num_rows();
    let (rows, not_finite) = finite(rows)?;
    Ok(Given { rows, wrong, not_finite })
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
