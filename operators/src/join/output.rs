//! Joined rows on their way out, many in one batch.

use std::ops::Range;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use lineside_model::Result;

use super::kept::{Kept, NO_ROW};
use crate::Emitter;
use crate::rows::BATCH_ROWS;

/// Pairs that were not put out yet.
#[derive(Debug)]
pub(super) struct Output {
    schema: SchemaRef,
    left: Vec<u64>,
    right: Vec<u64>,
}

impl Output {
    /// Nothing yet.
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema, left: Vec::new(), right: Vec::new() }
    }

    /// Adds a row of the left with one of the right.
    pub(super) fn push(&mut self, left: u64, right: u64) {
        self.left.push(left);
        self.right.push(right);
    }

    /// Adds a row of the left without partner.
    pub(super) fn push_left(&mut self, left: u64) {
        self.push(left, NO_ROW);
    }

    /// Adds a row of the right without partner.
    pub(super) fn push_right(&mut self, right: u64) {
        self.push(NO_ROW, right);
    }

    /// Whether a batch is full.
    pub(super) fn is_full(&self) -> bool {
        self.left.len() >= BATCH_ROWS
    }

    /// Puts everything out.
    pub(super) fn flush(&mut self, left: &mut Kept, right: &mut Kept, out: &mut dyn Emitter) -> Result<()> {
        self.emit(0..self.left.len(), left, right, out)?;
        self.left.clear();
        self.right.clear();
        Ok(())
    }

    fn emit(&self, pairs: Range<usize>, left: &mut Kept, right: &mut Kept, out: &mut dyn Emitter) -> Result<()> {
        if pairs.is_empty() {
            return Ok(());
        }
        let columns = left.read(&self.left[pairs.clone()]).and_then(|mut columns| {
            columns.extend(right.read(&self.right[pairs.clone()])?);
            Ok(columns)
        });
        match columns {
            Ok(columns) => {
                let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
                let schema = SchemaRef::clone(&self.schema);
                out.emit(RecordBatch::try_new_with_options(schema, columns, &options)?)
            }
            // More words than the dictionary of a column can have.
            Err(_) if pairs.len() > 1 => {
                let half = pairs.start + pairs.len() / 2;
                self.emit(pairs.start..half, left, right, out)?;
                self.emit(half..pairs.end, left, right, out)
            }
            Err(error) => Err(error),
        }
    }
}
