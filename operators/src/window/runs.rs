//! A batch, cut into runs of rows of the same slice.
//!
//! Readings mostly come nearly in the order of time, so that a batch is a few long runs, with some back and forth where one
//! slice ends and the next begins. Rows that jump between slices are put into the order of slices first, keeping the order of
//! arrival within each.

use std::ops::Range;

use arrow::array::{Array, TimestampMicrosecondArray};
use hashbrown::HashMap;
use lineside_model::Reason;

use super::assign::TIME_LIMIT;

/// A run of at least so many rows is left where it is.
const RUN_LONG: usize = 64;
/// So are fewer than so many short ones next to each other.
const RUNS_FEW: usize = 8;

/// Rows next to each other that belong to the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Where they belong.
    pub(super) place: Place,
    /// Which rows of the batch.
    pub(super) rows: Range<usize>,
}

/// Where a row belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To a slice.
    Slice {
        /// Where the slice starts.
        slice: i64,
        /// Where the cell starts that the row is in: all rows of a cell belong to the same windows.
        cell: i64,
    },
    /// To none, for this reason.
    Nowhere(Reason),
}

impl Place {
    /// Rows with the same of this are kept in the order of arrival.
    fn group(&self) -> (Option<Reason>, i64) {
        match self {
            Self::Slice { slice, .. } => (None, *slice),
            Self::Nowhere(reason) => (Some(*reason), 0),
        }
    }
}

/// Where a time belongs.
#[derive(Clone, Debug)]
pub(super) struct Located {
    /// The start of its slice.
    pub(super) slice: i64,
    /// Its cell.
    pub(super) cell: Range<i64>,
}

/// Cuts a batch by its event times.
pub(super) fn cut(times: &TimestampMicrosecondArray, locate: impl Fn(i64) -> Located, runs: &mut Vec<Run>) {
    runs.clear();
    let values = times.values();
    if times.null_count() == 0 {
        return cut_valid(values, 0, &locate, runs);
    }
    let mut start = 0;
    for row in 0..times.len() {
        if times.is_null(row) {
            cut_valid(&values[start..row], start, &locate, runs);
            push(runs, Place::Nowhere(Reason::NoTime), row..row + 1);
            start = row + 1;
        }
    }
    cut_valid(&values[start..], start, &locate, runs);
}

fn cut_valid(values: &[i64], offset: usize, locate: &impl Fn(i64) -> Located, runs: &mut Vec<Run>) {
    let mut row = 0;
    while let Some(time) = values.get(row) {
        let (place, len) = if *time < -TIME_LIMIT {
            (Place::Nowhere(Reason::NoTime), 1)
        } else if *time > TIME_LIMIT {
            (Place::Nowhere(Reason::TooFarAhead), 1)
        } else {
            let Located { slice, cell: times } = locate(*time);
            // A cell at the limit goes on beyond it, its rows do not.
            let (first, last) = (times.start.max(-TIME_LIMIT), (times.end - 1).min(TIME_LIMIT));
            (Place::Slice { slice, cell: times.start }, 1 + leading(&values[row + 1..], first, last))
        };
        push(runs, place, offset + row..offset + row + len);
        row += len;
    }
}

/// How many times from the beginning on lie from `first` to `last`, which are both within the limit.
fn leading(values: &[i64], first: i64, last: i64) -> usize {
    // One comparison: what is before the first wraps to something very large.
    let length = last.abs_diff(first);
    let within = |time: &&i64| time.wrapping_sub(first).cast_unsigned() <= length;
    let short = values.iter().take(RUN_LONG).take_while(within).count();
    if short < RUN_LONG {
        return short;
    }
    // A run that is long already is followed in steps, each without a branch: a time outside makes one of its distances negative, and
    // where one wraps around the other does, too.
    let (chunks, _) = values.as_chunks::<RUN_LONG>();
    let inside = |chunk: &&[i64; RUN_LONG]| {
        chunk.iter().fold(0, |all, time| all | time.wrapping_sub(first) | last.wrapping_sub(*time)) >= 0
    };
    let far = RUN_LONG * (1 + chunks[1..].iter().take_while(inside).count());
    far + values[far..].iter().take_while(within).count()
}

fn push(runs: &mut Vec<Run>, place: Place, rows: Range<usize>) {
    match runs.last_mut() {
        Some(last) if last.place == place => last.rows.end = rows.end,
        _ => runs.push(Run { place, rows }),
    }
}

/// Runs next to each other that are taken together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stretch<'a> {
    /// One by one.
    Straight(&'a [Run]),
    /// Many short ones, to be [`regrouped`].
    Scattered(&'a [Run]),
}

/// Finds where runs are many and short.
pub(super) fn stretches(runs: &[Run]) -> impl Iterator<Item = Stretch<'_>> {
    let is_short = |run: &Run| run.rows.len() < RUN_LONG;
    runs.chunk_by(move |one, next| is_short(one) == is_short(next)).map(move |runs| match is_short(&runs[0]) {
        true if runs.len() >= RUNS_FEW => Stretch::Scattered(runs),
        _ => Stretch::Straight(runs),
    })
}

/// The order of rows that makes runs few, and the runs in that order.
pub(super) fn regrouped(runs: &[Run]) -> (Vec<u32>, Vec<Run>) {
    let sorted = grouped(runs);
    let runs = || sorted.iter().map(|n| &runs[*n as usize]);
    let order = runs().flat_map(|run| run.rows.clone()).map(|row| row as u32).collect();
    let (mut start, mut few) = (0, Vec::new());
    for run in runs() {
        let len = run.rows.len();
        push(&mut few, run.place, start..start + len);
        start += len;
    }
    (order, few)
}

/// The numbers of the runs, group by group and in the order of arrival within each. Runs are many and groups few, so they are counted
/// and not sorted.
fn grouped(runs: &[Run]) -> Vec<u32> {
    let (mut numbers, mut groups) = (HashMap::new(), Vec::new());
    let number = |run: &Run| {
        let group = run.place.group();
        *numbers.entry(group).or_insert_with(|| {
            groups.push((group, 0));
            groups.len() - 1
        })
    };
    let of_runs = runs.iter().map(number).collect::<Vec<_>>();
    of_runs.iter().for_each(|group| groups[*group].1 += 1);
    let mut places = vec![0; groups.len()];
    let mut rising = (0..groups.len()).collect::<Vec<_>>();
    rising.sort_by_key(|group| groups[*group].0);
    let mut before = 0;
    for group in rising {
        places[group] = before;
        before += groups[group].1;
    }
    let mut sorted = vec![0; runs.len()];
    for (run, group) in (0u32..).zip(of_runs) {
        sorted[places[group]] = run;
        places[group] += 1;
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::WindowKind;
    use crate::window::assign::{Cells, Windows};
    use lineside_model::Span;

    fn cut_all(times: Vec<Option<i64>>) -> Vec<Run> {
        let cells = Cells::of(&[Windows::of(&WindowKind::Tumble { size: Span(10), offset: Span::ZERO })]);
        let mut runs = Vec::new();
        let locate = |time| cells.located(time);
        cut(&TimestampMicrosecondArray::from(times), locate, &mut runs);
        runs
    }

    #[test]
    fn rows_without_a_sensible_time_are_in_no_slice() {
        let times = vec![Some(1), Some(9), None, None, Some(10), Some(i64::MAX), Some(i64::MAX - 1), Some(i64::MIN)];
        let run = |place, rows| Run { place, rows };
        let expected = [
            run(Place::Slice { slice: 0, cell: 0 }, 0..2),
            run(Place::Nowhere(Reason::NoTime), 2..4),
            run(Place::Slice { slice: 10, cell: 10 }, 4..5),
            run(Place::Nowhere(Reason::TooFarAhead), 5..7),
            run(Place::Nowhere(Reason::NoTime), 7..8),
        ];
        assert_eq!(cut_all(times), expected);
    }

    #[test]
    fn a_row_beyond_the_limit_is_in_no_slice_wherever_it_stands() {
        let count = |times: &[i64]| {
            let runs = cut_all(times.iter().copied().map(Some).collect());
            runs.iter().filter(|run| matches!(run.place, Place::Slice { .. })).map(|run| run.rows.len()).sum::<usize>()
        };
        for limit in [TIME_LIMIT, -TIME_LIMIT] {
            let beyond = limit + limit.signum();
            assert_eq!(count(&[limit, beyond, limit]), 2);
            assert_eq!(count(&[beyond, limit, beyond]), 1);
        }
    }

    #[test]
    fn a_run_ends_at_the_first_time_outside_however_long_it_is() {
        let ends = [(0, 9), (-7, -7), (1_700_000_000_000_000, 1_700_000_000_999_999), (-TIME_LIMIT, TIME_LIMIT)];
        for (first, last) in ends {
            let around = [first - 1, last + 1, i64::MIN, i64::MAX, i64::MIN / 2, i64::MAX / 2 + 1];
            let outside = around.into_iter().filter(|time| !(first..=last).contains(time));
            for outside in outside {
                for place in (0..200).step_by(3).chain([63, 64, 65, 127, 128, 191, 192]) {
                    let inside = |row: usize| if row.is_multiple_of(2) { first } else { last };
                    let mut times = (0..200).map(inside).collect::<Vec<_>>();
                    assert_eq!(leading(&times, first, last), 200);
                    times[place] = outside;
                    assert_eq!(leading(&times, first, last), place, "{outside} is not from {first} to {last}");
                }
            }
        }
    }

    #[test]
    fn scattered_rows_are_grouped_in_the_order_of_arrival() {
        let times = (0..100).map(|n| Some(n / 99)).chain((0..20).map(|n| Some(n % 2 * 10)));
        let runs = cut_all(times.collect());
        let [Stretch::Straight(long), Stretch::Scattered(short)] = stretches(&runs).collect::<Vec<_>>()[..] else {
            panic!("a long run and twenty of one row: {runs:?}");
        };
        assert_eq!(long[0].rows, 0..101);
        let (order, runs) = regrouped(short);
        assert_eq!(order[..3], [102, 104, 106]);
        assert_eq!(order[9..12], [101, 103, 105]);
        assert_eq!(runs.iter().map(|run| run.rows.clone()).collect::<Vec<_>>(), [0..9, 9..19]);
    }
}
