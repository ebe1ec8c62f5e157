//! What a sink is.

use std::fmt::Debug;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use lineside_model::{Reason, Result, Timestamp};

/// What became of the rows of one write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows the other end has, or will have after the next flush.
    pub written: usize,
    /// Rows that were not written and never will be, by reason, with one line about the last of them.
    pub rejected: Vec<(Reason, usize, String)>,
}

/// Where rows go.
///
/// The engine calls `open`, then `write` and `flush`, and `close` at the end. After an error that may be retried it calls
/// `close`, waits, calls `open`, and writes the same batch again: delivery is at least once unless a sink says otherwise.
#[async_trait(?Send)]
pub trait Sink: Send + Debug {
    /// Connects. Ready to take rows when it returns.
    async fn open(&mut self) -> Result<()>;

    /// Takes rows. `origin` is when the newest reading that led to them was read from the wire. Not cancelled by the engine.
    async fn write(&mut self, rows: &RecordBatch, origin: Timestamp) -> Result<Outcome>;

    /// Everything written before is durable at the other end when it returns.
    async fn flush(&mut self) -> Result<()>;

    /// Flushes if it can, and disconnects.
    async fn close(&mut self) -> Result<()>;
}
