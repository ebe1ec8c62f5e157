//! What a reading costs in the window core: tumbling and overlapping windows, aggregate by aggregate, from a thousand sensors to
//! a million. Elements are readings; a hand-written loop over arrays stands beside them as the floor.
//!
//! Readings come as from a plant: every sensor reports at its rate, each reading up to 50 ms late, in batches as large as a bulk
//! source hands over, with the watermark after each. They are made when a case first needs them, so that one case alone starts at once.

use std::cell::LazyCell;
use std::hint::black_box;
use std::sync::{Arc, Once};

use arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Schema, TimestampMicrosecondType};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lineside_model::schema::time_field;
use lineside_model::{Reason, Result, Span, Timestamp};
use lineside_operators::aggregate::AggregateFunction::{self, Avg, Count, FirstValue, LastValue, Max, Min, Percentile};
use lineside_operators::window::{AggregateSpec, MAX_GROUPS, WindowKind, WindowSpec, plan};
use lineside_operators::{Emitter, PlannedOperator};

const BATCH_ROWS: i64 = 8192;
const DISORDER: i64 = 50_000;

/// Readings of sensors 0 to `sensors`, `per_second` of all of them together, and the watermark after each batch.
struct Feed {
    sensors: i64,
    per_second: i64,
    rows: i64,
    text: bool,
}

impl Feed {
    const fn dense() -> Self {
        Self { sensors: 1_000, per_second: 1_000_000, rows: 2_000_000, text: false }
    }

    /// All of them where times are taken, and a few where only the bench is tried out, as `cargo test` does.
    fn rows(&self) -> i64 {
        let is_timed = std::env::args().any(|argument| argument == "--bench");
        if is_timed { self.rows } else { self.rows.min(256) }
    }

    fn batches(&self) -> Vec<(RecordBatch, Timestamp)> {
        let key = if self.text { DataType::Utf8 } else { DataType::Int32 };
        let fields = vec![time_field("ts", false), Field::new("sensor", key, false), value_field()];
        let schema = Arc::new(Schema::new(fields));
        // A multiplicative hash: the same numbers in every run.
        let hash = |row: i64| (row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let mut newest = 0;
        let batch = |from: i64| {
            let rows = || from..(from + BATCH_ROWS).min(self.rows());
            let time = |row: i64| row * 1_000_000 / self.per_second + DISORDER - hash(row) as i64 % DISORDER;
            let sensor = |row: i64| row * 7_919 % self.sensors;
            let times = TimestampMicrosecondArray::from_iter_values(rows().map(time)).with_timezone("UTC");
            let sensors: ArrayRef = match self.text {
                true => Arc::new(StringArray::from_iter_values(
                    rows().map(|row| format!("line{}.oven{}.temp", sensor(row) % 9, sensor(row))),
                )),
                false => Arc::new(Int32Array::from_iter_values(rows().map(|row| sensor(row) as i32))),
            };
            let values = Float64Array::from_iter_values(rows().map(|row| (hash(row) % 100_000) as f64 / 1_000.0));
            newest = rows().map(time).fold(newest, i64::max);
            let columns = vec![Arc::new(times) as ArrayRef, sensors, Arc::new(values)];
            let batch =
                RecordBatch::try_new(Arc::clone(&schema), columns).expect("the columns are those of the schema");
            (batch, Timestamp(newest - DISORDER))
        };
        (0..self.rows()).step_by(BATCH_ROWS as usize).map(batch).collect()
    }
}

fn value_field() -> Field {
    Field::new("value", DataType::Float64, false)
}

/// Counts what comes out.
#[derive(Default)]
struct Counted(usize);

impl Emitter for Counted {
    fn emit(&mut self, rows: RecordBatch) -> Result<()> {
        self.0 += black_box(rows).num_rows();
        Ok(())
    }

    fn dropped(&mut self, reason: Reason, rows: usize) {
        panic!("{rows} readings were dropped: {}", reason.word());
    }
}

fn aggregation(
    kind: WindowKind,
    functions: &[AggregateFunction],
    batches: &[(RecordBatch, Timestamp)],
) -> PlannedOperator {
    let aggregate = |(n, function): (usize, &AggregateFunction)| AggregateSpec {
        column: (*function != Count).then_some(2),
        name: format!("{}{n}", function.name()),
        function: function.clone(),
    };
    let aggregates = functions.iter().enumerate().map(aggregate).collect();
    let spec = WindowSpec { kind, time: 0, time_delay: Span::ZERO, keys: vec![1], aggregates, max_groups: MAX_GROUPS };
    plan(spec, &batches[0].0.schema()).expect("the plan is sound")
}

/// Rows out.
fn run(planned: &PlannedOperator, batches: &[(RecordBatch, Timestamp)]) -> usize {
    let (mut operator, mut out) = ((planned.build)(), Counted::default());
    for (rows, watermark) in batches {
        operator.process(0, rows.clone(), &mut out).expect("takes rows");
        operator.advance(*watermark, &mut out).expect("takes time");
    }
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    out.0
}

/// The same answer as a tumbling window of a second, by arrays for this one query.
fn hand_loop(batches: &[(RecordBatch, Timestamp)], sensors: usize) -> usize {
    let (mut open, mut out) = (std::collections::BTreeMap::<i64, Vec<(u64, f64, f64, f64)>>::new(), 0);
    for (rows, watermark) in batches {
        let times = rows.column(0).as_primitive::<TimestampMicrosecondType>().values();
        let keys = rows.column(1).as_primitive::<Int32Type>().values();
        let values = rows.column(2).as_primitive::<Float64Type>().values();
        let (mut second, mut sums) = (i64::MIN, &mut Vec::new());
        for ((time, key), value) in times.iter().zip(keys).zip(values) {
            if *time / 1_000_000 != second {
                second = *time / 1_000_000;
                let empty = || vec![(0, 0.0, f64::INFINITY, f64::NEG_INFINITY); sensors];
                sums = open.entry(second).or_insert_with(empty);
            }
            let sum = &mut sums[*key as usize];
            *sum = (sum.0 + 1, sum.1 + value, sum.2.min(*value), sum.3.max(*value));
        }
        while let Some(first) = open.first_entry()
            && (first.key() + 1) * 1_000_000 <= watermark.micros()
        {
            out += black_box(first.remove()).iter().filter(|sum| sum.0 > 0).count();
        }
    }
    out + open.len() * sensors
}

fn tumble(size: Span) -> WindowKind {
    WindowKind::Tumble { size, offset: Span::ZERO }
}

fn hop(size: Span, slide: Span) -> WindowKind {
    WindowKind::Hop { size, slide, offset: Span::ZERO }
}

const SECOND: Span = Span::from_secs(1);

/// Tumbling windows of a second over a thousand sensors at 1 kHz: count, avg, min and max.
fn tumbling(c: &mut Criterion) {
    let mut group = c.benchmark_group("tumble 1s");
    for (name, text) in [("integer sensors", false), ("text sensors", true)] {
        let batches = LazyCell::new(|| Feed { text, ..Feed::dense() }.batches());
        let planned = LazyCell::new(|| aggregation(tumble(SECOND), &[Count, Avg, Min, Max], &batches));
        group.throughput(Throughput::Elements(Feed::dense().rows as u64));
        group.bench_function(name, |b| b.iter(|| run(&planned, &batches)));
    }
    let batches = LazyCell::new(|| Feed::dense().batches());
    group.bench_function("hand loop", |b| b.iter(|| hand_loop(&batches, 1_000)));
    group.finish();
}

/// The cost does not follow the overlap: 1 s tumbling, 60 s every 1 s, and 60 s every 10 ms on the same readings.
#[expect(clippy::disallowed_macros, reason = "a bench tells how many rows come out, which the cost per row is about")]
fn overlap(c: &mut Criterion) {
    let feed = Feed { per_second: 16_667, ..Feed::dense() };
    let batches = LazyCell::new(|| feed.batches());
    let percentile = |exact| Percentile { fraction: 0.95, exact };
    for (name, functions) in [
        ("count avg min max", &[Count, Avg, Min, Max][..]),
        ("avg", &[Avg]),
        ("min", &[Min]),
        ("max", &[Max]),
        ("first", &[FirstValue]),
        ("last", &[LastValue]),
        ("percentile", &[percentile(true)]),
        ("approximate percentile", &[percentile(false)]),
    ] {
        let mut group = c.benchmark_group(format!("overlap, {name}"));
        group.throughput(Throughput::Elements(feed.rows as u64));
        for (windows, kind) in [
            ("tumble 1s", tumble(SECOND)),
            ("hop 60s every 1s", hop(Span::from_secs(60), SECOND)),
            ("hop 60s every 10ms", hop(Span::from_secs(60), Span::from_millis(10))),
        ] {
            let planned = LazyCell::new(|| aggregation(kind.clone(), functions, &batches));
            let told = Once::new();
            group.bench_function(windows, |b| {
                told.call_once(|| eprintln!("{} readings in, {} rows out", feed.rows(), run(&planned, &batches)));
                b.iter(|| run(&planned, &batches));
            });
        }
        group.finish();
    }
}

/// A thousand sensors to a million.
fn sensors(c: &mut Criterion) {
    let mut group = c.benchmark_group("tumble 1s, sensors");
    for sensors in [1_000, 10_000, 100_000, 1_000_000] {
        let feed = Feed { sensors, per_second: 4_000_000, rows: 24_000_000, text: false };
        let batches = LazyCell::new(|| feed.batches());
        let functions = [Count, AggregateFunction::Sum, Min, Max];
        let planned = LazyCell::new(|| aggregation(tumble(SECOND), &functions, &batches));
        group.throughput(Throughput::Elements(feed.rows as u64));
        group.bench_function(BenchmarkId::from_parameter(sensors), |b| b.iter(|| run(&planned, &batches)));
        group.bench_function(BenchmarkId::new("hand loop", sensors), |b| {
            b.iter(|| hand_loop(&batches, sensors as usize));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = tumbling, overlap, sensors
}
criterion_main!(benches);
