//! Keys and other columns in a snapshot: as an Arrow IPC stream, whose layout does not change with ours, behind a checksum, because the reader
//! of such streams panics on damaged ones.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use lineside_model::{Error, Result};

use super::{Keys, keys, stored_type};

/// Keys numbered in the order of the rows of `columns`, which are all different.
///
/// # Errors
/// If a key occurs twice.
pub fn numbered(types: &[DataType], columns: &[ArrayRef], rows: usize) -> Result<Box<dyn Keys>> {
    let mut fresh = keys(types)?;
    let mut ids = Vec::new();
    fresh.intern(columns, rows, &mut ids)?;
    if ids.into_iter().eq((0u32..).take(rows)) {
        Ok(fresh)
    } else {
        Err(Error::data("saved state of a window is damaged: a key occurs twice"))
    }
}

/// The keys, a row for each number in its order; nothing if there are no key columns.
pub(crate) fn save(keys: &dyn Keys, types: &[DataType]) -> Result<Vec<u8>> {
    if types.is_empty() {
        return Ok(Vec::new());
    }
    let ids = (0u32..).take(keys.len()).collect::<Vec<_>>();
    save_columns(&keys.columns(&ids)?, &types.iter().map(stored_type).collect::<Vec<_>>())
}

/// What [`save`] gave.
///
/// # Errors
/// If the bytes are not such keys, or keys of other types.
pub(crate) fn load(bytes: &[u8], types: &[DataType]) -> Result<Box<dyn Keys>> {
    if types.is_empty() {
        return keys(types);
    }
    let columns = load_columns(bytes, &types.iter().map(stored_type).collect::<Vec<_>>())?;
    numbered(types, &columns, columns.first().map_or(0, |column| column.len()))
}

/// Columns of these types as an Arrow IPC stream.
pub(crate) fn save_columns(columns: &[ArrayRef], types: &[DataType]) -> Result<Vec<u8>> {
    let field = |(n, data_type): (usize, &DataType)| Field::new(format!("key{n}"), data_type.clone(), true);
    let schema = Arc::new(Schema::new(types.iter().enumerate().map(field).collect::<Vec<_>>()));
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&RecordBatch::try_new(SchemaRef::clone(&schema), columns.to_vec())?)?;
    let stream = writer.into_inner()?;
    Ok([checksum(&stream).to_le_bytes().as_slice(), &stream].concat())
}

/// What [`save_columns`] gave.
///
/// # Errors
/// If the bytes are not such columns, or columns of other types.
pub(crate) fn load_columns(bytes: &[u8], types: &[DataType]) -> Result<Vec<ArrayRef>> {
    let damaged = || Error::data("saved state is damaged: its columns are unreadable");
    let (sum, stream) = bytes.split_first_chunk().ok_or_else(damaged)?;
    if u64::from_le_bytes(*sum) != checksum(stream) {
        return Err(damaged());
    }
    let mut reader = StreamReader::try_new(stream, None).map_err(|e| damaged().caused_by(e))?;
    if !reader.schema().fields().iter().map(|field| field.data_type()).eq(types) {
        return Err(Error::user("saved state has columns of other types")
            .hint("the pipeline was changed since the state was saved; start it with an empty state directory"));
    }
    let batch = reader.next().ok_or_else(damaged)?.map_err(|e| damaged().caused_by(e))?;
    Ok(batch.columns().to_vec())
}

/// FNV-1a, 64 bits: it notices damage, not malice.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
