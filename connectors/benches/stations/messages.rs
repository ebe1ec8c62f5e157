//! Messages: how fast each codec makes rows of bytes and bytes of rows, on one core.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use lineside_connectors::registry::find_codec;
use serde_json::json;

use crate::readings::{BATCH, context, reading, rows};

/// The text of the message of reading *n*.
type Message = fn(usize) -> String;

/// What a gateway sends at least: 60 bytes.
fn short(n: usize) -> String {
    let (ts, _, value) = reading(n);
    format!(r#"{{"ts":{ts}000,"sensor":"oven{}.temp","value":{value:.2}}}"#, n % 1_000)
}

fn object(n: usize) -> String {
    let (ts, sensor, value) = reading(n);
    format!(r#"{{"ts":{ts}000,"sensor":"{sensor}","value":{value},"quality":"good"}}"#)
}

fn line(n: usize) -> String {
    let (ts, sensor, value) = reading(n);
    format!("{ts}000,{sensor},{value},good")
}

/// Bytes to rows, codec by codec.
pub(crate) fn decoding(criterion: &mut Criterion) {
    let codecs: [(&str, Message); 5] = [
        ("json", short),
        ("json, with quality", object),
        ("csv", line),
        ("number", |n| format!("{}.5", reading(n).0 % 1_000)),
        ("raw", object),
    ];
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, message) in codecs {
        let codec = name.split(',').next().and_then(find_codec).expect("it is in the registry");
        let (_, make) = codec.plan_decoder(&json!({}), &context(Path::new(""))).expect("it needs no options");
        let messages = (0..BATCH).map(|n| Bytes::from(message(n))).collect::<Vec<_>>();
        let mut decoder = make();
        group.bench_function(name, |bencher| bencher.iter(|| decoder.decode(black_box(&messages))));
    }
    group.finish();
}

/// Rows to bytes, codec by codec: what MQTT and Kafka are given.
pub(crate) fn encoding(criterion: &mut Criterion) {
    let readings = rows(BATCH);
    let payloads = Arc::new(StringArray::from_iter_values((0..BATCH).map(object))) as _;
    let payloads = RecordBatch::try_from_iter([("payload", payloads)]).expect("one column");
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, rows, options) in [
        ("json", &readings, json!({})),
        ("json, rfc3339", &readings, json!({"time": "rfc3339"})),
        ("csv", &readings, json!({})),
        ("number", &readings, json!({})),
        ("raw", &payloads, json!({})),
    ] {
        let codec = name.split(',').next().and_then(find_codec).expect("it is in the registry");
        let make = codec.plan_encoder(&options, &rows.schema(), &context(Path::new(""))).expect("options");
        let mut encoder = make();
        let mut out = Vec::with_capacity(BATCH);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                encoder.encode(black_box(rows), &mut out)
            });
        });
    }
    group.finish();
}
