//! How long to wait before trying again: the only backoff in the engine.
//!
//! Exponential backoff with jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015): a random wait below a bound
//! that grows, so that many clients of one broker do not come back in step. The bound grows by a quarter from attempt to
//! attempt, so that it stays in proportion to the time for which the other end has been away: who was away for a second is
//! found again within some hundred milliseconds, and who is away for long is asked seldom. The generator is seeded, so a
//! simulation repeats.

use lineside_model::Span;

/// How long a connection has to last before it counts as one that worked. A line that breaks every second is tried again at
/// once each time; another end that accepts and closes at once is tried ever less often.
pub const STEADY: Span = Span::from_millis(500);

/// The waits between attempts to reconnect.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Span,
    most: Span,
    /// The next wait is not longer than this.
    bound: Span,
    random: u64,
}

impl Backoff {
    /// Waits that start at `first` and never exceed `most`.
    pub fn new(first: Span, most: Span, seed: u64) -> Self {
        Self { first, most, bound: first, random: seed | 1 }
    }

    /// The wait before the next attempt: between a half and the whole of a bound that grows from attempt to attempt.
    pub fn next_wait(&mut self) -> Span {
        let bound = self.bound.micros().min(self.most.micros()).max(1);
        self.bound = Span::from_micros(bound.saturating_add(bound / 4));
        // xorshift64: plenty for jitter, and no dependency.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let half = bound / 2;
        Span::from_micros(bound - half + i64::try_from(self.random % (half.unsigned_abs() + 1)).unwrap_or(0))
    }

    /// A connection has lasted so long. If that is [`STEADY`], it worked, and the next wait is the first again.
    pub fn lasted(&mut self, lasted: Span) {
        if lasted >= STEADY {
            self.bound = self.first;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_start_over_after_a_connection_that_lasted() {
        let mut backoff = Backoff::new(Span::from_millis(100), Span::from_secs(5), 7);
        let waits = (0..30).map(|_| backoff.next_wait()).collect::<Vec<_>>();
        assert!(waits[0] <= Span::from_millis(100), "{waits:?}");
        assert!(waits[29] >= Span::from_millis(2_500) && waits[29] <= Span::from_secs(5), "{waits:?}");
        backoff.lasted(Span::from_millis(499));
        assert!(backoff.next_wait() >= Span::from_millis(2_500), "it closed at once");
        backoff.lasted(STEADY);
        assert!(backoff.next_wait() <= Span::from_millis(100));
    }

    /// Whoever comes back while we wait is found within a tenth of a second and a half of the time away.
    #[test]
    fn the_wait_is_in_proportion_to_the_time_away() {
        for seed in 0..100 {
            let mut backoff = Backoff::new(Span::from_millis(100), Span::from_secs(10), seed);
            let mut away = Span::ZERO;
            for _ in 0..40 {
                let wait = backoff.next_wait();
                assert!(wait.micros() <= 100_000 + away.micros() / 2, "{wait} after {away}");
                away = Span::from_micros(away.micros() + wait.micros());
            }
        }
    }
}
