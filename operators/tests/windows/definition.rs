//! Any input gives what the definition of windows says, however it is cut into batches and wherever it is restarted.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, TimestampMicrosecondType};
use lineside_model::schema::time_field;
use lineside_model::{Reason, Span, Timestamp};
use lineside_operators::PlannedOperator;
use lineside_operators::aggregate::AggregateFunction::{
    self, Avg, Count, CountDistinct, FirstValue, LastValue, Max, Min, Mode, Percentile, StddevPopulation, StddevSample,
    Sum, ValueRange, VariancePopulation, VarianceSample,
};
use lineside_operators::window::{MAX_GROUPS, WindowKind, WindowQuery, WindowSpec, plan, together};
use proptest::prelude::*;

use crate::{Kept, aggregates, lines, over_time};

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
    WindowSpec {
        kind,
        time: 0,
        time_delay: Span::ZERO,
        keys: (2..2 + keys).collect(),
        aggregates,
        max_groups: MAX_GROUPS,
    }
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

/// Rows and drops of each of several queries over one input, computed together.
fn run(
    specs: &[WindowSpec],
    keys: &[DataType],
    steps: &[Step],
    feed: &Feed,
) -> Vec<(RecordBatch, BTreeMap<Reason, usize>)> {
    let planned = specs.iter().map(|spec| plan(spec.clone(), &batch(&[], keys).schema()).expect("the plan is sound"));
    let planned = planned.collect::<Vec<_>>();
    let queries = planned
        .iter()
        .map(|planned| planned.windows.as_deref().expect("it has windows"))
        .collect::<Vec<&WindowQuery>>();
    let build = together(&queries).expect("they read the same");
    let (mut operator, mut out) = (build(), Kept::default());
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
            let snapshot = operator.snapshot().expect("saves");
            let mut fresh = build();
            fresh.restore(&snapshot).expect("restores");
            (0..specs.len()).for_each(|n| assert_eq!(fresh.open_rows_of(n), operator.open_rows_of(n)));
            operator = fresh;
        }
    }
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    let rows = |(n, planned): (usize, &PlannedOperator)| {
        assert_eq!(operator.open_rows_of(n), 0);
        let kept = out.output(n);
        let batches = std::mem::take(&mut kept.batches);
        (concat_batches(&planned.output, &batches).expect("one schema"), std::mem::take(&mut kept.dropped))
    };
    planned.iter().enumerate().map(rows).collect()
}

type Answer = BTreeMap<(i64, i64, usize), Vec<Option<f64>>>;

/// The windows that a time belongs to, by definition.
fn windows_of(kind: &WindowKind, time: i64) -> Vec<(i64, i64)> {
    let (size, slide, offset) = match kind {
        WindowKind::Tumble { size, offset } => (size.micros(), size.micros(), offset.micros()),
        WindowKind::Hop { size, slide, offset } => (size.micros(), slide.micros(), offset.micros()),
        WindowKind::Cumulate { size, step, offset } => {
            let start = (time - offset.micros()).div_euclid(size.micros()) * size.micros() + offset.micros();
            let ends = (1..=size.micros() / step.micros()).map(|steps| start + steps * step.micros());
            return ends.filter(|end| *end > time).map(|end| (start, end)).collect();
        }
        WindowKind::Calendar(calendar) => unreachable!("{calendar} has tests of its own"),
    };
    let last = (time - offset).div_euclid(slide) * slide + offset;
    let starts = (0..).map(|back| last - back * slide);
    starts.map(|start| (start, start + size)).take_while(|(_, end)| *end > time).collect()
}

/// What the windows hold, straight from the definition.
fn reference(kind: &WindowKind, keyed: bool, steps: &[Step]) -> (Answer, BTreeMap<Reason, usize>) {
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
        let (mut belongs, mut joined) = (false, false);
        for (start, end) in windows_of(kind, time) {
            belongs = true;
            if end > watermark {
                joined = true;
                windows.entry((start, end, if keyed { reading.key } else { 0 })).or_default().push(reading);
            }
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

fn kind() -> impl Strategy<Value = WindowKind> {
    (0..4u8, 1..30i64, 1..30i64, -10..10i64).prop_map(|(which, size, other, offset)| {
        let (size, slide, offset) = (Span(size), Span(other), Span(offset));
        match which {
            0 => WindowKind::Tumble { size, offset },
            1 => WindowKind::Cumulate { size: Span(size.micros() * (other % 6 + 1)), step: size, offset },
            _ => WindowKind::Hop { size, slide, offset },
        }
    })
}

/// Compares what came out with the definition. `picked` are the aggregates that were asked for.
fn agrees(
    (rows, dropped): &(RecordBatch, BTreeMap<Reason, usize>),
    kind: &WindowKind,
    keys: usize,
    picked: &[usize],
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let (expected, expected_dropped) = reference(kind, keys > 0, steps);
    prop_assert_eq!(dropped, &expected_dropped);
    let found = answers_of(rows, keys);
    prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (window, expected) in &expected {
        for (n, found) in picked.iter().zip(&found[window]) {
            let equal = match (found, &expected[*n]) {
                (Some(found), Some(expected)) => (found - expected).abs() < 1e-9 * expected.abs().max(1.0),
                (found, expected) => found == expected,
            };
            prop_assert!(equal, "{window:?}: aggregate {n} is {found:?}, not {:?}", expected[*n]);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_input_gives_what_the_definition_says(
        kind in kind(),
        keys in 0..5usize,
        steps in steps(),
        batch in 1..60usize,
        restart_every in 1..50usize,
    ) {
        let types = &key_schemas()[keys];
        let spec = spec(kind.clone(), types.len());
        let all = (0..spec.aggregates.len()).collect::<Vec<_>>();
        let straight = run(std::slice::from_ref(&spec), types, &steps, &Feed { batch: 1, restart_every: usize::MAX });
        agrees(&straight[0], &kind, types.len(), &all, &steps)?;
        // To the last bit, and in the same order.
        let fed = run(std::slice::from_ref(&spec), types, &steps, &Feed { batch, restart_every });
        prop_assert_eq!(&fed[0].1, &straight[0].1);
        prop_assert_eq!(lines(&fed[0].0), lines(&straight[0].0));
    }

    /// Each query gives what it would give alone, and its books are those it would have alone.
    #[test]
    fn queries_that_share_slices_give_what_the_definition_says(
        queries in prop::collection::vec((kind(), any::<u64>()), 2..5),
        keys in 0..5usize,
        steps in steps(),
        batch in 1..60usize,
        restart_every in 1..50usize,
    ) {
        let types = &key_schemas()[keys];
        // Each asks for some of the aggregates.
        let every = every_function().len() + 1;
        let picked = |mask: u64| (0..every).filter(|n| mask >> n & 1 == 1).collect::<Vec<usize>>();
        let spec = |(kind, mask): &(WindowKind, u64)| {
            let all = spec(kind.clone(), types.len());
            let aggregates = picked(*mask).into_iter().map(|n| all.aggregates[n].clone()).collect();
            WindowSpec { aggregates, ..all }
        };
        let specs = queries.iter().map(spec).collect::<Vec<_>>();
        let straight = run(&specs, types, &steps, &Feed { batch: 1, restart_every: usize::MAX });
        for ((kind, mask), rows) in queries.iter().zip(&straight) {
            agrees(rows, kind, types.len(), &picked(*mask), &steps)?;
        }
        let fed = run(&specs, types, &steps, &Feed { batch, restart_every });
        for (fed, straight) in fed.iter().zip(&straight) {
            prop_assert_eq!(&fed.1, &straight.1);
            prop_assert_eq!(lines(&fed.0), lines(&straight.0));
        }
    }
}
