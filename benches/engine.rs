//! What a row costs in the engine: a filter, windows, the way to several workers, and in the engine as a whole on one worker and on
//! two. Elements are rows.
//!
//! The queries are planned from SQL as in a pipeline file. In the group `query` their operators are driven without the runtime around
//! them, in the group `workers` a pipeline is run from its start to its end: a thousand sensors, one reading each every 10 ms, in
//! batches as large as a bulk source hands over, with the watermark after each. `loadtest/peers/README.md` has other engines beside it.

mod exchange;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lineside::clock::SystemClock;
use lineside::config::Config;
use lineside::plan::bounds::MAX_BATCH_ROWS;
use lineside::plan::sql::{QueryPlan, StepInput, Table, plan_query};
use lineside::plan::{Plan, Registries, build};
use lineside::run::Run;
use lineside_connectors::ConnectorKind;
use lineside_connectors::memory::PreparedKind;
use lineside_connectors::void::VoidKind;
use lineside_model::schema::time_field;
use lineside_model::{Clock, Reason, Result, Span, Timestamp};
use lineside_operators::{Emitter, Operator, TimeColumn};

const SENSORS: i64 = 1_000;
const EVERY: Span = Span::from_millis(10);
const BATCHES: usize = 64;

/// So many batches where times are taken, and a few where only the bench is tried out, as `cargo test` does.
fn size(full: usize) -> usize {
    let is_timed = std::env::args().any(|argument| argument == "--bench");
    if is_timed { full } else { full.min(2) }
}

/// Rows and the watermark after them.
fn batches(count: usize) -> Vec<(RecordBatch, Timestamp)> {
    let schema = Arc::new(Schema::new(vec![
        time_field("ts", false),
        Field::new("sensor", DataType::Utf8, false),
        Field::new("value", DataType::Float64, false),
    ]));
    let row = |batch: usize| (0..MAX_BATCH_ROWS).map(move |row| (batch * MAX_BATCH_ROWS + row) as i64);
    let time = |row: i64| row / SENSORS * EVERY.micros();
    (0..count)
        .map(|batch| {
            let ts = TimestampMicrosecondArray::from_iter_values(row(batch).map(time)).with_timezone("UTC");
            let sensor = StringArray::from_iter_values(row(batch).map(|row| format!("oven{}.temp", row % SENSORS)));
            let value = Float64Array::from_iter_values(row(batch).map(|row| (row * 7_919 % 10_000) as f64 / 100.0));
            let columns = vec![Arc::new(ts) as _, Arc::new(sensor) as _, Arc::new(value) as _];
            let rows = RecordBatch::try_new(Arc::clone(&schema), columns).expect("the columns are those of the schema");
            (rows, Timestamp(time(((batch + 1) * MAX_BATCH_ROWS) as i64 - 1)))
        })
        .collect()
}

/// The operators of a query, driven in the order of its steps.
struct Running {
    plan: Arc<QueryPlan>,
    operators: Vec<Box<dyn Operator>>,
}

/// What one operator put out.
#[derive(Default)]
struct Output(Vec<RecordBatch>);

impl Emitter for Output {
    fn emit(&mut self, rows: RecordBatch) -> Result<()> {
        self.0.push(rows);
        Ok(())
    }

    fn dropped(&mut self, reason: Reason, rows: usize) {
        assert_eq!(reason, Reason::Filtered, "{rows} rows were dropped");
    }
}

impl Running {
    fn new(plan: &Arc<QueryPlan>) -> Self {
        Self { plan: Arc::clone(plan), operators: plan.steps.iter().map(|step| (step.operator.build)()).collect() }
    }

    fn feed(&mut self, batches: &[(RecordBatch, Timestamp)]) {
        for (rows, watermark) in batches {
            self.hand(&StepInput::Table("readings".to_owned()), rows);
            for step in 0..self.operators.len() {
                let mut output = Output::default();
                self.operators[step].advance(*watermark, &mut output).expect("operators do not fail");
                output.0.iter().for_each(|rows| self.hand(&StepInput::Step(step), rows));
            }
        }
    }

    fn hand(&mut self, from: &StepInput, rows: &RecordBatch) {
        if *from == self.plan.output {
            black_box(rows);
        }
        for step in 0..self.operators.len() {
            if self.plan.steps[step].inputs.contains(from) {
                let mut output = Output::default();
                self.operators[step].process(0, rows.clone(), &mut output).expect("operators do not fail");
                output.0.iter().for_each(|rows| self.hand(&StepInput::Step(step), rows));
            }
        }
    }
}

/// Queries over a table of readings.
fn queries_of(table: &str) -> [(&'static str, String); 3] {
    let windowed = |window: &str| {
        format!(
            "SELECT sensor, window_start, count(*) AS count, avg(value) AS avg, min(value) AS min, max(value) AS max
             FROM {window} GROUP BY sensor, window_start"
        )
    };
    [
        ("filter", format!("SELECT ts, sensor, value * 1.8 + 32 AS value FROM {table} WHERE value > 60")),
        ("tumble", windowed(&format!("TUMBLE({table}, ts, INTERVAL '1' SECOND)"))),
        ("hop", windowed(&format!("HOP({table}, ts, INTERVAL '1' SECOND, INTERVAL '60' SECOND)"))),
    ]
}

fn queries(criterion: &mut Criterion) {
    let batches = batches(size(BATCHES));
    let table = Table {
        name: "readings".to_owned(),
        schema: batches[0].0.schema(),
        times: vec![TimeColumn { name: "ts".to_owned(), delay: Span::ZERO }],
        fixed: false,
    };
    let mut group = criterion.benchmark_group("query");
    group.throughput(Throughput::Elements((batches.len() * MAX_BATCH_ROWS) as u64));
    for (name, sql) in queries_of("readings") {
        let plan = Arc::new(
            plan_query("bench", &sql, Default::default(), std::slice::from_ref(&table)).expect("the query is right"),
        );
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(|| Running::new(&plan), |running| running.feed(&batches), BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn workers(criterion: &mut Criterion) {
    // Enough that the start of a pipeline, two milliseconds, does not count.
    let prepared = prepared(16 * BATCHES);
    let mut group = criterion.benchmark_group("workers");
    group.throughput(Throughput::Elements(prepared.0.num_rows() as u64));
    for (name, sql) in queries_of("readings") {
        for workers in [1, 2] {
            let plan = pipeline(prepared, &sql, workers);
            group.bench_function(BenchmarkId::new(name, workers), |bencher| bencher.iter(|| run(&plan)));
        }
    }
    group.finish();
}

/// So many batches as a connector has them, for as long as the program runs.
fn prepared(count: usize) -> &'static PreparedKind {
    let batches = batches(size(count));
    let rows = concat_batches(&batches[0].0.schema(), batches.iter().map(|(rows, _)| rows)).expect("of one schema");
    Box::leak(Box::new(PreparedKind(rows)))
}

/// A pipeline from memory to nowhere.
fn pipeline(rows: &'static PreparedKind, sql: &str, workers: usize) -> Arc<Plan> {
    let connectors: [&'static dyn ConnectorKind; 2] = [rows, &VoidKind];
    let text = format!(
        "[pipeline]\nworkers = {workers}\n[source.readings]\nconnector = \"prepared\"\ntime = {{ column = \"ts\" }}\n\
         [query.results]\nsql = \"\"\"{sql}\"\"\"\n[sink.out]\nconnector = \"void\"\ninput = \"results\"\n"
    );
    let config = Config::parse(Path::new("bench.toml"), text, &|_| None).expect("the file is right");
    let registries = Registries { connectors: &connectors, ..Registries::BUILD };
    Arc::new(build(&config, &registries).expect("the pipeline is right"))
}

/// Runs a pipeline from its start to its end.
fn run(plan: &Arc<Plan>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let (report, result) = Run::start(plan, &clock).expect("there are threads").wait();
    result.expect("nothing fails");
    black_box(report);
}

criterion_group!(benches, queries, exchange::by_key, exchange::in_turn, workers);
criterion_main!(benches);
