//! Every bound of the engine's own queues, in one place: `explain` prints them, the run obeys them.

/// Messages that wait on one edge between a source, a worker and a sink. A full edge holds back who writes to it.
pub const EDGE_MESSAGES: usize = 64;

/// Messages that wait for another worker before a source that hands out batches in turn gives the next to its own.
pub const AHEAD_MESSAGES: usize = 16;

/// Rows of the smallest batch that is worth the way to another worker's thread.
pub const TURN_ROWS_LEAST: usize = 1024;

/// Messages that wait for a sink that is no field bus, such as an event topic, below sources that are all field buses. When it
/// is full, rows for it are dropped and counted as overflow: what is only told never holds back what is controlled.
pub const TOLD_MESSAGES: usize = 4096;

/// Rows or wire messages that a bulk source hands over in one turn at most.
pub const MAX_BATCH_ROWS: usize = 8192;

/// Wire messages that a source on the control lane hands over in one turn at most.
pub const CONTROL_BATCH_ROWS: usize = 64;

/// Rows of a table that rows of a stream are looked up in.
pub const TABLE_ROWS_MOST: usize = 1_000_000;

/// Messages a control worker takes before it lets the reactor poll its sockets.
pub const DRAIN_CONTROL: usize = 64;

/// Messages a bulk worker takes before it lets the reactor poll its sockets.
pub const DRAIN_BULK: usize = 256;

/// Sensors of one source that have an event time of their own. Rows of others are held against the watermark and do not hold
/// it back; they are counted as `beyond_time_keys`.
pub const TIME_KEYS_LIMIT: usize = 1 << 20;

/// Sensors of one source that reports and `system.watermarks` name because they do not take part in its watermark.
pub const SENSORS_TOLD: usize = 100;
