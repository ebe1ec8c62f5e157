//! How fast bytes become rows, for each format: `cargo bench -p lineside-connectors`. Throughput is readings a second.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lineside_connectors::registry::{find, find_codec};
use lineside_connectors::{BuildContext, Meter, PlanContext, Pulled};
use lineside_model::{Clock, Reason, Span, Timestamp};
use serde_json::{Value, json};

/// What a bulk source hands over in one turn.
const BATCH: usize = 8_192;
/// Readings in a file: enough that several parts of it are under way.
const FILE: usize = 400_000;

#[derive(Debug)]
struct Idle;

impl Clock for Idle {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
}

impl Meter for Idle {
    fn dropped(&self, reason: Reason, count: u64) {
        panic!("{count} rows were {}", reason.word());
    }
    fn add(&self, _: &'static str, _: u64) {}
    fn time(&self, _: &'static str, _: Span) {}
}

/// Time in ms, sensor, value.
fn reading(n: usize) -> (i64, String, f64) {
    (1_700_000_000_000 + n as i64 / 10, format!("line{}.oven3.temperature", n % 1_000), (n % 100_000) as f64 / 1e3)
}

/// The text of the message of reading *n*.
type Message<'a> = &'a dyn Fn(usize) -> String;

fn messages(criterion: &mut Criterion) {
    let context = PlanContext { name: "readings", pipeline: "bench", folder: Path::new("") };
    let ms = |n| reading(n).0;
    let codecs: [(&str, Value, Message<'_>); 3] = [
        ("json", json!({}), &|n| {
            let (ts, sensor, value) = reading(n);
            format!(r#"{{"ts":{ts}000,"sensor":"{sensor}","value":{value},"quality":"good"}}"#)
        }),
        ("csv", json!({}), &|n| {
            let (ts, sensor, value) = reading(n);
            format!("{ts}000,{sensor},{value},good")
        }),
        ("number", json!({}), &|n| format!("{}.5", ms(n) % 1_000)),
    ];
    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, options, message) in codecs {
        let (_, make) =
            find_codec(name).expect("it is in the registry").plan_decoder(&options, &context).expect("options");
        let messages = (0..BATCH).map(|n| Bytes::from(message(n))).collect::<Vec<_>>();
        let mut decoder = make();
        group.bench_function(name, |bencher| bencher.iter(|| decoder.decode(black_box(&messages))));
    }
    group.finish();
}

fn files(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for the files");
    let context = PlanContext { name: "readings", pipeline: "bench", folder: folder.path() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let build = BuildContext { clock: Arc::new(Idle), meter: Arc::new(Idle) };
    write(folder.path(), &runtime, &build);
    let mut group = criterion.benchmark_group("file");
    group.throughput(Throughput::Elements(FILE as u64)).sample_size(20);
    for name in ["plain.csv", "quoted.csv", "readings.jsonl", "readings.parquet"] {
        let options = json!({"path": name, "columns": {"ts": {"type": "timestamp", "unit": "ms"}}});
        let planned = find("file").expect("it is in the registry").plan_source(&options, &context).expect("options");
        let read = || async {
            let (mut source, mut rows) = ((planned.build)(&build), 0);
            source.open(None).await.expect("the file is there");
            while let Pulled::Rows { rows: batch, .. } = source.pull(BATCH).await.expect("the file is whole") {
                rows += black_box(batch).num_rows();
            }
            assert_eq!(rows, FILE);
        };
        group.bench_function(name, |bencher| bencher.iter(|| runtime.block_on(read())));
    }
    group.finish();
}

fn write(folder: &Path, runtime: &tokio::runtime::Runtime, build: &BuildContext) {
    let readings = (0..FILE).map(reading).collect::<Vec<_>>();
    let csv = |quote: &str| {
        let line = |(ts, sensor, value): &(i64, String, f64)| format!("{ts},{quote}{sensor}{quote},{value}\n");
        "ts,sensor,value\n".to_owned() + &readings.iter().map(line).collect::<String>()
    };
    let json =
        readings.iter().map(|(ts, sensor, value)| format!(r#"{{"ts":{ts},"sensor":"{sensor}","value":{value}}}"#));
    let json = json.map(|line| line + "\n").collect::<String>();
    for (name, text) in [("plain.csv", csv("")), ("quoted.csv", csv("\"")), ("readings.jsonl", json)] {
        fs::write(folder.join(name), text).expect("there is room");
    }
    let columns: [(&str, ArrayRef); 3] = [
        ("ts", Arc::new(readings.iter().map(|r| r.0).collect::<Int64Array>())),
        ("sensor", Arc::new(readings.iter().map(|r| Some(r.1.as_str())).collect::<StringArray>())),
        ("value", Arc::new(readings.iter().map(|r| r.2).collect::<Float64Array>())),
    ];
    let rows = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let context = PlanContext { name: "readings", pipeline: "bench", folder };
    let options = json!({"path": "readings.parquet"});
    let planned = find("file").expect("it is in the registry").plan_sink(&options, &rows.schema(), None, &context);
    let mut sink = (planned.expect("options").build)(build);
    runtime.block_on(async {
        sink.open().await.expect("there is room");
        sink.write(&rows, Timestamp::default()).await.expect("there is room");
        sink.close().await.expect("there is room");
    });
}

criterion_group!(benches, messages, files);
criterion_main!(benches);
