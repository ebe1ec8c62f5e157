//! The only reader of the machine's clock. Everything else is handed a [`Clock`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lineside_model::{Clock, Timestamp};

/// The machine's clock. Follows it when it is set forward (a gateway that boots in 1970 and then hears of the network's
/// time); while it is set back, time goes on at its own pace, so that ages stay right and time never runs backwards.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    /// Wall-clock time at `started`, microseconds; grows when the wall clock is set forward.
    wall_at_start: AtomicI64,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the clock")]
    fn default() -> Self {
        Self { started: Instant::now(), wall_at_start: AtomicI64::new(i64::MIN) }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the clock")]
    fn now(&self) -> Timestamp {
        let since = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
        let at_start = i64::try_from(wall).unwrap_or(i64::MAX).saturating_sub(since);
        let at_start = self.wall_at_start.fetch_max(at_start, Ordering::Relaxed).max(at_start);
        Timestamp(at_start.saturating_add(since))
    }
}

/// A clock that stands until it is set: for tests and simulations.
#[derive(Debug, Default)]
pub struct SimulatedClock {
    now: AtomicI64,
}

impl SimulatedClock {
    /// Stands at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now.0) }
    }

    /// Moves forward to `now`; earlier times are ignored.
    pub fn set(&self, now: Timestamp) {
        self.now.fetch_max(now.0, Ordering::Relaxed);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_is_set_back_does_not_turn_time_back() {
        let clock = SystemClock::default();
        let ahead = clock.now() + lineside_model::Span::from_secs(3600);
        clock.wall_at_start.fetch_add(3_600_000_000, Ordering::Relaxed);
        let (one, two) = (clock.now(), clock.now());
        assert!(ahead <= one && one <= two);
    }
}
