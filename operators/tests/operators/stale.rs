use expect_test::expect;
use lineside_model::Timestamp;

use crate::kit::{mistakes, plan, script};

#[test]
fn a_silent_sensor_is_told_once_and_so_is_its_recovery() {
    let planned = plan("stale", "silent_after = \"5s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         clock 4s
         4s t1 20.5
         clock 8s
         clock 9s
         clock 20s
         restart
         clock 21s
         22s t1 21.0
         clock 27s",
    );
    expect![[r#"
        ts  | sensor | event     | last_value | since
        9s  | t1     | silent    | 20.5       | 4s
        22s | t1     | recovered | 21.0       | 4s
        27s | t1     | silent    | 21.0       | 22s
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_silence_is_told_even_if_the_clock_was_looked_at_too_late() {
    let planned = plan("stale", "silent_after = \"5s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         7s t1 20.5
         clock 8s",
    );
    expect![[r#"
        ts | sensor | event     | last_value | since
        5s | t1     | silent    | 20.0       | 0s
        7s | t1     | recovered | 20.5       | 0s
    "#]]
    .assert_eq(&seen);
}

#[test]
fn an_expected_sensor_is_missed_from_the_start() {
    let planned = plan("stale", "silent_after = \"5s\"\nexpect = [\"t1\", \"t2\"]", "").expect("the options are right");
    assert_eq!((planned.build)().wake_at(), Some(Timestamp::MIN));
    assert_eq!(planned.partition_by, None);
    assert_eq!(planned.reads, ["t1", "t2"]);
    let seen = script(
        &planned,
        "clock 100s
         101s t1 20.0
         clock 105s
         clock 106s
         107s t2 30.0",
    );
    expect![[r#"
        ts    | sensor | event     | last_value | since
        1m45s | t2     | silent    | -          | 1m40s
        1m46s | t1     | silent    | 20.0       | 1m41s
        1m47s | t2     | recovered | 30.0       | 1m40s
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_stuck_sensor_is_told_by_event_time() {
    let planned = plan("stale", "unchanged_after = \"3s\"\ntolerance = 0.1", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         1s t1 20.05
         3s t1 19.95
         4s t1 20.0
         2s t1 25.0
         5s t1 20.2
         7s t1 20.2
         8s t1 20.2",
    );
    expect![[r#"
        ts | sensor | event     | last_value | since
        3s | t1     | stuck     | 19.95      | 0s
        5s | t1     | recovered | 20.2       | 0s
        8s | t1     | stuck     | 20.2       | 5s
    "#]]
    .assert_eq(&seen);
}

#[test]
fn bad_readings_are_no_readings_unless_counted() {
    let readings = "0s t1 20.0
         3s t1 - bad
         clock 5s
         6s t1 20.0 bad
         7s t1 20.0";
    let planned = plan("stale", "silent_after = \"5s\"", "").expect("the options are right");
    expect![[r#"
        ts | sensor | event     | last_value | since
        5s | t1     | silent    | 20.0       | 0s
        7s | t1     | recovered | 20.0       | 0s
        dropped 2 bad_quality
    "#]]
    .assert_eq(&script(&planned, readings));
    let planned = plan("stale", "silent_after = \"5s\"\ncount_bad = true", "").expect("the options are right");
    expect![[r#"
        ts | sensor | event | last_value | since
    "#]]
    .assert_eq(&script(&planned, readings));
}

#[test]
fn a_stuck_sensor_that_falls_silent_recovers_once() {
    let planned = plan("stale", "silent_after = \"5s\"\nunchanged_after = \"2s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         2s t1 20.0
         clock 7s
         8s t1 20.0
         10s t1 20.0",
    );
    expect![[r#"
        ts  | sensor | event     | last_value | since
        2s  | t1     | stuck     | 20.0       | 0s
        7s  | t1     | silent    | 20.0       | 2s
        8s  | t1     | recovered | 20.0       | 2s
        10s | t1     | stuck     | 20.0       | 8s
    "#]]
    .assert_eq(&seen);
}

#[test]
fn wrong_options_are_told_at_once() {
    expect![[r#"
        there is nothing to watch for (give silent_after, unchanged_after, or both)
        option "tolerance": expected a number of at least 0, found -1
        option "expect": sensors can be missed only with silent_after (add silent_after)
    "#]]
    .assert_eq(&mistakes("stale", "tolerance = -1.0\nexpect = [\"t1\"]", ""));
    expect![[r#"
        option "max_series": expected at least 2, found 1
    "#]]
    .assert_eq(&mistakes("stale", "silent_after = \"5s\"\nexpect = [\"t1\", \"t2\"]\nmax_series = 1", ""));
}
