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
        let clock = Self { started: Instant::now(), wall_at_start: AtomicI64::new(i64::MIN) };
        clock.now();
        clock
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the clock")]
    fn now(&self) -> Timestamp {
        // In this order: a pause between the two must not look as if the wall clock had been set forward.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
        let since = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let at_start = i64::try_from(wall).unwrap_or(i64::MAX).saturating_sub(since);
        let at_start = self.wall_at_start.fetch_max(at_start, Ordering::Relaxed).max(at_start);
        Timestamp(at_start.saturating_add(since))
    }

    /// Does not look whether the wall clock was set: half the work of [`Clock::now`].
    fn nanos(&self) -> i64 {
        let since = i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX);
        self.wall_at_start.load(Ordering::Relaxed).saturating_mul(1_000).saturating_add(since)
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

    #[test]
    fn microseconds_and_nanoseconds_are_of_one_clock() {
        let clock = SystemClock::default();
        let (before, nanos, after) = (clock.now(), clock.nanos(), clock.now());
        assert!((before.micros()..=after.micros()).contains(&(nanos / 1_000)), "{before:?} {nanos} {after:?}");
    }
}
