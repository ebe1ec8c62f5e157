//! Event time at a source: the watermark is cut into the flow.
//!
//! The watermark is the greatest event time seen, less the disorder the user allows. Results must not depend on how rows
//! happened to be cut into batches, so a batch in which a row is behind the watermark is cut in front of that row: the
//! operators then hear of the watermark before the row, as they would if rows came one by one. In ordered data, and in data
//! within the bound, nothing is cut.

use arrow::array::RecordBatch;
use lineside_model::{Result, Span, Timestamp};

use super::extent::{CHUNK, Extents};
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

    /// Cuts rows, each with an event time, into pieces. Only in chunks of which `extents` says that a row can be behind what the
    /// watermark would be is each row looked at.
    pub(super) fn cut(&mut self, rows: RecordBatch, extents: &Extents, pieces: &mut Vec<Piece>) -> Result<()> {
        let times = times(&rows, self.column)?.values().clone();
        let mut from = 0;
        let mut newest = self.newest;
        for (chunk, extent) in extents.chunks().iter().enumerate() {
            let greatest = newest.max(Timestamp(extent.greatest));
            // No row of the chunk finds the limit further on than this.
            let furthest = greatest - self.disorder;
            if extent.least < furthest.0 && furthest > self.watermark {
                let first = chunk * CHUNK;
                let times = times[first..].iter().take(CHUNK);
                // Rows before it are behind what the watermark would be; worked out anew only when a row is the newest.
                let mut limit = newest - self.disorder;
                for (row, &time) in times.enumerate().map(|(n, time)| (first + n, time)) {
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
            }
            newest = greatest;
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

    fn event_time(disorder: i64) -> EventTime {
        EventTime { column: 0, disorder: Span(disorder), newest: Timestamp::MIN, watermark: Timestamp::MIN }
    }

    fn story(batches: &[&[i64]], disorder: i64) -> String {
        let mut time = event_time(disorder);
        let mut pieces = Vec::new();
        let mut extents = Extents::default();
        for batch in batches {
            extents.measure(batch);
            time.cut(rows(batch), &extents, &mut pieces).unwrap();
        }
        told(&pieces)
    }

    fn told(pieces: &[Piece]) -> String {
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
    /// What is told of a batch by its meaning: a row behind the watermark that would be there has it told first.
    fn row_by_row(time: &mut EventTime, batch: &[i64]) -> String {
        let (mut told, mut piece) = (Vec::new(), Vec::new());
        for &row in batch {
            let would_be = time.newest - time.disorder;
            if row < would_be.0 && would_be > time.watermark {
                told.extend((!piece.is_empty()).then(|| format!("{piece:?}")));
                piece.clear();
                time.watermark = would_be;
                told.push(format!("w{}", would_be.0));
            }
            piece.push(row);
            time.newest = time.newest.max(Timestamp(row));
        }
        told.extend((!piece.is_empty()).then(|| format!("{piece:?}")));
        let at_end = time.newest - time.disorder;
        if time.newest > Timestamp::MIN && at_end > time.watermark {
            time.watermark = at_end;
            told.push(format!("w{}", at_end.0));
        }
        told.join(" ")
    }

    #[test]
    fn looking_at_chunks_cuts_where_looking_at_each_row_does() {
        let mut seed = 7u64;
        let mut random = |below: i64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as i64 % below.max(1)
        };
        let mut extents = Extents::default();
        for round in 0..2_000 {
            // Most rows are just within the disorder, so that some chunks have a row beyond it and most have none.
            let (disorder, step) = (random(40), random(4));
            let start = [0, -1_000_000, 1_700_000_000_000_000, i64::MIN, i64::MAX / 4 - 2_000][round % 5];
            let (mut fast, mut naive) = (event_time(disorder), event_time(disorder));
            let mut at = start;
            for _ in 0..4 {
                let batch = (0..random(300))
                    .map(|_| {
                        at = at.saturating_add(random(step + 1)).min(i64::MAX / 4);
                        let late = if random(100) == 0 { random(1_000) } else { random(disorder + 1) };
                        at.saturating_sub(late)
                    })
                    .collect::<Vec<_>>();
                let mut pieces = Vec::new();
                if random(5) == 0 {
                    let to = Timestamp(at.saturating_add(random(20)));
                    fast.raise(to, &mut pieces);
                    naive.raise(to, &mut Vec::new());
                    pieces.clear();
                }
                extents.measure(&batch);
                fast.cut(rows(&batch), &extents, &mut pieces).unwrap();
                assert_eq!(told(&pieces), row_by_row(&mut naive, &batch), "disorder {disorder}, {batch:?}");
                assert_eq!((fast.newest, fast.watermark), (naive.newest, naive.watermark));
            }
        }
    }
}
