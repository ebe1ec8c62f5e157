//! What a source is: one turn of a loop that the engine owns.

use std::fmt::Debug;

use arrow::array::{ArrayRef, RecordBatch};
use async_trait::async_trait;
use bytes::Bytes;
use lineside_model::{Result, Timestamp};

use crate::Position;

/// Messages as they came over the wire, before a codec has read them. Columns have one entry a message.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// The messages.
    pub payloads: Vec<Bytes>,
    /// When each was read from the wire.
    pub received_at: Vec<Timestamp>,
    /// What the wire says about each message, in the order of [`crate::Gives::Frames`]: topic, key, offset…
    pub metadata: Vec<ArrayRef>,
}

/// What one turn of a source gave.
#[derive(Debug)]
pub enum Pulled {
    /// Messages for the codec, and the position after them.
    Frames(Frames, Position),
    /// Rows that need no codec, of the schema that was planned, and the position after them.
    Rows {
        /// The rows.
        rows: RecordBatch,
        /// When the newest of them was read from the wire.
        received_at: Timestamp,
        /// The position after them.
        position: Position,
    },
    /// Nothing now; the engine calls again at once (the source has waited as long as it wants to).
    Idle,
    /// The source is bounded and there is no more.
    End,
}

/// Where rows come from.
///
/// The engine calls `open`, then `pull` again and again, `ack` in between, and `close` at the end. After an error that may be
/// retried it calls `close`, waits, and calls `open` with the position of the last pull (what was pulled is in the engine's
/// hands; after a restart it is the last acknowledged one). It may acknowledge over the new connection, or between the two, what was
/// pulled over the old one.
#[async_trait(?Send)]
pub trait Source: Send + Debug {
    /// Connects, and resumes at `from` if there is one. Ready to deliver when it returns.
    async fn open(&mut self, from: Option<Position>) -> Result<()>;

    /// The next messages or rows: waits until there is at least one, then gives what has arrived, `limit` at most.
    ///
    /// Cancel-safe: dropping the future loses nothing. Never waits in order to retry, and never to fill a batch.
    async fn pull(&mut self, limit: usize) -> Result<Pulled>;

    /// The engine has taken responsibility for everything up to `position`: the other end may forget it.
    async fn ack(&mut self, position: &Position) -> Result<()>;

    /// Disconnects. Called after an error, too, and then must not wait for the other end.
    async fn close(&mut self) -> Result<()>;
}
