//! Rows that come after all their windows were closed, on their way to the table of late rows, if anybody reads it.

use arrow::array::{BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use lineside_model::Result;

use super::assign::TIME_LIMIT;
use crate::Emitter;

/// Tells which rows are late for one output. Rows whose time is beyond all sense are dropped for other reasons.
pub(super) fn tell(
    is_late: impl Fn(i64) -> bool,
    rows: &RecordBatch,
    (column, times): (usize, &TimestampMicrosecondArray),
    output: usize,
    out: &mut dyn Emitter,
) -> Result<()> {
    let is_late =
        |time: Option<i64>| time.is_some_and(|time| (-TIME_LIMIT..=TIME_LIMIT).contains(&time) && is_late(time));
    if !times.iter().any(is_late) {
        return Ok(());
    }
    let late = times.iter().map(|time| Some(is_late(time))).collect::<BooleanArray>();
    out.late(output, filter_record_batch(rows, &late)?, column)
}

/// Tells that these rows of a batch are late.
pub(super) fn tell_rows(late: Vec<u32>, rows: &RecordBatch, time: usize, out: &mut dyn Emitter) -> Result<()> {
    if late.is_empty() || !out.wants_late(0) {
        return Ok(());
    }
    out.late(0, take_record_batch(rows, &UInt32Array::from(late))?, time)
}
