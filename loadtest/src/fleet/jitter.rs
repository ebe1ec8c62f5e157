//! How evenly a PLC is polled.
//!
//! Nobody tells the PLC when a poll was due. The schedule is taken to be the latest one that no poll is ahead of: the poll
//! that came soonest, measured by its period, was on time, and the others are late by so much more. A period without a poll
//! is one that was missed.

use std::time::Duration;

use hdrhistogram::Histogram;

/// A poll that is later than this, in nanoseconds, is counted as if it were not.
const LATE_NANOS_MAX: u64 = 60_000_000_000;

/// How evenly PLCs were polled.
#[derive(Clone, Debug)]
pub struct Jitter {
    /// Polls that arrived.
    pub polls: u64,
    /// Periods between the first and the last poll without one.
    pub missed: u64,
    /// How late the polls were, in nanoseconds.
    pub late: Histogram<u64>,
}

impl Default for Jitter {
    fn default() -> Self {
        let late = Histogram::new_with_max(LATE_NANOS_MAX, 3).expect("1 minute in ns with 3 digits is a valid range");
        Self { polls: 0, missed: 0, late }
    }
}

impl Jitter {
    /// Adds the polls of one PLC, in the order in which they came.
    pub(super) fn add(&mut self, polls: &[Duration], period: Duration) {
        let period = i128::try_from(period.as_nanos()).unwrap_or(i128::MAX).max(1);
        let nanos = |at: &Duration| at.as_nanos() as i128;
        let Some(first) = polls.first().map(nanos) else { return };
        // Against a schedule that begins with the first poll, which may itself be late: then others are early.
        let place = |at: &Duration| (nanos(at) - first + period / 2).div_euclid(period);
        let early = |at: &Duration| nanos(at) - first - place(at) * period;
        let soonest = polls.iter().map(early).min().unwrap_or(0);
        let mut before = None;
        for at in polls {
            self.polls += 1;
            self.missed += before.map_or(0, |before| u64::try_from(place(at) - before - 1).unwrap_or(0));
            before = Some(place(at));
            self.late.saturating_record(u64::try_from(early(at) - soonest).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: &[u64]) -> (u64, u64, u64) {
        let polls = millis.iter().map(|at| Duration::from_millis(*at)).collect::<Vec<_>>();
        let mut jitter = Jitter::default();
        jitter.add(&polls, Duration::from_millis(100));
        (jitter.polls, jitter.missed, (jitter.late.max() as f64 / 1e6).round() as u64)
    }

    #[test]
    fn polls_are_late_by_the_schedule_of_the_soonest() {
        assert_eq!(of(&[]), (0, 0, 0));
        assert_eq!(of(&[50, 150, 250]), (3, 0, 0));
        assert_eq!(of(&[50, 157, 250]), (3, 0, 7));
        // The first one was 10 ms late.
        assert_eq!(of(&[60, 150, 250]), (3, 0, 10));
    }

    #[test]
    fn periods_without_a_poll_are_missed() {
        assert_eq!(of(&[0, 100, 400, 503]), (4, 2, 3));
    }
}
