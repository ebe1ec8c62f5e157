//! Rows in a snapshot: an Arrow IPC stream, whose layout does not change with ours, behind a checksum, because the reader of
//! such streams panics on damaged ones.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use lineside_model::{Error, Result};

/// Batches of one schema as bytes.
pub(crate) fn save<'a>(schema: &SchemaRef, batches: impl IntoIterator<Item = &'a RecordBatch>) -> Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    for batch in batches {
        writer.write(batch)?;
    }
    let stream = writer.into_inner()?;
    Ok([checksum(&stream).to_le_bytes().as_slice(), &stream].concat())
}

/// What [`save`] was given.
///
/// # Errors
/// If the bytes are damaged.
pub(crate) fn load(bytes: &[u8]) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let damaged = || Error::data("saved state is damaged: its rows are unreadable");
    let (sum, stream) = bytes.split_first_chunk().ok_or_else(damaged)?;
    if u64::from_le_bytes(*sum) != checksum(stream) {
        return Err(damaged());
    }
    let reader = StreamReader::try_new(stream, None).map_err(|e| damaged().caused_by(e))?;
    let schema = reader.schema();
    let batches = reader.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| damaged().caused_by(e))?;
    Ok((schema, batches))
}

/// FNV-1a, 64 bits: it notices damage, not malice.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
