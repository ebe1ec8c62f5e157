//! How late things were: over the whole run, and in each second of it.
//!
//! A second is that in which a thing was due, not that in which it came: an answer that is four seconds late belongs to the
//! second that asked. Seconds stay open for a minute; what comes later still counts in their maximum and in the whole.

use std::collections::VecDeque;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::outcome::Latency;

/// Digits that the whole and a second tell apart.
const DIGITS_WHOLE: u8 = 3;
const DIGITS_SECOND: u8 = 2;
/// The longest lateness that is told apart: an hour, in nanoseconds.
const NANOS_MAX: u64 = 3_600_000_000_000;
/// Seconds that are still open for what is late.
const OPEN_SECONDS: usize = 60;

/// A distribution that grows.
#[derive(Debug)]
pub struct Lateness {
    whole: Histogram<u64>,
    closed: Vec<InSecond>,
    open: VecDeque<Histogram<u64>>,
}

/// One second of a distribution, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InSecond {
    /// How many were due in it and came.
    pub count: u64,
    /// Their median.
    pub p50: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

impl Default for Lateness {
    fn default() -> Self {
        Self { whole: histogram(DIGITS_WHOLE), closed: Vec::new(), open: VecDeque::new() }
    }
}

impl Lateness {
    /// Something that was due so long after the start of measuring came so late.
    pub fn record(&mut self, due: Duration, late: Duration) {
        let nanos = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX).clamp(1, NANOS_MAX);
        self.record_n(due, nanos, 1);
    }

    /// So many things that were due then came so many nanoseconds late.
    pub fn record_n(&mut self, due: Duration, nanos: u64, count: u64) {
        let nanos = nanos.clamp(1, NANOS_MAX);
        self.whole.saturating_record_n(nanos, count);
        let second = usize::try_from(due.as_secs()).unwrap_or(usize::MAX).min(self.closed.len() + 1_000_000);
        match second.checked_sub(self.closed.len()) {
            Some(ahead) => {
                while self.open.len() <= ahead {
                    self.open.push_back(histogram(DIGITS_SECOND));
                }
                self.open[ahead].saturating_record_n(nanos, count);
                while self.open.len() > OPEN_SECONDS {
                    self.closed.extend(self.open.pop_front().as_ref().map(in_second));
                }
            }
            None => {
                let past = &mut self.closed[second];
                past.count += count;
                past.max = past.max.max(nanos as f64 / 1e3);
            }
        }
    }

    /// The distribution over the whole run.
    pub fn latency(&self) -> Latency {
        Latency::of(&self.whole)
    }

    /// How many there are, and how many of them were later than this, to 0.1 % of it.
    pub fn later_than(&self, deadline: Duration) -> (u64, u64) {
        let nanos = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX).min(NANOS_MAX);
        let all = self.whole.len();
        (all, all.saturating_sub(self.whole.count_between(0, nanos)))
    }

    /// One second of it; `None` if nothing came of what was due in it.
    pub fn second(&self, second: usize) -> Option<InSecond> {
        let found = match second.checked_sub(self.closed.len()) {
            None => self.closed.get(second).copied(),
            Some(ahead) => self.open.get(ahead).map(in_second),
        };
        found.filter(|second| second.count > 0)
    }
}

fn in_second(nanos: &Histogram<u64>) -> InSecond {
    let micros = |quantile| nanos.value_at_quantile(quantile) as f64 / 1e3;
    InSecond { count: nanos.len(), p50: micros(0.5), p99: micros(0.99), max: nanos.max() as f64 / 1e3 }
}

fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_max(NANOS_MAX, digits).expect("an hour in nanoseconds with 2 or 3 digits is a valid range")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_late_answer_belongs_to_the_second_that_asked() {
        let mut lateness = Lateness::default();
        lateness.record(100 * MS, MS);
        lateness.record(900 * MS, 4_000 * MS);
        lateness.record(4_100 * MS, MS);
        let first = lateness.second(0).expect("two came");
        assert_eq!(first.count, 2);
        assert!((first.max / 4e6 - 1.0).abs() < 0.01, "{} µs", first.max);
        assert_eq!(lateness.second(1), None);
        assert_eq!(lateness.second(4).expect("one came").count, 1);
        assert_eq!(lateness.latency().count, 3);
    }

    #[test]
    fn what_is_later_than_a_deadline_is_counted() {
        let mut lateness = Lateness::default();
        for millis in [1, 9, 10, 12, 400] {
            lateness.record(MS, millis * MS);
        }
        assert_eq!(lateness.later_than(10 * MS), (5, 2));
        assert_eq!(lateness.later_than(Duration::MAX), (5, 0));
    }

    #[test]
    fn what_comes_after_a_minute_still_counts() {
        let mut lateness = Lateness::default();
        for second in 0..200 {
            lateness.record(1_000 * MS * second, MS);
        }
        lateness.record(5_000 * MS, 195_000 * MS);
        let old = lateness.second(5).expect("two came");
        assert_eq!((old.count, old.max), (2, 195e6));
        assert!(old.p50 < 1_100.0);
        assert_eq!(lateness.latency().count, 201);
    }
}
