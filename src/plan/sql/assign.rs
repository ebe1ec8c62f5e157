//! Puts every row into its windows without aggregating: `SELECT * FROM HOP(…)`.
//!
//! A row comes out once for each window it belongs to, earliest window first, with `window_start` and `window_end` behind its
//! columns. Windows are half-open and aligned to 1970-01-01T00:00:00Z plus the offset. A row without event time belongs to no window and is
//! dropped, counted as `no_time`. Nothing is kept in state: late rows come out like any other.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use lineside_model::{Error, Reason, Result, Timestamp};
use lineside_operators::{Emitter, Operator, Port};

use super::window::Cut;

/// The operator.
#[derive(Debug)]
pub(super) struct Assign {
    pub(super) cut: Cut,
    /// Which column of the input is the event time.
    pub(super) time: usize,
    /// The columns of the input, then start and end of the window.
    pub(super) output: SchemaRef,
}

impl Operator for Assign {
    fn process(&mut self, _port: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        let times = rows
            .column(self.time)
            .as_primitive_opt::<TimestampMicrosecondType>()
            .ok_or_else(|| Error::internal("the event time of a window is not in microseconds"))?;
        let mut places = Vec::with_capacity(rows.num_rows());
        let (mut starts, mut ends) = (Vec::with_capacity(rows.num_rows()), Vec::with_capacity(rows.num_rows()));
        let mut without_time = 0;
        for (place, time) in (0u64..).zip(times) {
            let Some(time) = time else {
                without_time += 1;
                continue;
            };
            for start in starts_of(self.cut, Timestamp(time)) {
                places.push(place);
                starts.push(start.micros());
                ends.push((start + self.cut.size).micros());
            }
        }
        if without_time > 0 {
            out.dropped(Reason::NoTime, without_time);
        }
        let once_each = places.len() == rows.num_rows() && self.cut.size == self.cut.slide && without_time == 0;
        let rows = if once_each { rows } else { take_record_batch(&rows, &UInt64Array::from(places))? };
        let mut columns = rows.columns().to_vec();
        for edges in [starts, ends] {
            let edges = TimestampMicrosecondArray::from(edges).with_timezone("UTC");
            columns.push(Arc::new(edges) as ArrayRef);
        }
        out.emit(RecordBatch::try_new(Arc::clone(&self.output), columns)?)
    }
}

/// Where the windows start that `time` is in, earliest first.
fn starts_of(cut: Cut, time: Timestamp) -> impl Iterator<Item = Timestamp> {
    let (size, slide) = (cut.size.micros(), cut.slide.micros());
    let past = time.micros().saturating_sub(cut.offset.micros()).rem_euclid(slide);
    // `past` microseconds after the start of the last window, and before its end since no window is shorter than the slide.
    let windows = (size - past + slide - 1) / slide;
    let last = time.micros().saturating_sub(past);
    (0..windows).rev().map(move |back| Timestamp(last.saturating_sub(back.saturating_mul(slide))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lineside_model::Span;

    fn starts(size: i64, slide: i64, offset: i64, time: i64) -> Vec<i64> {
        let cut = Cut { size: Span(size), slide: Span(slide), offset: Span(offset) };
        starts_of(cut, Timestamp(time)).map(Timestamp::micros).collect()
    }

    #[test]
    fn the_end_of_a_window_belongs_to_the_next() {
        assert_eq!(starts(10, 10, 0, 9), [0]);
        assert_eq!(starts(10, 10, 0, 10), [10]);
        assert_eq!(starts(10, 10, 3, 12), [3]);
    }

    #[test]
    fn times_before_1970_fall_into_windows_alike() {
        assert_eq!(starts(10, 10, 0, -1), [-10]);
        assert_eq!(starts(10, 5, 0, -10), [-15, -10]);
    }

    #[test]
    fn a_size_that_is_no_multiple_of_the_slide_gives_rows_unequal_numbers_of_windows() {
        assert_eq!(starts(10, 4, 0, 8), [0, 4, 8]);
        assert_eq!(starts(10, 4, 0, 10), [4, 8]);
        assert_eq!(starts(10, 4, 0, 13), [4, 8, 12]);
    }
}
