//! Lifts a step for one sensor to an operator over all of them.
//!
//! A row without an event time is dropped as `no_time`, one without a sensor as `missing_field`.
//!
//! A sensor keeps its state for as long as the pipeline runs. Beyond the option `max_series` no further sensor is taken in:
//! its rows are dropped and counted as `too_many_keys`.
//!
//! Where a step wants the order of time, a reading waits until the watermark has reached it: any that is still to come has
//! that time or a later one. What falls due between two readings is told between them. Rows of different sensors come out in
//! the order of time as well; only at the end of the input, which is not taken for time that went by, each sensor is
//! followed up to its own last reading.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use hashbrown::HashMap;
use lineside_model::{Problem, Problems, Quality, Reason, Result, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Follows, MOMENT, Order, SeriesOutput, SeriesStep};
use crate::in_order::InOrder;
use crate::operator::InputRows;
use crate::reading::{Reading, ReadingColumns};
use crate::timers::Timers;
use crate::{Emitter, Operator, PlannedOperator, Port, Snapshot};

/// The default of the option `max_series`.
pub const MAX_SERIES: usize = 100_000;

/// Lifts a [`SeriesStep`] to an operator over all sensors.
#[derive(Debug)]
pub struct PerSeries<S: SeriesStep> {
    step: Arc<S>,
    columns: ReadingColumns,
    output: SchemaRef,
    series_max: usize,
    /// How far the times of readings may lag behind the watermark.
    delay: Span,
    numbers: HashMap<Arc<str>, usize>,
    /// In the order of their first reading, so that output does not depend on a hash.
    series: Vec<Series<S::State>>,
    timers: Timers,
    /// Readings whose time has not come; none if the step takes them as they come.
    waiting: InOrder<Waiting>,
    /// No reading that is on time is earlier.
    watermark: Timestamp,
}

/// One sensor.
#[derive(Debug)]
struct Series<T> {
    name: Arc<str>,
    state: T,
    /// The time of the last reading that was taken in the order of time.
    newest: Timestamp,
}

/// A reading without its time.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    series: usize,
    value: Option<f64>,
    quality: Quality,
    received_at: Option<Timestamp>,
}

/// What a step that takes readings in the order of time saves besides its states.
#[derive(Debug, Serialize, Deserialize)]
struct OrderState {
    watermark: Timestamp,
    newest: Vec<Timestamp>,
    waiting: Vec<(Timestamp, Waiting)>,
}

impl<S: SeriesStep> PerSeries<S> {
    /// Plans the operator: rows of one sensor go to one worker. Sensors in `expected` are there from the start, and since
    /// a worker cannot know which of them it will be given, all rows then go to one worker.
    ///
    /// # Errors
    /// If there is no room for the expected sensors, or rows are to be put in order by a time that is no event time.
    pub fn plan(
        step: S,
        columns: ReadingColumns,
        output: SchemaRef,
        input: &InputRows,
        max_series: Option<usize>,
        expected: Vec<String>,
    ) -> Result<PlannedOperator, Problems> {
        const { assert!(matches!(S::ORDER, Order::Arrival) || !S::Output::FROM_INPUT) }
        let series_max = max_series.unwrap_or(MAX_SERIES);
        if series_max == 0 || series_max < expected.len() {
            let least = expected.len().max(1);
            return Err(Problem::option("max_series", format!("expected at least {least}, found {series_max}")).into());
        }
        let delay = match S::ORDER {
            Order::Arrival => input.delay(columns.time()).unwrap_or(Span::ZERO),
            Order::Time => input.delay(columns.time()).ok_or_else(|| columns.no_event_time())?,
        };
        let bound = format!("state: at most {series_max} sensors by \"{}\", rows of others are dropped", columns.by());
        let (by, time) = (columns.by().to_owned(), columns.time().to_owned());
        let (step, reads) = (Arc::new(step), expected.clone());
        let schema = SchemaRef::clone(&output);
        let mut planned = PlannedOperator::new(output, move || {
            let mut operator = Self {
                step: Arc::clone(&step),
                columns: columns.clone(),
                output: SchemaRef::clone(&schema),
                series_max,
                delay,
                numbers: HashMap::new(),
                series: Vec::new(),
                timers: Timers::default(),
                waiting: InOrder::default(),
                watermark: Timestamp::MIN,
            };
            operator.expect(&expected);
            Box::new(operator)
        });
        planned = planned.explained(bound);
        if S::ORDER == Order::Time {
            planned =
                planned.explained(format!("order: by \"{time}\"; a row waits until the watermark has reached it"));
        }
        Ok(if reads.is_empty() { planned.partitioned_by([by]) } else { planned.reading(reads) })
    }

    fn expect(&mut self, sensors: &[String]) {
        for sensor in sensors {
            if let Some(n) = self.number(sensor) {
                self.rearm(n);
            }
        }
    }

    /// The number of a sensor, or `None` if there is no room for a new one.
    fn number(&mut self, sensor: &str) -> Option<usize> {
        if let Some(n) = self.numbers.get(sensor) {
            return Some(*n);
        }
        if self.series.len() >= self.series_max {
            return None;
        }
        self.add(sensor, self.step.start(), Timestamp::MIN);
        Some(self.series.len() - 1)
    }

    fn add(&mut self, sensor: &str, state: S::State, newest: Timestamp) {
        let name = Arc::<str>::from(sensor);
        self.numbers.insert(Arc::clone(&name), self.series.len());
        self.series.push(Series { name, state, newest });
    }

    fn rearm(&mut self, n: usize) {
        if S::FOLLOWS != Follows::Readings {
            self.timers.arm(n, self.step.due(&self.series[n].state));
        }
    }

    /// Takes a reading at once, or lets it wait for its turn.
    fn take(&mut self, reading: &Reading<'_>, made: &mut S::Output) -> Result<(), Reason> {
        if S::ORDER == Order::Time && reading.ts < self.watermark {
            return Err(Reason::Late);
        }
        let series = self.number(reading.sensor).ok_or(Reason::TooManyKeys)?;
        let Reading { ts, value, quality, received_at, .. } = *reading;
        if S::ORDER == Order::Time {
            self.waiting.push(ts, Waiting { series, value, quality, received_at });
            return Ok(());
        }
        let used = self.step.step(&mut self.series[series].state, reading, made);
        self.rearm(series);
        used
    }

    /// Takes the readings whose turn has come, and tells what fell due before each.
    fn catch_up(&mut self, upto: Timestamp, made: &mut S::Output, dropped: &mut Dropped) {
        while let Some((ts, waiting)) = self.waiting.pop(upto) {
            if upto == Timestamp::MAX {
                self.follow(waiting.series, ts, made);
            } else {
                self.run_timers(ts, made);
            }
            let series = &mut self.series[waiting.series];
            let Waiting { value, quality, received_at, .. } = waiting;
            let reading = Reading { row: 0, sensor: &series.name, ts, value, quality, received_at };
            dropped.note(self.step.step(&mut series.state, &reading, made));
            series.newest = ts;
            self.rearm(waiting.series);
        }
    }

    /// Tells what falls due for one sensor up to `now`.
    fn follow(&mut self, n: usize, now: Timestamp, made: &mut S::Output) {
        let Series { name, state, .. } = &mut self.series[n];
        while let Some(due) = self.step.due(state).filter(|due| *due <= now) {
            self.step.elapsed(state, name, due, made);
        }
    }

    /// Tells what falls due up to `now`, in the order of time.
    fn run_timers(&mut self, now: Timestamp, made: &mut S::Output) {
        while let Some((n, armed_for)) = self.timers.pop(now) {
            let Series { name, state, .. } = &mut self.series[n];
            let mut due = self.step.due(state);
            // A deadline that moved on waits for its turn, so that what is due is told in the order of time.
            if let Some(reached) = due.filter(|due| *due <= armed_for) {
                let at = if S::FOLLOWS == Follows::Clock { now } else { reached };
                self.step.elapsed(state, name, at, made);
                due = self.step.due(state).filter(|due| *due > at);
            }
            self.timers.arm(n, due);
        }
    }
}

impl<S: SeriesStep> Operator for PerSeries<S> {
    fn process(&mut self, _port: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        let readings = self.columns.read(&rows)?;
        let mut made = S::Output::default();
        let mut dropped = Dropped::default();
        for row in 0..rows.num_rows() {
            dropped.note(readings.get(row).and_then(|reading| self.take(&reading, &mut made)));
        }
        // A reading of the watermark's own time is on time, and its turn has come.
        self.catch_up(self.watermark, &mut made, &mut dropped);
        dropped.tell(out);
        made.rows(Some(&rows), &self.output)?.map_or(Ok(()), |rows| out.emit(rows))
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        let ended = watermark == Timestamp::MAX;
        self.watermark = if ended { watermark } else { self.watermark.max(watermark - self.delay) };
        let mut made = S::Output::default();
        let mut dropped = Dropped::default();
        self.catch_up(self.watermark, &mut made, &mut dropped);
        if S::FOLLOWS == Follows::Watermark && !ended {
            self.run_timers(self.watermark, &mut made);
        } else if S::FOLLOWS == Follows::Watermark && S::ORDER == Order::Time {
            for n in 0..self.series.len() {
                self.follow(n, self.series[n].newest + MOMENT, &mut made);
            }
        }
        dropped.tell(out);
        made.rows(None, &self.output)?.map_or(Ok(()), |rows| out.emit(rows))
    }

    fn tick(&mut self, now: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        let mut made = S::Output::default();
        if S::FOLLOWS == Follows::Clock {
            self.run_timers(now, &mut made);
        }
        made.rows(None, &self.output)?.map_or(Ok(()), |rows| out.emit(rows))
    }

    fn wake_at(&self) -> Option<Timestamp> {
        if S::FOLLOWS == Follows::Clock { self.timers.next() } else { None }
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let states = self.series.iter().map(|series| (&*series.name, &series.state)).collect::<Vec<_>>();
        if S::ORDER == Order::Arrival {
            return Snapshot::save(S::KIND, S::VERSION, &states);
        }
        let newest = self.series.iter().map(|series| series.newest).collect::<Vec<_>>();
        Snapshot::save(S::KIND, S::VERSION, &(states, (self.watermark, newest, self.waiting.waiting())))
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        type States<T> = Vec<(String, T)>;
        let (states, order) = if S::ORDER == Order::Arrival {
            (snapshot.load::<States<S::State>>(S::KIND, S::VERSION)?, None)
        } else {
            let (states, order) = snapshot.load::<(States<S::State>, OrderState)>(S::KIND, S::VERSION)?;
            (states, Some(order))
        };
        let expected = std::mem::take(&mut self.series);
        self.numbers.clear();
        self.timers = Timers::default();
        self.waiting = InOrder::default();
        for (sensor, state) in states {
            self.add(&sensor, state, Timestamp::MIN);
        }
        if let Some(OrderState { watermark, newest, waiting }) = order {
            self.watermark = watermark;
            self.series.iter_mut().zip(newest).for_each(|(series, newest)| series.newest = newest);
            for (ts, waiting) in waiting.into_iter().filter(|(_, waiting)| waiting.series < self.series.len()) {
                self.waiting.push(ts, waiting);
            }
        }
        for series in expected {
            self.number(&series.name);
        }
        for n in 0..self.series.len() {
            self.rearm(n);
        }
        Ok(())
    }

    fn open_rows(&self) -> u64 {
        self.waiting.len() as u64
    }
}

/// Rows of one batch that were of no use, by reason.
#[derive(Debug, Default)]
pub(crate) struct Dropped([usize; Reason::ALL.len()]);

impl Dropped {
    /// Counts the row if it was of no use.
    pub(crate) fn note(&mut self, used: Result<(), Reason>) {
        if let Err(reason) = used {
            self.0[reason as usize] += 1;
        }
    }

    /// Tells the engine.
    pub(crate) fn tell(&self, out: &mut dyn Emitter) {
        for (reason, rows) in Reason::ALL.iter().zip(self.0) {
            if rows > 0 {
                out.dropped(*reason, rows);
            }
        }
    }
}
