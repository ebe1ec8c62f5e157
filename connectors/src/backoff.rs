//! How long to wait before trying again: the only backoff in the engine.
//!
//! Full-jitter exponential backoff ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015): a uniformly random wait
//! below a bound that doubles, so that many clients of one broker do not come back in step. The generator is seeded, so a
//! simulation repeats.

use lineside_model::Span;

/// The waits between attempts to reconnect.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Span,
    most: Span,
    attempt: u32,
    random: u64,
}

impl Backoff {
    /// Waits that start at `first` and never exceed `most`.
    pub fn new(first: Span, most: Span, seed: u64) -> Self {
        Self { first, most, attempt: 0, random: seed | 1 }
    }

    /// The wait before the next attempt: between a half and the whole of a bound that doubles from attempt to attempt.
    pub fn next_wait(&mut self) -> Span {
        let bound = self.first.micros().saturating_mul(1 << self.attempt.min(20)).min(self.most.micros()).max(1);
        self.attempt = self.attempt.saturating_add(1);
        // xorshift64: plenty for jitter, and no dependency.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let half = bound / 2;
        Span::from_micros(bound - half + i64::try_from(self.random % (half.unsigned_abs() + 1)).unwrap_or(0))
    }

    /// It worked: the next failure starts from the first wait again.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// How many waits since the last success.
    pub fn attempts(&self) -> u32 {
        self.attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_start_over_after_success() {
        let mut backoff = Backoff::new(Span::from_millis(100), Span::from_secs(5), 7);
        let waits = (0..10).map(|_| backoff.next_wait()).collect::<Vec<_>>();
        assert!(waits[0] <= Span::from_millis(100), "{waits:?}");
        assert!(waits[9] >= Span::from_millis(2_500) && waits[9] <= Span::from_secs(5), "{waits:?}");
        backoff.reset();
        assert!(backoff.next_wait() <= Span::from_millis(100));
    }
}
