use expect_test::expect;
use lineside_model::{Quality, Timestamp};
use proptest::collection::btree_map;
use proptest::prelude::*;

use crate::kit::{Row, Seen, batch, mistakes, plan, script};

#[test]
fn a_held_value_stands_until_the_next_one() {
    let planned = plan("resample", "period = \"10s\"\nmax_gap = \"30s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         15s t1 21.5
         25s t1 22.5
         watermark 25s
         end",
    );
    expect![[r#"
        ts  | sensor | value | quality
        0s  | t1     | 20.0  | good
        10s | t1     | 20.0  | good
        20s | t1     | 21.5  | good
    "#]]
    .assert_eq(&seen);
}

#[test]
fn points_on_a_line_wait_for_the_reading_after() {
    let planned =
        plan("resample", "period = \"10s\"\nmax_gap = \"30s\"\nfill = \"linear\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         15s t1 21.5
         25s t1 22.5
         watermark 25s
         end",
    );
    expect![[r#"
        ts  | sensor | value | quality
        0s  | t1     | 20.0  | good
        10s | t1     | 21.0  | good
        20s | t1     | 22.0  | good
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_point_without_reading_in_its_period_is_null() {
    let planned =
        plan("resample", "period = \"10s\"\nmax_gap = \"30s\"\nfill = \"null\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         15s t1 21.5
         25s t1 22.5
         watermark 25s
         end",
    );
    expect![[r#"
        ts  | sensor | value | quality
        0s  | t1     | 20.0  | good
        10s | t1     | -     | bad
        20s | t1     | 21.5  | good
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_gap_that_is_too_long_has_no_points() {
    let planned = plan("resample", "period = \"10s\"\nmax_gap = \"30s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 1
         watermark 100s
         restart
         105s t1 2
         watermark 115s
         110s t1 7
         end",
    );
    expect![[r#"
        ts    | sensor | value | quality
        0s    | t1     | 1.0   | good
        10s   | t1     | 1.0   | good
        20s   | t1     | 1.0   | good
        30s   | t1     | 1.0   | good
        1m50s | t1     | 2.0   | good
        dropped 1 late
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_line_does_not_cross_a_gap_that_is_too_long() {
    let planned =
        plan("resample", "period = \"10s\"\nmax_gap = \"30s\"\nfill = \"linear\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 1
         30s t1 4
         61s t1 9
         70s t1 18
         end",
    );
    expect![[r#"
        ts    | sensor | value | quality
        0s    | t1     | 1.0   | good
        10s   | t1     | 2.0   | good
        20s   | t1     | 3.0   | good
        30s   | t1     | 4.0   | good
        1m10s | t1     | 18.0  | good
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_value_that_reaches_over_a_bad_reading_is_uncertain() {
    let planned = plan("resample", "period = \"10s\"\nmax_gap = \"30s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 1
         12s t1 5 bad
         30s t1 2 uncertain
         35s t1 3
         41s t1 4
         end",
    );
    expect![[r#"
        ts  | sensor | value | quality
        0s  | t1     | 1.0   | good
        10s | t1     | 1.0   | good
        20s | t1     | 1.0   | uncertain
        30s | t1     | 2.0   | uncertain
        40s | t1     | 3.0   | good
        dropped 1 bad_quality
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_line_over_a_bad_reading_is_uncertain() {
    let planned =
        plan("resample", "period = \"10s\"\nmax_gap = \"30s\"\nfill = \"linear\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 0
         12s t1 5 bad
         20s t1 2
         30s t1 3
         end",
    );
    expect![[r#"
        ts  | sensor | value | quality
        0s  | t1     | 0.0   | good
        10s | t1     | 1.0   | uncertain
        20s | t1     | 2.0   | good
        30s | t1     | 3.0   | good
        dropped 1 bad_quality
    "#]]
    .assert_eq(&seen);
}

#[test]
fn sensors_come_out_in_the_order_of_time() {
    let planned =
        plan("resample", "period = \"10s\"\nmax_gap = \"30s\"\noffset = \"3s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 1
         1s t2 2
         watermark 40s
         end",
    );
    expect![[r#"
        ts  | sensor | value | quality
        3s  | t1     | 1.0   | good
        3s  | t2     | 2.0   | good
        13s | t1     | 1.0   | good
        13s | t2     | 2.0   | good
        23s | t1     | 1.0   | good
        23s | t2     | 2.0   | good
    "#]]
    .assert_eq(&seen);
}

#[test]
fn of_readings_of_one_time_the_last_one_counts() {
    let planned = plan("resample", "period = \"10s\"\nmax_gap = \"30s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "10s t1 1
         10s t1 2
         watermark 10s
         10s t1 3
         watermark 11s
         10s t1 4
         end",
    );
    expect![[r#"
        ts  | sensor | value | quality
        10s | t1     | 3.0   | good
        dropped 1 late
    "#]]
    .assert_eq(&seen);
}

#[test]
fn wrong_options_are_told_at_once() {
    expect![[r#"
        option "max_gap": expected at least the period of 10s, found 5s
    "#]]
    .assert_eq(&mistakes("resample", "period = \"10s\"\nmax_gap = \"5s\"", ""));
    expect![[r#"
        option "max_gap": a gap of 1d has more than 100000 points 1ms apart (a longer period, or a shorter gap)
    "#]]
    .assert_eq(&mistakes("resample", "period = \"1ms\"\nmax_gap = \"1d\"", ""));
    expect![[r#"
        option "max_gap" is missing (max_gap: How long a sensor may be silent and still have points. At least the period.)
        option "fill": unknown variant "line"; expected one of "hold", "linear", "null"
    "#]].assert_eq(&mistakes("resample", "period = \"0s\"\nfill = \"line\"", ""));
}

const PERIOD: i64 = 10;
const MAX_GAP: i64 = 35;

/// The value of a point by the definition, readings being sorted and no later one to come.
fn by_definition(readings: &[(i64, f64)], fill: &str, at: i64) -> Option<Option<f64>> {
    let before = readings.iter().rev().find(|(ts, _)| *ts <= at && at - ts <= MAX_GAP);
    match (fill, before) {
        (_, Some((ts, value))) if *ts == at => Some(Some(*value)),
        ("hold", Some((_, value))) => Some(Some(*value)),
        ("null", Some((ts, value))) => Some(Some(*value).filter(|_| at - ts < PERIOD)),
        ("linear", Some((ts, value))) => {
            let after = readings.iter().find(|(after, _)| after > ts)?;
            let part = (at - ts) as f64 / (after.0 - ts) as f64;
            (after.0 > at && after.0 - ts <= MAX_GAP).then_some(Some(value * (1.0 - part) + after.1 * part))
        }
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn points_are_those_of_the_definition(
        readings in btree_map(-200..200i64, -50.0..50.0, 1..30),
        fill in prop::sample::select(vec!["hold", "linear", "null"]),
        batch_max in 1..10usize,
        watermark in -200..400i64,
    ) {
        let readings = readings.into_iter().collect::<Vec<_>>();
        let options = format!("period = \"{PERIOD}us\"\nmax_gap = \"{MAX_GAP}us\"\nfill = \"{fill}\"");
        let planned = plan("resample", &options, "").expect("the options are right");
        let mut operator = (planned.build)();
        let mut seen = Seen::default();
        let row = |(ts, value): &(i64, f64)| Row {
            ts: Timestamp(*ts),
            sensor: "t1".to_owned(),
            value: Some(*value),
            quality: Quality::Good,
            received_at: Timestamp(*ts),
        };
        let rows = readings.iter().map(row).collect::<Vec<_>>();
        for some in rows.chunks(batch_max) {
            operator.process(0, batch(some), &mut seen).expect("rows are no error");
        }
        operator.advance(Timestamp(watermark), &mut seen).expect("time is no error");
        operator.advance(Timestamp::MAX, &mut seen).expect("time is no error");
        let newest = readings.last().map_or(0, |(ts, _)| *ts);
        let expected = (-30..50)
            .map(|n| n * PERIOD)
            .filter(|at| *at <= newest || (*at < watermark && fill != "linear"))
            .filter_map(|at| Some((at, by_definition(&readings, fill, at)?)))
            .map(|(at, value)| (at, value.map_or("-".to_owned(), |value| format!("{value:.6}"))))
            .collect::<Vec<_>>();
        let number = |cell: &String| cell.parse::<f64>().map_or("-".to_owned(), |value| format!("{value:.6}"));
        let time = |cell: &String| cell.parse::<lineside_model::Span>().expect("a time").micros();
        let found = seen.rows.iter().map(|cells| (time(&cells[0]), number(&cells[2]))).collect::<Vec<_>>();
        prop_assert_eq!(expected, found);
    }
}
