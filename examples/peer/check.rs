//! Sums over the results, independent of their order, by which engines are compared.

use std::fmt::Debug;

use arrow::array::{Array, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::compute::{cast, sum};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use lineside_model::{Error, Result};
use serde_json::{Map, Value, json};

use crate::columns::number;

/// Takes results and tells about them.
pub(crate) trait Check: Send + Debug {
    /// Takes some results.
    fn take(&mut self, rows: &RecordBatch) -> Result<()>;

    /// Entries of the line that is printed.
    fn tell(&self) -> Map<String, Value>;
}

/// Entries of a JSON object.
pub(crate) fn entries(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(entries) => entries,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}

/// A column by name.
pub(crate) fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a dyn Array> {
    let column = rows.column_by_name(name);
    column.map(AsRef::as_ref).ok_or_else(|| Error::internal(format!("the results have no column \"{name}\"")))
}

/// A column of floats.
fn floats<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a Float64Array> {
    Ok(column(rows, name)?.as_primitive::<Float64Type>())
}

/// A column of points in time, in microseconds.
pub(crate) fn times<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a [i64]> {
    Ok(column(rows, name)?.as_primitive::<TimestampMicrosecondType>().values())
}

/// A column of whole numbers.
pub(crate) fn counts<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a [i64]> {
    Ok(column(rows, name)?.as_primitive::<Int64Type>().values())
}

/// Of windows: sensor, window_start, count, avg, min, max.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    windows: usize,
    count: i64,
    hash: i64,
    avg: f64,
}

impl Check for Windows {
    fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        let sensors = sensors(column(rows, "sensor")?)?;
        let (starts, counts) = (times(rows, "window_start")?, counts(rows, "count")?);
        let (avg, min, max) = (floats(rows, "avg")?, floats(rows, "min")?, floats(rows, "max")?);
        for row in 0..rows.num_rows() {
            let start = starts[row].div_euclid(1_000_000);
            let weight = ((sensors.value(row) + 1) * 7 + (start % 100_000) * 13) % 1009;
            let ends = (min.value(row) * 1000.0).round() as i64 + (max.value(row) * 1000.0).round() as i64;
            self.hash += weight * (counts[row] + ends);
            self.count += counts[row];
            self.avg += avg.value(row);
        }
        self.windows += rows.num_rows();
        Ok(())
    }

    fn tell(&self) -> Map<String, Value> {
        let Self { windows, count, hash, avg } = self;
        entries(json!({ "checksum": { "windows": windows, "count": count, "hash": hash, "avg": avg } }))
    }
}

fn sensors(column: &dyn Array) -> Result<Int64Array> {
    match column.data_type() {
        DataType::Utf8 => Ok(column.as_string::<i32>().iter().map(|name| number(name?)).collect()),
        _ => Ok(cast(column, &DataType::Int64)?.as_primitive().clone()),
    }
}

/// Of rows with a value.
#[derive(Debug, Default)]
pub(crate) struct Values {
    count: usize,
    sum: f64,
}

impl Check for Values {
    fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        self.count += rows.num_rows();
        self.sum += sum(floats(rows, "value")?).unwrap_or(0.0);
        Ok(())
    }

    fn tell(&self) -> Map<String, Value> {
        entries(json!({ "checksum": { "count": self.count, "sum": self.sum } }))
    }
}
