//! The clock as connectors and operators see it: something that is handed to them.
//!
//! Only the engine's `src/clock.rs` implements this with the machine's clock; tests hand in a simulated one.

use crate::Timestamp;

/// Tells the present time, UTC.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present time. Never runs backwards within one process.
    fn now(&self) -> Timestamp;

    /// The present time in nanoseconds since 1970: for lengths of time that microseconds do not tell apart.
    fn nanos(&self) -> i64 {
        self.now().micros().saturating_mul(1_000)
    }
}
