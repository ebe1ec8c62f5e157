//! What one run of a case measured: the one record that the terminal table, the JSON file and the HTML page are made of.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Points of a histogram that are kept for plots, from the median on in equal steps of the logarithm of what lies beyond.
const STEPS_PER_HALVING: u32 = 2;

/// What one run measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The case, by the name of its folder.
    pub case: String,
    /// What it is to show, one line.
    pub goal: String,
    /// What its noise was made from.
    pub seed: u64,
    /// When it was started, UTC, as RFC 3339.
    pub started: String,
    /// How long it was measured, warm-up left out, in seconds.
    pub seconds: f64,
    /// Messages a second that were to be sent.
    pub rate: f64,
    /// What it ran on.
    pub machine: Machine,
    /// What came of each stream of messages, by its name.
    pub ledgers: BTreeMap<String, Account>,
    /// How late things were, by what is measured: from when it was due, so that a stall counts for all that came in it.
    pub latencies: BTreeMap<String, Latency>,
    /// What had to come by its deadline, by what is watched.
    #[serde(default)]
    pub deadlines: BTreeMap<String, Deadline>,
    /// Where the time of a reading went inside the engine, in the order of the way; warm-up included.
    #[serde(default)]
    pub stages: Vec<StageTime>,
    /// From the start of the engine's process to the first that came out of it, in microseconds.
    #[serde(default)]
    pub first_output: Option<f64>,
    /// How long after the end of a rush answers were late, by what is watched, in microseconds; nothing for one that did not
    /// catch up within the run.
    #[serde(default)]
    pub recoveries: BTreeMap<String, f64>,
    /// What happened in each second, from the first.
    pub timeline: Vec<Second>,
    /// What was to be held, and what was found.
    pub limits: Vec<Limit>,
    /// The engine's own final counters, as `lineside run --json` prints them.
    pub engine: serde_json::Value,
}

/// The machine and the program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor, as the kernel names it.
    pub processor: String,
    /// Its cores.
    pub cores: usize,
    /// Its memory, in bytes.
    pub memory_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// Whether programs may run at real-time priority, as control and the simulated PLCs then do.
    #[serde(default)]
    pub realtime: bool,
    /// What `lineside --version` prints.
    pub engine: String,
}

/// What came of a stream of numbered messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Messages that were to lead to something.
    pub expected: u64,
    /// Those that did, each counted once.
    pub arrived: u64,
    /// Those that did not, and of which the engine does not tell either.
    pub lost: u64,
    /// Those that the engine says it left out, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Arrivals beyond the first of each.
    pub duplicates: u64,
    /// Arrivals behind a later one of the same sensor.
    pub reordered: u64,
}

/// A distribution of lengths of time, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// 9 of 10 are at most this.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p999: f64,
    /// 9,999 of 10,000.
    pub p9999: f64,
    /// The greatest.
    pub max: f64,
    /// Points of the distribution: the fraction that is at most so late, and how late that is.
    pub quantiles: Vec<(f64, f64)>,
}

/// What came of things that had to come by a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Deadline {
    /// How long after it was due each had to be there, in microseconds.
    pub deadline: f64,
    /// How many were due.
    pub due: u64,
    /// Those that came later, or never.
    pub missed: u64,
    /// The same of a million.
    pub per_million: f64,
}

/// How long one stage of the way took, as the engine timed it, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// The source or sink at which it was timed.
    pub of: String,
    /// The stage.
    pub stage: String,
    /// How many batches, or rows of `sensor_to_sink`.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// 999 of 1,000.
    pub p999: f64,
    /// The greatest.
    pub max: f64,
}

/// One second of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Messages sent.
    pub sent: u64,
    /// Results that arrived.
    pub arrived: u64,
    /// The median of each latency in it, in microseconds.
    pub p50: BTreeMap<String, f64>,
    /// The 99th percentile of each.
    pub p99: BTreeMap<String, f64>,
    /// The greatest of each.
    pub max: BTreeMap<String, f64>,
    /// Processor time of the engine, in percent of one core.
    pub cpu_percent: f64,
    /// Memory of the engine at its end, in bytes.
    pub rss_bytes: u64,
    /// Open file descriptors of the engine at its end.
    pub descriptors: u64,
}

/// Something that a case has to hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// What it is about, such as `alarm p99`.
    pub name: String,
    /// What is to be held, with its unit, such as `at most 10 ms`.
    pub wanted: String,
    /// The bound itself, where it is a number: of a length of time in microseconds, of memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<f64>,
    /// What was found, with its unit.
    pub found: String,
    /// Whether it was held.
    pub held: bool,
}

impl Outcome {
    /// Whether everything was held that was to be held.
    pub fn held(&self) -> bool {
        self.limits.iter().all(|limit| limit.held)
    }
}

impl Deadline {
    /// Of so many that were due, so many came too late or never.
    pub fn of(deadline: Duration, due: u64, missed: u64) -> Self {
        let per_million = if due == 0 { 0.0 } else { missed as f64 / due as f64 * 1e6 };
        Self { deadline: deadline.as_nanos() as f64 / 1e3, due, missed, per_million }
    }
}

impl StageTime {
    /// The stages of a way, in its order, as `lineside run --json` names them.
    pub const NAMES: [&'static str; 7] =
        ["decode", "queue", "operators", "closing", "sink_queue", "sink", "sensor_to_sink"];

    /// All that an engine's report tells of them.
    pub fn of(report: &serde_json::Value) -> Vec<Self> {
        let objects = || report["objects"].as_array().into_iter().flatten();
        let told = Self::NAMES.iter().flat_map(|stage| objects().map(move |object| (object, *stage)));
        let times = told.filter_map(|(object, stage)| {
            let times = &object["times"][stage];
            let number = |name: &str| times[name].as_f64();
            Some(Self {
                of: object["name"].as_str()?.to_owned(),
                stage: stage.to_owned(),
                count: times["count"].as_u64().filter(|count| *count > 0)?,
                p50: number("p50")?,
                p99: number("p99")?,
                p999: number("p999")?,
                max: number("max")?,
            })
        });
        times.collect()
    }
}

impl Latency {
    /// Of a histogram in nanoseconds.
    pub fn of(nanos: &Histogram<u64>) -> Self {
        let micros = |quantile: f64| nanos.value_at_quantile(quantile) as f64 / 1e3;
        let points = nanos.iter_quantiles(STEPS_PER_HALVING);
        Self {
            count: nanos.len(),
            p50: micros(0.5),
            p90: micros(0.9),
            p99: micros(0.99),
            p999: micros(0.999),
            p9999: micros(0.9999),
            max: nanos.max() as f64 / 1e3,
            quantiles: points.map(|point| (point.quantile(), point.value_iterated_to() as f64 / 1e3)).collect(),
        }
    }
}
