//! The counters of one source, operator or sink.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lineside_model::{Reason, Span, Timestamp};
use serde::Serialize;

use super::times::Times;
use super::{HeldTime, ObjectReport, Stage};

/// What a meter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A source.
    Source,
    /// A step of a query, or an operator.
    Operator,
    /// A sink.
    Sink,
}

impl Kind {
    /// The word in logs and reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Operator => "operator",
            Self::Sink => "sink",
        }
    }
}

/// What a source or sink is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not connected for the first time yet.
    Starting = 0,
    /// Connected.
    Running = 1,
    /// The other end is gone; waiting to try again.
    Waiting = 2,
    /// Done.
    Ended = 3,
}

/// The counters of one source, operator or sink.
#[derive(Debug)]
pub struct Meter {
    /// What it belongs to.
    pub kind: Kind,
    /// Its name in the pipeline file.
    pub name: String,
    /// What holds its time back.
    pub held: HeldTime,
    messages: AtomicU64,
    bytes: AtomicU64,
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    open_rows: AtomicU64,
    reconnects: AtomicU64,
    state: AtomicU8,
    watermark: AtomicI64,
    dropped: Vec<AtomicU64>,
    named: Mutex<BTreeMap<&'static str, u64>>,
    times: Mutex<Times>,
    samples: Mutex<BTreeMap<Reason, String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A counter is as good after a panic elsewhere as before.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Meter {
    /// All zero.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            held: HeldTime::default(),
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            rows_in: AtomicU64::new(0),
            rows_out: AtomicU64::new(0),
            open_rows: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            state: AtomicU8::new(State::Starting as u8),
            watermark: AtomicI64::new(i64::MIN),
            dropped: Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            named: Mutex::default(),
            times: Mutex::default(),
            samples: Mutex::default(),
        }
    }

    /// So many messages of so many bytes came over the wire.
    pub fn messages(&self, count: usize, bytes: usize) {
        self.messages.fetch_add(count as u64, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Rows came in.
    pub fn rows_in(&self, rows: usize) {
        self.rows_in.fetch_add(rows as u64, Relaxed);
    }

    /// Rows went out.
    pub fn rows_out(&self, rows: usize) {
        self.rows_out.fetch_add(rows as u64, Relaxed);
    }

    /// Rows that went out did not arrive after all; they are counted as dropped instead.
    pub fn take_back(&self, rows: usize) {
        self.rows_out.fetch_sub(rows as u64, Relaxed);
    }

    /// Rows left the dataflow here.
    pub fn drop_rows(&self, reason: Reason, rows: usize) {
        self.dropped[reason as usize].fetch_add(rows as u64, Relaxed);
    }

    /// Keeps one line about the first drop of each reason; `true` if this is the first, which is then worth a log line.
    pub fn sample(&self, reason: Reason, detail: &str) -> bool {
        let mut samples = locked(&self.samples);
        let first = !samples.contains_key(&reason);
        if first {
            samples.insert(reason, detail.chars().take(300).collect());
        }
        first
    }

    /// The connection was lost and is tried again.
    pub fn reconnecting(&self) {
        self.reconnects.fetch_add(1, Relaxed);
        self.set_state(State::Waiting);
    }

    /// What it is doing now.
    pub fn set_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    /// One worker held `from` rows in open windows and holds `to` now; the meter has the sum over all workers.
    pub fn move_open_rows(&self, from: u64, to: u64) {
        self.open_rows.fetch_add(to.wrapping_sub(from), Relaxed);
    }

    /// The watermark it has reached.
    pub fn set_watermark(&self, watermark: Timestamp) {
        // Of several workers the one that is furthest.
        self.watermark.fetch_max(watermark.0, Relaxed);
    }

    /// A batch was in these stages for so many nanoseconds each.
    pub fn stages(&self, took: &[(Stage, i64)]) {
        let mut times = locked(&self.times);
        took.iter().for_each(|(stage, nanos)| times.stage(*stage, *nanos, 1));
    }

    /// A batch of so many rows was taken up by the sink and is written, after so many nanoseconds each.
    pub fn written(&self, rows: usize, sink_queue: i64, sink: i64, sensor_to_sink: i64) {
        let mut times = locked(&self.times);
        times.stage(Stage::SinkQueue, sink_queue, 1);
        times.stage(Stage::Sink, sink, 1);
        times.stage(Stage::SensorToSink, sensor_to_sink, rows as u64);
    }

    /// A copy of the counters.
    pub fn report(&self) -> ObjectReport {
        let watermark = self.watermark.load(Relaxed);
        ObjectReport {
            kind: self.kind,
            name: self.name.clone(),
            state: match self.state.load(Relaxed) {
                0 => State::Starting,
                1 => State::Running,
                2 => State::Waiting,
                _ => State::Ended,
            },
            messages: self.messages.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            rows_in: self.rows_in.load(Relaxed),
            rows_out: self.rows_out.load(Relaxed),
            open_rows: self.open_rows.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
            watermark: (watermark != i64::MIN && watermark != i64::MAX).then_some(Timestamp(watermark)),
            open_window: self.held.window(),
            sensors: self.held.sensors(),
            dropped: (Reason::ALL.iter().zip(&self.dropped))
                .map(|(reason, count)| (reason.word(), count.load(Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            samples: locked(&self.samples).iter().map(|(reason, line)| (reason.word(), line.clone())).collect(),
            counts: locked(&self.named).iter().map(|(name, count)| (*name, *count)).collect(),
            // Copied first: those who measure must not wait while quantiles are worked out.
            times: Times::clone(&locked(&self.times)).quantiles(),
        }
    }
}

impl lineside_connectors::Meter for Meter {
    fn dropped(&self, reason: Reason, count: u64) {
        self.dropped[reason as usize].fetch_add(count, Relaxed);
    }

    fn add(&self, name: &'static str, count: u64) {
        *locked(&self.named).entry(name).or_default() += count;
    }

    fn time(&self, name: &'static str, span: Span) {
        locked(&self.times).named(name, span.micros().saturating_mul(1_000));
    }
}
