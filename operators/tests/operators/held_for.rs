use expect_test::expect;

use crate::kit::{mistakes, plan, script};

#[test]
fn a_condition_that_holds_is_told_at_its_moment_and_when_it_ends() {
    let planned = plan("held_for", "above = 80.0\nduration = \"10s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 81.0
         6s t1 82.0
         12s t1 83.0
         14s t1 80.0
         15s t1 90.0
         20s t1 70.0
         watermark 30s",
    );
    expect![[r#"
        ts  | sensor | event | value | since
        10s | t1     | held  | 82.0  | 0s
        14s | t1     | ended | 80.0  | 0s
    "#]]
    .assert_eq(&seen);
}

#[test]
fn the_watermark_tells_what_no_further_reading_does() {
    let planned = plan("held_for", "above = 80.0\nduration = \"10s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 81.0
         1s t2 82.0
         watermark 10s
         10s t1 79.0
         restart
         watermark 11s
         watermark 12s
         12s t2 85.0
         end",
    );
    expect![[r#"
        ts  | sensor | event | value | since
        11s | t2     | held  | 82.0  | 1s
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_reading_of_the_very_moment_comes_in_time() {
    let planned = plan("held_for", "above = 80.0\nduration = \"10s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 81.0
         0s t2 81.0
         10s t1 79.0
         10s t2 85.0
         end",
    );
    expect![[r#"
        ts  | sensor | event | value | since
        10s | t2     | held  | 85.0  | 0s
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_bad_reading_begins_the_wait_anew_and_ends_nothing() {
    let planned = plan("held_for", "above = 80.0\nduration = \"10s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 81.0
         5s t1 82.0 bad
         6s t1 83.0
         10s t1 84.0
         15s t1 -
         16s t1 82.0
         26s t1 81.0
         27s t1 10.0 bad
         28s t1 81.0
         29s t1 10.0
         end",
    );
    expect![[r#"
        ts  | sensor | event | value | since
        26s | t1     | held  | 81.0  | 16s
        29s | t1     | ended | 10.0  | 16s
        dropped 3 bad_quality
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_truth_and_a_band_are_conditions_too() {
    let planned = plan("held_for", "duration = \"2s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s coil 1
         2s coil 1
         3s coil 0
         end",
    );
    expect![[r#"
        ts | sensor | event | value | since
        2s | coil   | held  | 1.0   | 0s
        3s | coil   | ended | 0.0   | 0s
    "#]]
    .assert_eq(&seen);
}

#[test]
fn between_two_limits() {
    let planned = plan("held_for", "above = 10.0\nbelow = 20.0\nduration = \"2s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         1s t1 15.0
         3s t1 16.0
         4s t1 10.0
         end",
    );
    expect![[r#"
        ts | sensor | event | value | since
        3s | t1     | held  | 16.0  | 1s
        4s | t1     | ended | 10.0  | 1s
    "#]]
    .assert_eq(&seen);
}

#[test]
fn wrong_options_are_told_at_once() {
    expect![[r#"
        option "duration": expected more than no time, found 0s
        option "below": expected more than above = 20, found 10 (both together mean between the two)
    "#]]
    .assert_eq(&mistakes("held_for", "above = 20.0\nbelow = 10.0\nduration = \"0s\"", ""));
    expect![[r#"
        option "abov": unknown option "abov" (did you mean "above"?)
        option "duration" is missing (duration: How long the condition must be true, in event time.)
    "#]]
    .assert_eq(&mistakes("held_for", "abov = 1.0", ""));
}
