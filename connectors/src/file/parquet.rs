//! Reads a Parquet file, whose columns have types of their own; the position is the number of rows read.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lineside_model::{Error, Reason, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::bad::Bad;
use super::columns::{Given, ReadColumn, give};
use super::text::Piece;

/// How many rows are decoded at once: their columns stay in the cache of a core until they are done.
const DECODE_ROWS: usize = 8_192;
/// How many rows are read ahead as one part.
pub(super) const PART_ROWS: usize = 4 * DECODE_ROWS;

/// A Parquet file that is being read.
pub(super) struct ParquetFile {
    file: File,
    columns: Arc<[ReadColumn]>,
    schema: SchemaRef,
    rows: u64,
    reader: Option<ParquetRecordBatchReader>,
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

    /// The next rows, in batches of `limit` at most; none at the end.
    ///
    /// # Errors
    /// The file is damaged, or lacks a column.
    pub(super) fn next(&mut self, limit: usize) -> Result<Vec<Piece>> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(open(&self.file, self.rows, &self.columns)?),
        };
        let mut pieces = Vec::new();
        for read in reader.take(PART_ROWS / DECODE_ROWS) {
            let read = read.map_err(|e| Error::data("the Parquet file is damaged").caused_by(e))?;
            let in_order = self.columns.iter().map(|column| read.schema().index_of(column.field.name()));
            let read = read.project(&in_order.collect::<Result<Vec<_>, _>>()?)?;
            for from in (0..read.num_rows()).step_by(limit.max(1)) {
                let rows = read.slice(from, limit.min(read.num_rows() - from));
                self.rows += rows.num_rows() as u64;
                pieces.push(give_piece(&self.columns, &self.schema, &rows, self.rows)?);
            }
        }
        Ok(pieces)
    }
}

/// Rows as they are in the file become rows as they are given. `end`: the number of the row after them.
fn give_piece(columns: &[ReadColumn], schema: &SchemaRef, rows: &RecordBatch, end: u64) -> Result<Piece> {
    let mut bad = Bad::default();
    let Given { rows, wrong, not_finite } = give(columns, schema, rows)?;
    if wrong > 0 {
        bad.note(Reason::WrongType, wrong as u64, || "a value that is none of its column's type".to_owned());
    }
    if not_finite > 0 {
        bad.note(Reason::NotFinite, not_finite as u64, || "a number that is NaN or infinite".to_owned());
    }
    Ok(Piece { rows: Some(rows).filter(|rows| rows.num_rows() > 0), end, bad })
}

fn open(file: &File, rows: u64, columns: &[ReadColumn]) -> Result<ParquetRecordBatchReader> {
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
    builder.with_projection(mask).with_batch_size(DECODE_ROWS).with_offset(rows).build().map_err(damaged)
}
