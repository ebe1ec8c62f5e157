//! `OVER`: what becomes of rows in and out of order, and that every column is what its definition says.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use expect_test::expect;
use lineside_model::{Quality, Reason, Result, Span, Timestamp, schema};
use lineside_operators::aggregate::AggregateFunction::{
    self, Avg, Count, FirstValue, LastValue, Max, Min, StddevPopulation, StddevSample, Sum,
};
use lineside_operators::over::{Frame, OverColumn, OverFunction, OverSpec, RowNumber, plan};
use lineside_operators::signal::control_chart::RuleBroken;
use lineside_operators::signal::control_rules::RuleSet;
use lineside_operators::signal::cusum::CusumSide;
use lineside_operators::signal::{Deadband, Ewma, Hysteresis, Rate};
use lineside_operators::{Emitter, PlannedOperator};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::kit::{Row, Seen, batch, restarted, script};

const TS: usize = 0;
const SENSOR: usize = 1;
const VALUE: usize = 2;

/// The aggregates over the values of one frame, and how many rows there are.
fn aggregates(frame: Frame, functions: &[AggregateFunction]) -> Vec<OverColumn> {
    let of = |name: &str, function: &AggregateFunction, column: Option<usize>| OverColumn {
        name: name.to_owned(),
        function: OverFunction::aggregate(function, column.map(|_| &DataType::Float64), frame).expect("it slides"),
        arguments: column.into_iter().collect(),
    };
    let rows = of("rows", &Count, None);
    [rows].into_iter().chain(functions.iter().map(|function| of(function.name(), function, Some(VALUE)))).collect()
}

fn series(name: &str, function: OverFunction, arguments: &[usize]) -> OverColumn {
    OverColumn { name: name.to_owned(), function, arguments: arguments.to_vec() }
}

/// Plans columns for each sensor.
pub(crate) fn by_sensor(columns: Vec<OverColumn>) -> PlannedOperator {
    let spec = OverSpec { time: TS, time_delay: Span::ZERO, keys: vec![SENSOR], passed_on: 3, columns };
    plan(spec, &schema::readings()).expect("the plan is sound")
}

/// One operator for each kind of frame, for the laws.
pub(crate) fn subjects() -> Vec<(&'static str, PlannedOperator)> {
    let all = [Count, Sum, Avg, Min, Max, StddevSample, FirstValue, LastValue];
    let lag = OverFunction::lag(&DataType::Float64, 2, true).expect("floats are kept");
    let series = vec![series("number", OverFunction::series(RowNumber), &[]), series("lag", lag, &[VALUE])];
    vec![
        ("over two seconds", by_sensor(aggregates(Frame::Range(Some(Span::from_secs(2))), &all))),
        ("over three rows", by_sensor(aggregates(Frame::Rows(Some(2)), &all))),
        ("over all so far", by_sensor(aggregates(Frame::Range(None), &all))),
        ("over a series", by_sensor(series)),
        ("over a signal", by_sensor(signals())),
    ]
}

/// The functions that follow a signal.
fn signals() -> Vec<OverColumn> {
    let functions = [
        ("on", Hysteresis::new(120.0, 180.0).map(OverFunction::series)),
        ("calm", Deadband::new(20.0).map(OverFunction::series)),
        ("rate", Rate::new(Span::from_secs(1)).map(OverFunction::series)),
        ("mean", Ewma::by_readings(0.3).map(OverFunction::series)),
        ("fading", Ewma::by_time(Span::from_secs(2)).map(OverFunction::series)),
        ("high", CusumSide::new(true, 150.0, 5.0, Some(60.0)).map(OverFunction::series)),
        ("rule", RuleBroken::new(RuleSet::Nelson, 150.0, 20.0).map(OverFunction::series)),
    ];
    functions.map(|(name, function)| series(name, function.expect("the constants are right"), &[VALUE])).into()
}

#[test]
fn a_row_leaves_when_the_watermark_is_behind_it_with_all_of_its_time() {
    let planned = by_sensor(aggregates(Frame::Range(Some(Span::from_secs(10))), &[Sum, Min]));
    expect![[r#"
        ts     | sensor | value | rows | sum   | min
        3s     | oven   | 2.0   | 1    | 2.0   | 2.0
        4s     | oven   | 8.0   | 2    | 10.0  | 2.0
        5s     | oven   | 1.0   | 5    | 91.0  | 1.0
        5s     | oven   | 16.0  | 5    | 91.0  | 1.0
        5s     | door   | 32.0  | 1    | 32.0  | 32.0
        5s     | oven   | 64.0  | 5    | 91.0  | 1.0
        15s    | oven   | -     | 4    | 81.0  | 1.0
        15s1us | oven   | 128.0 | 2    | 128.0 | 128.0
        dropped 1 late
    "#]]
    .assert_eq(&script(
        &planned,
        "
        5s oven 1
        3s oven 2
        watermark 4s
        3s oven 4
        4s oven 8
        5s oven 16
        5s door 32
        watermark 5s
        restart
        5s oven 64
        15s oven -
        15.000001s oven 128
        end
        ",
    ));
    expect![[r#"
        rows in the order of ts, each put out when the watermark has passed it
        rows behind the watermark are dropped and counted as late
        state: the rows that wait for the watermark
        state of rows for each sensor: the values of the last 10s
        state of sum for each sensor: the values of the last 10s
        state of min for each sensor: the values of the last 10s
        keys are forgotten when their frames are empty"#]]
    .assert_eq(&planned.explain.join("\n"));
}

/// Keeps the rows that came too late.
#[derive(Default)]
struct LateRows(usize);

impl Emitter for LateRows {
    fn emit(&mut self, _: RecordBatch) -> Result<()> {
        Ok(())
    }

    fn dropped(&mut self, _: Reason, _: usize) {}

    fn wants_late(&self, _: usize) -> bool {
        true
    }

    fn late(&mut self, _: usize, rows: RecordBatch, time: usize) -> Result<()> {
        assert_eq!((rows.schema(), time), (schema::readings(), TS));
        self.0 += rows.num_rows();
        Ok(())
    }
}

#[test]
fn late_rows_are_handed_on_whole_where_somebody_reads_them() {
    let planned = by_sensor(aggregates(Frame::Rows(Some(1)), &[Sum]));
    assert!(planned.tells_late);
    let mut operator = (planned.build)();
    let mut late = LateRows::default();
    let row = |ts: i64| Row {
        ts: Timestamp(ts),
        sensor: "oven".to_owned(),
        value: None,
        quality: Quality::Good,
        received_at: Timestamp(ts),
    };
    operator.advance(Timestamp(5), &mut late).expect("advances");
    operator.process(0, batch(&[row(4), row(5), row(1)]), &mut late).expect("takes rows");
    assert_eq!(late.0, 2);
}

#[test]
fn where_frames_count_rows_a_row_leaves_as_soon_as_its_time_is_reached() {
    let planned = by_sensor(aggregates(Frame::Rows(Some(1)), &[Sum, Max]));
    expect![[r#"
        ts | sensor | value | rows | sum  | max
        5s | oven   | 1.0   | 1    | 1.0  | 1.0
        5s | oven   | 2.0   | 2    | 3.0  | 2.0
        5s | door   | 4.0   | 1    | 4.0  | 4.0
        6s | oven   | 32.0  | 2    | 34.0 | 32.0
        7s | oven   | 16.0  | 2    | 48.0 | 32.0
        dropped 1 late
    "#]]
    .assert_eq(&script(
        &planned,
        "
        5s oven 1
        watermark 5s
        5s oven 2
        5s door 4
        4s oven 8
        7s oven 16
        restart
        6s oven 32
        watermark 7s
        ",
    ));
    expect![[r#"
        rows in the order of ts, each put out when the watermark has passed it
        rows behind the watermark are dropped and counted as late
        state: the rows that wait for the watermark
        state of rows for each sensor: the values of the last 2 rows
        state of sum for each sensor: the values of the last 2 rows
        state of max for each sensor: the values of the last 2 rows
        at most 1000000 keys, which are never forgotten; rows of others are dropped as too_many_keys"#]]
    .assert_eq(&planned.explain.join("\n"));
}

#[test]
fn a_reading_that_is_not_a_number_leaves_no_trace_behind() {
    let planned = by_sensor(aggregates(Frame::Rows(Some(1)), &[Sum, Avg, Min, Max, StddevPopulation]));
    expect![[r#"
        ts | sensor | value | rows | sum                 | avg                 | min   | max   | stddev_pop
        1s | oven   | 1.0   | 1    | 1.0                 | 1.0                 | 1.0   | 1.0   | 0.0
        2s | oven   | NaN   | 2    | NaN                 | NaN                 | 1.0   | NaN   | NaN
        3s | oven   | inf   | 2    | NaN                 | NaN                 | inf   | NaN   | NaN
        4s | oven   | 1e300 | 2    | inf                 | inf                 | 1e300 | inf   | NaN
        5s | oven   | 0.1   | 2    | 1e300               | 5e299               | 0.1   | 1e300 | inf
        6s | oven   | 0.2   | 2    | 0.30000000000000004 | 0.15000000000000002 | 0.1   | 0.2   | 0.049999999999999996
    "#]]
    .assert_eq(&script(
        &planned,
        "
        1s oven 1
        2s oven NaN
        3s oven inf
        4s oven 1e300
        5s oven 0.1
        6s oven 0.2
        end
        ",
    ));
}

#[test]
fn what_cannot_be_planned_is_told() {
    let told = |problem: lineside_model::Problem| format!("{} ({})", problem.message, problem.hint.unwrap_or_default());
    let frame = Frame::Rows(Some(1));
    let wrong = [
        OverFunction::aggregate(&Sum, Some(&DataType::Utf8), frame),
        OverFunction::aggregate(
            &AggregateFunction::Percentile { fraction: 0.5, exact: true },
            Some(&DataType::Float64),
            frame,
        ),
        OverFunction::aggregate(&Sum, Some(&DataType::Float64), Frame::Rows(Some(1_000_001))),
        OverFunction::lag(&DataType::Binary, 1, false),
        OverFunction::lag(&DataType::Float64, 1_000_001, false),
    ];
    let wrong = wrong.map(|function| told(function.expect_err("it is wrong")) + "\n");
    expect![[r#"
        sum does not work on Utf8 (use a column of numbers, or CAST(… AS DOUBLE))
        percentile_cont does not slide from row to row (use HOP(…) with GROUP BY, or one of: count, sum, avg, min, max, stddev, stddev_pop, var, var_pop, first_value, last_value)
        a frame of 1000001 rows is too long, at most 1000000 are kept (take a shorter frame, or HOP(…) with GROUP BY)
        lag does not work on Binary (use a column of numbers, text, booleans, dates or timestamps, or CAST it to one)
        lag reaches 1000001 rows back, at most 1000000 are kept (join the stream with itself by time, or take fewer rows)
    "#]].assert_eq(&wrong.concat());
}

#[test]
fn keys_are_forgotten_when_their_frames_are_empty() {
    let saved = |frame: Frame, sensors: i64| {
        let planned = by_sensor(aggregates(frame, &[Sum, Min]));
        let mut operator = (planned.build)();
        for n in 0..sensors {
            let ts = Timestamp(n * 1_000_000);
            operator.advance(ts, &mut Seen::default()).expect("time is no error");
            let row = Row { ts, sensor: format!("s{n:06}"), value: Some(1.0), quality: Quality::Good, received_at: ts };
            operator.process(0, batch(&[row]), &mut Seen::default()).expect("rows are no error");
        }
        operator.snapshot().expect("saves").len()
    };
    let frame = Frame::Range(Some(Span::from_secs(10)));
    assert!(saved(frame, 5_000) < 4 * saved(frame, 1_000));
}

#[test]
fn a_damaged_snapshot_is_refused_and_never_panics() {
    let planned = by_sensor(aggregates(Frame::Rows(Some(3)), &[Sum, Min, FirstValue]));
    let mut operator = (planned.build)();
    let row = |n: i64| Row {
        ts: Timestamp(n),
        sensor: "oven".to_owned(),
        value: Some(1.5),
        quality: Quality::Good,
        received_at: Timestamp(n),
    };
    operator.process(0, batch(&(0..9).map(row).collect::<Vec<_>>()), &mut Seen::default()).expect("takes rows");
    operator.advance(Timestamp(5), &mut Seen::default()).expect("advances");
    let snapshot = operator.snapshot().expect("saves");
    let bytes = postcard::to_stdvec(&snapshot).expect("a snapshot serialises");
    for at in bytes.len() - snapshot.len()..bytes.len() {
        for bit in [1, 0x10, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= bit;
            let damaged = postcard::from_bytes(&damaged).expect("still a snapshot");
            let mut operator = (planned.build)();
            // A wrong number here and there cannot be noticed.
            if operator.restore(&damaged).is_ok() {
                operator.process(0, batch(&[row(20)]), &mut Seen::default()).expect("takes rows");
                operator.advance(Timestamp(20_000_000), &mut Seen::default()).expect("advances");
            }
        }
    }
    let other = by_sensor(aggregates(Frame::Rows(Some(3)), &[Avg, Min, FirstValue]));
    let refused = (other.build)().restore(&snapshot).expect_err("another function");
    assert!(refused.to_string().contains("other functions"), "{refused}");
}

/// A row of the reference: time, sensor, value.
type Plain = (i64, u8, Option<f64>);

/// The rows in the frame of each row, by the words of the definition.
fn frame_of(rows: &[Plain], n: usize, frame: Frame) -> Vec<&Plain> {
    let (time, sensor, _) = rows[n];
    let upto = rows[..=n].iter().filter(|row| row.1 == sensor);
    match frame {
        Frame::Rows(None) => upto.collect(),
        Frame::Rows(Some(back)) => {
            let upto = upto.collect::<Vec<_>>();
            upto[upto.len().saturating_sub(back as usize + 1)..].to_vec()
        }
        Frame::Range(back) => {
            let first = back.map_or(i64::MIN, |back| time - back.micros());
            rows.iter().filter(|row| row.1 == sensor && (first..=time).contains(&row.0)).collect()
        }
    }
}

fn expected(rows: &[Plain], n: usize, frame: Frame) -> Vec<Option<f64>> {
    let within = frame_of(rows, n, frame);
    let values = within.iter().filter_map(|row| row.2).collect::<Vec<_>>();
    let count = values.len() as f64;
    let some = |value: f64| (!values.is_empty()).then_some(value);
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    vec![
        Some(within.len() as f64),
        Some(count),
        some(values.iter().sum()),
        some(mean),
        some(values.iter().copied().fold(f64::INFINITY, f64::min)),
        some(values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        (count > 1.0).then(|| (squares / (count - 1.0)).sqrt()),
        some((squares / count).sqrt()),
        values.first().copied(),
        values.last().copied(),
    ]
}

fn frames() -> impl Strategy<Value = Frame> {
    prop_oneof![
        (0..30i64).prop_map(|back| Frame::Range(Some(Span(back)))),
        (0..6u64).prop_map(|back| Frame::Rows(Some(back))),
        Just(Frame::Range(None)),
        Just(Frame::Rows(None)),
    ]
}

fn plain_rows() -> impl Strategy<Value = Vec<Plain>> {
    let value = prop_oneof![8 => (-1e3..1e3).prop_map(Some), 1 => Just(None), 1 => Just(Some(1e9))];
    vec((-8..3i64, 0..3u8, value), 0..120).prop_map(|rows| {
        let rows = (0i64..).zip(rows);
        rows.map(|(n, (early, sensor, value))| (n / 2 + early, sensor, value)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rows within the bound of disorder, cut into batches at random, with watermarks and restarts between.
    #[test]
    fn every_column_is_what_its_frame_says(
        arrived in plain_rows(), frame in frames(), cut in 1..9usize, restart in 0..20usize,
    ) {
        let functions = [Count, Sum, Avg, Min, Max, StddevSample, StddevPopulation, FirstValue, LastValue];
        let planned = by_sensor(aggregates(frame, &functions));
        let mut operator = (planned.build)();
        let mut seen = Seen::default();
        for (n, rows) in arrived.chunks(cut).enumerate() {
            if n == restart {
                operator = restarted(&planned, operator.as_ref());
            }
            let row = |(ts, sensor, value): &Plain| Row {
                ts: Timestamp(*ts), sensor: sensor.to_string(), value: *value, quality: Quality::Good,
                received_at: Timestamp(*ts),
            };
            operator.process(0, batch(&rows.iter().map(row).collect::<Vec<_>>()), &mut seen).expect("takes rows");
            // The earliest row that is still to come is eight before its turn.
            let watermark = Timestamp(((n + 1) * cut) as i64 / 2 - 8);
            operator.advance(watermark, &mut seen).expect("advances");
        }
        operator.advance(Timestamp::MAX, &mut seen).expect("ends");
        prop_assert!(seen.dropped.is_empty());
        prop_assert_eq!(operator.open_rows(), 0);
        let mut rows = arrived;
        rows.sort_by_key(|row| row.0);
        prop_assert_eq!(seen.rows.len(), rows.len());
        for (n, found) in seen.rows.iter().enumerate() {
            prop_assert_eq!(&found[0], &Span(rows[n].0).to_string());
            prop_assert_eq!(&found[1], &rows[n].1.to_string());
            for (expected, found) in expected(&rows, n, frame).into_iter().zip(&found[3..]) {
                let found = (found != "-").then(|| found.parse::<f64>().expect("a number"));
                match (expected, found) {
                    (Some(expected), Some(found)) => {
                        let error = (expected - found).abs() / expected.abs().max(1.0);
                        prop_assert!(error < 1e-9, "{} is not {} in row {} of {:?}", found, expected, n, rows);
                    }
                    (expected, found) => prop_assert_eq!(expected, found),
                }
            }
        }
    }
}
