//! Rows that must not move time: those without an event time, and those further ahead of the clock than the user allows.
//!
//! They are put aside in front of everything else, counted, and go to the table `SOURCE.quarantine` if something reads it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use lineside_model::{Error, Reason, Result, Span, Timestamp};

use super::extent::Extents;
use crate::plan::TimePlan;

/// No reading is later than this, about the year 75,000: beyond, a time is garbage, and the greatest of all means the end.
const LATEST: Timestamp = Timestamp(i64::MAX / 4);

/// Rows that were put aside.
#[derive(Debug)]
pub(super) struct Aside {
    /// The rows as they came.
    pub(super) rows: RecordBatch,
    /// Why.
    pub(super) reason: Reason,
    /// How far each is ahead, in microseconds; `None` without event time.
    pub(super) ahead: Vec<Option<i64>>,
}

/// What looks at every row first.
#[derive(Debug)]
pub(super) struct Guard {
    column: usize,
    max_ahead: Option<Span>,
}

impl Guard {
    /// For rows whose time column has this number. Where sensors have a time each, it is known there which is ahead.
    pub(super) fn new(column: usize, plan: &TimePlan) -> Self {
        Self { column, max_ahead: plan.max_ahead.filter(|_| plan.per_key.is_none()) }
    }

    /// The rows that may go on, of which `extents` is then told.
    pub(super) fn pass(
        &self,
        rows: RecordBatch,
        now: Timestamp,
        aside: &mut Vec<Aside>,
        extents: &mut Extents,
    ) -> Result<RecordBatch> {
        let column = times(&rows, self.column)?;
        let latest = self.max_ahead.map_or(LATEST, |ahead| now + ahead);
        extents.measure(column.values());
        if column.null_count() == 0 && extents.greatest() <= latest.0 {
            return Ok(rows);
        }
        let pick = |wanted: &dyn Fn(Option<i64>) -> bool| column.iter().map(|time| Some(wanted(time))).collect();
        let missing: BooleanArray = pick(&|time| time.is_none());
        let ahead: BooleanArray = pick(&|time| time.is_some_and(|time| time > latest.0));
        let kept: BooleanArray = pick(&|time| time.is_some_and(|time| time <= latest.0));
        for (mask, reason) in [(&missing, Reason::NoTime), (&ahead, Reason::TooFarAhead)] {
            if mask.true_count() > 0 {
                let rows = filter_record_batch(&rows, mask)?;
                let ahead = times(&rows, self.column)?.iter().map(|t| t.map(|t| t.saturating_sub(now.0))).collect();
                aside.push(Aside { rows, reason, ahead });
            }
        }
        let rows = filter_record_batch(&rows, &kept)?;
        extents.measure(times(&rows, self.column)?.values());
        Ok(rows)
    }
}

impl Aside {
    /// As rows of `SOURCE.quarantine`, see [`crate::plan::quarantine`].
    pub(super) fn quarantined(self, schema: &SchemaRef, now: Timestamp) -> Result<RecordBatch> {
        let count = self.rows.num_rows();
        let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![now.0; count]).with_timezone("UTC"));
        let reason: ArrayRef = Arc::new(StringArray::from(vec![self.reason.word(); count]));
        let mut columns = vec![at, reason, Arc::new(Int64Array::from(self.ahead))];
        columns.extend(self.rows.columns().iter().cloned());
        Ok(RecordBatch::try_new(SchemaRef::clone(schema), columns)?)
    }
}

/// The event times of rows.
pub(super) fn times(rows: &RecordBatch, column: usize) -> Result<&TimestampMicrosecondArray> {
    rows.column(column)
        .as_any()
        .downcast_ref()
        .ok_or_else(|| Error::internal(format!("column {column} is planned as event time and is none")))
}
