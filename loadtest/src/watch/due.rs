//! Setpoints from when their poll was *due*: a poll that the engine began late, or left out, counts with all the time that its
//! answer was missing. Measured from the reading alone such a stall would hide itself.
//!
//! Nobody tells the PLC when a poll was due. The schedule is taken to be the one by which the polls, all together, were least
//! late: a few that were very late, or a little early, do not move it. A due time without a reading is answered by the next
//! answer of its oven; one that was not answered at all counts with the time until nobody looked any more.

use std::time::Duration;

use crate::measure::Lateness;
use crate::plant::Answered;

/// A reading that comes early by at most this part of the period belongs to the due time ahead of it: no poll is exactly on time.
const EARLY: i128 = 4;

/// How late the answers of so many ovens were, each polled this often, of those due between `from` and `until`, both counted as
/// the answers are: from the start of the plant. The answers come in their order.
pub fn from_due(answered: &[Answered], ovens: usize, period: Duration, from: Duration, until: Duration) -> Lateness {
    let mut lateness = Lateness::default();
    let nanos = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
    let (period, from, until) = (nanos(period).max(1), nanos(from), nanos(until));
    let begins = phase(answered.iter().map(|answer| nanos(answer.read) % period).collect(), period).unwrap_or(from);
    let mut record = |place: i128, written: i128| {
        let due = begins + place * period;
        if (from..until).contains(&due) {
            let of = |nanos: i128| Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
            lateness.record(of(due - from), of(written - due));
        }
    };
    // Due times have places in the schedule, the same for all ovens.
    let first_from = |time: i128| (time - begins + period - 1).div_euclid(period);
    let mut open = vec![first_from(from); ovens];
    for answer in answered {
        let Some(open) = open.get_mut(answer.oven) else { continue };
        let place = (nanos(answer.read) - begins + period / EARLY).div_euclid(period);
        for place in *open..=place {
            record(place, nanos(answer.written));
        }
        *open = (*open).max(place + 1);
    }
    for open in open {
        for place in open..first_from(until) {
            record(place, until);
        }
    }
    lateness
}

/// By which phase, of those that readings had, their lateness comes to the least sum; nothing without readings.
fn phase(mut phases: Vec<i128>, period: i128) -> Option<i128> {
    phases.sort_unstable();
    let all = i128::try_from(phases.len()).unwrap_or(i128::MAX);
    // The sum of all phases, less this one from each; and those that lie ahead of it came nearly a period late.
    let sum = |(ahead, phase): &(i128, i128)| ahead * period - all * phase;
    (0..).zip(phases).min_by_key(sum).map(|(_, phase)| phase)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Readings of ovens that are polled every 100 ms, with the times of their answers; how many were due between these times,
    /// how many of them were later than a period, and how late the latest was, in milliseconds.
    fn late_of(ovens: usize, answers: &[(usize, u32, u32)], from: u32, until: u32) -> (u64, u64, f64) {
        let answered =
            answers.iter().map(|&(oven, read, written)| Answered { oven, read: read * MS, written: written * MS });
        let lateness = from_due(&answered.collect::<Vec<_>>(), ovens, 100 * MS, from * MS, until * MS);
        let (all, missed) = lateness.later_than(100 * MS);
        (all, missed, lateness.latency().max / 1e3)
    }

    /// The same of one oven that is looked at until the last of its answers.
    fn late(answers: &[(u32, u32)]) -> (u64, u64, f64) {
        let until = answers.last().map_or(0, |answer| answer.1);
        late_of(1, &answers.iter().map(|&(read, written)| (0, read, written)).collect::<Vec<_>>(), 0, until)
    }

    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1.0, "{found} ms instead of {wanted} ms");
    }

    #[test]
    fn a_reading_that_came_late_counts_from_when_it_was_due() {
        for late_by in [37, 60, 74] {
            let (all, missed, max) = late(&[(50, 51), (150 + late_by, 151 + late_by), (250, 251), (350, 351)]);
            assert_eq!((all, missed), (4, 0));
            near(max, f64::from(late_by + 1));
        }
    }

    #[test]
    fn a_few_very_late_polls_do_not_move_the_schedule() {
        // Ten seconds on time to the millisecond, but for each tenth poll, which is late by up to 90 ms.
        let poll = |n: u32| 50 + n * 100 + n % 2 + if n % 10 == 7 { n % 91 } else { 0 };
        let answers = (0..100).map(|n| (0, poll(n), poll(n) + 1)).collect::<Vec<_>>();
        let answered =
            answers.iter().map(|&(oven, read, written)| Answered { oven, read: read * MS, written: written * MS });
        let lateness = from_due(&answered.collect::<Vec<_>>(), 1, 100 * MS, Duration::ZERO, 10_000 * MS);
        assert_eq!(lateness.later_than(100 * MS), (100, 0));
        near(lateness.latency().p50 / 1e3, 1.0);
        // Those ten, and no others, are late, each by as much as it was.
        assert_eq!(lateness.later_than(3 * MS).1, 10);
        near(lateness.latency().max / 1e3, 89.0);
    }

    #[test]
    fn a_poll_that_was_left_out_is_answered_by_the_next() {
        let (all, missed, max) = late(&[(50, 51), (450, 451)]);
        // Those of 150, 250, 350 and 450 ms were there at 451 ms; the last of them in time.
        assert_eq!((all, missed), (5, 3));
        near(max, 301.0);
    }

    #[test]
    fn what_was_never_answered_is_late_until_the_end() {
        // The engine stops writing after 150 ms; 250 ms to 950 ms are due, the last of them for 50 ms.
        let (all, missed, max) = late_of(1, &[(0, 50, 51), (0, 150, 151)], 0, 1_000);
        assert_eq!((all, missed), (10, 7));
        near(max, 750.0);
    }

    #[test]
    fn an_oven_that_never_answers_misses_all() {
        let answers = (0..10).map(|n| (0, 50 + n * 100, 51 + n * 100)).collect::<Vec<_>>();
        let (all, missed, max) = late_of(2, &answers, 0, 1_000);
        assert_eq!((all, missed), (20, 9));
        near(max, 950.0);
    }

    #[test]
    fn an_oven_that_answers_late_for_the_first_time_missed_what_was_due_before() {
        let answers = [(0, 50, 51), (0, 150, 151), (0, 250, 251), (0, 350, 351), (1, 350, 352)];
        // Looked at from 100 ms on: due are 150, 250 and 350 ms of each oven.
        let (all, missed, max) = late_of(2, &answers, 100, 400);
        assert_eq!((all, missed), (6, 2));
        near(max, 202.0);
    }

    #[test]
    fn where_nothing_is_answered_all_is_missed() {
        let (all, missed, max) = late_of(3, &[], 200, 700);
        assert_eq!((all, missed), (15, 12));
        near(max, 500.0);
    }

    #[test]
    fn nothing_due_is_nothing_late() {
        assert_eq!(late_of(3, &[(0, 50, 51)], 60, 60).0, 0);
    }
}
