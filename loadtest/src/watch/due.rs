//! Setpoints from when their poll was *due*: a poll that the engine began late, or left out, counts with all the time that its
//! answer was missing. Measured from the reading alone such a stall would hide itself.
//!
//! Nobody tells the PLC when a poll was due. The schedule is taken to be the latest one that no poll is ahead of: the poll that
//! came soonest, measured by its period, was on time. A due time without a reading is answered by the next answer of its oven.

use std::time::Duration;

use crate::measure::Lateness;
use crate::plant::Answered;

/// How late the answers of a plant were that is polled this often, of those due between `from` and `until`, both counted as the
/// answers are: from the start of the plant.
pub fn from_due(answered: &[Answered], period: Duration, from: Duration, until: Duration) -> Lateness {
    let mut lateness = Lateness::default();
    let nanos = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
    let period = nanos(period).max(1);
    let Some(first) = answered.iter().map(|answer| nanos(answer.read)).min() else { return lateness };
    // Against a schedule that begins with the first reading, which may itself be late: then others are early.
    let place = |answer: &Answered| (nanos(answer.read) - first + period / 2).div_euclid(period);
    let early = |answer: &Answered| nanos(answer.read) - first - place(answer) * period;
    let begins = first + answered.iter().map(early).min().unwrap_or(0);
    let ovens = answered.iter().map(|answer| answer.oven + 1).max().unwrap_or(0);
    let mut before = vec![None; ovens];
    for answer in answered {
        let place = place(answer);
        let open = before[answer.oven].replace(place).map_or(place, |before: i128| before + 1);
        for due in (open..=place).map(|place| begins + place * period) {
            if (nanos(from)..nanos(until)).contains(&due) {
                let measured = u64::try_from(due - nanos(from)).unwrap_or(0);
                let late = u64::try_from(nanos(answer.written) - due).unwrap_or(0);
                lateness.record(Duration::from_nanos(measured), Duration::from_nanos(late));
            }
        }
    }
    lateness
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Readings of one oven, polled every 100 ms, with the times of their answers; how late each was, in milliseconds.
    fn late(answers: &[(u32, u32)]) -> (u64, u64, f64) {
        let answered =
            answers.iter().map(|(read, written)| Answered { oven: 0, read: *read * MS, written: *written * MS });
        let lateness = from_due(&answered.collect::<Vec<_>>(), 100 * MS, Duration::ZERO, Duration::MAX);
        let (all, missed) = lateness.later_than(100 * MS);
        (all, missed, lateness.latency().max / 1e3)
    }

    #[test]
    fn a_reading_that_came_late_counts_from_when_it_was_due() {
        let (all, missed, max) = late(&[(50, 51), (187, 188), (250, 251)]);
        assert_eq!((all, missed), (3, 0));
        assert!((max - 38.0).abs() < 0.1, "{max} ms");
    }

    #[test]
    fn a_poll_that_was_left_out_is_answered_by_the_next() {
        let (all, missed, max) = late(&[(50, 51), (450, 451)]);
        // Those of 150, 250, 350 and 450 ms were there at 451 ms; the last of them in time.
        assert_eq!((all, missed), (5, 3));
        assert!((max - 301.0).abs() < 1.0, "{max} ms");
    }

    #[test]
    fn nothing_answered_is_nothing_late() {
        assert_eq!(late(&[]).0, 0);
    }
}
