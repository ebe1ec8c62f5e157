use expect_test::expect;

use crate::kit::{mistakes, plan, script};

const HELD: &str = "high = 200.0\nhysteresis = 5.0\nheld_for = \"10s\"\npriority = \"high\"\nmessage = \"too hot\"";

#[test]
fn an_alarm_is_raised_once_and_cleared_below_its_hysteresis() {
    let planned = plan("alarm", "high = 200.0\nlow = 150.0\nhysteresis = 5.0", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 200.0
         1s t1 200.1
         2s t1 210.0
         3s t1 196.0
         4s t1 205.0
         5s t1 195.0
         6s t1 149.9
         7s t1 154.9
         8s t1 201.0",
    );
    expect![[r#"
        ts | sensor | event   | alarm | value | limit | priority | message
        1s | t1     | raised  | high  | 200.1 | 200.0 | medium   | -
        5s | t1     | cleared | high  | 195.0 | 200.0 | medium   | -
        6s | t1     | raised  | low   | 149.9 | 150.0 | medium   | -
        8s | t1     | cleared | low   | 201.0 | 150.0 | medium   | -
        8s | t1     | raised  | high  | 201.0 | 200.0 | medium   | -
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_held_alarm_bears_the_moment_its_time_was_up() {
    let planned = plan("alarm", HELD, "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 201.0
         6s t1 202.0
         12s t1 203.0
         14s t1 197.0
         16s t1 194.0",
    );
    expect![[r#"
        ts  | sensor | event   | alarm | value | limit | priority | message
        10s | t1     | raised  | high  | 202.0 | 200.0 | high     | too hot
        16s | t1     | cleared | high  | 194.0 | 200.0 | high     | too hot
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_short_excursion_raises_nothing() {
    let planned = plan("alarm", HELD, "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 201.0
         10s t1 200.0
         11s t1 201.0
         20s t1 199.0",
    );
    expect![[r#"
        ts | sensor | event | alarm | value | limit | priority | message
    "#]]
    .assert_eq(&seen);
}

#[test]
fn the_watermark_raises_what_no_further_reading_does() {
    let planned = plan("alarm", HELD, "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 201.0
         0s t2 202.0
         watermark 10s
         10s t2 199.0
         watermark 11s
         12s t1 203.0
         end",
    );
    expect![[r#"
        ts  | sensor | event  | alarm | value | limit | priority | message
        10s | t1     | raised | high  | 201.0 | 200.0 | high     | too hot
    "#]]
    .assert_eq(&seen);
}

#[test]
fn the_end_of_the_input_is_no_time_gone_by() {
    let planned = plan("alarm", HELD, "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 201.0
         9s t1 201.0
         end",
    );
    expect![[r#"
        ts | sensor | event | alarm | value | limit | priority | message
    "#]]
    .assert_eq(&seen);
}

#[test]
fn bad_and_old_readings_neither_raise_nor_clear() {
    let planned = plan("alarm", "high = 200.0", "").expect("the options are right");
    let seen = script(
        &planned,
        "5s t1 201.0
         6s t1 100.0 bad
         7s t1 NaN
         8s t1 -
         4s t1 100.0
         9s t1 202.0
         10s t1 199.0 uncertain",
    );
    expect![[r#"
        ts  | sensor | event   | alarm | value | limit | priority | message
        5s  | t1     | raised  | high  | 201.0 | 200.0 | medium   | -
        10s | t1     | cleared | high  | 199.0 | 200.0 | medium   | -
        dropped 1 late
        dropped 3 bad_quality
    "#]]
    .assert_eq(&seen);
}

/// Alerts that fire again after a restart: https://github.com/influxdata/kapacitor/issues/2336
#[test]
fn a_raised_alarm_is_not_told_again_after_a_restart() {
    let planned = plan("alarm", HELD, "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 201.0
         restart
         12s t1 203.0
         restart
         13s t1 204.0
         watermark 30s
         31s t1 190.0",
    );
    expect![[r#"
        ts  | sensor | event   | alarm | value | limit | priority | message
        10s | t1     | raised  | high  | 201.0 | 200.0 | high     | too hot
        31s | t1     | cleared | high  | 190.0 | 200.0 | high     | too hot
    "#]]
    .assert_eq(&seen);
}

#[test]
fn wrong_options_are_told_at_once() {
    expect![[r#"
        an alarm needs a limit (give high, low, or both)
        option "hysteresis": expected a number of at least 0, found -1
        option "held_for": expected a duration of at least 0s, found -1s
        option "value": the input has no column "valu" (did you mean "value"?)
    "#]]
    .assert_eq(&mistakes("alarm", "hysteresis = -1.0\nheld_for = \"-1s\"\nvalue = \"valu\"", ""));
    expect![[r#"
        option "low": expected less than high = 1, found 2
    "#]]
    .assert_eq(&mistakes("alarm", "high = 1.0\nlow = 2.0\nmax_series = 0", ""));
    expect![[r#"
        option "max_series": expected at least 1, found 0
    "#]]
    .assert_eq(&mistakes("alarm", "high = 1.0\nlow = 0.0\nmax_series = 0", ""));
    expect![[r#"
        option "hi": unknown option "hi" (did you mean "by"?)
        option "priority": unknown variant "urgent"; expected one of "diagnostic", "low", "medium", "high", "critical"
    "#]]
    .assert_eq(&mistakes("alarm", "high = 1.0\npriority = \"urgent\"\nhi = 1", ""));
}
