//! Rows as operators keep them: how many make a batch, and columns brought to the types of a batch.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use lineside_model::Result;
use lineside_model::schema::as_type;

/// The most rows of a batch that an operator puts together.
pub(crate) const BATCH_ROWS: usize = 8192;

/// Columns as a batch of these types, cast where they differ.
pub(crate) fn as_schema(schema: &SchemaRef, columns: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
    let columns = columns.iter().zip(schema.fields()).map(|(column, field)| as_type(column, field.data_type()));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(SchemaRef::clone(schema), columns, &options)?)
}
