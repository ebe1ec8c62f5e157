//! A batch, cut into runs of rows of the same slice.
//!
//! Readings mostly come in the order of time, so that a batch is a few long runs. One that jumps between slices with
//! nearly every row is put into the order of slices first, keeping the order of arrival within each.

use std::ops::Range;

use arrow::array::{Array, TimestampMicrosecondArray};
use lineside_model::Reason;

use super::assign::{Grid, TIME_LIMIT};

/// A batch of fewer than so many runs is left as it is.
const RUNS_FEW: usize = 16;
/// So is one whose runs are at least this long on average.
const RUN_LONG: usize = 16;

/// Rows next to each other that belong to the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Where they belong.
    pub(super) place: Place,
    /// Which rows of the batch.
    pub(super) rows: Range<usize>,
}

/// Where a row belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// To a slice.
    Slice(i64),
    /// To none, for this reason.
    Nowhere(Reason),
}

/// Cuts a batch by its event times.
pub(super) fn cut(times: &TimestampMicrosecondArray, grid: &Grid, runs: &mut Vec<Run>) {
    runs.clear();
    let values = times.values();
    if times.null_count() == 0 {
        return cut_valid(values, 0, grid, runs);
    }
    let mut start = 0;
    for row in 0..times.len() {
        if times.is_null(row) {
            cut_valid(&values[start..row], start, grid, runs);
            push(runs, Place::Nowhere(Reason::NoTime), row..row + 1);
            start = row + 1;
        }
    }
    cut_valid(&values[start..], start, grid, runs);
}

fn cut_valid(values: &[i64], offset: usize, grid: &Grid, runs: &mut Vec<Run>) {
    let mut row = 0;
    while let Some(time) = values.get(row) {
        let (place, len) = if *time < -TIME_LIMIT {
            (Place::Nowhere(Reason::NoTime), 1)
        } else if *time > TIME_LIMIT {
            (Place::Nowhere(Reason::TooFarAhead), 1)
        } else {
            let slice = grid.slice_of(*time);
            let times = grid.times_of(slice);
            let after = values[row + 1..].iter().take_while(|time| times.contains(*time));
            (Place::Slice(slice), 1 + after.count())
        };
        push(runs, place, offset + row..offset + row + len);
        row += len;
    }
}

fn push(runs: &mut Vec<Run>, place: Place, rows: Range<usize>) {
    match runs.last_mut() {
        Some(last) if last.place == place => last.rows.end = rows.end,
        _ => runs.push(Run { place, rows }),
    }
}

/// If the runs are many and short: the order of rows that makes them few, and the runs in that order.
pub(super) fn regroup(runs: &mut Vec<Run>, rows: usize) -> Option<Vec<u32>> {
    if runs.len() < RUNS_FEW || rows / runs.len() >= RUN_LONG {
        return None;
    }
    // The sort is stable.
    runs.sort_by_key(|run| run.place);
    let order = runs.iter().flat_map(|run| run.rows.clone()).map(|row| row as u32).collect();
    let mut start = 0;
    for run in std::mem::take(runs) {
        let len = run.rows.len();
        push(runs, run.place, start..start + len);
        start += len;
    }
    Some(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lineside_model::Span;

    fn cut_all(times: Vec<Option<i64>>) -> Vec<Run> {
        let grid = Grid::new(Span(10), Span(10), Span::ZERO);
        let mut runs = Vec::new();
        cut(&TimestampMicrosecondArray::from(times), &grid, &mut runs);
        runs
    }

    #[test]
    fn rows_without_a_sensible_time_are_in_no_slice() {
        let times = vec![Some(1), Some(9), None, None, Some(10), Some(i64::MAX), Some(i64::MAX - 1), Some(i64::MIN)];
        let run = |place, rows| Run { place, rows };
        let expected = [
            run(Place::Slice(0), 0..2),
            run(Place::Nowhere(Reason::NoTime), 2..4),
            run(Place::Slice(1), 4..5),
            run(Place::Nowhere(Reason::TooFarAhead), 5..7),
            run(Place::Nowhere(Reason::NoTime), 7..8),
        ];
        assert_eq!(cut_all(times), expected);
    }

    #[test]
    fn a_scattered_batch_is_grouped_in_the_order_of_arrival() {
        let mut runs = cut_all((0..20).map(|n| Some(n % 2 * 10)).collect());
        let order = regroup(&mut runs, 20).expect("twenty runs of one row are scattered");
        assert_eq!(order[..3], [0, 2, 4]);
        assert_eq!(order[10..13], [1, 3, 5]);
        assert_eq!(runs.iter().map(|run| run.rows.clone()).collect::<Vec<_>>(), [0..10, 10..20]);
    }
}
