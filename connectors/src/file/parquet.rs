//! Reads a Parquet file, whose columns have types of their own; the position is the number of rows read.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lineside_model::{Error, Reason, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::bad::BadLines;
use super::columns::{ReadColumn, finite, give};

/// A Parquet file that is being read.
pub(super) struct ParquetFile {
    file: File,
    columns: Arc<[ReadColumn]>,
    schema: SchemaRef,
    rows: u64,
    reader: Option<(usize, ParquetRecordBatchReader)>,
}

impl std::fmt::Debug for ParquetFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetFile").field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// The columns of a Parquet file.
///
/// # Errors
/// It cannot be read, or is no Parquet file.
pub(super) fn schema(path: &Path) -> Result<SchemaRef> {
    let file = File::open(path).map_err(super::text::read_error)?;
    Ok(Arc::clone(ParquetRecordBatchReaderBuilder::try_new(file).map_err(damaged)?.schema()))
}

fn damaged(error: parquet::errors::ParquetError) -> Error {
    Error::data("this is not a whole Parquet file").caused_by(error)
}

impl ParquetFile {
    /// Reads `file` from this row on.
    pub(super) fn new(file: File, rows: u64, columns: &Arc<[ReadColumn]>, schema: &SchemaRef) -> Self {
        Self { file, columns: Arc::clone(columns), schema: Arc::clone(schema), rows, reader: None }
    }

    /// How many rows have been read.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The next rows, `limit` at most; `None` at the end.
    ///
    /// # Errors
    /// The file is damaged, or lacks a column.
    pub(super) fn next(&mut self, limit: usize, bad: &mut BadLines) -> Result<Option<RecordBatch>> {
        loop {
            let reader = match &mut self.reader {
                Some((for_limit, reader)) if *for_limit == limit => reader,
                other => &mut other.insert((limit, open(&self.file, self.rows, limit, &self.columns)?)).1,
            };
            let Some(read) = reader.next() else { return Ok(None) };
            let read = read.map_err(|e| Error::data("the Parquet file is damaged").caused_by(e))?;
            self.rows += read.num_rows() as u64;
            let in_order = self
                .columns
                .iter()
                .map(|column| read.schema().index_of(column.field.name()))
                .collect::<Result<Vec<_>, _>>()?;
            let (rows, lost) = finite(give(&self.columns, &self.schema, &read.project(&in_order)?)?)?;
            if lost > 0 {
                bad.count(Reason::NotFinite, lost as u64, || "a number that is NaN or infinite".to_owned());
            }
            if rows.num_rows() > 0 {
                return Ok(Some(rows));
            }
        }
    }
}

fn open(file: &File, rows: u64, limit: usize, columns: &[ReadColumn]) -> Result<ParquetRecordBatchReader> {
    let file = file.try_clone().map_err(super::text::read_error)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(damaged)?;
    let mut wanted = Vec::new();
    for column in columns {
        let name = column.field.name();
        wanted.push(
            builder
                .schema()
                .index_of(name)
                .map_err(|_| Error::user(format!("there is no column \"{name}\" in the file")))?,
        );
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    builder.with_projection(mask).with_batch_size(limit).with_offset(rows).build().map_err(damaged)
}
