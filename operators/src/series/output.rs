//! What steps put out, gathered column by column for one batch.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lineside_model::{Result, Timestamp, schema};

use crate::reading::Reading;

/// Collects what a step puts out for one batch.
pub trait SeriesOutput: Default {
    /// Whether rows are made from those of the input, so that readings must be taken as they come.
    const FROM_INPUT: bool;

    /// The rows, of the planned schema, in the order in which they were put out; `input` is the batch they come from, or
    /// `None` if they come from time going by.
    ///
    /// # Errors
    /// Only for our bugs.
    fn rows(self, input: Option<&RecordBatch>, schema: &SchemaRef) -> Result<Option<RecordBatch>>;
}

/// Output of a step that hands on some of its input rows, with all their columns.
#[derive(Debug, Default)]
pub struct Kept(Vec<u64>);

impl Kept {
    /// Hands the row of this reading on.
    pub fn keep(&mut self, reading: &Reading<'_>) {
        self.0.push(reading.row as u64);
    }
}

impl SeriesOutput for Kept {
    const FROM_INPUT: bool = true;

    fn rows(self, input: Option<&RecordBatch>, _schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        match input {
            None => Ok(None),
            Some(_) if self.0.is_empty() => Ok(None),
            Some(input) if self.0.len() == input.num_rows() => Ok(Some(input.clone())),
            Some(input) => Ok(Some(take_record_batch(input, &UInt64Array::from(self.0))?)),
        }
    }
}

/// What a row of a step's output has besides its time and its sensor.
pub trait SeriesRow: Debug + Send + Sized {
    /// The further columns.
    fn fields() -> Vec<Field>;

    /// Their values, in the same order.
    fn columns(rows: &[Self]) -> Vec<ArrayRef>;
}

/// Output of a step that makes rows of its own: `ts`, `sensor`, and the columns of `R`.
#[derive(Debug)]
pub struct Rows<R> {
    ts: Vec<i64>,
    sensor: StringBuilder,
    rows: Vec<R>,
}

impl<R> Default for Rows<R> {
    fn default() -> Self {
        Self { ts: Vec::new(), sensor: StringBuilder::new(), rows: Vec::new() }
    }
}

impl<R: SeriesRow> Rows<R> {
    /// Puts a row out.
    pub fn push(&mut self, ts: Timestamp, sensor: &str, row: R) {
        self.ts.push(ts.micros());
        self.sensor.append_value(sensor);
        self.rows.push(row);
    }

    /// The columns of these rows.
    pub fn schema() -> SchemaRef {
        let first = [schema::time_field(schema::TS, false), Field::new(schema::SENSOR, DataType::Utf8, false)];
        Arc::new(Schema::new(first.into_iter().chain(R::fields()).collect::<Vec<_>>()))
    }
}

impl<R: SeriesRow> SeriesOutput for Rows<R> {
    const FROM_INPUT: bool = false;

    fn rows(mut self, _input: Option<&RecordBatch>, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let ts: ArrayRef = Arc::new(TimestampMicrosecondArray::from(self.ts).with_timezone("UTC"));
        let sensor: ArrayRef = Arc::new(self.sensor.finish());
        let columns = [ts, sensor].into_iter().chain(R::columns(&self.rows)).collect();
        Ok(Some(RecordBatch::try_new(SchemaRef::clone(schema), columns)?))
    }
}

/// A column of numbers.
pub(crate) fn numbers<R>(rows: &[R], of: impl Fn(&R) -> Option<f64>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<Float64Array>())
}

/// A column of text.
pub(crate) fn texts<R>(rows: &[R], of: impl Fn(&R) -> Option<&str>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<StringArray>())
}

/// A column of times.
pub(crate) fn times<R>(rows: &[R], of: impl Fn(&R) -> Option<Timestamp>) -> ArrayRef {
    let times = rows.iter().map(|row| of(row).map(Timestamp::micros)).collect::<TimestampMicrosecondArray>();
    Arc::new(times.with_timezone("UTC"))
}
