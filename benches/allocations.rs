//! How often the engine asks the system for memory: for each batch and for each row, once a pipeline has settled.
//!
//! `cargo bench --bench allocations` runs ordinary pipelines through the engine, from the source's hand-over to a sink that keeps nothing,
//! on one worker, and counts every call of the allocator while a number of batches goes through. A batch costs its columns, which
//! are new Arrow buffers, and the calls between source, worker and sink; so what counts is how the calls grow with the rows of a
//! batch: the last column, from one line to the next, is to be nothing. Messages and rows are made before the count begins.

use std::alloc::System;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use lineside::clock::SystemClock;
use lineside::config::Config;
use lineside::plan::{Registries, build};
use lineside::run::Run;
use lineside_connectors::void::VoidKind;
use lineside_connectors::{
    BuildContext, ConnectorKind, Frames, Gives, PlanContext, PlannedSource, Position, Pulled, Source,
};
use lineside_model::schema::time_field;
use lineside_model::{Clock, Problems, Result, Timestamp};
use serde_json::Value;
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Batches before the count begins, and batches that are counted.
const SETTLING: usize = 200;
const COUNTED: usize = 400;
/// Rows of a batch.
const SIZES: [usize; 3] = [16, 256, 4_096];
const SENSORS: usize = 1_000;
/// From one reading of a sensor to its next, in microseconds.
const EVERY: usize = 10_000;
const START: i64 = 1_700_006_400_000_000;

const FILTER: &str = r#"
codec = { type = "json", fields = { ts = { type = "timestamp", unit = "us" }, sensor = "text", value = "float" } }
time = { column = "ts" }
[query.results]
sql = "SELECT ts, sensor, value * 1.8 + 32 AS value FROM readings WHERE value > 60"
"#;
const TUMBLE: &str = r#"
time = { column = "ts" }
[query.results]
sql = """
SELECT sensor, window_start, count(*) AS n, avg(value) AS mean, min(value) AS low, max(value) AS high
FROM TUMBLE(readings, ts, INTERVAL '1' SECOND) GROUP BY sensor, window_start
"""
"#;
const PID: &str = r#"
time = { column = "ts" }
[operator.results]
type = "pid"
input = "readings"
table = "loops.csv"
"#;

fn main() {
    println!("{:<22} {:>10} {:>12} {:>12} {:>14} {:>16}", "", "rows", "calls", "calls", "bytes", "more calls");
    println!(
        "{:<22} {:>10} {:>12} {:>12} {:>14} {:>16}",
        "pipeline", "a batch", "a batch", "a row", "a row", "for each row more"
    );
    let pipelines: [(&str, &str, Make); 3] =
        [("json, filter", FILTER, messages), ("tumbling window", TUMBLE, rows), ("pid loops", PID, polls)];
    for (name, below, make) in pipelines {
        let mut before = None;
        for size in SIZES {
            let counted = run(below, make(size), size);
            let calls = (counted.allocations + counted.reallocations) as f64 / COUNTED as f64;
            let bytes = (counted.bytes_allocated as f64) / (COUNTED * size) as f64;
            let more = before.replace((calls, size)).map_or(String::new(), |(calls_before, size_before)| {
                format!("{:.4}", (calls - calls_before) / (size - size_before) as f64)
            });
            println!("{name:<22} {size:>10} {calls:>12.1} {:>12.4} {bytes:>14.1} {more:>16}", calls / size as f64);
        }
    }
}

/// Makes what a source hands over, in batches of so many rows.
type Make = fn(usize) -> Made;

/// What a source hands over, made before the count begins.
struct Made {
    gives: Gives,
    pulls: VecDeque<Pulled>,
}

fn sensor(row: usize) -> String {
    format!("oven{}.temp", row % SENSORS)
}

fn time(row: usize) -> i64 {
    START + (row / SENSORS * EVERY) as i64
}

fn value(row: usize) -> f64 {
    (row * 7_919 % 10_000) as f64 / 100.0
}

/// JSON messages, as the MQTT source hands them over.
fn messages(size: usize) -> Made {
    let pull = |batch: usize| {
        let (mut text, mut ends) = (String::new(), vec![0]);
        for row in batch * size..(batch + 1) * size {
            let (ts, sensor, value) = (time(row), sensor(row), value(row));
            write!(text, r#"{{"ts":{ts},"sensor":"{sensor}","value":{value}}}"#).expect("a text takes everything");
            ends.push(text.len());
        }
        let bytes = Bytes::from(text);
        let payloads = ends.windows(2).map(|ends| bytes.slice(ends[0]..ends[1])).collect();
        let frames = Frames { payloads, received_at: vec![Timestamp(START); size], metadata: Vec::new() };
        Pulled::Frames(frames, Position::None)
    };
    Made { gives: Gives::Frames(Arc::new(Schema::empty())), pulls: (0..SETTLING + COUNTED).map(pull).collect() }
}

fn batch(schema: &SchemaRef, rows: impl Iterator<Item = (i64, String, f64)> + Clone) -> Pulled {
    let ts = TimestampMicrosecondArray::from_iter_values(rows.clone().map(|row| row.0)).with_timezone("UTC");
    let sensor = StringArray::from_iter_values(rows.clone().map(|row| row.1));
    let value = Float64Array::from_iter_values(rows.map(|row| row.2));
    let columns: Vec<ArrayRef> = vec![Arc::new(ts), Arc::new(sensor), Arc::new(value)];
    let rows = RecordBatch::try_new(Arc::clone(schema), columns).expect("the columns are those of the schema");
    Pulled::Rows { rows, received_at: Timestamp(START), position: Position::None }
}

fn schema() -> SchemaRef {
    let fields = [
        time_field("ts", false),
        Field::new("sensor", DataType::Utf8, false),
        Field::new("value", DataType::Float64, false),
    ];
    Arc::new(Schema::new(fields.to_vec()))
}

/// Rows of a thousand sensors, one after the other.
fn rows(size: usize) -> Made {
    let schema = schema();
    let rows = |n: usize| (n * size..(n + 1) * size).map(|row| (time(row), sensor(row), value(row)));
    let pulls = (0..SETTLING + COUNTED).map(|n| batch(&schema, rows(n))).collect();
    Made { gives: Gives::Rows(schema), pulls }
}

/// Polls: each loop is read once in a batch.
fn polls(size: usize) -> Made {
    let schema = schema();
    let at = |n: usize| START + (n * EVERY) as i64;
    let rows = |n: usize| (0..size).map(move |oven| (at(n), format!("oven{oven}.temp"), value(n + oven)));
    let pulls = (0..SETTLING + COUNTED).map(|n| batch(&schema, rows(n))).collect();
    Made { gives: Gives::Rows(schema), pulls }
}

/// What was asked of the allocator while the counted batches went through.
fn run(below: &str, made: Made, size: usize) -> Stats {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut loops = "loop,pv,out,sp,period,form,kp,ti,u_min,u_max\n".to_owned();
    for oven in 0..size {
        writeln!(loops, "oven{oven},oven{oven}.temp,oven{oven}.power,50,10ms,standard,0.5,3.5,0,100").expect("a text");
    }
    std::fs::write(folder.path().join("loops.csv"), loops).expect("a file");
    let counted = Arc::new(Mutex::new(None));
    let source: &'static Counted = Box::leak(Box::new(Counted {
        gives: made.gives,
        pulls: Mutex::new(made.pulls),
        counted: Arc::clone(&counted),
    }));
    let connectors: [&'static dyn ConnectorKind; 2] = [source, &VoidKind];
    let text = format!(
        "[pipeline]\nworkers = 1\n[source.readings]\nconnector = \"counted\"{below}\n[sink.out]\nconnector = \"void\"\ninput = \"results\"\n"
    );
    let file = folder.path().join("bench.toml");
    let config = Config::parse(&file, text, &|_| None).expect("the file is right");
    let plan =
        build(&config, &Registries { connectors: &connectors, ..Registries::BUILD }).expect("the pipeline is right");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let (_, result) = Run::start(&Arc::new(plan), &clock).expect("there are threads").wait();
    result.expect("nothing fails");
    let counted = counted.lock().unwrap_or_else(PoisonError::into_inner).take();
    counted.expect("all batches went through")
}

/// A connector whose source has everything ready, and looks at the allocator when the counted batches begin and when they are through.
#[derive(Debug)]
struct Counted {
    gives: Gives,
    pulls: Mutex<VecDeque<Pulled>>,
    counted: Arc<Mutex<Option<Stats>>>,
}

#[derive(Debug)]
struct CountedSource {
    pulls: VecDeque<Pulled>,
    begun: Option<Stats>,
    counted: Arc<Mutex<Option<Stats>>>,
}

#[async_trait(?Send)]
impl Source for CountedSource {
    async fn open(&mut self, _: Option<Position>) -> Result<()> {
        Ok(())
    }

    async fn pull(&mut self, _: usize) -> Result<Pulled> {
        if self.pulls.len() == COUNTED {
            self.begun = Some(MEMORY.stats());
        }
        let Some(pulled) = self.pulls.pop_front() else {
            *self.counted.lock().unwrap_or_else(PoisonError::into_inner) =
                self.begun.map(|begun| MEMORY.stats() - begun);
            return Ok(Pulled::End);
        };
        Ok(pulled)
    }

    async fn ack(&mut self, _: &Position) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

impl ConnectorKind for Counted {
    fn name(&self) -> &'static str {
        "counted"
    }

    fn about(&self) -> &'static str {
        "messages or rows that were made before"
    }

    fn example(&self) -> &'static str {
        "[source.readings]\nconnector = \"counted\"\n"
    }

    fn source_options(&self) -> Option<schemars::Schema> {
        Some(schemars::json_schema!({ "type": "object", "properties": {} }))
    }

    fn plan_source(&self, _: &Value, _: &PlanContext<'_>) -> Result<PlannedSource, Problems> {
        let pulls = std::mem::take(&mut *self.pulls.lock().unwrap_or_else(PoisonError::into_inner));
        let (pulls, counted) = (Mutex::new(pulls), Arc::clone(&self.counted));
        Ok(PlannedSource {
            gives: self.gives.clone(),
            time: None,
            bounded: true,
            unacked_limit: None,
            control: false,
            explain: Vec::new(),
            tags: Vec::new(),
            build: Box::new(move |_: &BuildContext| {
                let pulls = std::mem::take(&mut *pulls.lock().unwrap_or_else(PoisonError::into_inner));
                Box::new(CountedSource { pulls, begun: None, counted: Arc::clone(&counted) })
            }),
        })
    }
}
