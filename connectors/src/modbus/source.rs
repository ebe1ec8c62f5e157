//! The Modbus source: polls tags by class on a fixed schedule and gives one batch for each poll.
//!
//! A batch holds every tag of its class, read in one poll, so that a loop sees one coherent picture; it is handed over when
//! the last answer has come. Tags that could not be read have no value and quality `bad`. When the connection is lost, all
//! tags are given as bad once, and then the error, so that the engine opens it anew.
//!
//! Several classes share the connection, one request at a time: before each request the class goes first whose next poll is
//! due soonest. A poll that is still running when its next one is due loses that one: it is counted as an overrun.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use lineside_model::{Error, Result, Span, Timestamp};

use super::connection::{Connection, Endpoint, Failure};
use super::counters;
use super::frame::{self, Answer, Request};
use super::map::Tag;
use super::poll::PollClass;
use super::scan::{Reading, Scan, columns};
use crate::scan::{ScanTimer, Tick};
use crate::{BuildContext, Position, Pulled, Source};

/// Polls one device or gateway.
#[derive(Debug)]
pub(crate) struct ModbusSource {
    endpoint: Endpoint,
    schema: SchemaRef,
    with_text: bool,
    classes: Vec<Class>,
    context: BuildContext,
    connection: Option<Connection>,
    /// The class whose request is on its way; it outlives a cancelled pull.
    asking: Option<usize>,
    /// Requests in a row that were not answered.
    silence: usize,
    /// To be told after the tags were given as bad.
    failed: Option<Error>,
}

#[derive(Debug)]
struct Class {
    period: Span,
    /// While the connection is open.
    timer: Option<ScanTimer>,
    /// How many due times have passed.
    ticks: u64,
    /// When the poll that runs has to be done, counted from the first due time.
    deadline: i64,
    scan: Scan,
    /// Exceptions that the log has told of; the counters go on.
    told: BTreeSet<u8>,
}

impl ModbusSource {
    /// A source that is not yet open.
    pub(crate) fn new(
        endpoint: Endpoint,
        schema: SchemaRef,
        plan: &[PollClass],
        tags: &Arc<[Tag]>,
        context: BuildContext,
    ) -> Self {
        let class = |class: &PollClass| Class {
            period: class.period,
            timer: None,
            ticks: 0,
            deadline: 0,
            scan: Scan::new(class, tags),
            told: BTreeSet::new(),
        };
        Self {
            endpoint,
            with_text: schema.column_with_name("text").is_some(),
            schema,
            classes: plan.iter().map(class).collect(),
            context,
            connection: None,
            asking: None,
            silence: 0,
            failed: None,
        }
    }

    /// Starts the polls that are due. Pending only if no poll is running and none is due.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        for class in &mut self.classes {
            let Some(timer) = &mut class.timer else { continue };
            match timer.poll_tick(cx) {
                Poll::Ready(Ok(tick)) => class.due(tick, &self.context),
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Error::external("the poll timer failed").caused_by(error)));
                }
                Poll::Pending => {}
            }
        }
        if self.classes.iter().any(|class| class.scan.is_running()) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Asks for the next block of a class and notes the answer. Gives the batch when the poll is done, or the connection lost.
    async fn ask(&mut self, n: usize) -> Result<Option<Pulled>> {
        let (Some(connection), Some(class)) = (self.connection.as_mut(), self.classes.get_mut(n)) else {
            return Err(Error::internal("a closed modbus source was asked"));
        };
        if self.asking.is_none() {
            let Some(block) = class.scan.next_block(self.context.clock.now()) else {
                return self.finished(n).map(Some);
            };
            let request = Request::Read { table: block.table, start: block.start, count: block.count };
            connection.send(block.unit, request);
            self.asking = Some(n);
        }
        let answer = connection.answer().await;
        self.asking = None;
        self.context.meter.add(counters::REQUESTS, 1);
        let now = self.context.clock.now();
        let late_answers = connection.take_late_answers();
        if late_answers > 0 {
            self.context.meter.add(counters::LATE_ANSWERS, late_answers);
        }
        self.silence = if answer.is_ok() || late_answers > 0 { 0 } else { self.silence + 1 };
        let units = self.classes.iter().map(|class| class.scan.unit_count()).sum::<usize>();
        let Some(class) = self.classes.get_mut(n) else { return Ok(None) };
        match answer {
            Ok(answer) => class.note(&answer, now, &self.context),
            Err(Failure::Timeout) => {
                self.context.meter.add(counters::TIMEOUTS, 1);
                class.scan.silent(now);
                if self.silence >= 2 * units {
                    // Nobody answers, so it may be the connection: a device that was switched off never says goodbye.
                    return self.lost(Failure::Timeout, now).map(Some);
                }
            }
            Err(failure) => return self.lost(failure, now).map(Some),
        }
        // Handed over at once, before another class has its turn.
        if class.scan.next_block(now).is_none() { self.finished(n).map(Some) } else { Ok(None) }
    }

    fn finished(&mut self, n: usize) -> Result<Pulled> {
        self.context.meter.add(counters::POLLS, 1);
        let Some(class) = self.classes.get_mut(n) else { return Ok(Pulled::Idle) };
        let (sensors, readings) = class.scan.finish();
        let columns = columns(sensors, readings, self.with_text);
        pulled(&self.schema, columns, readings.iter().map(|reading| reading.ts).max())
    }

    /// Drops the connection: every tag is bad now, and the next pull tells why.
    fn lost(&mut self, failure: Failure, now: Timestamp) -> Result<Pulled> {
        let word = match failure {
            Failure::OutOfStep(_) => counters::RESYNCS,
            Failure::Timeout | Failure::Closed(_) => counters::DISCONNECTS,
        };
        self.context.meter.add(word, 1);
        self.failed = Some(failure.into_error(&self.endpoint));
        self.drop_connection();
        let mut sensors = Vec::new();
        let mut readings = Vec::<Reading>::new();
        for class in &mut self.classes {
            let (names, bad) = class.scan.lose(now);
            sensors.push(names);
            readings.extend_from_slice(bad);
        }
        let sensors = concat(&sensors.iter().map(ArrayRef::as_ref).collect::<Vec<_>>())?;
        pulled(&self.schema, columns(sensors, &readings, self.with_text), Some(now))
    }

    fn drop_connection(&mut self) {
        self.connection = None;
        self.asking = None;
        for class in &mut self.classes {
            class.timer = None;
        }
    }
}

impl Class {
    /// Some due times have passed: starts a poll, or counts them as overruns if one is still running.
    fn due(&mut self, tick: Tick, context: &BuildContext) {
        self.ticks += tick.periods;
        let mut missed = tick.periods.saturating_sub(1);
        if self.scan.is_running() {
            missed += 1;
        } else {
            self.scan.start();
            self.deadline = self.period.micros().saturating_mul(i64::try_from(self.ticks).unwrap_or(i64::MAX));
            context.meter.time(counters::POLL_LATENESS, tick.late);
        }
        if missed > 0 {
            context.meter.add(counters::OVERRUNS, missed);
        }
    }

    /// Takes the answer to the block that was asked for last.
    fn note(&mut self, answer: &Answer, now: Timestamp, context: &BuildContext) {
        let meter = &context.meter;
        match answer {
            Answer::Data(bytes) => {
                let not_finite = self.scan.read(bytes, now);
                if not_finite > 0 {
                    meter.add(counters::NOT_FINITE, not_finite);
                }
            }
            Answer::Exception(code) => {
                meter.add(counters::EXCEPTIONS, 1);
                meter.add(counters::exception(*code), 1);
                if self.told.insert(*code) {
                    let (exception, poll) = (frame::exception(*code), self.period);
                    tracing::warn!(code, exception, every = %poll, "the device refused a read (first of this exception)");
                }
                match code {
                    // Illegal address, or more registers than the device gives at once.
                    2 | 3 => {
                        if self.scan.refused_as_a_whole(now) {
                            meter.add(counters::SPLITS, 1);
                        }
                    }
                    // The gateway speaks for a unit that did not answer it.
                    10 | 11 => self.scan.silent(now),
                    _ => self.scan.refused(now),
                }
            }
            // An answer always fits its request, and only reads are sent.
            Answer::Written => self.scan.refused(now),
        }
    }
}

fn pulled(schema: &SchemaRef, columns: Vec<ArrayRef>, newest: Option<Timestamp>) -> Result<Pulled> {
    let rows = RecordBatch::try_new(Arc::clone(schema), columns)?;
    Ok(Pulled::Rows { rows, received_at: newest.unwrap_or_default(), position: Position::None })
}

#[async_trait(?Send)]
impl Source for ModbusSource {
    async fn open(&mut self, _from: Option<Position>) -> Result<()> {
        self.connection = Some(self.endpoint.connect(&self.context.clock).await?);
        self.silence = 0;
        self.failed = None;
        for class in &mut self.classes {
            class.scan.reset();
            class.ticks = 0;
            let timer = ScanTimer::start(class.period);
            class.timer =
                Some(timer.map_err(|error| Error::external("could not start the poll timer").caused_by(error))?);
        }
        Ok(())
    }

    /// One poll of one class. A poll is handed over whole: it counts as one message of the limit.
    async fn pull(&mut self, _limit: usize) -> Result<Pulled> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.connection.is_none() {
            return Err(Error::external(format!("{} is not connected", self.endpoint)));
        }
        loop {
            let running = match self.asking {
                Some(n) => Some(n),
                None => {
                    poll_fn(|cx| self.poll_due(cx)).await?;
                    let running = self.classes.iter().enumerate().filter(|(_, class)| class.scan.is_running());
                    running.min_by_key(|(_, class)| class.deadline).map(|(n, _)| n)
                }
            };
            if let Some(n) = running
                && let Some(pulled) = self.ask(n).await?
            {
                return Ok(pulled);
            }
        }
    }

    async fn ack(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.drop_connection();
        Ok(())
    }
}
