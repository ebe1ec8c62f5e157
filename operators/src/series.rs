//! One state machine per sensor: the driver under deadband, alarm and stale detection.
//!
//! An operator that follows sensors one by one writes what happens to *one* of them, as a [`SeriesStep`]: arithmetic on a
//! state and a reading. [`PerSeries`] does the rest: it finds the columns, keeps the states, counts rows that were of no
//! use, wakes a step when its time is up, saves and restores.
//!
//! A row without an event time is dropped as `no_time`, one without a sensor as `missing_field`.
//!
//! A sensor keeps its state for as long as the pipeline runs. Beyond the option `max_series` no further sensor is taken in:
//! its rows are dropped and counted as `too_many_keys`.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use hashbrown::HashMap;
use lineside_model::{Problem, Problems, Reason, Result, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::reading::{Reading, ReadingColumns};
use crate::timers::Timers;
use crate::{Emitter, Operator, PlannedOperator, Port, Snapshot};

/// The default of the option `max_series`.
pub const MAX_SERIES: usize = 100_000;

/// A state machine for one sensor. The step itself holds the checked options and is the same for all sensors.
pub trait SeriesStep: Debug + Send + Sync + 'static {
    /// The word under which state is saved: the operator's type.
    const KIND: &'static str;
    /// The version of the layout of [`SeriesStep::State`].
    const VERSION: u32;
    /// What time means to the step when no reading comes.
    const FOLLOWS: Follows;

    /// What is remembered of one sensor.
    type State: Debug + Send + Serialize + DeserializeOwned;
    /// What collects its output.
    type Output: SeriesOutput;

    /// The state before the first reading.
    fn start(&self) -> Self::State;

    /// Takes a reading.
    ///
    /// # Errors
    /// The reason why the row is dropped. It may have changed the state all the same.
    fn step(&self, state: &mut Self::State, reading: &Reading<'_>, out: &mut Self::Output) -> Result<(), Reason>;

    /// When something follows without a further reading, by the time that the step [follows](Self::FOLLOWS).
    fn due(&self, state: &Self::State) -> Option<Timestamp> {
        let _unused = state;
        None
    }

    /// The time named by [`SeriesStep::due`] has come. Afterwards `due` must be later than `now`, or `None`.
    fn elapsed(&self, state: &mut Self::State, sensor: &str, now: Timestamp, out: &mut Self::Output) {
        let _unused = (state, sensor, now, out);
    }
}

/// What time means to a step when no reading comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// Nothing happens without a reading.
    Readings,
    /// Event time goes on with the watermark. The end of the input is not taken for time that went by.
    Watermark,
    /// The clock.
    Clock,
}

/// Collects what a step puts out for one batch.
pub trait SeriesOutput: Default {
    /// The rows, of the planned schema, in the order in which they were put out; `input` is the batch they come from, or
    /// `None` if they come from time going by.
    ///
    /// # Errors
    /// Only for our bugs.
    fn rows(self, input: Option<&RecordBatch>, schema: &SchemaRef) -> Result<Option<RecordBatch>>;
}

/// Output of a step that hands on some of its input rows, with all their columns.
#[derive(Debug, Default)]
pub struct Kept(Vec<u64>);

impl Kept {
    /// Hands the row of this reading on.
    pub fn keep(&mut self, reading: &Reading<'_>) {
        self.0.push(reading.row as u64);
    }
}

impl SeriesOutput for Kept {
    fn rows(self, input: Option<&RecordBatch>, _schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        match input {
            None => Ok(None),
            Some(_) if self.0.is_empty() => Ok(None),
            Some(input) if self.0.len() == input.num_rows() => Ok(Some(input.clone())),
            Some(input) => Ok(Some(take_record_batch(input, &UInt64Array::from(self.0))?)),
        }
    }
}

/// Lifts a [`SeriesStep`] to an operator over all sensors.
#[derive(Debug)]
pub struct PerSeries<S: SeriesStep> {
    step: Arc<S>,
    columns: ReadingColumns,
    output: SchemaRef,
    series_max: usize,
    numbers: HashMap<Arc<str>, usize>,
    /// In the order of their first reading, so that output does not depend on a hash.
    series: Vec<(Arc<str>, S::State)>,
    timers: Timers,
}

impl<S: SeriesStep> PerSeries<S> {
    /// Plans the operator: rows of one sensor go to one worker. Sensors in `expected` are there from the start, and since
    /// a worker cannot know which of them it will be given, all rows then go to one worker.
    ///
    /// # Errors
    /// If there is no room for the expected sensors.
    pub fn plan(
        step: S,
        columns: ReadingColumns,
        output: SchemaRef,
        max_series: Option<usize>,
        expected: Vec<String>,
    ) -> Result<PlannedOperator, Problems> {
        let series_max = max_series.unwrap_or(MAX_SERIES);
        if series_max == 0 || series_max < expected.len() {
            let least = expected.len().max(1);
            return Err(Problem::option("max_series", format!("expected at least {least}, found {series_max}")).into());
        }
        let bound = format!("state: at most {series_max} sensors by \"{}\", rows of others are dropped", columns.by());
        let by = columns.by().to_owned();
        let (step, reads) = (Arc::new(step), expected.clone());
        let schema = SchemaRef::clone(&output);
        let planned = PlannedOperator::new(output, move || {
            let mut operator = Self {
                step: Arc::clone(&step),
                columns: columns.clone(),
                output: SchemaRef::clone(&schema),
                series_max,
                numbers: HashMap::new(),
                series: Vec::new(),
                timers: Timers::default(),
            };
            operator.expect(&expected);
            Box::new(operator)
        });
        let planned = planned.explained(bound);
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
        self.add(sensor, self.step.start());
        Some(self.series.len() - 1)
    }

    fn add(&mut self, sensor: &str, state: S::State) {
        let sensor = Arc::<str>::from(sensor);
        self.numbers.insert(Arc::clone(&sensor), self.series.len());
        self.series.push((sensor, state));
    }

    fn rearm(&mut self, n: usize) {
        if S::FOLLOWS != Follows::Readings {
            self.timers.arm(n, self.step.due(&self.series[n].1));
        }
    }

    fn run_timers(&mut self, now: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        let mut made = S::Output::default();
        while let Some((n, armed_for)) = self.timers.pop(now) {
            let (sensor, state) = &mut self.series[n];
            let mut due = self.step.due(state);
            // A deadline that moved on waits for its turn, so that what is due is told in the order of time.
            if due.is_some_and(|due| due <= armed_for) {
                self.step.elapsed(state, sensor, now, &mut made);
                due = self.step.due(state).filter(|due| *due > now);
            }
            self.timers.arm(n, due);
        }
        made.rows(None, &self.output)?.map_or(Ok(()), |rows| out.emit(rows))
    }
}

impl<S: SeriesStep> Operator for PerSeries<S> {
    fn process(&mut self, _port: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        let readings = self.columns.read(&rows)?;
        let mut made = S::Output::default();
        let mut dropped = Dropped::default();
        for row in 0..rows.num_rows() {
            let used = readings.get(row).and_then(|reading| {
                let n = self.number(reading.sensor).ok_or(Reason::TooManyKeys)?;
                let used = self.step.step(&mut self.series[n].1, &reading, &mut made);
                self.rearm(n);
                used
            });
            dropped.note(used);
        }
        dropped.tell(out);
        made.rows(Some(&rows), &self.output)?.map_or(Ok(()), |rows| out.emit(rows))
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        if S::FOLLOWS == Follows::Watermark && watermark != Timestamp::MAX {
            self.run_timers(watermark, out)?;
        }
        Ok(())
    }

    fn tick(&mut self, now: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        if S::FOLLOWS == Follows::Clock {
            self.run_timers(now, out)?;
        }
        Ok(())
    }

    fn wake_at(&self) -> Option<Timestamp> {
        if S::FOLLOWS == Follows::Clock { self.timers.next() } else { None }
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let saved = self.series.iter().map(|(sensor, state)| (&**sensor, state)).collect::<Vec<_>>();
        Snapshot::save(S::KIND, S::VERSION, &saved)
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let saved = snapshot.load::<Vec<(String, S::State)>>(S::KIND, S::VERSION)?;
        let expected = std::mem::take(&mut self.series);
        self.numbers.clear();
        self.timers = Timers::default();
        for (sensor, state) in saved {
            self.add(&sensor, state);
        }
        for (sensor, _) in expected {
            self.number(&sensor);
        }
        for n in 0..self.series.len() {
            self.rearm(n);
        }
        Ok(())
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
