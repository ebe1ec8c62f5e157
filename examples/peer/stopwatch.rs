//! The one monotonic clock that a measurement goes by.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Measures from when it was started.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch(OnceLock<Instant>);

impl Stopwatch {
    /// Starts it, if it does not run yet.
    pub(crate) fn start(&self) {
        self.0.get_or_init(now);
    }

    /// How long it has run.
    pub(crate) fn elapsed(&self) -> Duration {
        now().duration_since(*self.0.get_or_init(now))
    }
}

#[expect(clippy::disallowed_methods, reason = "the engine is measured by a clock of its own, finer than a microsecond")]
fn now() -> Instant {
    Instant::now()
}
