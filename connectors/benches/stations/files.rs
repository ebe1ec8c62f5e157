//! Files: how fast they are read and written in each format. What is written goes to a folder for temporary files and is on its disk at
//! the end; name another one in `TMPDIR`.

use std::fs;
use std::hint::black_box;
use std::path::Path;

use arrow::array::RecordBatch;
use criterion::{Criterion, Throughput};
use lineside_connectors::Pulled;
use lineside_connectors::registry::find;
use lineside_model::Timestamp;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::readings::{BATCH, build, context, reading, rows, runtime, size};

/// Readings in a file: enough that several parts of it are under way.
const FILE: usize = 400_000;

/// Reads a file to its end.
fn read(name: &str, folder: &Path, runtime: &Runtime, expected: usize) {
    let options = json!({"path": name, "columns": {"ts": {"type": "timestamp", "unit": "ms"}}});
    let options = if name.ends_with(".parquet") { json!({"path": name}) } else { options };
    let file = find("file").expect("it is in the registry");
    let planned = file.plan_source(&options, &context(folder)).expect("options");
    runtime.block_on(async {
        let (mut source, mut found) = ((planned.build)(&build()), 0);
        source.open(None).await.expect("the file is there");
        while let Pulled::Rows { rows, .. } = source.pull(BATCH).await.expect("the file is whole") {
            found += black_box(rows).num_rows();
        }
        assert_eq!(found, expected);
    });
}

/// CSV, with and without quotes, JSON lines, Parquet.
pub(crate) fn parsing(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for the files");
    let (runtime, count) = (runtime(), size(FILE));
    let readings = (0..count).map(reading).collect::<Vec<_>>();
    let csv = |quote: &str| {
        let line = |(ts, sensor, value): &(i64, String, f64)| format!("{ts},{quote}{sensor}{quote},{value}\n");
        "ts,sensor,value\n".to_owned() + &readings.iter().map(line).collect::<String>()
    };
    let object = |(ts, sensor, value): &(i64, String, f64)| {
        format!("{{\"ts\":{ts},\"sensor\":\"{sensor}\",\"value\":{value}}}\n")
    };
    let objects = readings.iter().map(object).collect::<String>();
    for (name, text) in [("plain.csv", csv("")), ("quoted.csv", csv("\"")), ("readings.jsonl", objects)] {
        fs::write(folder.path().join(name), text).expect("there is room");
    }
    let columns = rows(count).project(&[0, 1, 2]).expect("there are as many columns");
    write("readings.parquet", folder.path(), &runtime, &columns);
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(count as u64));
    for name in ["plain.csv", "quoted.csv", "readings.jsonl", "readings.parquet"] {
        group.bench_function(name, |bencher| bencher.iter(|| read(name, folder.path(), &runtime, count)));
    }
    group.finish();
}

/// CSV, JSON lines, Parquet.
pub(crate) fn writing(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for the files");
    let (runtime, rows) = (runtime(), rows(size(FILE)));
    let mut group = criterion.benchmark_group("write");
    group.throughput(Throughput::Elements(rows.num_rows() as u64));
    for name in ["readings.csv", "readings.jsonl", "readings.parquet"] {
        group.bench_function(name, |bencher| bencher.iter(|| write(name, folder.path(), &runtime, &rows)));
    }
    group.finish();
}

/// A file of these rows, batch by batch.
fn write(name: &str, folder: &Path, runtime: &Runtime, rows: &RecordBatch) {
    let file = find("file").expect("it is in the registry");
    let planned = file.plan_sink(&json!({"path": name}), &rows.schema(), None, &context(folder)).expect("options");
    runtime.block_on(async {
        let mut sink = (planned.build)(&build());
        sink.open().await.expect("there is room");
        for from in (0..rows.num_rows()).step_by(BATCH) {
            let batch = rows.slice(from, BATCH.min(rows.num_rows() - from));
            sink.write(&batch, Timestamp::default()).await.expect("there is room");
        }
        sink.close().await.expect("there is room");
    });
}
