//! Plays a trace to a broker, a Kafka topic or a stream of lines, at its own pace, faster, or as fast as it goes.
//!
//! The pace is open loop: each row has a due time from the start of the run, so a slow receiver makes rows late but the
//! schedule never drifts; how late the latest one was is in the report. Rows go in the order of the trace. At the end the
//! counts are exact: what left, what the other end acknowledged, what failed.
//!
//! | row of the trace | MQTT, prefix `plant` | Kafka | lines |
//! | --- | --- | --- | --- |
//! | `nab.machine.temperature` | topic `plant/nab/machine/temperature` | key `nab.machine.temperature` | |
//!
//! The payload is `{"ts":1386005700000000,"sensor":"nab.machine.temperature","value":85.5,"quality":"good"}` or the same
//! four as CSV.

mod kafka;
mod lines;
mod mqtt;
mod payload;
mod target;

use std::str::FromStr;
use std::time::Duration;

use lineside_model::{Error, Result, Span, Timestamp};
use tokio::time::Instant;

pub use payload::Format;
pub use target::{MqttAddress, Target};

use crate::clock;
use crate::trace::{Row, Trace};
use kafka::KafkaOutlet;
use lines::LinesOutlet;
use mqtt::MqttOutlet;

/// Rows between two looks at whether to stop, at full speed.
const SLICE_ROWS: u64 = 1024;
/// Rows are never scheduled further ahead than this.
const AHEAD_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How fast to play.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many seconds of the trace in one second; 1 is the pace at which it was recorded.
    Times(f64),
    /// As fast as the target takes it.
    Max,
}

impl FromStr for Speed {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.trim_end_matches('x').parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err(Error::user(format!("a speed is a number above 0, or \"max\", found \"{text}\""))),
        }
    }
}

/// Which event times the rows carry when they leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventTimes {
    /// Those of the trace.
    #[default]
    Recorded,
    /// Moved so that the first row is of now. At a speed above 1 they run ahead of the clock.
    Shifted,
    /// When the row is due: moved so that the first row is of now, and drawn together by the speed. Disorder stays.
    Scaled,
}

/// Whether an MQTT broker acknowledges each message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Qos {
    /// QoS 0: sent once, never acknowledged.
    AtMostOnce,
    /// QoS 1: acknowledged.
    #[default]
    AtLeastOnce,
}

/// How to play.
#[derive(Clone, Debug)]
pub struct PlayOptions {
    /// Default 1.
    pub speed: Speed,
    /// Default: as recorded.
    pub event_times: EventTimes,
    /// Begin again at the end, with event times that go on, until stopped. Default false.
    pub repeat: bool,
    /// Default JSON.
    pub format: Format,
    /// Default 1; MQTT only.
    pub qos: Qos,
    /// The topic, where `{sensor}` is the name as it stands and `{path}` the name with `/` for `.`; MQTT only.
    /// Default: the address's prefix and `{path}`.
    pub topic: Option<String>,
}

impl Default for PlayOptions {
    fn default() -> Self {
        Self {
            speed: Speed::Times(1.0),
            event_times: EventTimes::default(),
            repeat: false,
            format: Format::default(),
            qos: Qos::default(),
            topic: None,
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Rows played so far.
    pub rows: u64,
    /// Rows there are in all, where that is known: not for CSV, not when the trace is repeated.
    pub total: Option<u64>,
    /// Time since the start.
    pub elapsed: Duration,
}

impl Progress {
    /// Rows a second since the start.
    pub fn rate(&self) -> f64 {
        self.rows as f64 / self.elapsed.as_secs_f64().max(1e-6)
    }
}

/// How a run went.
#[derive(Debug)]
pub struct PlayReport {
    /// Rows taken from the trace.
    pub rows: u64,
    /// Rows that left: written to the socket or stream, or handed to the Kafka client.
    pub sent: u64,
    /// Rows that the other end acknowledged; `None` where nothing acknowledges (QoS 0, lines).
    pub acknowledged: Option<u64>,
    /// Rows that were not acknowledged or, where nothing acknowledges, did not leave.
    pub failed: u64,
    /// How long it took, with the wait for the last acknowledgement.
    pub elapsed: Duration,
    /// How long after its due time the latest row was handed over; zero at full speed.
    pub late_max: Duration,
    /// Whether it was stopped before the end.
    pub stopped: bool,
    /// Why it ended early, if it was not stopped.
    pub error: Option<Error>,
}

/// Rows out of the process. Counts are exact once `finish` has returned.
trait Outlet {
    /// Hands a row over; waits while the target is full. It may be cancelled: the row then counts as sent or failed.
    async fn send(&mut self, row: &Row) -> Result<()>;
    /// What was handed over leaves now: nothing more is due for a while.
    async fn flush(&mut self) -> Result<()>;
    /// Waits until everything is acknowledged or has failed, and closes.
    async fn finish(&mut self) -> Result<()>;
    /// Rows that left, and rows that were acknowledged, if that happens here.
    fn counts(&self) -> (u64, Option<u64>);
}

/// Plays a trace to its end.
///
/// # Errors
/// The trace cannot be read, the target cannot be reached, or the options do not fit together. What fails later is in
/// the report.
pub async fn play(
    trace: &Trace,
    target: Target,
    options: &PlayOptions,
    progress: impl FnMut(Progress),
) -> Result<PlayReport> {
    play_until(trace, target, options, std::future::pending(), progress).await
}

/// Plays a trace to its end, or until `stop` resolves; what was handed over by then is still seen through.
///
/// # Errors
/// As [`play`].
pub async fn play_until(
    trace: &Trace,
    target: Target,
    options: &PlayOptions,
    stop: impl Future<Output = ()>,
    progress: impl FnMut(Progress),
) -> Result<PlayReport> {
    if options.event_times == EventTimes::Scaled && options.speed == Speed::Max {
        return Err(Error::user("event times cannot be scaled at full speed").hint("give a speed as a number"));
    }
    let run = Run {
        trace,
        options,
        progress,
        total: if options.repeat { None } else { trace.row_count()? },
        wall_start: clock::now(),
        start: Instant::now(),
        rows: 0,
        late_max: Duration::ZERO,
    };
    match target {
        Target::Mqtt(address) => run.to(MqttOutlet::connect(&address, options).await?, stop).await,
        Target::Kafka { brokers, topic } => {
            run.to(KafkaOutlet::connect(&brokers, topic, options.format).await?, stop).await
        }
        Target::Lines(writer) => run.to(LinesOutlet::new(writer, options.format), stop).await,
    }
}

struct Run<'a, P> {
    trace: &'a Trace,
    options: &'a PlayOptions,
    progress: P,
    total: Option<u64>,
    wall_start: Timestamp,
    start: Instant,
    rows: u64,
    late_max: Duration,
}

impl<P: FnMut(Progress)> Run<'_, P> {
    async fn to(mut self, mut outlet: impl Outlet, stop: impl Future<Output = ()>) -> Result<PlayReport> {
        (self.start, self.wall_start) = (Instant::now(), clock::now());
        let (stopped, played) = tokio::select! {
            biased;
            () = stop => (true, Ok(())),
            played = self.passes(&mut outlet) => (false, played),
        };
        let finished = outlet.finish().await;
        self.tell();
        let (sent, acknowledged) = outlet.counts();
        Ok(PlayReport {
            rows: self.rows,
            sent,
            acknowledged,
            failed: self.rows.saturating_sub(acknowledged.unwrap_or(sent)),
            elapsed: self.start.elapsed(),
            late_max: self.late_max,
            stopped,
            error: played.and(finished).err(),
        })
    }

    async fn passes(&mut self, outlet: &mut impl Outlet) -> Result<()> {
        let mut shift = Span::ZERO;
        let mut first = None;
        loop {
            let (mut last, mut rows) = (Timestamp::MIN, 0);
            for batch in self.trace.batches()? {
                for mut row in batch? {
                    let first = *first.get_or_insert(row.ts);
                    last = last.max(row.ts);
                    rows += 1;
                    let age = (row.ts + shift).since(first);
                    let due = self.wait_until_due(age, outlet).await?;
                    row.ts = match self.options.event_times {
                        EventTimes::Recorded => row.ts + shift,
                        EventTimes::Shifted => self.wall_start + age,
                        EventTimes::Scaled => self.wall_start + due,
                    };
                    self.rows += 1;
                    outlet.send(&row).await?;
                    if self.rows.is_multiple_of(SLICE_ROWS) {
                        self.tell();
                        tokio::task::yield_now().await;
                    }
                }
            }
            let Some(first) = first.filter(|_| self.options.repeat) else { return Ok(()) };
            // The next pass begins one mean interval after the end of this one.
            let span = last.since(first).micros().max(1);
            shift = Span::from_micros(shift.micros().saturating_add(span).saturating_add(span / rows));
        }
    }

    /// When the row is due, counted from the start; returns once it is.
    async fn wait_until_due(&mut self, age: Span, outlet: &mut impl Outlet) -> Result<Span> {
        let Speed::Times(times) = self.options.speed else { return Ok(Span::ZERO) };
        let due = Span::from_micros((age.micros() as f64 / times) as i64);
        let at = self.start + due.to_std().min(AHEAD_MAX);
        let mut now = Instant::now();
        if now < at {
            outlet.flush().await?;
            self.tell();
            tokio::time::sleep_until(at).await;
            now = Instant::now();
        }
        self.late_max = self.late_max.max(now.saturating_duration_since(at));
        Ok(due)
    }

    fn tell(&mut self) {
        (self.progress)(Progress { rows: self.rows, total: self.total, elapsed: self.start.elapsed() });
    }
}
