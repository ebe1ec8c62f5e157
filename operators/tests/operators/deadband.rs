use expect_test::expect;

use crate::kit::{mistakes, plan, script};

#[test]
fn a_steady_signal_is_silent_and_a_step_passes() {
    let planned = plan("deadband", "band = 0.5", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         1s t1 20.4
         2s t1 19.6
         3s t1 20.6
         4s t2 20.5
         5s t1 20.2",
    );
    expect![[r#"
        ts | sensor | value | quality | received_at
        0s | t1     | 20.0  | good    | 0s
        3s | t1     | 20.6  | good    | 3s
        4s | t2     | 20.5  | good    | 4s
        dropped 3 filtered
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_value_passes_at_the_latest_after_max_silence() {
    let planned = plan("deadband", "band = 0.5\nmax_silence = \"10s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         9s t1 20.0
         10s t1 20.1
         19s t1 20.1
         21s t1 20.1",
    );
    expect![[r#"
        ts  | sensor | value | quality | received_at
        0s  | t1     | 20.0  | good    | 0s
        10s | t1     | 20.1  | good    | 10s
        21s | t1     | 20.1  | good    | 21s
        dropped 2 filtered
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_band_in_percent_grows_with_the_value() {
    let planned = plan("deadband", "band = 0.5\npercent = 10.0", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 100.0
         1s t1 110.0
         2s t1 89.0
         3s t1 0.1
         4s t1 0.6
         5s t1 0.7",
    );
    expect![[r#"
        ts | sensor | value | quality | received_at
        0s | t1     | 100.0 | good    | 0s
        2s | t1     | 89.0  | good    | 2s
        3s | t1     | 0.1   | good    | 3s
        5s | t1     | 0.7   | good    | 5s
        dropped 2 filtered
    "#]]
    .assert_eq(&seen);
}

#[test]
fn bad_quality_passes_through_and_so_does_the_next_good_reading() {
    let planned = plan("deadband", "band = 0.5", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         1s t1 20.0 bad
         2s t1 -
         3s t1 NaN
         4s t1 20.0
         5s t1 20.0
         6s t1 20.0 uncertain
         7s t1 20.1 uncertain",
    );
    expect![[r#"
        ts | sensor | value | quality   | received_at
        0s | t1     | 20.0  | good      | 0s
        1s | t1     | 20.0  | bad       | 1s
        2s | t1     | -     | good      | 2s
        3s | t1     | NaN   | good      | 3s
        4s | t1     | 20.0  | good      | 4s
        6s | t1     | 20.0  | uncertain | 6s
        dropped 2 filtered
    "#]]
    .assert_eq(&seen);
}

#[test]
fn the_last_value_survives_a_restart() {
    let planned = plan("deadband", "band = 0.5", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         restart
         1s t1 20.4
         2s t1 20.6",
    );
    expect![[r#"
        ts | sensor | value | quality | received_at
        0s | t1     | 20.0  | good    | 0s
        2s | t1     | 20.6  | good    | 2s
        dropped 1 filtered
    "#]]
    .assert_eq(&seen);
}

#[test]
fn rows_beyond_max_series_are_counted() {
    let planned = plan("deadband", "band = 0.5\nmax_series = 1", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         1s t2 20.0
         2s t1 21.0",
    );
    expect![[r#"
        ts | sensor | value | quality | received_at
        0s | t1     | 20.0  | good    | 0s
        2s | t1     | 21.0  | good    | 2s
        dropped 1 too_many_keys
    "#]]
    .assert_eq(&seen);
}

#[test]
fn wrong_options_are_told_at_once() {
    expect![[r#"
        option "band" is missing (give band, percent, or both)
        option "max_silence": expected more than no time, found 0s
        option "by": the input has no column "sensr" (did you mean "sensor"?)
    "#]]
    .assert_eq(&mistakes("deadband", "by = \"sensr\"\nmax_silence = \"0s\"", ""));
    expect![[r#"
        option "band": expected a number of at least 0, found -1
        option "value": column "quality" is Dictionary(Int8, Utf8), expected a number
    "#]]
    .assert_eq(&mistakes("deadband", "band = -1.0\nvalue = \"quality\"", ""));
}
