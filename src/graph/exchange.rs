//! Shares the rows of a source out to workers by key: all rows of one key go to one worker, in order.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use lineside_model::{Error, Result};

/// Shares rows out by the hash of key columns. The hash has a fixed seed: a key goes to the same worker in every run.
#[derive(Debug)]
pub struct Exchange {
    columns: Vec<usize>,
    hashes: Vec<u64>,
    rows_of: Vec<Vec<u32>>,
    state: RandomState,
}

impl Exchange {
    /// To `workers` workers by these columns.
    ///
    /// # Errors
    /// If the schema lacks a column, which is our bug.
    pub fn new(schema: &SchemaRef, key: &[String], workers: usize) -> Result<Self> {
        let columns = key.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { columns, hashes: Vec::new(), rows_of: vec![Vec::new(); workers], state: RandomState::with_seed(1) })
    }

    /// The rows of each worker, `None` where it has none.
    ///
    /// # Errors
    /// If a column cannot be hashed, which is our bug: the plan allows only types that can.
    pub fn split(&mut self, rows: &RecordBatch) -> Result<Vec<Option<RecordBatch>>> {
        let workers = self.rows_of.len() as u64;
        self.hashes.clear();
        self.hashes.resize(rows.num_rows(), 0);
        let columns = self.columns.iter().map(|&c| Arc::clone(rows.column(c))).collect::<Vec<_>>();
        create_hashes(&columns, &self.state, &mut self.hashes)
            .map_err(|e| Error::internal("a key was not hashed").caused_by(e))?;
        for part in &mut self.rows_of {
            part.clear();
        }
        for (row, hash) in self.hashes.iter().enumerate() {
            // The high bits choose the worker: the low ones choose the place in hash tables.
            let worker = ((u128::from(*hash) * u128::from(workers)) >> 64) as usize;
            self.rows_of[worker].push(row as u32);
        }
        self.rows_of
            .iter()
            .map(|part| match part.len() {
                0 => Ok(None),
                n if n == rows.num_rows() => Ok(Some(rows.clone())),
                _ => Ok(Some(take_record_batch(rows, &UInt32Array::from(part.clone()))?)),
            })
            .collect()
    }
}
