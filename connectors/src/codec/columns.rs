//! Values on their way from a message into columns: checked one by one, added as a whole row or not at all.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Schema, SchemaRef};
use lineside_model::{Error, Quality, Reason, Result};

use super::csv_read::bool_of;
use super::field::{Field, FieldType, TimeUnit};
use super::{digits, time_text};

/// Why a message is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

impl Fault {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    #[cold]
    pub(super) fn wrong_type(field: &Field, found: impl std::fmt::Display) -> Self {
        Self::new(Reason::WrongType, format!("field \"{}\" expects {}, found {found}", field.name, field.expected()))
    }

    #[cold]
    pub(super) fn not_finite(field: &Field) -> Self {
        Self::new(Reason::NotFinite, format!("field \"{}\" is beyond the range of its type", field.name))
    }

    #[cold]
    fn missing(field: &Field) -> Self {
        Self::new(Reason::MissingField, format!("field \"{}\" is missing or null", field.name))
    }
}

/// A value as the format has it.
#[derive(Debug)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// A whole number beyond `i64`.
    Large(u64),
    Float(f64),
    Text(Cow<'a, str>),
}

impl Scalar<'_> {
    fn found(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(v) => v.to_string(),
            Self::Int(v) => v.to_string(),
            Self::Large(v) => v.to_string(),
            Self::Float(v) => format!("{v:?}"),
            Self::Text(v) => format!("the text \"{}\"", short(v)),
        }
    }
}

/// The beginning of a text, for a message of one line.
pub(super) fn short(text: &str) -> String {
    let cut = text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

/// A value of a field's type.
#[derive(Debug, Default)]
pub(crate) enum Cell<'a> {
    #[default]
    Missing,
    Float(f64),
    /// Whole numbers, and timestamps in microseconds.
    Int(i64),
    Bool(bool),
    Text(Cow<'a, str>),
    Quality(Quality),
}

/// Checks a value against the type of its field.
#[inline]
pub(super) fn cell<'a>(field: &Field, scalar: Scalar<'a>) -> Result<Cell<'a>, Fault> {
    Ok(match (field.kind, scalar) {
        (_, Scalar::Null) => Cell::Missing,
        (FieldType::Float, Scalar::Float(v)) if v.is_finite() => Cell::Float(v),
        (FieldType::Float, Scalar::Float(_)) => return Err(Fault::not_finite(field)),
        (FieldType::Float, Scalar::Int(v)) => Cell::Float(v as f64),
        (FieldType::Float, Scalar::Large(v)) => Cell::Float(v as f64),
        (FieldType::Int, Scalar::Int(v)) => Cell::Int(v),
        (FieldType::Int | FieldType::Timestamp, Scalar::Large(_)) => return Err(Fault::not_finite(field)),
        (FieldType::Bool, Scalar::Bool(v)) => Cell::Bool(v),
        (FieldType::Text, Scalar::Text(v)) => Cell::Text(v),
        (FieldType::Quality, Scalar::Text(v)) => {
            Cell::Quality(Quality::from_word(&v).ok_or_else(|| Fault::wrong_type(field, Scalar::Text(v).found()))?)
        }
        (FieldType::Timestamp, scalar) => Cell::Int(time(field, scalar)?),
        (_, other) => return Err(Fault::wrong_type(field, other.found())),
    })
}

fn time(field: &Field, scalar: Scalar<'_>) -> Result<i64, Fault> {
    match (field.unit, scalar) {
        (unit, Scalar::Text(v)) if unit.is_text() => {
            time_of(unit, &v).ok_or_else(|| Fault::wrong_type(field, Scalar::Text(v).found()))
        }
        (unit, Scalar::Int(v)) if !unit.is_text() => micros(unit, v).ok_or_else(|| Fault::not_finite(field)),
        (TimeUnit::Ms, Scalar::Float(v)) => rounded(field, v * 1e3),
        (TimeUnit::S, Scalar::Float(v)) => rounded(field, v * 1e6),
        (_, other) => Err(Fault::wrong_type(field, other.found())),
    }
}

/// The time that a text tells in microseconds, written as `unit` says.
pub(crate) fn time_of(unit: TimeUnit, text: &str) -> Option<i64> {
    time_text::read(unit, text).map(|time| time.micros())
}

/// So many of a unit since 1970 in microseconds; `None` beyond their range, and for a unit that is text.
#[inline]
pub(crate) fn micros(unit: TimeUnit, time: i64) -> Option<i64> {
    match unit {
        TimeUnit::S => time.checked_mul(1_000_000),
        TimeUnit::Ms => time.checked_mul(1_000),
        TimeUnit::Us => Some(time),
        TimeUnit::Ns => Some(time.div_euclid(1_000)),
        TimeUnit::Text | TimeUnit::Rfc3339 => None,
    }
}

fn rounded(field: &Field, micros: f64) -> Result<i64, Fault> {
    if micros.abs() < i64::MAX as f64 { Ok(micros.round() as i64) } else { Err(Fault::not_finite(field)) }
}

/// Columns that grow row by row.
#[derive(Debug)]
pub(crate) struct Columns<'f> {
    fields: &'f [Field],
    columns: Vec<Column>,
    rows: usize,
}

#[derive(Debug)]
struct Column {
    values: Values,
    /// The rows that have no value here; their place is taken by any.
    missing: Vec<usize>,
}

#[derive(Debug)]
enum Values {
    Float(Vec<f64>),
    Int(Vec<i64>),
    Time(Vec<i64>),
    Bool(Vec<bool>),
    Text { ends: Vec<i32>, bytes: Vec<u8> },
    Quality(Vec<Quality>),
}

impl<'f> Columns<'f> {
    pub(crate) fn new(fields: &'f [Field], rows: usize) -> Self {
        let column = |field: &Field| Column {
            values: match field.kind {
                FieldType::Float => Values::Float(Vec::with_capacity(rows)),
                FieldType::Int => Values::Int(Vec::with_capacity(rows)),
                FieldType::Timestamp => Values::Time(Vec::with_capacity(rows)),
                FieldType::Bool => Values::Bool(Vec::with_capacity(rows)),
                FieldType::Text => {
                    let mut ends = Vec::with_capacity(rows + 1);
                    ends.push(0);
                    Values::Text { ends, bytes: Vec::with_capacity(rows * 16) }
                }
                FieldType::Quality => Values::Quality(Vec::with_capacity(rows)),
            },
            missing: Vec::new(),
        };
        Self { fields, columns: fields.iter().map(column).collect(), rows: 0 }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row, taking the cells and leaving them missing; adds nothing if one is missing that must be there.
    pub(crate) fn push(&mut self, cells: &mut [Cell<'_>]) -> Result<(), Fault> {
        debug_assert_eq!(cells.len(), self.columns.len(), "one cell a field");
        for (field, (cell, column)) in self.fields.iter().zip(cells.iter().zip(&self.columns)) {
            match (cell, &column.values) {
                (Cell::Missing, _) if !field.optional => return Err(Fault::missing(field)),
                // Arrow's offsets are 32 bits wide.
                (Cell::Text(text), Values::Text { bytes, .. }) if i32::try_from(bytes.len() + text.len()).is_err() => {
                    return Err(Fault::new(Reason::TooLarge, "the texts of one batch exceed 2 GiB"));
                }
                _ => {}
            }
        }
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            match (&mut column.values, std::mem::take(cell)) {
                (Values::Float(values), Cell::Float(v)) => values.push(v),
                (Values::Int(values) | Values::Time(values), Cell::Int(v)) => values.push(v),
                (Values::Bool(values), Cell::Bool(v)) => values.push(v),
                (Values::Quality(values), Cell::Quality(v)) => values.push(v),
                (Values::Text { ends, bytes }, Cell::Text(text)) => push_text(ends, bytes, text.as_bytes()),
                _ => column.push_missing(self.rows),
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Reads the plain number that `text` begins with straight into the next row of a field, and gives its length. `None`: the
    /// field holds no numbers, or this is none that can be read in passing.
    #[inline]
    pub(super) fn number(&mut self, field: usize, text: &[u8]) -> Option<usize> {
        match &mut self.columns.get_mut(field)?.values {
            Values::Float(values) => {
                let (value, len) = digits::decimal(text)?;
                values.push(value);
                Some(len)
            }
            Values::Int(values) => {
                let (value, len) = digits::whole(text)?;
                values.push(value);
                Some(len)
            }
            Values::Time(values) => {
                let unit = self.fields.get(field)?.unit;
                let (value, len) = if unit.is_text() { None } else { digits::whole(text) }?;
                values.push(micros(unit, value)?);
                Some(len)
            }
            Values::Bool(_) | Values::Text { .. } | Values::Quality(_) => None,
        }
    }

    /// Puts a text, which is UTF-8, into the next row of a field, if it is a value of the field's type or may be missing.
    #[inline]
    pub(super) fn text(&mut self, field: usize, text: &[u8]) -> Option<()> {
        let (rows, about, column) = (self.rows, self.fields.get(field)?, self.columns.get_mut(field)?);
        if text.is_empty() {
            return about.optional.then(|| column.push_missing(rows));
        }
        match &mut column.values {
            Values::Text { ends, bytes } => {
                // Arrow's offsets are 32 bits wide.
                i32::try_from(bytes.len() + text.len()).ok()?;
                push_text(ends, bytes, text);
            }
            Values::Bool(values) => values.push(bool_of(text)?),
            Values::Quality(values) => values.push(Quality::from_word(std::str::from_utf8(text).ok()?)?),
            Values::Time(values) if about.unit.is_text() => {
                values.push(time_of(about.unit, std::str::from_utf8(text).ok()?)?);
            }
            Values::Time(_) | Values::Int(_) | Values::Float(_) => return None,
        }
        Some(())
    }

    /// The row is whole: every column got its value by [`Columns::number`] or [`Columns::text`].
    pub(super) fn row_is_whole(&mut self) {
        self.rows += 1;
    }

    /// Takes back the rows after the first `rows`.
    pub(crate) fn truncate(&mut self, rows: usize) {
        for column in &mut self.columns {
            while column.missing.last().is_some_and(|row| *row >= rows) {
                column.missing.pop();
            }
            match &mut column.values {
                Values::Float(values) => values.truncate(rows),
                Values::Int(values) | Values::Time(values) => values.truncate(rows),
                Values::Bool(values) => values.truncate(rows),
                Values::Quality(values) => values.truncate(rows),
                Values::Text { ends, bytes } => {
                    ends.truncate(rows + 1);
                    bytes.truncate(ends.last().map_or(0, |end| usize::try_from(*end).unwrap_or(0)));
                }
            }
        }
        self.rows = self.rows.min(rows);
    }

    /// The columns as arrays, in the order of the fields.
    pub(crate) fn into_arrays(self) -> Result<Vec<ArrayRef>> {
        let rows = self.rows;
        self.columns.into_iter().map(|column| column.finish(rows)).collect()
    }

    pub(super) fn finish(self, schema: SchemaRef) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(schema, self.into_arrays()?)?)
    }
}

impl Column {
    #[cold]
    fn push_missing(&mut self, row: usize) {
        match &mut self.values {
            Values::Float(values) => values.push(0.0),
            Values::Int(values) | Values::Time(values) => values.push(0),
            Values::Bool(values) => values.push(false),
            Values::Text { ends, bytes } => push_text(ends, bytes, b""),
            // A quality that nobody tells is good.
            Values::Quality(values) => return values.push(Quality::Good),
        }
        self.missing.push(row);
    }

    fn finish(self, rows: usize) -> Result<ArrayRef> {
        let nulls = (!self.missing.is_empty()).then(|| {
            let mut present = vec![true; rows];
            for row in self.missing {
                present[row] = false;
            }
            NullBuffer::from(present)
        });
        Ok(match self.values {
            Values::Float(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Values::Int(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            Values::Time(values) => Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC")),
            Values::Bool(values) => Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls)),
            Values::Quality(values) => Quality::column(values),
            Values::Text { ends, bytes } => Arc::new(
                StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(ends)), bytes.into(), nulls)
                    .map_err(Error::from)?,
            ),
        })
    }
}

fn push_text(ends: &mut Vec<i32>, bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend_from_slice(text);
    ends.push(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
}

/// The schema of these fields.
pub(super) fn schema_of(fields: &[Field]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(Field::column).collect::<Vec<_>>()))
}
