//! Event time at a source: the watermark is cut into the flow.
//!
//! The watermark is the greatest event time seen, less the disorder the user allows. Results must not depend on how rows
//! happened to be cut into batches, so a batch in which a row is behind the watermark is cut in front of that row: the
//! operators then hear of the watermark before the row, as they would if rows came one by one. In ordered data, and in data
//! within the bound, nothing is cut.

use arrow::array::RecordBatch;
use lineside_model::{Result, Span, Timestamp};

use super::guard::times;
use crate::plan::TimePlan;

/// A part of what a source gave.
#[derive(Debug)]
pub(super) enum Piece {
    /// Rows.
    Rows(RecordBatch),
    /// The watermark after the rows before it.
    Watermark(Timestamp),
    /// The source is silent.
    Idle,
}

/// What a source knows of event time, one for all its rows.
#[derive(Debug)]
pub(super) struct EventTime {
    column: usize,
    disorder: Span,
    newest: Timestamp,
    watermark: Timestamp,
}

impl EventTime {
    /// For rows whose time column has this number.
    pub(super) fn new(column: usize, plan: &TimePlan) -> Self {
        Self { column, disorder: plan.disorder, newest: Timestamp::MIN, watermark: Timestamp::MIN }
    }

    /// Cuts rows, each with an event time, into pieces.
    pub(super) fn cut(&mut self, rows: RecordBatch, pieces: &mut Vec<Piece>) -> Result<()> {
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
        if newest > Timestamp::MIN {
            self.raise(newest - self.disorder, pieces);
        }
        Ok(())
    }

    /// The watermark moves to `to` at least.
    pub(super) fn raise(&mut self, to: Timestamp, pieces: &mut Vec<Piece>) {
        if to > self.watermark {
            self.watermark = to;
            pieces.push(Piece::Watermark(to));
        }
    }

    /// The watermark.
    pub(super) fn watermark(&self) -> Timestamp {
        self.watermark
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::TimestampMicrosecondArray;
    use arrow::datatypes::Schema;
    use lineside_model::schema::time_field;
    use std::sync::Arc;

    fn rows(times: &[i64]) -> RecordBatch {
        let column = TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC");
        RecordBatch::try_new(Arc::new(Schema::new(vec![time_field("ts", true)])), vec![Arc::new(column)]).unwrap()
    }

    fn story(batches: &[&[i64]], disorder: i64) -> String {
        let mut time =
            EventTime { column: 0, disorder: Span(disorder), newest: Timestamp::MIN, watermark: Timestamp::MIN };
        let mut pieces = Vec::new();
        for batch in batches {
            time.cut(rows(batch), &mut pieces).unwrap();
        }
        let told = pieces.iter().map(|piece| match piece {
            Piece::Rows(rows) => format!("{:?}", times(rows, 0).unwrap().values().to_vec()),
            Piece::Watermark(at) => format!("w{}", at.0),
            Piece::Idle => "idle".to_owned(),
        });
        told.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ordered_rows_are_not_cut() {
        assert_eq!(story(&[&[1, 2, 9]], 3), "[1, 2, 9] w6");
    }

    #[test]
    fn a_row_behind_the_watermark_comes_after_it_however_batches_are_cut() {
        let whole = story(&[&[1, 9, 2, 3, 10]], 3);
        assert_eq!(whole, "[1, 9] w6 [2, 3, 10] w7");
        let cut = story(&[&[1, 9], &[2], &[3, 10]], 3);
        assert_eq!(cut, "[1, 9] w6 [2] [3, 10] w7");
    }

    #[test]
    fn a_row_equal_to_the_watermark_is_on_time() {
        assert_eq!(story(&[&[9, 6]], 3), "[9, 6] w6");
    }
}
