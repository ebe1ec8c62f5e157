//! A recorded trace, multiplied: so many copies of its sensors, so many times faster.
//!
//! The readings keep their order and their disorder: one that was late in the trace comes when it came, with its old time.
//! Event times are drawn together by the speed. The copies of a reading are due together. A reading without a value has
//! nothing to send and is left out. The trace is held in memory, 24 bytes a reading.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lineside_model::{Error, Result, Span, Timestamp};
use serde::Deserialize;

use super::{Kind, Message, check_above_0};
use crate::trace::{self, Columns, Trace};

/// Which trace, and how it is multiplied.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Multiply {
    /// `nab`, which the program carries within itself, or a CSV or Parquet file, seen from the folder of the case.
    pub file: String,
    /// What the columns of the file are called. Default: `ts`, `sensor`, `value` and `quality`.
    #[serde(default)]
    pub columns: Columns,
    /// So many plants with the sensors of the trace. Default 1.
    #[serde(default = "one")]
    pub copies: u32,
    /// So many seconds of the trace in one second. Default 1.
    pub speed: Option<f64>,
    /// So many messages a second on average, in place of a speed.
    pub rate: Option<f64>,
    /// Whether it begins again at its end, with times that go on. Default true.
    #[serde(default = "yes")]
    pub repeat: bool,
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

impl Multiply {
    /// The trace, found in the folder of the case.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(&self, folder: &Path) -> Result<Trace> {
        let trace = if self.file == "nab" { trace::nab() } else { Trace::open(folder.join(&self.file))? };
        Ok(trace.with_columns(self.columns.clone()))
    }
}

/// One reading; times are in microseconds since the first.
#[derive(Clone, Copy, Debug)]
struct Row {
    age: i64,
    value: f64,
    sensor: u32,
}

/// The messages of a recorded trace, multiplied in sensors and speed.
#[derive(Clone, Debug)]
pub struct Multiplied {
    rows: Arc<[Row]>,
    sensors: Arc<[Arc<str>]>,
    left_out: u64,
    copies: u32,
    speed: f64,
    repeat: bool,
    /// What is due later is not sent.
    end: Duration,
    /// Length of one pass, with one mean interval behind its last reading.
    period: i64,
    first: Timestamp,
    pass: i64,
    row: usize,
    copy: u32,
    due: Duration,
    number: u64,
}

impl Multiplied {
    /// Reads the trace.
    ///
    /// # Errors
    /// It cannot be read or has no value, or an option is out of its range.
    pub fn new(trace: &Trace, options: &Multiply) -> Result<Self> {
        if let (Some(_), Some(_)) = (options.rate, options.speed) {
            return Err(Error::user("options \"rate\" and \"speed\" exclude each other").hint("leave out one of them"));
        }
        let speed = options.speed.unwrap_or(1.0);
        check_above_0("speed", speed)?;
        check_above_0("rate", options.rate.unwrap_or(1.0))?;
        if options.copies == 0 {
            return Err(Error::user("option \"copies\" expects at least 1, found 0"));
        }
        let mut numbers = HashMap::<Arc<str>, u32>::new();
        let (mut rows, mut sensors) = (Vec::new(), Vec::new());
        let (mut first, mut left_out, mut last) = (None, 0, 0);
        for batch in trace.batches()? {
            for row in batch? {
                let Some(value) = row.value else {
                    left_out += 1;
                    continue;
                };
                let age = row.ts.since(*first.get_or_insert(row.ts)).micros();
                let sensor = *numbers.entry(Arc::clone(&row.sensor)).or_insert_with(|| {
                    sensors.push(row.sensor);
                    sensors.len() as u32 - 1
                });
                last = last.max(age);
                rows.push(Row { age, value, sensor });
            }
        }
        if rows.is_empty() {
            return Err(Error::user(format!("trace \"{}\" has no reading with a value", options.file)));
        }
        if (sensors.len() as u64) * u64::from(options.copies) > u64::from(u32::MAX) {
            return Err(Error::user(format!("option \"copies\" asks for too many sensors, found {}", options.copies)));
        }
        let played = Self {
            period: last + (last / rows.len() as i64).max(1),
            rows: rows.into(),
            sensors: sensors.into(),
            left_out,
            copies: options.copies,
            speed,
            repeat: options.repeat,
            end: Duration::MAX,
            first: Timestamp(0),
            pass: 0,
            row: 0,
            copy: 0,
            due: Duration::ZERO,
            number: 0,
        };
        Ok(match options.rate {
            Some(rate) => played.at_rate(rate),
            None => played,
        })
    }

    /// With event times that begin here: when the feed is to start.
    #[must_use]
    pub fn starting(mut self, at: Timestamp) -> Self {
        self.first = at;
        self
    }

    /// Only what is due within so long.
    #[must_use]
    pub fn lasting(mut self, so_long: Duration) -> Self {
        self.end = so_long;
        self
    }

    /// At the speed that gives so many messages a second on average.
    #[must_use]
    pub fn at_rate(mut self, rate: f64) -> Self {
        self.speed *= rate / self.rate();
        self
    }

    /// Messages a second, on average.
    pub fn rate(&self) -> f64 {
        self.rows.len() as f64 * f64::from(self.copies) * self.speed / Span::from_micros(self.period).as_secs_f64()
    }

    /// The names of the sensors, by their numbers: those of the trace, and for each further copy the same with its number.
    pub fn names(&self) -> Vec<String> {
        let name = |copy, sensor: &Arc<str>| if copy == 0 { sensor.to_string() } else { format!("{sensor}.{copy}") };
        (0..self.copies).flat_map(|copy| self.sensors.iter().map(move |sensor| name(copy, sensor))).collect()
    }

    /// Readings of the trace that have no value, and so are not sent.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Time since the start at which what was recorded at this age is sent.
    fn scaled(&self, age: i64) -> i64 {
        (age.saturating_add(self.pass.saturating_mul(self.period)) as f64 / self.speed) as i64
    }
}

impl Iterator for Multiplied {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        if self.row == self.rows.len() {
            if !self.repeat {
                return None;
            }
            (self.row, self.pass) = (0, self.pass + 1);
        }
        let Row { age, value, sensor } = self.rows[self.row];
        let at = Span::from_micros(self.scaled(age));
        // What was late came when the one before it came.
        self.due = self.due.max(at.to_std());
        if self.due >= self.end {
            return None;
        }
        let sensor = self.copy * self.sensors.len() as u32 + sensor;
        let message =
            Message { number: self.number, due: self.due, sensor, ts: self.first + at, value, kind: Kind::Good };
        self.number += 1;
        self.copy += 1;
        if self.copy == self.copies {
            (self.copy, self.row) = (0, self.row + 1);
        }
        Some(message)
    }
}
