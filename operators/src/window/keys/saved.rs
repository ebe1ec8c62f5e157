//! Keys and other columns in a snapshot: rows with a column for each.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lineside_model::{Error, Result};

use super::{Keys, keys, stored_type};
use crate::saved_rows;

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

/// Columns of these types as bytes.
pub(crate) fn save_columns(columns: &[ArrayRef], types: &[DataType]) -> Result<Vec<u8>> {
    let field = |(n, data_type): (usize, &DataType)| Field::new(format!("key{n}"), data_type.clone(), true);
    let schema = Arc::new(Schema::new(types.iter().enumerate().map(field).collect::<Vec<_>>()));
    let rows = RecordBatch::try_new(SchemaRef::clone(&schema), columns.to_vec())?;
    saved_rows::save(&schema, [&rows])
}

/// What [`save_columns`] gave.
///
/// # Errors
/// If the bytes are not such columns, or columns of other types.
pub(crate) fn load_columns(bytes: &[u8], types: &[DataType]) -> Result<Vec<ArrayRef>> {
    let (saved, batches) = saved_rows::load(bytes)?;
    if !saved.fields().iter().map(|field| field.data_type()).eq(types) {
        return Err(Error::user("saved state has columns of other types")
            .hint("the pipeline was changed since the state was saved; start it with an empty state directory"));
    }
    let rows = batches.first().ok_or_else(|| Error::data("saved state is damaged: its columns are missing"))?;
    Ok(rows.columns().to_vec())
}
