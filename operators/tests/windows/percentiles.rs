//! Exact percentiles of windows that overlap are those of the values in each window, to the last bit: whatever the values, however
//! windows follow one another, whatever comes late, and wherever the operator is restarted. Approximate ones are so of few values.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use lineside_model::{Span, Timestamp};
use lineside_operators::aggregate::AggregateFunction::Percentile;
use lineside_operators::window::{
    AggregateSpec, Early, Emission, WindowKind, WindowQuery, WindowSpec, plan, plan_emitting, together,
};
use lineside_operators::{Operator, PlannedOperator};
use proptest::prelude::*;

use crate::{Kept, VALUE, by_sensor, readings};

/// How the values of a sensor go on.
#[derive(Clone, Copy, Debug)]
enum Signal {
    /// Around a level.
    Noise,
    /// Of a few different values.
    Coarse,
    /// Always up.
    Rising,
    /// From level to level, and the same in between.
    Stepping,
    /// Noise with numbers that are none, infinite, zero of both signs or missing.
    Odd,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    time: i64,
    sensor: usize,
    value: Option<f64>,
}

#[derive(Clone, Debug)]
enum Step {
    Read(Reading),
    Watermark(i64),
}

/// An input: `rows` readings, `each` of them at about the same time, some late.
#[derive(Clone, Debug)]
struct Input {
    seed: u64,
    signal: Signal,
    rows: i64,
    each: i64,
    disorder: i64,
    late: u64,
}

impl Input {
    fn steps(&self) -> Vec<Step> {
        let mut state = self.seed | 1;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let (mut steps, mut watermark) = (Vec::new(), i64::MIN);
        for row in 0..self.rows {
            let noise = random(1_000) as f64 / 8.0;
            let odd = [Some(f64::NAN), Some(-f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY), None];
            let value = match self.signal {
                Signal::Noise => Some(noise),
                Signal::Coarse => Some((noise / 30.0).floor()),
                Signal::Rising => Some(row as f64 / 3.0),
                Signal::Stepping => Some((row / 100) as f64 * noise.signum()),
                Signal::Odd => match random(12) {
                    kind @ 0..5 => odd[kind as usize],
                    5 => Some(0.0),
                    6 => Some(-0.0),
                    _ => Some(noise - 50.0),
                },
            };
            // Now and then a sensor is silent for long.
            let sensor = if row / 200 % 3 == 0 { 0 } else { random(3) as usize };
            let late = if random(1_000) < self.late { random(300) as i64 } else { 0 };
            let time = row / self.each - random(self.disorder as u64 + 1) as i64 - late;
            steps.push(Step::Read(Reading { time, sensor, value }));
            if random(4) == 0 {
                watermark = watermark.max(row / self.each - self.disorder);
                steps.push(Step::Watermark(watermark));
            }
        }
        steps
    }
}

fn input() -> impl Strategy<Value = Input> {
    use Signal::{Coarse, Noise, Odd, Rising, Stepping};
    let signal = prop::sample::select(vec![Noise, Coarse, Rising, Stepping, Odd]);
    let late = prop_oneof![3 => Just(0), 1 => 1..100u64];
    (any::<u64>(), signal, 1..1_200i64, 1..6i64, 0..20i64, late)
        .prop_map(|(seed, signal, rows, each, disorder, late)| Input { seed, signal, rows, each, disorder, late })
}

fn batch(rows: &[Reading]) -> RecordBatch {
    let times = rows.iter().map(|row| row.time).collect::<Vec<_>>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
        Arc::new(rows.iter().map(|row| Some(row.sensor.to_string())).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.value).collect::<Float64Array>()),
    ];
    RecordBatch::try_new(readings(), columns).expect("fits")
}

/// Windows and the fractions asked for.
type Query = (WindowKind, Vec<f64>);

fn query() -> impl Strategy<Value = Query> {
    let fraction = prop_oneof![Just(0.0), Just(0.5), Just(0.95), Just(1.0), 0.0..=1.0f64];
    let kind = (0..8u8, 1..400i64, 1..60i64).prop_map(|(kind, size, slide)| {
        let (size, slide, offset) = (Span(size), Span(slide), Span(3));
        match kind {
            0 => WindowKind::Tumble { size, offset },
            1 => WindowKind::Cumulate { size: Span(slide.micros() * (size.micros() / 20 + 1)), step: slide, offset },
            2..5 => WindowKind::Hop { size, slide: Span(1 + slide.micros() / 20), offset },
            _ => WindowKind::Hop { size, slide, offset },
        }
    });
    (kind, prop::collection::vec(fraction, 1..4))
}

fn spec((kind, fractions): &Query) -> WindowSpec {
    let mut spec = by_sensor(kind.clone(), &[]);
    spec.aggregates.extend(fractions.iter().enumerate().map(|(n, fraction)| AggregateSpec {
        function: Percentile { fraction: *fraction, exact: true },
        column: Some(VALUE),
        name: format!("p{n}"),
    }));
    spec
}

fn windows_of(kind: &WindowKind, time: i64) -> Vec<(i64, i64)> {
    let (size, slide, offset) = match kind {
        WindowKind::Tumble { size, offset } => (size.micros(), size.micros(), offset.micros()),
        WindowKind::Hop { size, slide, offset } => (size.micros(), slide.micros(), offset.micros()),
        WindowKind::Cumulate { size, step, offset } => {
            let start = (time - offset.micros()).div_euclid(size.micros()) * size.micros() + offset.micros();
            let ends = (1..=size.micros() / step.micros()).map(|steps| start + steps * step.micros());
            return ends.filter(|end| *end > time).map(|end| (start, end)).collect();
        }
        WindowKind::Calendar(_) => unreachable!("none is made here"),
    };
    let last = (time - offset).div_euclid(slide) * slide + offset;
    let starts = (0..).map(|back| last - back * slide);
    starts.map(|start| (start, start + size)).take_while(|(_, end)| *end > time).collect()
}

/// For each window and sensor how many rows it has, and the percentiles as bits.
type Answer = BTreeMap<(i64, i64, usize), (i64, Vec<Option<u64>>)>;

fn bits(value: f64) -> u64 {
    if value.is_nan() { u64::MAX } else { value.to_bits() }
}

/// By the definition: windows take rows until the watermark has been at their end for the `lateness`.
fn reference((kind, fractions): &Query, steps: &[Step], lateness: i64) -> Answer {
    let (mut windows, mut watermark) = (BTreeMap::<_, (i64, Vec<f64>)>::new(), i64::MIN);
    for step in steps {
        match step {
            Step::Watermark(time) => watermark = *time,
            Step::Read(row) => {
                for (start, end) in windows_of(kind, row.time) {
                    if end > watermark.saturating_sub(lateness) {
                        let (rows, values) = windows.entry((start, end, row.sensor)).or_default();
                        *rows += 1;
                        values.extend(row.value);
                    }
                }
            }
        }
    }
    let percentiles = |(window, (rows, mut values)): (_, (i64, Vec<f64>))| {
        values.sort_by(|one, other| one.is_nan().cmp(&other.is_nan()).then(one.total_cmp(other)));
        let percentile = |fraction: &f64| {
            let rank = values.len().checked_sub(1)? as f64 * fraction;
            let (low, part) = (values[rank as usize], rank.fract());
            let high = values.get(rank as usize + 1).copied().unwrap_or(low);
            Some(bits(if part <= 0.0 || low == high { low } else { low + part * (high - low) }))
        };
        (window, (rows, fractions.iter().map(percentile).collect()))
    };
    windows.into_iter().map(percentiles).collect()
}

/// The last row of each window and sensor.
fn answers(planned: &PlannedOperator, kept: &Kept) -> Answer {
    let rows = concat_batches(&planned.output, &kept.batches).expect("one schema");
    let time = |column: usize, row: usize| rows.column(column).as_primitive::<TimestampMicrosecondType>().value(row);
    let sensor = |row: usize| rows.column(2).as_string::<i32>().value(row).parse::<usize>().expect("a number");
    let percentiles = |row: usize| {
        let columns = rows.columns()[4..].iter().map(|column| column.as_primitive::<Float64Type>());
        columns.map(|column| column.is_valid(row).then(|| bits(column.value(row)))).collect()
    };
    let answer = |row: usize| {
        let count = rows.column(3).as_primitive::<Int64Type>().value(row);
        ((time(0, row), time(1, row), sensor(row)), (count, percentiles(row)))
    };
    (0..rows.num_rows()).map(answer).collect()
}

/// Feeds an operator, in batches of at most so many rows, restarting it now and then.
fn feed(build: &dyn Fn() -> Box<dyn Operator>, steps: &[Step], rows_max: usize, restart_every: usize) -> Kept {
    let (mut operator, mut out, mut waiting) = (build(), Kept::default(), Vec::new());
    for (n, step) in steps.iter().enumerate() {
        if let Step::Read(reading) = step {
            waiting.push(*reading);
        }
        if waiting.len() >= rows_max || !matches!(steps.get(n + 1), Some(Step::Read(_))) {
            operator.process(0, batch(&waiting), &mut out).expect("takes rows");
            waiting.clear();
        }
        if let Step::Watermark(watermark) = step {
            operator.advance(Timestamp(*watermark), &mut out).expect("advances");
            operator.tick(Timestamp(*watermark), &mut out).expect("ticks");
        }
        if n % restart_every == restart_every - 1 && waiting.is_empty() {
            let snapshot = operator.snapshot().expect("saves");
            operator = build();
            operator.restore(&snapshot).expect("restores");
        }
    }
    operator.advance(Timestamp::MAX, &mut out).expect("ends");
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn percentiles_of_overlapping_windows_are_those_of_their_values(
        input in input(),
        queries in prop::collection::vec(query(), 1..3),
        rows_max in 1..60usize,
        restart_every in prop_oneof![Just(usize::MAX), 50..500usize],
    ) {
        let steps = input.steps();
        let planned = queries.iter().map(|query| plan(spec(query), &readings()).expect("sound")).collect::<Vec<_>>();
        let windows = planned.iter().map(|planned| planned.windows.as_deref().expect("it has windows"));
        let build = together(&windows.collect::<Vec<&WindowQuery>>()).expect("they read the same");
        let mut out = feed(&|| build(), &steps, rows_max, restart_every);
        for (n, (query, planned)) in queries.iter().zip(&planned).enumerate() {
            prop_assert_eq!(answers(planned, out.output(n)), reference(query, &steps, 0));
        }
    }

    #[test]
    fn percentiles_that_come_early_or_corrected_end_as_those_of_all_values(
        input in input(),
        query in query(),
        lateness in 0..60i64,
        early in prop_oneof![Just(Early::Never), Just(Early::Changes), Just(Early::Every(Span(40)))],
        rows_max in 1..60usize,
        restart_every in prop_oneof![Just(usize::MAX), 50..500usize],
    ) {
        // Early rows cost as much as there are open windows.
        let input = Input { rows: input.rows / 4, ..input };
        let steps = input.steps();
        let emission = Emission { allowed_lateness: Span(lateness), early };
        let planned = plan_emitting(spec(&query), &readings(), emission).expect("sound");
        let out = feed(&|| (planned.build)(), &steps, rows_max, restart_every);
        prop_assert_eq!(answers(&planned, &out), reference(&query, &steps, lateness));
    }

    #[test]
    fn approximate_ones_are_the_same_however_rows_are_cut_and_exact_of_few(
        input in input(),
        query in query(),
        rows_max in 1..60usize,
        restart_every in 50..500usize,
    ) {
        let steps = input.steps();
        let mut approximate = spec(&query);
        for aggregate in &mut approximate.aggregates {
            if let Percentile { exact, .. } = &mut aggregate.function {
                *exact = false;
            }
        }
        let planned = plan(approximate, &readings()).expect("sound");
        let whole = answers(&planned, &feed(&|| (planned.build)(), &steps, usize::MAX, usize::MAX));
        prop_assert_eq!(&whole, &answers(&planned, &feed(&|| (planned.build)(), &steps, rows_max, restart_every)));
        // What is no number is left out of them.
        if !matches!(input.signal, Signal::Odd) {
            for (window, exact) in reference(&query, &steps, 0).iter().filter(|(_, (rows, _))| *rows <= 200) {
                prop_assert_eq!(whole.get(window), Some(exact));
            }
        }
    }
}
