//! The bound of every queue and batch in the engine, in one place, so that `explain` shows what the runtime keeps to.

/// How many messages (batches, watermarks, barriers) wait on one edge before its writer waits.
pub const EDGE_MESSAGES: usize = 64;

/// How many messages a control worker takes from an edge before it yields to the sockets of its lane.
pub const DRAIN_CONTROL: usize = 64;

/// How many messages a bulk worker takes from an edge before it yields to the sockets of its lane.
pub const DRAIN_BULK: usize = 256;

/// How many rows one batch has at most.
pub const MAX_BATCH_ROWS: usize = 8192;
