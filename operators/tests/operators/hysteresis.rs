use expect_test::expect;

use crate::kit::{mistakes, plan, script};

#[test]
fn a_value_between_the_thresholds_changes_nothing() {
    let planned = plan("hysteresis", "on = 80.0\noff = 75.0", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 76.0
         1s t1 79.9
         2s t1 80.0
         3s t1 75.1
         4s t1 90.0
         5s t1 75.0
         6s t1 79.0
         7s t1 81.0
         watermark 7s",
    );
    expect![[r#"
        ts | sensor | state | value | since
        2s | t1     | on    | 80.0  | -
        5s | t1     | off   | 75.0  | 2s
        7s | t1     | on    | 81.0  | 5s
    "#]]
    .assert_eq(&seen);
}

#[test]
fn with_on_below_off_low_values_switch_on() {
    let planned = plan("hysteresis", "on = 10.0\noff = 20.0", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 15.0
         1s t1 10.0
         2s t1 19.0
         3s t1 20.0
         end",
    );
    expect![[r#"
        ts | sensor | state | value | since
        1s | t1     | on    | 10.0  | -
        3s | t1     | off   | 20.0  | 1s
    "#]]
    .assert_eq(&seen);
}

#[test]
fn readings_out_of_order_are_taken_in_the_order_of_time() {
    let planned = plan("hysteresis", "on = 80.0\noff = 75.0", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 70.0
         4s t1 70.0
         2s t1 85.0
         3s t1 76.0
         1s t2 99.0
         watermark 3s
         1s t1 90.0
         3s t1 74.0
         restart
         3s t1 88.0
         watermark 5s",
    );
    expect![[r#"
        ts | sensor | state | value | since
        1s | t2     | on    | 99.0  | -
        2s | t1     | on    | 85.0  | -
        3s | t1     | off   | 74.0  | 2s
        3s | t1     | on    | 88.0  | 3s
        4s | t1     | off   | 70.0  | 3s
        dropped 1 late
    "#]]
    .assert_eq(&seen);
}

#[test]
fn bad_readings_change_nothing() {
    let planned = plan("hysteresis", "on = 80.0\noff = 75.0", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 85.0
         1s t1 70.0 bad
         2s t1 -
         3s t1 NaN
         4s t1 60.0 uncertain
         end",
    );
    expect![[r#"
        ts | sensor | state | value | since
        0s | t1     | on    | 85.0  | -
        4s | t1     | off   | 60.0  | 0s
        dropped 3 bad_quality
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_switch_stays_where_it_is_over_a_restart() {
    let planned = plan("hysteresis", "on = 80.0\noff = 75.0", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 85.0
         watermark 1s
         restart
         1s t1 86.0
         2s t1 70.0
         watermark 9s",
    );
    expect![[r#"
        ts | sensor | state | value | since
        0s | t1     | on    | 85.0  | -
        2s | t1     | off   | 70.0  | 0s
    "#]]
    .assert_eq(&seen);
}

#[test]
fn wrong_options_are_told_at_once() {
    expect![[r#"
        option "off": expected another value than on = 1, found the same (put off below on by more than the noise)
    "#]]
    .assert_eq(&mistakes("hysteresis", "on = 1.0\noff = 1.0", ""));
    expect![[r#"
        option "of": unknown option "of" (did you mean "off"?)
        option "off" is missing (off: The value at which it goes off again; below `on`, or above it if low values are to switch on.)
        option "on": wrong type: found null; expected f64
    "#]].assert_eq(&mistakes("hysteresis", "on = inf\nof = 2.0\nvalue = \"quality\"", ""));
    expect![[r#"
        option "time": column "received_at" is no event time, so rows cannot be put in order by it (take the time column of a source, or window_start; lineside explain lists the event times)
    "#]].assert_eq(&mistakes("hysteresis", "on = 2.0\noff = 1.0\ntime = \"received_at\"", ""));
}
