//! What all decoders do around the reading of one message: limits, and accounting for what is bad.

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use lineside_model::{Reason, Result};

use super::Decoded;
use super::columns::{Columns, Fault};
use super::field::Field;

/// The default of `max_bytes`: what a message may have if the user says nothing.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Refuses what no codec needs to look at.
pub(super) fn check_size(payload: &[u8], max_bytes: usize) -> Result<(), Fault> {
    if payload.is_empty() {
        return Err(Fault::new(Reason::Empty, "the message has no bytes"));
    }
    if payload.len() > max_bytes {
        let detail = format!("the message has {} bytes, at most {max_bytes} are taken", payload.len());
        return Err(Fault::new(Reason::TooLarge, detail));
    }
    Ok(())
}

/// Text, or why it is none.
pub(super) fn text(payload: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(payload)
        .map_err(|e| Fault::new(Reason::NotUtf8, format!("the message is not UTF-8 at byte {}", e.valid_up_to())))
}

/// Reads messages one by one. `read` adds the rows of one message; what it added before a fault is taken back.
pub(super) fn each<'a>(
    payloads: &'a [Bytes],
    fields: &[Field],
    schema: SchemaRef,
    max_bytes: usize,
    mut read: impl FnMut(&'a [u8], &mut Columns<'_>) -> Result<(), Fault>,
) -> Result<Decoded> {
    let mut columns = Columns::new(fields, payloads.len());
    let mut bad = Vec::new();
    let mut origins: Option<Vec<u32>> = None;
    for (n, payload) in (0u32..).zip(payloads) {
        let before = columns.rows();
        match check_size(payload, max_bytes).and_then(|()| read(payload, &mut columns)) {
            Ok(()) => {}
            Err(fault) => {
                columns.truncate(before);
                bad.push((n, fault.reason, fault.detail));
            }
        }
        // Only once a message gave no row, or several, does it have to be written down which row came from which.
        let added = columns.rows() - before;
        if added != 1 && origins.is_none() {
            origins = Some((0..n).collect());
        }
        if let Some(origins) = &mut origins {
            origins.extend(std::iter::repeat_n(n, added));
        }
    }
    Ok(Decoded { rows: columns.finish(schema)?, message_of_row: origins, bad })
}
