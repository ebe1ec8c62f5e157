//! Any input gives what the definition of windows says, however it is cut into batches and wherever it is restarted.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, TimestampMicrosecondType};
use lineside_model::schema::time_field;
use lineside_model::{Reason, Span, Timestamp};
use lineside_operators::aggregate::AggregateFunction::{
    self, Avg, Count, CountDistinct, FirstValue, LastValue, Max, Min, Mode, Percentile, StddevPopulation, StddevSample,
    Sum, ValueRange, VariancePopulation, VarianceSample,
};
use lineside_operators::window::{WindowKind, WindowSpec, plan};
use proptest::prelude::*;

use crate::{Kept, aggregates, lines, over_time, restarted};

/// One row of an input, all in small numbers so that floats are exact.
#[derive(Clone, Debug)]
struct Reading {
    time: Option<i64>,
    key: usize,
    value: Option<i32>,
}

#[derive(Clone, Debug)]
enum Step {
    Read(Reading),
    Watermark(i64),
}

/// How the same steps are fed: rows of a batch, and whether to restart after a step.
#[derive(Clone, Debug)]
struct Feed {
    batch: usize,
    restart_every: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![1 => Just(None), 8 => (-40..40i32).prop_map(Some)];
    // Rows lie around a present that moves on with each step, further back than the watermark allows now and then.
    let step = (0..20u8, -25..25i64, 0..4usize, value);
    prop::collection::vec(step, 1..120).prop_map(|raw| {
        let mut watermark = i64::MIN;
        let step = |(n, (kind, around, key, value)): (usize, (u8, i64, usize, Option<i32>))| {
            let present = n as i64 - 30;
            match kind {
                0..=2 => {
                    watermark = watermark.max(present + around / 2);
                    Step::Watermark(watermark)
                }
                3 => Step::Read(Reading { time: None, key, value }),
                4 => Step::Read(Reading { time: Some(present + around * 1000), key, value }),
                _ => Step::Read(Reading { time: Some(present + around), key, value }),
            }
        };
        raw.into_iter().enumerate().map(step).collect()
    })
}

fn key_schemas() -> [Vec<DataType>; 5] {
    let words = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    [vec![], vec![DataType::Int32], vec![DataType::Utf8], vec![words.clone()], vec![DataType::Utf8View, words]]
}

fn every_function() -> Vec<AggregateFunction> {
    let percentile = |fraction, exact| Percentile { fraction, exact };
    let mut all = vec![Count, Sum, Avg, Min, Max, StddevSample, StddevPopulation, FirstValue, LastValue];
    all.extend([percentile(0.5, true), percentile(0.95, false)]);
    all.extend([VarianceSample, VariancePopulation, ValueRange, CountDistinct, Mode]);
    all.extend(over_time::functions());
    all
}

fn spec(kind: WindowKind, keys: usize) -> WindowSpec {
    let mut aggregates = aggregates(&every_function());
    aggregates.iter_mut().for_each(|aggregate| aggregate.column = aggregate.column.map(|_| 1));
    WindowSpec { kind, time: 0, time_delay: Span::ZERO, keys: (2..2 + keys).collect(), aggregates }
}

fn batch(readings: &[Reading], keys: &[DataType]) -> RecordBatch {
    let times = readings.iter().map(|r| r.time).collect::<TimestampMicrosecondArray>().with_timezone("UTC");
    let values = readings.iter().map(|r| r.value.map(|v| f64::from(v) / 4.0)).collect::<Float64Array>();
    let mut fields = vec![time_field("ts", true), Field::new("value", DataType::Float64, true)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(values)];
    // Key 0 is null; the others are numbers, as numbers or as text.
    let key: ArrayRef = Arc::new(
        readings
            .iter()
            .map(|r| (r.key > 0).then(|| (r.key as i64 * 40_000 - 50_000).to_string()))
            .collect::<StringArray>(),
    );
    for (n, data_type) in keys.iter().enumerate() {
        fields.push(Field::new(format!("key{n}"), data_type.clone(), true));
        columns.push(cast(&key, data_type).expect("casts"));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("fits")
}

fn run(kind: WindowKind, keys: &[DataType], steps: &[Step], feed: &Feed) -> (RecordBatch, BTreeMap<Reason, usize>) {
    let planned = plan(spec(kind, keys.len()), &batch(&[], keys).schema()).expect("the plan is sound");
    let (mut operator, mut out) = ((planned.build)(), Kept::default());
    let mut waiting = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        if let Step::Read(reading) = step {
            waiting.push(reading.clone());
        }
        let next_is_row = matches!(steps.get(n + 1), Some(Step::Read(_)));
        if waiting.len() >= feed.batch || !next_is_row {
            operator.process(0, batch(&waiting, keys), &mut out).expect("takes rows");
            waiting.clear();
        }
        if let Step::Watermark(watermark) = step {
            operator.advance(Timestamp(*watermark), &mut out).expect("advances");
        }
        if n % feed.restart_every == 0 && waiting.is_empty() {
            operator = restarted(&planned, operator.as_ref());
        }
    }
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    assert_eq!(operator.open_rows(), 0);
    (concat_batches(&planned.output, &out.batches).expect("one schema"), out.dropped)
}

type Answer = BTreeMap<(i64, i64, usize), Vec<Option<f64>>>;

/// What the windows hold, straight from the definition.
fn reference(kind: WindowKind, keyed: bool, steps: &[Step]) -> (Answer, BTreeMap<Reason, usize>) {
    let (size, slide, offset) = match kind {
        WindowKind::Tumble { size, offset } => (size.micros(), size.micros(), offset.micros()),
        WindowKind::Hop { size, slide, offset } => (size.micros(), slide.micros(), offset.micros()),
    };
    let mut windows = BTreeMap::<_, Vec<&Reading>>::new();
    let mut dropped = BTreeMap::new();
    let mut watermark = i64::MIN;
    for step in steps {
        let reading = match step {
            Step::Watermark(time) => {
                watermark = watermark.max(*time);
                continue;
            }
            Step::Read(reading) => reading,
        };
        let Some(time) = reading.time else {
            *dropped.entry(Reason::NoTime).or_default() += 1;
            continue;
        };
        let mut start = (time - offset).div_euclid(slide) * slide + offset;
        let (mut belongs, mut joined) = (false, false);
        while start + size > time {
            belongs = true;
            if start + size > watermark {
                joined = true;
                windows.entry((start, start + size, if keyed { reading.key } else { 0 })).or_default().push(reading);
            }
            start -= slide;
        }
        if !joined {
            *dropped.entry(if belongs { Reason::Late } else { Reason::Filtered }).or_default() += 1;
        }
    }
    (windows.into_iter().map(|(window, readings)| (window, answers(readings))).collect(), dropped)
}

fn answers(mut readings: Vec<&Reading>) -> Vec<Option<f64>> {
    let rows = readings.len() as f64;
    readings.sort_by_key(|reading| reading.time);
    let values = readings.iter().filter_map(|r| r.value).map(|v| f64::from(v) / 4.0).collect::<Vec<_>>();
    let mut sorted = values.clone();
    sorted.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let some = |value: f64| (!values.is_empty()).then_some(value);
    let (sum, avg) = (values.iter().sum::<f64>(), values.iter().sum::<f64>() / n);
    let squares = values.iter().map(|v| (v - avg).powi(2)).sum::<f64>();
    let percentile = |fraction: f64| {
        let rank = (n - 1.0) * fraction;
        let (low, high) = (*sorted.get(rank as usize)?, sorted.get(rank as usize + 1));
        Some(low + rank.fract() * (high.copied().unwrap_or(low) - low))
    };
    let sample = (n > 1.0).then(|| (squares / (n - 1.0)).sqrt());
    let mut all = vec![Some(rows), Some(n), some(sum), some(avg), sorted.first().copied(), sorted.last().copied()];
    all.extend([sample, some((squares / n).sqrt()), values.first().copied(), values.last().copied()]);
    all.extend([percentile(0.5), percentile(0.95)]);
    let mut different = sorted.clone();
    different.dedup();
    // Of equally frequent values the last maximum is taken, so the least one has to be last.
    let mode = different.iter().rev().max_by_key(|value| values.iter().filter(|v| v == value).count()).copied();
    let range = sorted.first().zip(sorted.last()).map(|(low, high)| high - low);
    all.extend([sample.map(|s| s * s), some(squares / n), range, Some(different.len() as f64), mode]);
    let points = readings.iter().filter_map(|r| Some((r.time?, f64::from(r.value?) / 4.0)));
    all.extend(over_time::answers(&points.collect::<Vec<_>>()));
    all
}

fn answers_of(batch: &RecordBatch, keys: usize) -> Answer {
    let time = |column: usize, row: usize| batch.column(column).as_primitive::<TimestampMicrosecondType>().value(row);
    let mut all = Answer::new();
    for row in 0..batch.num_rows() {
        let cells = batch.columns()[2 + keys..].iter().map(|column| {
            let column = cast(column, &DataType::Float64).expect("a number");
            column.is_valid(row).then(|| column.as_primitive::<Float64Type>().value(row))
        });
        let key = batch.columns()[2..2 + keys].iter().map(|column| {
            let column = cast(&cast(column, &DataType::Utf8).expect("text"), &DataType::Int64).expect("a number");
            if column.is_null(row) { 0 } else { (column.as_primitive::<Int64Type>().value(row) + 50_000) / 40_000 }
        });
        let key = key.max().unwrap_or(0) as usize;
        let doubled = all.insert((time(0, row), time(1, row), key), cells.collect());
        assert_eq!(doubled, None, "a window was put out twice");
    }
    let ends = batch.column(1).as_primitive::<TimestampMicrosecondType>().values();
    assert!(ends.is_sorted(), "windows were put out in another order than their ends");
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_input_gives_what_the_definition_says(
        size in 1..30i64,
        slide in 1..30i64,
        offset in -10..10i64,
        tumbling in any::<bool>(),
        keys in 0..5usize,
        steps in steps(),
        batch in 1..60usize,
        restart_every in 1..50usize,
    ) {
        let (size, slide, offset) = (Span(size), Span(slide), Span(offset));
        let kind = if tumbling { WindowKind::Tumble { size, offset } } else { WindowKind::Hop { size, slide, offset } };
        let types = &key_schemas()[keys];
        let (straight, dropped) = run(kind, types, &steps, &Feed { batch: 1, restart_every: usize::MAX });
        let (expected, expected_dropped) = reference(kind, keys > 0, &steps);
        prop_assert_eq!(&dropped, &expected_dropped);
        let found = answers_of(&straight, types.len());
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (window, expected) in &expected {
            for (n, (found, expected)) in found[window].iter().zip(expected).enumerate() {
                let equal = match (found, expected) {
                    (Some(found), Some(expected)) => (found - expected).abs() < 1e-9 * expected.abs().max(1.0),
                    (found, expected) => found == expected,
                };
                prop_assert!(equal, "{window:?}: aggregate {n} is {found:?}, not {expected:?}");
            }
        }
        // To the last bit, and in the same order.
        let (fed, fed_dropped) = run(kind, types, &steps, &Feed { batch, restart_every });
        prop_assert_eq!(fed_dropped, dropped);
        prop_assert_eq!(lines(&fed), lines(&straight));
    }
}
