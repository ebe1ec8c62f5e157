//! Where a reading belongs: the arithmetic of windows, and of the cells that they cut time into.
//!
//! Windows are half-open, `[start, end)`. Those of one kind are numbered in the order in which they end, and a reading belongs to
//! all windows from its first to its last. A *cell* is a stretch of time in which no window starts or ends: all readings in
//! it belong to the same windows. Where size and slide of hopping windows have no common divisor there are at most two
//! cells to a slide ("paired windows", Krishnamurthy, Wu and Franklin 2006).
//!
//! | kind | window number `n` |
//! | --- | --- |
//! | tumbling, hopping | starts at `n` slides after 1970-01-01T00:00:00Z plus the offset |
//! | cumulating | ends at `n + 1` steps after it, and starts at the last multiple of the size before its end |
//! | calendar | see [`super::calendar`] |

use std::ops::Range;
use std::sync::Arc;

use lineside_model::{Span, Timestamp};

use super::WindowKind;
use super::calendar::Calendar;
use super::runs::Located;

/// Event times beyond this, 73,000 years from 1970, are taken for nonsense, so that no arithmetic here can overflow.
pub(super) const TIME_LIMIT: i64 = 1 << 61;
/// The longest size and slide, 36,000 years.
pub(super) const SPAN_LIMIT: Span = Span(1 << 60);

/// The windows of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Windows {
    /// All of one size, at equal distances.
    Even(Grid),
    /// Each growing by steps up to its size.
    Growing(Growth),
    /// Of a calendar.
    Calendar(Arc<Calendar>),
}

impl Windows {
    /// The windows of a kind, whose spans are sound.
    pub(super) fn of(kind: &WindowKind) -> Self {
        match kind {
            WindowKind::Tumble { size, offset } => Self::Even(Grid::new(*size, *size, *offset)),
            WindowKind::Hop { size, slide, offset } => Self::Even(Grid::new(*size, *slide, *offset)),
            WindowKind::Cumulate { size, step, offset } => Self::Growing(Growth::new(*size, *step, *offset)),
            WindowKind::Calendar(calendar) => Self::Calendar(Arc::clone(calendar)),
        }
    }

    /// The cell of an event time, which must be within [`TIME_LIMIT`].
    pub(super) fn cell(&self, time: i64) -> Range<i64> {
        match self {
            Self::Even(grid) => grid.cell(time),
            Self::Growing(growth) => growth.cell(time),
            Self::Calendar(calendar) => calendar.cell(time),
        }
    }

    /// The first window that ends after a time. The time belongs to it unless it comes after [`Windows::last`].
    pub(super) fn first(&self, time: i64) -> i64 {
        match self {
            Self::Even(grid) => grid.first(time),
            Self::Growing(growth) => growth.first(time),
            Self::Calendar(calendar) => calendar.first(time),
        }
    }

    /// The last window that has a time; where it is in none, the last one that starts before it.
    pub(super) fn last(&self, time: i64) -> i64 {
        match self {
            Self::Even(grid) => grid.last(time),
            Self::Growing(growth) => growth.last(time),
            Self::Calendar(calendar) => calendar.last(time),
        }
    }

    /// Start and end of a window.
    pub(super) fn bounds(&self, window: i64) -> Range<i64> {
        match self {
            Self::Even(grid) => grid.bounds(window),
            Self::Growing(growth) => growth.bounds(window),
            Self::Calendar(calendar) => calendar.bounds(window),
        }
    }

    /// The first window that ends after the watermark: all before it are closed.
    pub(super) fn first_open(&self, watermark: Timestamp) -> i64 {
        self.first(watermark.micros().clamp(-2 * TIME_LIMIT, 2 * TIME_LIMIT))
    }

    /// Whether a time can be in several windows.
    pub(super) fn overlap(&self) -> bool {
        match self {
            Self::Even(grid) => grid.slide < grid.size,
            Self::Growing(growth) => growth.step < growth.size,
            Self::Calendar(_) => false,
        }
    }

    /// What a window is called, where windows have names.
    pub(super) fn name(&self, window: i64) -> Option<&str> {
        match self {
            Self::Calendar(calendar) => calendar.name(window),
            Self::Even(_) | Self::Growing(_) => None,
        }
    }
}

/// Windows of one size at equal distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    size: i64,
    slide: i64,
    offset: i64,
}

impl Grid {
    /// Windows of `size` that start every `slide`; both positive and at most [`SPAN_LIMIT`].
    pub(super) fn new(size: Span, slide: Span, offset: Span) -> Self {
        let (size, slide) = (size.micros(), slide.micros());
        Self { size, slide, offset: offset.micros().rem_euclid(slide) }
    }

    /// How many cells a window has.
    pub(super) fn cells_per_window(&self) -> i64 {
        match self.size % self.slide {
            0 => self.size / self.slide,
            _ => 2 * (self.size / self.slide) + 1,
        }
    }

    fn cell(&self, time: i64) -> Range<i64> {
        let start = self.last(time) * self.slide + self.offset;
        let cut = start + self.size % self.slide;
        match cut {
            cut if cut == start => start..start + self.slide,
            cut if time < cut => start..cut,
            cut => cut..start + self.slide,
        }
    }

    fn first(&self, time: i64) -> i64 {
        (time - self.offset - self.size).div_euclid(self.slide) + 1
    }

    fn last(&self, time: i64) -> i64 {
        (time - self.offset).div_euclid(self.slide)
    }

    fn bounds(&self, window: i64) -> Range<i64> {
        let start = window * self.slide + self.offset;
        start..start + self.size
    }
}

/// Windows that grow by steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Growth {
    size: i64,
    step: i64,
    offset: i64,
}

impl Growth {
    /// Windows up to `size`, which is a multiple of `step`; both positive and at most [`SPAN_LIMIT`].
    pub(super) fn new(size: Span, step: Span, offset: Span) -> Self {
        let (size, step) = (size.micros(), step.micros());
        Self { size, step, offset: offset.micros().rem_euclid(size) }
    }

    fn steps(&self) -> i64 {
        self.size / self.step
    }

    fn cell(&self, time: i64) -> Range<i64> {
        let start = self.first(time) * self.step + self.offset;
        start..start + self.step
    }

    fn first(&self, time: i64) -> i64 {
        (time - self.offset).div_euclid(self.step)
    }

    fn last(&self, time: i64) -> i64 {
        ((time - self.offset).div_euclid(self.size) + 1) * self.steps() - 1
    }

    fn bounds(&self, window: i64) -> Range<i64> {
        let start = window.div_euclid(self.steps()) * self.size + self.offset;
        start..(window + 1) * self.step + self.offset
    }
}

/// The cells that several kinds of windows cut time into together.
#[derive(Debug)]
pub(super) struct Cells(Vec<Windows>);

impl Cells {
    /// Those of these windows.
    pub(super) fn of<'a>(windows: impl IntoIterator<Item = &'a Windows>) -> Self {
        Self(windows.into_iter().cloned().collect())
    }

    /// The cell of an event time, which must be within [`TIME_LIMIT`].
    pub(super) fn at(&self, time: i64) -> Range<i64> {
        let whole = i64::MIN..i64::MAX;
        self.0.iter().map(|windows| windows.cell(time)).fold(whole, |a, b| a.start.max(b.start)..a.end.min(b.end))
    }

    /// Where an event time belongs if every cell is a slice.
    pub(super) fn located(&self, time: i64) -> Located {
        let cell = self.at(time);
        Located { slice: cell.start, cell }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hop(size: i64, slide: i64, offset: i64) -> Windows {
        Windows::of(&WindowKind::Hop { size: Span(size), slide: Span(slide), offset: Span(offset) })
    }

    fn cumulate(size: i64, step: i64, offset: i64) -> Windows {
        Windows::of(&WindowKind::Cumulate { size: Span(size), step: Span(step), offset: Span(offset) })
    }

    /// The windows of a time.
    fn of(windows: &Windows, time: i64) -> Vec<(i64, i64)> {
        (windows.first(time)..=windows.last(time))
            .map(|window| windows.bounds(window))
            .map(|bounds| (bounds.start, bounds.end))
            .collect()
    }

    #[test]
    fn times_before_1970_fall_into_windows_before_1970() {
        assert_eq!(of(&hop(10, 10, 0), -1), [(-10, 0)]);
        assert_eq!(of(&hop(10, 10, 0), -10), [(-10, 0)]);
        assert_eq!(of(&hop(10, 10, 3), 2), [(-7, 3)]);
        assert_eq!(of(&hop(10, 5, 0), -1), [(-10, 0), (-5, 5)]);
        assert_eq!(of(&cumulate(10, 5, 0), -6), [(-10, -5), (-10, 0)]);
    }

    #[test]
    fn a_reading_at_the_end_of_a_window_is_in_the_next() {
        assert_eq!(of(&hop(10, 5, 0), 10), [(5, 15), (10, 20)]);
        assert_eq!(of(&cumulate(10, 5, 0), 5), [(0, 10)]);
        assert_eq!(of(&cumulate(10, 5, 0), 10), [(10, 15), (10, 20)]);
    }

    #[test]
    fn windows_shorter_than_their_slide_leave_gaps() {
        assert_eq!(of(&hop(5, 10, 0), 4), [(0, 5)]);
        assert!(of(&hop(5, 10, 0), 7).is_empty());
    }

    #[test]
    fn a_window_has_at_most_two_cells_for_each_slide() {
        assert_eq!(Grid::new(Span(60_000_000), Span(7_000_001), Span(0)).cells_per_window(), 17);
        assert_eq!(Grid::new(Span(60_000_000), Span(5_000_000), Span(0)).cells_per_window(), 12);
    }

    #[test]
    fn several_kinds_of_windows_cut_time_at_the_edges_of_all() {
        let cells = Cells::of(&[hop(10, 10, 0), hop(7, 5, 0), cumulate(6, 3, 1)]);
        let mut time = 0;
        let mut starts = Vec::new();
        while time < 15 {
            let cell = cells.at(time);
            assert_eq!(cell, cells.at(cell.end - 1));
            starts.push(cell.start);
            time = cell.end;
        }
        assert_eq!(starts, [0, 1, 2, 4, 5, 7, 10, 12, 13]);
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let mut all = vec![cumulate(1 << 60, 1, i64::MAX), cumulate(1 << 60, 1 << 60, i64::MIN), cumulate(1, 1, 5)];
        for (size, slide) in [(1, 1), (2, 3), (1 << 60, 1), (1 << 60, (1 << 60) - 1), (1, 1 << 60)] {
            all.push(hop(size, slide, i64::MAX));
        }
        for windows in all {
            for time in [-TIME_LIMIT, TIME_LIMIT] {
                assert!(windows.cell(time).contains(&time));
                assert!(windows.last(time) < windows.first_open(Timestamp::MAX));
                assert!(windows.first(time) >= windows.first_open(Timestamp::MIN));
            }
            for watermark in [Timestamp::MIN, Timestamp::MAX] {
                let bounds = windows.bounds(windows.first_open(watermark));
                assert!(bounds.start < bounds.end);
            }
        }
    }

    /// What must hold for windows of any kind; `defined` are those around the time, by definition.
    fn agree(windows: &Windows, defined: Vec<(i64, i64)>, time: i64, watermark: i64) -> Result<(), TestCaseError> {
        let cell = windows.cell(time);
        prop_assert!(cell.contains(&time));
        prop_assert_eq!(cell.clone(), windows.cell(cell.end - 1));
        prop_assert_eq!(cell.end, windows.cell(cell.end).start);
        let holds = |(start, end): &(i64, i64)| (*start..*end).contains(&time);
        let mut expected = defined.into_iter().filter(holds).collect::<Vec<_>>();
        expected.sort_by_key(|(start, end)| (*end, *start));
        prop_assert_eq!(of(windows, time), expected);
        for window in windows.first(time)..=windows.last(time) {
            let bounds = windows.bounds(window);
            prop_assert!(bounds.start <= cell.start && cell.end <= bounds.end);
            prop_assert_eq!(windows.cell(bounds.start).start, bounds.start);
            prop_assert_eq!(windows.cell(bounds.end - 1).end, bounds.end);
        }
        let open = windows.first_open(Timestamp(watermark));
        prop_assert!(windows.bounds(open).end > watermark && windows.bounds(open - 1).end <= watermark);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn hopping_windows_agree_with_their_definition(
            size in 1..40i64, slide in 1..40i64, offset in -50..50i64, time in -200..200i64, watermark in -200..200i64,
        ) {
            let defined = (-300..300).map(|k| k * slide + offset).map(|start| (start, start + size));
            agree(&hop(size, slide, offset), defined.collect(), time, watermark)?;
        }

        #[test]
        fn cumulating_windows_agree_with_their_definition(
            steps in 1..8i64, step in 1..9i64, offset in -50..50i64, time in -200..200i64, watermark in -200..200i64,
        ) {
            let size = steps * step;
            let starts = (-300..300).map(|k| k * size + offset);
            let defined = starts.flat_map(|start| (1..=steps).map(move |grown| (start, start + grown * step)));
            agree(&cumulate(size, step, offset), defined.collect(), time, watermark)?;
        }
    }
}
