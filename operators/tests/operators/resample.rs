use expect_test::expect;

use crate::kit::{mistakes, plan, script};

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
