//! Event time at a source: rows without one and rows from the future are put aside, and the watermark is cut into the flow.
//!
//! The watermark is the greatest event time seen, less the disorder the user allows. Results must not depend on how rows
//! happened to be cut into batches, so a batch in which a row is behind the watermark is cut in front of that row: the
//! operators then hear of the watermark before the row, as they would if rows came one by one. In ordered data, and in data
//! within the bound, nothing is cut.

use arrow::array::{Array, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use lineside_model::{Error, Reason, Result, Span, Timestamp};

use crate::plan::TimePlan;

/// No reading is later than this, about the year 75,000: beyond, a time is garbage, and the greatest of all means the end.
const LATEST: Timestamp = Timestamp(i64::MAX / 4);

/// A part of what a source gave.
#[derive(Debug)]
pub(super) enum Piece {
    /// Rows.
    Rows(RecordBatch),
    /// The watermark after the rows before it.
    Watermark(Timestamp),
}

/// What a source knows of event time.
#[derive(Debug)]
pub(super) struct EventTime {
    column: usize,
    disorder: Span,
    max_ahead: Option<Span>,
    newest: Timestamp,
    watermark: Timestamp,
}

impl EventTime {
    /// For rows whose time column has this number.
    pub(super) fn new(column: usize, plan: &TimePlan) -> Self {
        Self {
            column,
            disorder: plan.disorder,
            max_ahead: plan.max_ahead,
            newest: Timestamp::MIN,
            watermark: Timestamp::MIN,
        }
    }

    /// Cuts rows into pieces. Rows that are put aside are told to `dropped`.
    pub(super) fn cut(
        &mut self,
        rows: RecordBatch,
        now: Timestamp,
        pieces: &mut Vec<Piece>,
        dropped: &mut dyn FnMut(Reason, usize),
    ) -> Result<()> {
        let rows = self.put_aside(rows, now, dropped)?;
        let times = times(&rows, self.column)?.values().clone();
        let mut from = 0;
        let mut newest = self.newest;
        // Rows before it are behind what the watermark would be; worked out anew only when a row is the newest.
        let mut limit = newest - self.disorder;
        for (row, &time) in times.iter().enumerate() {
            if time >= newest.0 {
                newest = Timestamp(time);
                limit = newest - self.disorder;
            } else if time < limit.0 && limit > self.watermark {
                if row > from {
                    pieces.push(Piece::Rows(rows.slice(from, row - from)));
                }
                self.watermark = limit;
                pieces.push(Piece::Watermark(self.watermark));
                from = row;
            }
        }
        self.newest = newest;
        if from == 0 {
            if rows.num_rows() > 0 {
                pieces.push(Piece::Rows(rows));
            }
        } else {
            pieces.push(Piece::Rows(rows.slice(from, rows.num_rows() - from)));
        }
        if newest > Timestamp::MIN && newest - self.disorder > self.watermark {
            self.watermark = newest - self.disorder;
            pieces.push(Piece::Watermark(self.watermark));
        }
        Ok(())
    }

    fn put_aside(
        &self,
        rows: RecordBatch,
        now: Timestamp,
        dropped: &mut dyn FnMut(Reason, usize),
    ) -> Result<RecordBatch> {
        let column = times(&rows, self.column)?;
        let latest = self.max_ahead.map_or(LATEST, |ahead| now + ahead);
        // Without an early end, so that the loop has no branch.
        let newest = column.values().iter().fold(i64::MIN, |newest, time| newest.max(*time));
        if column.null_count() == 0 && newest <= latest.0 {
            return Ok(rows);
        }
        let missing = column.null_count();
        let keep = column.iter().map(|time| time.map(|t| t <= latest.0)).map(Some).map(Option::flatten);
        let keep = keep.map(|k| k.unwrap_or(false)).collect::<Vec<_>>();
        let ahead = keep.iter().filter(|k| !**k).count() - missing;
        if missing > 0 {
            dropped(Reason::NoTime, missing);
        }
        if ahead > 0 {
            dropped(Reason::TooFarAhead, ahead);
        }
        Ok(filter_record_batch(&rows, &BooleanArray::from(keep))?)
    }
}

fn times(rows: &RecordBatch, column: usize) -> Result<&TimestampMicrosecondArray> {
    rows.column(column)
        .as_any()
        .downcast_ref()
        .ok_or_else(|| Error::internal(format!("column {column} is planned as event time and is none")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;
    use lineside_model::schema::time_field;
    use std::sync::Arc;

    fn rows(times: &[Option<i64>]) -> RecordBatch {
        let column = TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC");
        RecordBatch::try_new(Arc::new(Schema::new(vec![time_field("ts", true)])), vec![Arc::new(column)]).unwrap()
    }

    fn story(batches: &[&[Option<i64>]], disorder: i64, ahead: Option<i64>) -> String {
        let plan =
            TimePlan { column: "ts".into(), disorder: Span(disorder), idle_after: None, max_ahead: ahead.map(Span) };
        let mut time = EventTime::new(0, &plan);
        let mut told = Vec::new();
        for batch in batches {
            let mut pieces = Vec::new();
            let mut dropped = Vec::new();
            time.cut(rows(batch), Timestamp(100), &mut pieces, &mut |reason, n| {
                dropped.push(format!("{n} {}", reason.word()))
            })
            .unwrap();
            told.extend(dropped);
            told.extend(pieces.iter().map(|piece| match piece {
                Piece::Rows(rows) => format!("{:?}", times(rows, 0).unwrap().values().to_vec()),
                Piece::Watermark(at) => format!("w{}", at.0),
            }));
        }
        told.join(" ")
    }

    #[test]
    fn ordered_rows_are_not_cut() {
        assert_eq!(story(&[&[Some(1), Some(2), Some(9)]], 3, None), "[1, 2, 9] w6");
    }

    #[test]
    fn a_row_behind_the_watermark_comes_after_it_however_batches_are_cut() {
        let whole = story(&[&[Some(1), Some(9), Some(2), Some(3), Some(10)]], 3, None);
        assert_eq!(whole, "[1, 9] w6 [2, 3, 10] w7");
        let cut = story(&[&[Some(1), Some(9)], &[Some(2)], &[Some(3), Some(10)]], 3, None);
        assert_eq!(cut, "[1, 9] w6 [2] [3, 10] w7");
    }

    #[test]
    fn a_row_equal_to_the_watermark_is_on_time() {
        assert_eq!(story(&[&[Some(9), Some(6)]], 3, None), "[9, 6] w6");
    }

    #[test]
    fn rows_without_time_or_far_ahead_are_counted_and_do_not_move_the_watermark() {
        assert_eq!(story(&[&[Some(1), None, Some(500), Some(2)]], 0, Some(10)), "1 no_time 1 too_far_ahead [1, 2] w2");
    }
}
