//! All that a source knows of event time: which rows are put aside, where watermarks are cut in, and what follows when
//! nothing comes for a while. It decides; the source's task acts. It is handed the clock's time, so it can be tested without.
//!
//! A source that is silent for `idle_after` no longer holds back others. With `close_after` its own windows do not wait for
//! the next row either: after so long without rows the watermark goes on with the clock, from where it stood.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use lineside_model::{Result, Span, Timestamp};

use super::event_time::{EventTime, Piece};
use super::extent::Extents;
use super::guard::{Aside, Guard};
use super::key_time::KeyTime;
use crate::observe::SensorTime;
use crate::plan::TimePlan;

/// How often the watermark of a silent source follows the clock.
const CLOSE_EVERY: Span = Span::from_secs(1);

/// Event time of one source.
#[derive(Debug)]
pub(super) struct SourceTime {
    guard: Guard,
    way: Way,
    /// Those of the rows at hand.
    extents: Extents,
    idle_after: Option<Span>,
    close_after: Option<Span>,
    idle: bool,
    /// The clock when rows came last, or the source was started.
    latest_rows: Timestamp,
    /// The clock when the watermark followed it last.
    latest_close: Timestamp,
    /// Where the watermark stood when rows came last.
    stood_at: Timestamp,
}

/// The two ways to take event time.
#[derive(Debug)]
enum Way {
    /// One time for all rows.
    Whole(EventTime),
    /// One for each sensor.
    PerKey(Box<KeyTime>),
}

impl SourceTime {
    /// For rows of this schema; `now` is when the source is started.
    pub(super) fn new(plan: &TimePlan, schema: &Schema, now: Timestamp) -> Result<Self> {
        let column = schema.index_of(&plan.column)?;
        let way = match &plan.per_key {
            None => Way::Whole(EventTime::new(column, plan)),
            Some(per_key) => {
                let key = schema.index_of(&per_key.column)?;
                let key_type = schema.field(key).data_type().clone();
                Way::PerKey(Box::new(KeyTime::new((column, key), key_type, plan, per_key)?))
            }
        };
        Ok(Self {
            guard: Guard::new(column, plan),
            way,
            extents: Extents::default(),
            idle_after: plan.idle_after,
            close_after: plan.close_after,
            idle: false,
            latest_rows: now,
            latest_close: Timestamp::MIN,
            stood_at: Timestamp::MIN,
        })
    }

    /// Cuts rows into pieces, with the watermarks between them; some are put aside.
    pub(super) fn take(
        &mut self,
        rows: RecordBatch,
        now: Timestamp,
        pieces: &mut Vec<Piece>,
        aside: &mut Vec<Aside>,
    ) -> Result<()> {
        let rows = self.guard.pass(rows, now, aside, &mut self.extents)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        if std::mem::take(&mut self.idle) && self.watermark() > Timestamp::MIN {
            // It takes part again, from where it was.
            pieces.push(Piece::Watermark(self.watermark()));
        }
        match &mut self.way {
            Way::Whole(time) => time.cut(rows, &self.extents, pieces)?,
            Way::PerKey(time) => time.cut(&rows, now, pieces, aside)?,
        }
        self.latest_rows = now;
        Ok(())
    }

    /// How long until [`SourceTime::silence`] has something to say if no rows come; `None`: it never will.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Span> {
        let due = [self.idle_due(), self.close_due()].into_iter().flatten().min()?;
        Some(Span(due.since(now).micros().max(0)))
    }

    /// No rows came up to `now`.
    pub(super) fn silence(&mut self, now: Timestamp, pieces: &mut Vec<Piece>) {
        if self.close_due().is_some_and(|due| due <= now) {
            if self.latest_close <= self.latest_rows {
                self.stood_at = match &self.way {
                    Way::Whole(time) => time.watermark(),
                    Way::PerKey(time) => time.stands_at(),
                };
            }
            self.latest_close = now;
            // Where every row so far was put aside there is no time to go on from.
            if self.stood_at > Timestamp::MIN {
                let to = self.stood_at + now.since(self.latest_rows);
                match &mut self.way {
                    Way::Whole(time) => time.raise(to, pieces),
                    Way::PerKey(time) => time.raise(to, pieces),
                }
            }
            if self.idle {
                pieces.push(Piece::Idle);
            }
        }
        if self.idle_due().is_some_and(|due| due <= now) {
            self.idle = true;
            pieces.push(Piece::Idle);
        }
    }

    /// The watermark that was told last.
    pub(super) fn watermark(&self) -> Timestamp {
        match &self.way {
            Way::Whole(time) => time.watermark(),
            Way::PerKey(time) => time.watermark(),
        }
    }

    /// The clock when rows came last.
    pub(super) fn latest_rows(&self) -> Timestamp {
        self.latest_rows
    }

    /// Rows of sensors that were too many to have a time of their own, since this was asked last.
    pub(super) fn take_beyond_limit(&mut self) -> u64 {
        match &mut self.way {
            Way::Whole(_) => 0,
            Way::PerKey(time) => time.take_beyond_limit(),
        }
    }

    /// The sensor that holds the watermark and the first of those that do not take part; none without a time per sensor.
    pub(super) fn sensors(&self, now: Timestamp, most: usize) -> Result<Vec<SensorTime>> {
        match &self.way {
            Way::Whole(_) => Ok(Vec::new()),
            Way::PerKey(time) => time.told(now, most),
        }
    }

    fn idle_due(&self) -> Option<Timestamp> {
        self.idle_after.filter(|_| !self.idle).map(|after| self.latest_rows + after)
    }

    fn close_due(&self) -> Option<Timestamp> {
        // Without a row there is no time to go on from.
        let has_rows = match &self.way {
            Way::Whole(time) => time.watermark() > Timestamp::MIN,
            Way::PerKey(time) => time.has_rows(),
        };
        let after = self.close_after.filter(|_| has_rows)?;
        Some((self.latest_rows + after).max(self.latest_close + CLOSE_EVERY))
    }
}
