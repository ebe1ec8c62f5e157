//! Count windows: so many readings of a key, such as the last hundred parts, whatever time they took.
//!
//! Tumbling, every reading is in one window; sliding, a new window starts every so many readings. A window comes out when it is full and
//! the watermark has passed its last reading. What has not come out yet waits for further readings; with a gap, a key that
//! falls silent for longer puts it out as a shorter window, and counting starts anew. Late readings are counted and dropped.
//!
//! Readings are counted in slices that end where a window starts or ends, so that a reading goes into one slice only. Windows are
//! put together of slices by two stacks, as in `../sliding.rs`, but for each key by itself: slices up to a middle hold the merge
//! of themselves with all that follow up to the middle, and one running merge holds those behind it.

use std::collections::VecDeque;

use lineside_model::Span;
use serde::{Deserialize, Serialize};

use super::book::{Book, Closed};
use super::operator::{KeyWindows, Row};

/// How windows are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    slide: u64,
    /// How many readings after the start of a slide a window ends; 0 if where the next starts.
    cut: u64,
    slices_per_slide: usize,
    slices_per_window: usize,
    gap: Option<Span>,
}

/// Some readings next to each other.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Slice {
    slot: u32,
    start: i64,
    rows: u64,
}

/// What is open of a key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Series {
    /// From the first slice of the next window to the one that fills.
    slices: VecDeque<Slice>,
    /// How many of them hold the merge of themselves with all that follow up to the middle.
    front: usize,
    /// The merge of the slices behind the middle that are full.
    back: Option<u32>,
    /// How many readings there were since the start of a slide.
    position: u64,
    last: i64,
    /// Rows in all slices, and those of them that have not come out.
    rows: u64,
    fresh: u64,
}

impl Counts {
    /// Windows of `size` readings, a new one every `slide`; both positive, the slide not greater.
    pub(super) fn new(size: u64, slide: u64, gap: Option<Span>) -> Self {
        let (whole, cut) = (usize::try_from(size / slide).unwrap_or(usize::MAX), size % slide);
        let slices_per_slide = if cut == 0 { 1 } else { 2 };
        let slices_per_window = whole.saturating_mul(slices_per_slide) + (slices_per_slide - 1);
        Self { slide, cut, slices_per_slide, slices_per_window, gap }
    }

    /// A slice is full: a window may be.
    fn sliced(&self, series: &mut Series, key: u32, book: &mut Book) {
        if series.slices.len() < self.slices_per_window {
            if series.front > 0
                && let Some(slice) = series.slices.back()
            {
                let back = *series.back.get_or_insert_with(|| book.open());
                book.fold(slice.slot, back);
            }
            return;
        }
        if self.slices_per_window == 1 {
            return self.flush(series, key, book);
        }
        if series.front == 0 {
            for n in (1..series.slices.len()).rev() {
                book.fold(series.slices[n].slot, series.slices[n - 1].slot);
            }
            series.front = series.slices.len();
        } else if let Some(slice) = series.slices.back() {
            let back = *series.back.get_or_insert_with(|| book.open());
            book.fold(slice.slot, back);
        }
        self.put_out(series, key, None, book);
        for slice in series.slices.drain(..self.slices_per_slide) {
            series.rows = series.rows.saturating_sub(slice.rows);
            book.release(slice.slot);
        }
        // Where a slide has two slices the middle may lie between them; then what is behind it starts anew.
        if series.front < self.slices_per_slide {
            series.front = self.slices_per_slide;
        }
        series.front -= self.slices_per_slide;
        if series.front == 0
            && let Some(back) = series.back.take()
        {
            book.release(back);
        }
    }

    /// Puts out the merge of all slices, the last of which may be one that fills.
    fn put_out(&self, series: &mut Series, key: u32, filling: Option<u32>, book: &mut Book) {
        let Some(first) = series.slices.front().copied() else { return };
        let slot = book.open();
        match series.front {
            0 => series.slices.iter().for_each(|slice| book.fold(slice.slot, slot)),
            _ => {
                let parts = [Some(first.slot), series.back, filling];
                parts.into_iter().flatten().for_each(|part| book.fold(part, slot));
            }
        }
        series.slices.iter().for_each(|slice| book.gather(slice.slot, slot));
        let closed = Closed { key, slot, start: first.start, end: series.last };
        book.close(closed, series.rows, std::mem::take(&mut series.fresh));
    }

    /// Puts out what has not come out yet, and starts anew.
    fn flush(&self, series: &mut Series, key: u32, book: &mut Book) {
        let (end, rows, fresh) = (series.last, series.rows, series.fresh);
        if self.slices_per_window == 1 {
            for Slice { slot, start, .. } in series.slices.drain(..) {
                book.close(Closed { key, slot, start, end }, rows, fresh);
            }
        } else {
            if fresh > 0 {
                let filling = series.slices.back().filter(|_| series.position != 0 && series.position != self.cut);
                self.put_out(series, key, filling.map(|slice| slice.slot), book);
            }
            let slots = series.slices.iter().map(|slice| slice.slot).chain(series.back);
            slots.for_each(|slot| book.release(slot));
        }
        *series = Series::default();
    }
}

impl KeyWindows for Counts {
    type State = Series;
    const KIND: &str = "count window";

    fn row(&self, series: &mut Series, row: Row, book: &mut Book) -> Option<u32> {
        if self.due(series).is_some_and(|due| due <= row.time) {
            self.flush(series, row.key, book);
        }
        if series.position == 0 || series.position == self.cut {
            series.slices.push_back(Slice { slot: book.open(), start: row.time, rows: 0 });
        }
        let slice = series.slices.back_mut()?;
        let slot = slice.slot;
        for rows in [&mut slice.rows, &mut series.rows, &mut series.fresh] {
            *rows = rows.saturating_add(u64::from(row.kept));
        }
        series.last = row.time;
        series.position = series.position.saturating_add(1);
        if series.position == self.slide {
            series.position = 0;
        }
        if series.position == 0 || series.position == self.cut {
            self.sliced(series, row.key, book);
        }
        Some(slot)
    }

    fn due(&self, series: &Series) -> Option<i64> {
        let gap = self.gap.filter(|_| !series.slices.is_empty())?;
        Some(series.last.saturating_add(gap.micros()).saturating_add(1))
    }

    fn bounds(&self, series: &Series) -> Option<(i64, i64)> {
        series.slices.front().map(|first| (first.start, series.last))
    }

    fn expire(&self, series: &mut Series, key: u32, book: &mut Book) {
        self.flush(series, key, book);
    }

    fn slots(series: &mut Series) -> impl Iterator<Item = &mut u32> {
        series.slices.iter_mut().map(|slice| &mut slice.slot).chain(&mut series.back)
    }

    fn rows(series: &Series) -> u64 {
        series.fresh
    }

    fn is_open(series: &Series) -> bool {
        !series.slices.is_empty()
    }
}
