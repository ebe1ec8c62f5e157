//! Several workers: what a row costs that is shared out by its key, and one that goes with its batch to whichever worker has room.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use lineside::graph::Exchange;

use super::{BATCHES, batches, pipeline, prepared, run};

/// Rows of a thousand sensors to two workers and to eight, without handing them over.
pub(super) fn by_key(criterion: &mut Criterion) {
    let rows = &batches(1)[0].0;
    let mut group = criterion.benchmark_group("exchange by key");
    group.throughput(Throughput::Elements(rows.num_rows() as u64));
    for workers in [2, 8] {
        let mut exchange = Exchange::new(&rows.schema(), &["sensor".to_owned()], workers).expect("the key is there");
        group.bench_function(BenchmarkId::from_parameter(workers), |bencher| {
            bencher.iter(|| black_box(exchange.split(black_box(rows))));
        });
    }
    group.finish();
}

/// Whole batches from source to worker, where a filter lets no row pass: next to nothing is computed, so what is left is the way.
pub(super) fn in_turn(criterion: &mut Criterion) {
    let prepared = prepared(16 * BATCHES);
    let mut group = criterion.benchmark_group("batches in turn");
    group.throughput(Throughput::Elements(prepared.0.num_rows() as u64));
    for workers in [1, 2] {
        let plan = pipeline(prepared, "SELECT ts, sensor, value FROM readings WHERE value > 100", workers);
        group.bench_function(BenchmarkId::from_parameter(workers), |bencher| bencher.iter(|| run(&plan)));
    }
    group.finish();
}
