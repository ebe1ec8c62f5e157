//! Rows in the format of a file: CSV, JSON lines or Parquet, as bytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{cast, nullif};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::json::writer::LineDelimited;
use lineside_model::{Error, Result, Timestamp};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Format;
use crate::codec::written_time;

/// How times are written in CSV and JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TimeAs {
    /// Text such as `2026-01-31T12:00:00.250Z`.
    #[default]
    Rfc3339,
    /// Microseconds since 1970.
    Us,
    /// Milliseconds since 1970, the rest cut off.
    Ms,
    /// Seconds since 1970, the rest cut off.
    S,
}

/// Turns rows into lines of text.
pub(crate) fn write_lines(
    rows: &RecordBatch,
    format: Format,
    time: TimeAs,
    header: bool,
    to: &mut Vec<u8>,
) -> Result<()> {
    let rows = with_times(rows, time)?;
    if format == Format::Csv {
        let mut writer = arrow::csv::WriterBuilder::new().with_header(header).build(&mut *to);
        writer.write(&rows)?;
    } else {
        let builder = arrow::json::WriterBuilder::new().with_explicit_nulls(true);
        let mut writer = builder.build::<_, LineDelimited>(&mut *to);
        writer.write(&rows)?;
        writer.finish()?;
    }
    Ok(())
}

fn with_times(rows: &RecordBatch, time: TimeAs) -> Result<RecordBatch> {
    let unit = match time {
        TimeAs::Rfc3339 => return far_times_as_text(rows),
        TimeAs::Us => TimeUnit::Microsecond,
        TimeAs::Ms => TimeUnit::Millisecond,
        TimeAs::S => TimeUnit::Second,
    };
    let schema = rows.schema();
    let (fields, columns): (Vec<_>, Vec<_>) = schema
        .fields()
        .iter()
        .zip(rows.columns())
        .map(|(field, column)| {
            let DataType::Timestamp(_, zone) = field.data_type() else {
                return Ok((field.as_ref().clone(), Arc::clone(column)));
            };
            let number = cast(&cast(column, &DataType::Timestamp(unit, zone.clone()))?, &DataType::Int64)?;
            Ok((Field::new(field.name(), DataType::Int64, field.is_nullable()), number))
        })
        .collect::<Result<Vec<(Field, ArrayRef)>>>()?
        .into_iter()
        .unzip();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Columns with times beyond the years that Arrow writes, which are garbage and no reason to stop: those are written here.
fn far_times_as_text(rows: &RecordBatch) -> Result<RecordBatch> {
    /// Up to here from 1970, a little less than 260,000 years, Arrow writes a time.
    const FAR: i64 = 8_200_000_000_000 * 1_000_000;
    let (mut fields, mut columns) = (rows.schema().fields().to_vec(), rows.columns().to_vec());
    for (field, column) in fields.iter_mut().zip(&mut columns) {
        let DataType::Timestamp(_, zone) = column.data_type() else { continue };
        let in_micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
        let micros = in_micros.as_primitive::<TimestampMicrosecondType>();
        let is_far = |row: usize| {
            column.is_valid(row) && (micros.is_null(row) || micros.value(row) < -FAR || micros.value(row) > FAR)
        };
        if !(0..rows.num_rows()).any(is_far) {
            continue;
        }
        let near = nullif(column, &(0..rows.num_rows()).map(|row| Some(is_far(row))).collect::<BooleanArray>())?;
        let near = cast(&near, &DataType::Utf8)?;
        let near = near.as_string::<i32>();
        let text = |row: usize| match near.is_valid(row) {
            true => Some(near.value(row).to_owned()),
            false => micros.is_valid(row).then(|| written_time(Timestamp(micros.value(row)))),
        };
        *field = Arc::new(Field::new(field.name(), DataType::Utf8, true));
        *column = Arc::new((0..rows.num_rows()).map(text).collect::<StringArray>());
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Why rows of this schema cannot be written as lines; `None` if they can.
pub(crate) fn refuses(schema: &SchemaRef, format: Format) -> Option<String> {
    if format != Format::Csv {
        return None;
    }
    let nested = schema.fields().iter().find(|field| field.data_type().is_nested())?;
    Some(format!(
        "column \"{}\" holds {}, which a csv line cannot; write jsonl or parquet",
        nested.name(),
        nested.data_type()
    ))
}

/// Turns rows into a Parquet file, piece by piece, in memory.
#[derive(Debug)]
pub(super) struct ParquetOut {
    writer: ArrowWriter<Vec<u8>>,
}

/// How many bytes of a row group are collected before it is written.
pub(super) const ROW_GROUP_LEN: usize = 32 << 20;

fn failed(error: parquet::errors::ParquetError) -> Error {
    Error::internal("the rows do not go into a Parquet file").caused_by(error)
}

impl ParquetOut {
    /// An empty file.
    ///
    /// # Errors
    /// A column has a type that Parquet does not know.
    pub(super) fn new(schema: SchemaRef) -> Result<Self> {
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        Ok(Self { writer: ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(failed)? })
    }

    /// Takes rows and gives the bytes that are ready.
    ///
    /// # Errors
    /// Only for our bugs.
    pub(super) fn write(&mut self, rows: &RecordBatch, to: &mut Vec<u8>) -> Result<()> {
        self.writer.write(rows).map_err(failed)?;
        if self.writer.in_progress_size() >= ROW_GROUP_LEN {
            self.writer.flush().map_err(failed)?;
        }
        to.append(self.writer.inner_mut());
        Ok(())
    }

    /// About how many bytes it holds that are not ready.
    pub(super) fn unready(&self) -> usize {
        self.writer.in_progress_size()
    }

    /// Gives the rest of the file.
    ///
    /// # Errors
    /// Only for our bugs.
    pub(super) fn finish(mut self, to: &mut Vec<u8>) -> Result<()> {
        self.writer.finish().map_err(failed)?;
        to.append(self.writer.inner_mut());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::TimestampMicrosecondArray;
    use expect_test::expect;

    use super::*;

    fn lines(format: Format, times: Vec<Option<i64>>) -> String {
        let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
        let rows = RecordBatch::try_from_iter_with_nullable([("at", Arc::new(times) as ArrayRef, true)]);
        let mut text = Vec::new();
        write_lines(&rows.unwrap(), format, TimeAs::Rfc3339, false, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_time_that_is_garbage_neither_stops_the_file_nor_breaks_its_lines() {
        let times = vec![Some(250_000), Some(i64::MAX), None, Some(i64::MIN)];
        expect![[r#"
            1970-01-01T00:00:00.250Z
            294247-01-10T04:00:54.775807Z
            ""
            -290308-12-21T19:59:05.224192Z
        "#]]
        .assert_eq(&lines(Format::Csv, times.clone()));
        expect![[r#"
            {"at":"1970-01-01T00:00:00.250Z"}
            {"at":"294247-01-10T04:00:54.775807Z"}
            {"at":null}
            {"at":"-290308-12-21T19:59:05.224192Z"}
        "#]]
        .assert_eq(&lines(Format::Jsonl, times));
    }
}
