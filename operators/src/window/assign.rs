//! Where a reading belongs: the arithmetic of windows and of the slices they share.
//!
//! Windows are half-open, `[start, end)`, and start at multiples of the slide since 1970-01-01T00:00:00Z, plus an offset.
//! Time is cut wherever a window starts or ends, which gives at most two slices for each slide ("paired windows",
//! Krishnamurthy, Wu and Franklin 2006), however size and slide divide each other. A reading belongs to exactly one slice; a
//! window is a run of neighbouring slices.
//!
//! Windows are numbered by their start, slices by their place in time; number 0 starts at the offset.

use std::ops::Range;

use lineside_model::{Span, Timestamp};

/// Event times beyond this, 73,000 years from 1970, are taken for nonsense, so that no arithmetic here can overflow.
pub(super) const TIME_LIMIT: i64 = 1 << 61;
/// The longest size and slide, 36,000 years.
pub(super) const SPAN_LIMIT: Span = Span(1 << 60);

/// How time is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    size: i64,
    slide: i64,
    offset: i64,
    /// How many slices start within one slide: 1 if windows end where others start, else 2.
    per_slide: i64,
    /// How many slices a window has.
    per_window: i64,
}

impl Grid {
    /// Windows of `size` that start every `slide`; both positive and at most [`SPAN_LIMIT`].
    pub(super) fn new(size: Span, slide: Span, offset: Span) -> Self {
        let (size, slide) = (size.micros(), slide.micros());
        let per_slide = if size % slide == 0 { 1 } else { 2 };
        let per_window = per_slide * (size / slide) + (per_slide - 1);
        Self { size, slide, offset: offset.micros().rem_euclid(slide), per_slide, per_window }
    }

    /// How many slices a window has.
    pub(super) fn slices_per_window(&self) -> i64 {
        self.per_window
    }

    /// The slice of an event time, which must be within [`TIME_LIMIT`].
    pub(super) fn slice_of(&self, time: i64) -> i64 {
        let number = (time - self.offset).div_euclid(self.slide);
        if self.per_slide == 1 {
            return number;
        }
        let within = (time - self.offset).rem_euclid(self.slide);
        2 * number + i64::from(within >= self.size % self.slide)
    }

    /// The event times of a slice.
    pub(super) fn times_of(&self, slice: i64) -> Range<i64> {
        let start = slice.div_euclid(self.per_slide) * self.slide + self.offset;
        let cut = start + self.size % self.slide;
        match (self.per_slide, slice.rem_euclid(self.per_slide)) {
            (1, _) => start..start + self.slide,
            (_, 0) => start..cut,
            _ => cut..start + self.slide,
        }
    }

    /// The first window that has this slice. It comes after [`Grid::last_window`] if no window has it: where windows are
    /// shorter than their slide.
    pub(super) fn first_window(&self, slice: i64) -> i64 {
        (slice - self.per_window).div_euclid(self.per_slide) + 1
    }

    /// The last window that has this slice.
    pub(super) fn last_window(&self, slice: i64) -> i64 {
        slice.div_euclid(self.per_slide)
    }

    /// The slices of a window.
    pub(super) fn slices_of(&self, window: i64) -> Range<i64> {
        let first = window * self.per_slide;
        first..first + self.per_window
    }

    /// Start and end of a window.
    pub(super) fn bounds(&self, window: i64) -> Range<i64> {
        let start = window * self.slide + self.offset;
        start..start + self.size
    }

    /// The first window that ends after the watermark: all before it are closed.
    pub(super) fn first_open(&self, watermark: Timestamp) -> i64 {
        let watermark = watermark.micros().clamp(-2 * TIME_LIMIT, 2 * TIME_LIMIT);
        (watermark - self.offset - self.size).div_euclid(self.slide) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grid(size: i64, slide: i64, offset: i64) -> Grid {
        Grid::new(Span(size), Span(slide), Span(offset))
    }

    /// The windows of a time, by the definition.
    fn windows(grid: &Grid, time: i64) -> Vec<(i64, i64)> {
        let slice = grid.slice_of(time);
        (grid.first_window(slice)..=grid.last_window(slice))
            .map(|window| grid.bounds(window))
            .map(|bounds| (bounds.start, bounds.end))
            .collect()
    }

    #[test]
    fn times_before_1970_fall_into_windows_before_1970() {
        assert_eq!(windows(&grid(10, 10, 0), -1), [(-10, 0)]);
        assert_eq!(windows(&grid(10, 10, 0), -10), [(-10, 0)]);
        assert_eq!(windows(&grid(10, 10, 3), 2), [(-7, 3)]);
        assert_eq!(windows(&grid(10, 5, 0), -1), [(-10, 0), (-5, 5)]);
    }

    #[test]
    fn a_reading_at_the_end_of_a_window_is_in_the_next() {
        assert_eq!(windows(&grid(10, 5, 0), 10), [(5, 15), (10, 20)]);
    }

    #[test]
    fn windows_shorter_than_their_slide_leave_gaps() {
        assert_eq!(windows(&grid(5, 10, 0), 4), [(0, 5)]);
        assert!(windows(&grid(5, 10, 0), 7).is_empty());
    }

    #[test]
    fn a_window_has_at_most_two_slices_for_each_slide() {
        assert_eq!(grid(60_000_000, 7_000_001, 0).slices_per_window(), 17);
        assert_eq!(grid(60_000_000, 5_000_000, 0).slices_per_window(), 12);
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        for (size, slide) in [(1, 1), (2, 3), (1 << 60, 1), (1 << 60, (1 << 60) - 1), (1, 1 << 60)] {
            let grid = grid(size, slide, i64::MAX);
            for time in [-TIME_LIMIT, TIME_LIMIT] {
                let slice = grid.slice_of(time);
                assert!(grid.times_of(slice).contains(&time));
                assert!(grid.last_window(slice) < grid.first_open(Timestamp::MAX));
                assert!(grid.first_window(slice) >= grid.first_open(Timestamp::MIN));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn slices_and_windows_agree_with_their_definition(
            size in 1..40i64, slide in 1..40i64, offset in -50..50i64, time in -200..200i64, watermark in -200..200i64,
        ) {
            let grid = grid(size, slide, offset);
            let slice = grid.slice_of(time);
            prop_assert!(grid.times_of(slice).contains(&time));
            prop_assert_eq!(grid.times_of(slice).end, grid.times_of(slice + 1).start);
            let expected = (-300..300)
                .map(|k| (k * slide + offset, k * slide + offset + size))
                .filter(|(start, end)| (*start..*end).contains(&time))
                .collect::<Vec<_>>();
            prop_assert_eq!(windows(&grid, time), expected);
            for window in grid.first_window(slice)..=grid.last_window(slice) {
                prop_assert!(grid.slices_of(window).contains(&slice));
                prop_assert_eq!(grid.times_of(grid.slices_of(window).start).start, grid.bounds(window).start);
                prop_assert_eq!(grid.times_of(grid.slices_of(window).end - 1).end, grid.bounds(window).end);
            }
            let open = grid.first_open(Timestamp(watermark));
            prop_assert!(grid.bounds(open).end > watermark && grid.bounds(open - 1).end <= watermark);
        }
    }
}
