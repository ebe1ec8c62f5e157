//! The four kinds of message on an edge. They never overtake each other.

use arrow::array::RecordBatch;
use lineside_model::Timestamp;
use lineside_operators::HandedOver;

/// What travels on an edge, forward only, in order.
#[derive(Clone, Debug)]
pub enum Message {
    /// Rows.
    Data(Batch),
    /// How far event time has come.
    Watermark(Watermark),
    /// Everything a source handed over before this is in front of it.
    Barrier(Barrier),
    /// There is no more.
    End(Ending),
}

/// Rows on an edge.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The rows; never empty.
    pub rows: RecordBatch,
    /// When the newest reading that led to them was read from the wire.
    pub origin: Timestamp,
    /// When they were put on this edge, in nanoseconds of the clock; 0 where nobody measures.
    pub handed_on: i64,
}

/// How far event time has come on an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watermark {
    /// No row with an earlier event time is expected.
    At(Timestamp),
    /// The input is silent and does not hold back others until it speaks again.
    Idle,
}

/// A mark that a source puts behind what it has handed over. When every sink below has made durable what came before it, the
/// source may acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The source, by its number in the plan.
    pub source: usize,
    /// Counted by the source.
    pub number: u64,
}

/// Why there is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The input is complete: open windows are put out.
    Complete,
    /// The engine is being stopped: open windows are not complete and are not put out.
    Stopped,
}

/// What a worker hands to the one that gathers, in order.
#[derive(Debug)]
pub enum Handover {
    /// The part of an operator's state that is complete.
    Part {
        /// Which of the operators that gather.
        operator: usize,
        /// How far event time has come in front of its rows.
        watermark: Watermark,
        /// When the newest reading in it was read from the wire.
        newest: Timestamp,
        /// The state, if there is any.
        part: Option<HandedOver>,
    },
    /// All that the worker got before this barrier has been handed over.
    Barrier(Barrier),
    /// There is no more.
    End(Ending),
}
