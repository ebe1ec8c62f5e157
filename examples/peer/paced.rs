//! A source that makes rows at a fixed rate, whether or not the engine keeps up: falling behind shows as latency.

use std::sync::Arc;

use arrow::array::{Float64Array, Int32Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use lineside_connectors::scan::ScanTimer;
use lineside_connectors::{BuildContext, Position, Pulled, Source};
use lineside_model::schema::time_field;
use lineside_model::{Error, Result, Span};

use crate::stopwatch::Stopwatch;

/// The event time of the first row: a whole day, so that windows begin with it.
pub(crate) const EPOCH_US: i64 = 1_700_006_400_000_000;

/// When rows are due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// Rows a second.
    pub(crate) rate: u64,
    /// How many rows.
    pub(crate) rows: u64,
}

impl Schedule {
    /// When row `n` is due, in microseconds after the start.
    fn due_us(self, n: u64) -> u64 {
        n * 1_000_000 / self.rate
    }
}

/// The columns of the rows.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        time_field("ts", false),
        Field::new("sensor", DataType::Int32, false),
        Field::new("value", DataType::Float64, false),
    ]))
}

/// Makes rows when they are due.
#[derive(Debug)]
pub(crate) struct Paced {
    schedule: Schedule,
    given: u64,
    timer: Option<ScanTimer>,
    schema: SchemaRef,
    watch: Arc<Stopwatch>,
    context: BuildContext,
}

impl Paced {
    /// By this clock.
    pub(crate) fn new(schedule: Schedule, watch: &Arc<Stopwatch>, context: &BuildContext) -> Self {
        let (watch, context) = (Arc::clone(watch), context.clone());
        Self { schedule, given: 0, timer: None, schema: schema(), watch, context }
    }

    /// The number of the first row that is not due yet.
    fn due(&self) -> u64 {
        let micros = self.watch.elapsed().as_micros() as u64;
        (micros * self.schedule.rate / 1_000_000 + 1).min(self.schedule.rows)
    }

    fn make(&self, until: u64) -> Result<RecordBatch> {
        let rows = self.given..until;
        let ts = rows.clone().map(|n| EPOCH_US + self.schedule.due_us(n) as i64).collect::<Vec<_>>();
        let sensor = rows.clone().map(|n| (n * 7919 % 1000) as i32).collect::<Vec<_>>();
        let value = rows.map(|n| f64::from((n.wrapping_mul(2_654_435_761) >> 8) as u32 % 10_000) / 100.0);
        let ts = TimestampMicrosecondArray::from(ts).with_timezone("UTC");
        let value = Float64Array::from(value.collect::<Vec<_>>());
        let columns = vec![Arc::new(ts) as _, Arc::new(Int32Array::from(sensor)) as _, Arc::new(value) as _];
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

#[async_trait(?Send)]
impl Source for Paced {
    async fn open(&mut self, _: Option<Position>) -> Result<()> {
        let period = Span::from_micros(self.schedule.due_us(1) as i64);
        let timer = ScanTimer::start(period).map_err(|e| Error::external("no timer was made").caused_by(e))?;
        self.timer = Some(timer);
        Ok(())
    }

    async fn pull(&mut self, limit: usize) -> Result<Pulled> {
        if self.given == self.schedule.rows {
            return Ok(Pulled::End);
        }
        loop {
            let until = self.due().min(self.given + limit as u64);
            if until > self.given {
                let rows = self.make(until)?;
                self.given = until;
                return Ok(Pulled::Rows { rows, received_at: self.context.clock.now(), position: Position::None });
            }
            let Some(timer) = &mut self.timer else {
                return Err(Error::internal("a paced source was pulled before it was opened"));
            };
            timer.tick().await.map_err(|e| Error::external("the timer failed").caused_by(e))?;
        }
    }

    async fn ack(&mut self, _: &Position) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.timer = None;
        Ok(())
    }
}
