//! Aggregates that follow a signal through time, beside what a naive reader of the whole window would say.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StructArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Schema, SchemaRef};
use expect_test::expect;
use lineside_model::schema::time_field;
use lineside_model::{Span, Timestamp};
use lineside_operators::aggregate::AggregateFunction::{
    self, CounterIncrease, Delta, Ewma, Integral, Paired, RateOfChange, Slope, TimeWeightedAvg,
};
use lineside_operators::aggregate::Interpolation::{Hold, Linear};
use lineside_operators::aggregate::{PairStatistic, Smoothing};
use lineside_operators::window::{AggregateSpec, MAX_GROUPS, WindowKind, WindowSpec, plan};
use proptest::prelude::*;

use crate::{Kept, by_sensor, check, hop, restarted, tumble};

/// A half-life that small numbers of microseconds feel.
pub(crate) const HALF_LIFE: Span = Span(7);

/// All that follow a signal.
pub(crate) fn functions() -> Vec<AggregateFunction> {
    let mut all = vec![Delta, RateOfChange, Slope, CounterIncrease];
    all.extend([Integral(Hold), Integral(Linear), TimeWeightedAvg(Hold), TimeWeightedAvg(Linear)]);
    all.extend([Ewma(Smoothing::Alpha(0.25)), Ewma(Smoothing::HalfLife(HALF_LIFE))]);
    all
}

/// What they are for readings `(microseconds, value)` in the order of time, in the order of [`functions`].
pub(crate) fn answers(readings: &[(i64, f64)]) -> Vec<Option<f64>> {
    let (Some(first), Some(last)) = (readings.first(), readings.last()) else { return vec![None; functions().len()] };
    let seconds = (last.0 - first.0) as f64 / 1e6;
    let steps = || readings.windows(2).map(|two| (two[0], two[1], (two[1].0 - two[0].0) as f64 / 1e6));
    let n = readings.len() as f64;
    let times = || readings.iter().map(|reading| (reading.0 - first.0) as f64 / 1e6);
    let (mean_t, mean_v) = (times().sum::<f64>() / n, readings.iter().map(|r| r.1).sum::<f64>() / n);
    let tt = times().map(|t| (t - mean_t).powi(2)).sum::<f64>();
    let tv = times().zip(readings).map(|(t, r)| (t - mean_t) * (r.1 - mean_v)).sum::<f64>();
    let counted = steps().map(|(from, to, _)| if to.1 < from.1 { to.1 } else { to.1 - from.1 }).sum::<f64>();
    let hold = steps().map(|(from, _, dt)| from.1 * dt).sum::<f64>();
    let linear = steps().map(|(from, to, dt)| (from.1 + to.1) / 2.0 * dt).sum::<f64>();
    let weighted = |area: f64| if seconds > 0.0 { area / seconds } else { last.1 };
    let ewma = |keep: &dyn Fn(f64) -> f64| steps().fold(first.1, |y, (_, to, dt)| y + (1.0 - keep(dt)) * (to.1 - y));
    let half_life = HALF_LIFE.micros() as f64 / 1e6;
    vec![
        Some(last.1 - first.1),
        (seconds > 0.0).then(|| (last.1 - first.1) / seconds),
        (seconds > 0.0).then(|| tv / tt),
        Some(counted),
        Some(hold),
        Some(linear),
        Some(weighted(hold)),
        Some(weighted(linear)),
        Some(ewma(&|_| 0.75)),
        Some(ewma(&|dt| 0.5_f64.powf(dt / half_life))),
    ]
}

#[test]
fn a_signal_counts_for_as_long_as_it_was_there() {
    let functions = [TimeWeightedAvg(Hold), TimeWeightedAvg(Linear), Integral(Hold), Integral(Linear)];
    check(
        by_sensor(tumble(60), &functions),
        "0 a 10
         9 a 20
         10 a 20
         70 a 5
         71 b 1
         71 b 3
         end",
        expect![[r#"
            end:
              [0, 60) a 3 11.0 15.5 110.0 155.0
              [60, 120) a 1 5.0 5.0 0.0 0.0
              [60, 120) b 2 3.0 3.0 0.0 0.0
            open 0
        "#]],
    );
}

#[test]
fn readings_out_of_order_are_followed_in_the_order_of_time() {
    let functions = [Integral(Hold), CounterIncrease, Delta, RateOfChange, Slope, Ewma(Smoothing::Alpha(0.5))];
    let inorder = "0 a 100\n1 a 130\n2 a 5\n4 a 25\n5 a -\nend";
    let shuffled = "4 a 25\n1 a 130\nrestart\n0 a 100\n5 a -\n2 a 5\nend";
    for script in [inorder, shuffled] {
        check(
            by_sensor(tumble(10), &functions),
            script,
            expect![[r#"
                end:
                  [0, 10) a 5 240.0 55.0 -75.0 -18.75 -24.571428571428573 42.5
                open 0
            "#]],
        );
    }
}

#[test]
fn a_reading_late_for_one_window_still_parts_the_way_of_the_next() {
    check(
        by_sensor(hop(20, 10), &[Integral(Hold), CounterIncrease]),
        "1 a 1
         11 a 2
         19 a 3
         21 a 4
         watermark 20
         12 a 10
         watermark 30
         end",
        expect![[r#"
            watermark 20:
              [-10, 10) a 1 0.0 0.0
              [0, 20) a 3 26.0 2.0
            watermark 30:
              [10, 30) a 4 78.0 12.0
            end:
              [20, 40) a 1 0.0 0.0
            open 0
        "#]],
    );
}

/// Readings at half past the second age of the clock, on a large offset: what is left of the digits is exact to 1e-9.
fn readings() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let reading = (0..120_000_000i64, -1e3..1e3f64);
    prop::collection::vec(reading, 1..60).prop_map(|readings| {
        readings.into_iter().map(|(time, value)| (1_800_000_000_500_000 + time, 1e4 + value)).collect()
    })
}

fn schema() -> SchemaRef {
    let both = Fields::from(["y", "x"].map(|name| Field::new(name, DataType::Float64, true)).to_vec());
    Arc::new(Schema::new(vec![
        time_field("ts", false),
        Field::new("value", DataType::Float64, true),
        Field::new("pair", DataType::Struct(both), true),
    ]))
}

/// Each reading with the pair of its value and the seconds of its time.
fn batch(readings: &[(i64, f64)]) -> RecordBatch {
    let DataType::Struct(both) = schema().field(2).data_type().clone() else { unreachable!("it is a structure") };
    let values: ArrayRef = Arc::new(readings.iter().map(|r| Some(r.1)).collect::<Float64Array>());
    let times: ArrayRef = Arc::new(readings.iter().map(|r| Some(r.0 as f64 / 1e6)).collect::<Float64Array>());
    let pair = StructArray::new(both, vec![Arc::clone(&values), times], None);
    let ts = TimestampMicrosecondArray::from_iter_values(readings.iter().map(|r| r.0)).with_timezone("UTC");
    RecordBatch::try_new(schema(), vec![Arc::new(ts), values, Arc::new(pair)]).expect("fits")
}

fn run(
    kind: &WindowKind,
    specs: &[(AggregateFunction, usize)],
    readings: &[(i64, f64)],
    piece: usize,
) -> Vec<Vec<Option<f64>>> {
    let aggregates = specs.iter().enumerate().map(|(n, (function, column))| AggregateSpec {
        function: function.clone(),
        column: Some(*column),
        name: format!("a{n}"),
    });
    let kind = kind.clone();
    let spec = WindowSpec {
        kind,
        time: 0,
        time_delay: Span::ZERO,
        keys: vec![],
        aggregates: aggregates.collect(),
        max_groups: MAX_GROUPS,
    };
    let planned = plan(spec, &schema()).expect("the plan is sound");
    let (mut operator, mut out) = ((planned.build)(), Kept::default());
    for readings in readings.chunks(piece) {
        operator.process(0, batch(readings), &mut out).expect("takes rows");
        operator = restarted(&planned, operator.as_ref());
    }
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    let row = |batch: &RecordBatch, row: usize| {
        let cell = |column: &ArrayRef| {
            let column = arrow::compute::cast(column, &DataType::Float64).expect("a number");
            column.is_valid(row).then(|| column.as_primitive::<Float64Type>().value(row))
        };
        batch.columns()[2..].iter().map(cell).collect::<Vec<_>>()
    };
    out.batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|n| row(batch, n)).collect::<Vec<_>>()).collect()
}

fn windows(kind: &WindowKind, readings: &[(i64, f64)]) -> Vec<Vec<(i64, f64)>> {
    let (size, slide) = match kind {
        WindowKind::Tumble { size, .. } => (size.micros(), size.micros()),
        WindowKind::Hop { size, slide, .. } => (size.micros(), slide.micros()),
        other => unreachable!("{other} are not asked for"),
    };
    let mut sorted = readings.to_vec();
    sorted.sort_by_key(|reading| reading.0);
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let starts = ((first.0 - size).div_euclid(slide)..=last.0.div_euclid(slide)).map(|n| n * slide);
    let window =
        |start: i64| sorted.iter().copied().filter(|r| (start..start + size).contains(&r.0)).collect::<Vec<_>>();
    starts.map(window).filter(|window| !window.is_empty()).collect()
}

fn agrees(found: &[Option<f64>], expected: &[Option<f64>]) -> Result<(), TestCaseError> {
    for (n, (found, expected)) in found.iter().zip(expected).enumerate() {
        let equal = match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
            (found, expected) => found == expected,
        };
        prop_assert!(equal, "aggregate {} is {:?}, not {:?}", n, found, expected);
    }
    Ok(())
}

/// Statistics of pairs from sums in two passes, in the order of [`PairStatistic::ALL`].
fn pair_answers(readings: &[(i64, f64)]) -> Vec<Option<f64>> {
    // The seconds are counted from the first reading, which changes no distance; the mean gets it back.
    let from = readings[0].0;
    let pairs = readings.iter().map(|r| ((r.0 - from) as f64 / 1e6, r.1)).collect::<Vec<_>>();
    let n = pairs.len() as f64;
    let (x, y) = (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
    let sum = |of: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|p| of(p.0 - x, p.1 - y)).sum::<f64>();
    let (xx, yy, xy) = (sum(&|x, _| x * x), sum(&|_, y| y * y), sum(&|x, y| x * y));
    let (two, differ) = (n > 1.0, n > 1.0 && xx > 0.0);
    let both = differ && yy > 0.0;
    let mean_x = x + from as f64 / 1e6;
    vec![
        both.then(|| xy / (xx * yy).sqrt()),
        two.then(|| xy / (n - 1.0)),
        Some(xy / n),
        differ.then(|| xy / xx),
        differ.then(|| y - xy / xx * mean_x),
        Some(n),
        both.then(|| xy * xy / (xx * yy)),
        Some(mean_x),
        Some(y),
        Some(xx),
        Some(yy),
        Some(xy),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_any_order_they_are_what_a_reader_of_the_whole_window_says(
        readings in readings(),
        kind in prop::sample::select(vec![tumble(30), hop(60, 10), hop(17, 5)]),
        piece in 1..20usize,
    ) {
        let specs = functions().into_iter().map(|function| (function, 1)).collect::<Vec<_>>();
        let found = run(&kind, &specs, &readings, piece);
        let expected = windows(&kind, &readings);
        prop_assert_eq!(found.len(), expected.len());
        for (found, window) in found.iter().zip(&expected) {
            agrees(found, &answers(window))?;
        }
    }

    #[test]
    fn pairs_keep_their_digits_on_large_offsets(
        readings in readings(),
        kind in prop::sample::select(vec![tumble(30), hop(60, 10)]),
        piece in 1..20usize,
    ) {
        // Seconds since 1970 leave 2e-7 s of a double; the clock of a shift is what a plant would correlate with.
        let readings = readings.iter().map(|r| (r.0 - 1_799_999_000_000_000, r.1)).collect::<Vec<_>>();
        let specs = PairStatistic::ALL.map(|statistic| (Paired(statistic), 2));
        let found = run(&kind, &specs, &readings, piece);
        let expected = windows(&kind, &readings);
        prop_assert_eq!(found.len(), expected.len());
        for (found, window) in found.iter().zip(&expected) {
            // The product of the slope and a mean a million seconds away is as inexact as that mean.
            let skip = |n: &usize| PairStatistic::ALL[*n] != PairStatistic::RegrIntercept;
            let kept = |values: &[Option<f64>]| {
                (0..values.len()).filter(skip).map(|n| values[n]).collect::<Vec<_>>()
            };
            agrees(&kept(found), &kept(&pair_answers(window)))?;
        }
    }
}
