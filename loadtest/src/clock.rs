//! The only reader of the machine's clock in this crate.
//!
//! A plant and a load generator stand outside the engine: they are the outer world, so they run on the outer world's time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lineside_model::Timestamp;

/// The present time, UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "a load generator is the outer world; it has no engine to ask for the time"
)]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
    Timestamp(i64::try_from(since).unwrap_or(i64::MAX))
}

/// A point in time to measure from; never runs backwards.
#[expect(
    clippy::disallowed_methods,
    reason = "a load generator is the outer world; it has no engine to ask for the time"
)]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
