//! A batch, cut into runs of rows of the same slice.
//!
//! Readings mostly come nearly in the order of time, so that a batch is a few long runs, with some back and forth where one
//! slice ends and the next begins. Rows that jump between slices are put into the order of slices first, keeping the order of
//! arrival within each.
//!
//! Where slices are short, readings that are a little out of order jump between the same few again and again. So the places that a batch
//! was found to have are remembered, and looked up by a guess: how many cells lie between a time and the first one of the batch.

use std::ops::Range;

use arrow::array::{Array, TimestampMicrosecondArray};
use lineside_model::Reason;

use super::assign::TIME_LIMIT;

/// A run of at least so many rows is left where it is.
const RUN_LONG: usize = 64;
/// So are fewer than so many short ones next to each other.
const RUNS_FEW: usize = 8;
/// So many cells next to each other are remembered.
const RECENT: usize = 64;
/// No place yet.
const NONE: u32 = u32::MAX;

/// A batch in runs.
#[derive(Debug)]
pub(super) struct Runs {
    /// Where rows belong, and the times that belong there. A place may be here twice.
    places: Vec<(Place, Times)>,
    runs: Vec<Run>,
    /// The number of the place that was found last, for each guess.
    recent: [u32; RECENT],
    /// The time from which cells are counted to guess a place,
    base: i64,
    /// and how many there are to a microsecond, about.
    per_micro: f64,
}

/// Rows next to each other that belong to the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The number of the place.
    place: u32,
    /// Which rows of the batch.
    rows: Range<u32>,
}

impl Run {
    fn rows(&self) -> Range<usize> {
        self.rows.start as usize..self.rows.end as usize
    }
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

/// The times from the first to one that is so much later.
#[derive(Clone, Copy, Debug)]
struct Times {
    first: i64,
    length: u64,
}

impl Times {
    fn only(time: i64) -> Self {
        Self { first: time, length: 0 }
    }

    /// Those of a cell within the limit: a cell at the limit goes on beyond it, its rows do not.
    fn of(cell: &Range<i64>) -> Self {
        let first = cell.start.max(-TIME_LIMIT);
        Self { first, length: (cell.end - 1).min(TIME_LIMIT).abs_diff(first) }
    }

    #[inline]
    fn has(&self, time: i64) -> bool {
        // One comparison: what is before the first wraps to something very large.
        time.wrapping_sub(self.first).cast_unsigned() <= self.length
    }

    /// How many times from the beginning on are among these.
    #[inline]
    fn leading(&self, values: &[i64]) -> usize {
        let short = values.iter().take(RUN_LONG).take_while(|time| self.has(**time)).count();
        if short < RUN_LONG { short } else { self.leading_many(values) }
    }

    /// The same where the first [`RUN_LONG`] are.
    fn leading_many(&self, values: &[i64]) -> usize {
        // A run that is long already is followed in steps, each without a branch: a time outside makes one of its distances negative,
        // and where one wraps around the other does, too.
        let (first, last) = (self.first, self.first.wrapping_add_unsigned(self.length));
        let (chunks, _) = values.as_chunks::<RUN_LONG>();
        let inside = |chunk: &&[i64; RUN_LONG]| {
            chunk.iter().fold(0, |all, time| all | time.wrapping_sub(first) | last.wrapping_sub(*time)) >= 0
        };
        let far = RUN_LONG * (1 + chunks[1..].iter().take_while(inside).count());
        far + values[far..].iter().take_while(|time| self.has(**time)).count()
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self { places: Vec::new(), runs: Vec::new(), recent: [NONE; RECENT], base: 0, per_micro: 0.0 }
    }
}

impl Runs {
    /// Cuts a batch by its event times.
    pub(super) fn cut(&mut self, times: &TimestampMicrosecondArray, locate: impl Fn(i64) -> Located) {
        self.places.clear();
        self.runs.clear();
        self.recent.fill(NONE);
        let values = times.values();
        if times.null_count() == 0 {
            return self.cut_valid(values, 0, &locate);
        }
        let mut start = 0;
        for row in 0..times.len() {
            if times.is_null(row) {
                self.cut_valid(&values[start..row], start, &locate);
                let place = self.number(Place::Nowhere(Reason::NoTime), Times::only(i64::MIN));
                self.push(place, row, 1);
                start = row + 1;
            }
        }
        self.cut_valid(&values[start..], start, &locate);
    }

    fn cut_valid(&mut self, values: &[i64], offset: usize, locate: &impl Fn(i64) -> Located) {
        let mut row = 0;
        while let Some(time) = values.get(row) {
            let (place, times) = self.find(*time, locate);
            let len = 1 + times.leading(&values[row + 1..]);
            self.push(place, offset + row, len);
            row += len;
        }
    }

    /// The place of a time, and all times that belong there.
    #[inline]
    fn find(&mut self, time: i64, locate: &impl Fn(i64) -> Located) -> (u32, Times) {
        let guess = (time.wrapping_sub(self.base) as f64 * self.per_micro) as i64 as usize % RECENT;
        let place = self.recent[guess];
        match self.places.get(place as usize) {
            Some((_, times)) if times.has(time) => (place, *times),
            _ => self.find_anew(time, locate),
        }
    }

    #[cold]
    fn find_anew(&mut self, time: i64, locate: &impl Fn(i64) -> Located) -> (u32, Times) {
        if time.unsigned_abs() > TIME_LIMIT.unsigned_abs() {
            let reason = if time < 0 { Reason::NoTime } else { Reason::TooFarAhead };
            let times = Times::only(time);
            return (self.number(Place::Nowhere(reason), times), times);
        }
        let Located { slice, cell } = locate(time);
        let times = Times::of(&cell);
        if self.recent.iter().all(|place| *place == NONE) {
            // Some rows may belong to cells before the first one: what is less than none would be guessed to be where the first is.
            let width = times.length.saturating_add(1) as f64;
            self.base = times.first.saturating_sub((width * RECENT as f64) as i64);
            self.per_micro = 1.0 / width;
        }
        let place = self.number(Place::Slice { slice, cell: cell.start }, times);
        let guess = (time.wrapping_sub(self.base) as f64 * self.per_micro) as i64 as usize % RECENT;
        self.recent[guess] = place;
        (place, times)
    }

    /// The number of a place that was not found: that of the last run, or a new one.
    fn number(&mut self, place: Place, times: Times) -> u32 {
        let last = self.runs.last().map(|run| run.place);
        last.filter(|last| self.places[*last as usize].0 == place).unwrap_or_else(|| {
            self.places.push((place, times));
            self.places.len() as u32 - 1
        })
    }

    #[inline]
    fn push(&mut self, place: u32, row: usize, len: usize) {
        // A batch has fewer rows than 32 bits can count.
        let rows = row as u32..(row + len) as u32;
        match self.runs.last_mut() {
            Some(last) if last.place == place => last.rows.end = rows.end,
            _ => self.runs.push(Run { place, rows }),
        }
    }

    /// All runs in order: where rows belong, and which they are.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, Range<usize>)> {
        self.of(&self.runs)
    }

    /// The same of some runs.
    pub(super) fn of<'a>(&'a self, runs: &'a [Run]) -> impl Iterator<Item = (Place, Range<usize>)> + 'a {
        runs.iter().map(|run| (self.places[run.place as usize].0, run.rows()))
    }

    /// Finds where runs are many and short.
    pub(super) fn stretches(&self) -> impl Iterator<Item = Stretch<'_>> {
        let is_short = |run: &Run| run.rows.len() < RUN_LONG;
        let stretches = self.runs.chunk_by(move |one, next| is_short(one) == is_short(next));
        stretches.map(move |runs| match is_short(&runs[0]) {
            true if runs.len() >= RUNS_FEW => Stretch::Scattered(runs),
            _ => Stretch::Straight(runs),
        })
    }

    /// The order of rows that makes these runs few, and the runs in that order. Rows are many and places few, so they are counted and not
    /// sorted.
    pub(super) fn regrouped(&self, runs: &[Run]) -> (Vec<u32>, Vec<(Place, Range<usize>)>) {
        let mut counts = vec![0; self.places.len()];
        runs.iter().for_each(|run| counts[run.place as usize] += run.rows.len());
        let place = |number: &usize| self.places[*number].0;
        let mut rising = (0..counts.len()).filter(|number| counts[*number] > 0).collect::<Vec<_>>();
        rising.sort_by_key(|number| place(number).group());
        // Where the rows of each place go on, by the number of its group.
        let (mut groups, mut ends, mut few) = (vec![0; counts.len()], Vec::new(), Vec::new());
        let (mut rows, mut mixed) = (0, false);
        for numbers in rising.chunk_by(|one, next| place(one).group() == place(next).group()) {
            let start = rows;
            for number in numbers {
                groups[*number] = ends.len();
                rows += counts[*number];
                mixed |= place(number) != place(&numbers[0]);
            }
            ends.push(start);
            few.push((place(&numbers[0]), start..rows));
        }
        let (mut order, mut moved) = (vec![0; rows], Vec::new());
        for run in runs {
            let end = &mut ends[groups[run.place as usize]];
            let start = *end;
            *end += run.rows.len();
            order[start..*end].iter_mut().zip(run.rows.clone()).for_each(|(at, row)| *at = row);
            if mixed {
                moved.push((place(&(run.place as usize)), start..*end));
            }
        }
        if mixed {
            moved.sort_by_key(|(_, rows)| rows.start);
            few = moved;
            few.dedup_by(|next, last| {
                let same = next.0 == last.0;
                if same {
                    last.1.end = next.1.end;
                }
                same
            });
        }
        (order, few)
    }
}

/// Runs next to each other that are taken together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stretch<'a> {
    /// One by one.
    Straight(&'a [Run]),
    /// Many short ones, to be [`Runs::regrouped`].
    Scattered(&'a [Run]),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::WindowKind;
    use crate::window::assign::{Cells, Windows};
    use lineside_model::Span;

    fn cut_all(times: Vec<Option<i64>>) -> Runs {
        let cells = Cells::of(&[Windows::of(&WindowKind::Tumble { size: Span(10), offset: Span::ZERO })]);
        let mut runs = Runs::default();
        runs.cut(&TimestampMicrosecondArray::from(times), |time| cells.located(time));
        runs
    }

    #[test]
    fn rows_without_a_sensible_time_are_in_no_slice() {
        let times = vec![Some(1), Some(9), None, None, Some(10), Some(i64::MAX), Some(i64::MAX - 1), Some(i64::MIN)];
        let expected = [
            (Place::Slice { slice: 0, cell: 0 }, 0..2),
            (Place::Nowhere(Reason::NoTime), 2..4),
            (Place::Slice { slice: 10, cell: 10 }, 4..5),
            (Place::Nowhere(Reason::TooFarAhead), 5..7),
            (Place::Nowhere(Reason::NoTime), 7..8),
        ];
        assert!(cut_all(times).iter().eq(expected));
    }

    #[test]
    fn a_row_beyond_the_limit_is_in_no_slice_wherever_it_stands() {
        let count = |times: &[i64]| {
            let runs = cut_all(times.iter().copied().map(Some).collect());
            let taken = runs.iter().filter(|(place, _)| matches!(place, Place::Slice { .. }));
            taken.map(|(_, rows)| rows.len()).sum::<usize>()
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
            let times_inside = Times::of(&(first..last + 1));
            let around = [first - 1, last + 1, i64::MIN, i64::MAX, i64::MIN / 2, i64::MAX / 2 + 1];
            let outside = around.into_iter().filter(|time| !(first..=last).contains(time));
            for outside in outside {
                for place in (0..200).step_by(3).chain([63, 64, 65, 127, 128, 191, 192]) {
                    let inside = |row: usize| if row.is_multiple_of(2) { first } else { last };
                    let mut times = (0..200).map(inside).collect::<Vec<_>>();
                    assert_eq!(times_inside.leading(&times), 200);
                    times[place] = outside;
                    assert_eq!(times_inside.leading(&times), place, "{outside} is not from {first} to {last}");
                }
            }
        }
    }

    #[test]
    fn scattered_rows_are_grouped_in_the_order_of_arrival() {
        let times = (0..100).map(|n| Some(n / 99)).chain((0..20).map(|n| Some(n % 2 * 10)));
        let runs = cut_all(times.collect());
        let [Stretch::Straight(long), Stretch::Scattered(short)] = runs.stretches().collect::<Vec<_>>()[..] else {
            panic!("a long run and twenty of one row: {runs:?}");
        };
        assert_eq!(long[0].rows(), 0..101);
        let (order, runs) = runs.regrouped(short);
        assert_eq!(order[..3], [102, 104, 106]);
        assert_eq!(order[9..12], [101, 103, 105]);
        assert!(runs.into_iter().map(|(_, rows)| rows).eq([0..9, 9..19]));
    }

    #[test]
    fn scattered_rows_of_several_cells_of_a_slice_stay_in_the_order_of_arrival() {
        // Cells of 10, of which two are one slice, and far more of them than are remembered.
        let located = |time: i64| Located { slice: time / 20 * 20, cell: time / 10 * 10..time / 10 * 10 + 10 };
        let times = (0..3_000).map(|n| n * n * 7_919 % 9_973).collect::<Vec<_>>();
        let mut runs = Runs::default();
        runs.cut(&TimestampMicrosecondArray::from(times.clone()), located);
        assert!(runs.iter().flat_map(|(_, rows)| rows).eq(0..times.len()));
        let (order, few) = runs.regrouped(&runs.runs);
        let mut expected = (0..3_000u32).collect::<Vec<_>>();
        expected.sort_by_key(|row| times[*row as usize] / 20);
        assert_eq!(order, expected);
        assert!(few.iter().flat_map(|(_, rows)| rows.clone()).eq(0..times.len()));
        for (place, rows) in &few {
            for row in &order[rows.clone()] {
                let Located { slice, cell } = located(times[*row as usize]);
                assert_eq!(*place, Place::Slice { slice, cell: cell.start });
            }
        }
        assert!(few.windows(2).all(|pair| pair[0].0 != pair[1].0));
    }
}
