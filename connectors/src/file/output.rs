//! Rows in the format of a file: CSV, JSON lines or Parquet, as bytes.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::json::writer::LineDelimited;
use lineside_model::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Format;

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
        TimeAs::Rfc3339 => return Ok(rows.clone()),
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
