use expect_test::expect;

use crate::kit::{mistakes, plan, script};

#[test]
fn a_rate_goes_from_one_reading_to_the_next() {
    let planned = plan("rate", "per = \"1m\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         30s t1 21.0
         60s t1 20.5
         61s t2 1.0
         62s t1 20.5
         end",
    );
    expect![[r#"
        ts   | sensor | value | quality
        30s  | t1     | 2.0   | good
        1m   | t1     | -1.0  | good
        1m2s | t1     | 0.0   | good
    "#]]
    .assert_eq(&seen);
}

#[test]
fn over_a_span_it_goes_from_the_oldest_reading_within() {
    let planned = plan("rate", "over = \"10s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 0.0
         5s t1 10.0
         10s t1 10.0
         15s t1 10.0
         20s t1 40.0
         40s t1 50.0
         41s t1 51.0
         end",
    );
    expect![[r#"
        ts  | sensor | value | quality
        5s  | t1     | 2.0   | good
        10s | t1     | 1.0   | good
        15s | t1     | 0.0   | good
        20s | t1     | 3.0   | good
        41s | t1     | 1.0   | good
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_counter_may_begin_anew_and_wrap() {
    let planned = plan("rate", "wraps_at = 65536.0", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 65500
         10s t1 65530
         20s t1 14
         30s t1 100
         40s t1 0
         50s t1 20
         60s t1 60000
         70s t1 50000
         end",
    );
    expect![[r#"
        ts    | sensor | value  | quality
        10s   | t1     | 3.0    | good
        20s   | t1     | 2.0    | good
        30s   | t1     | 8.6    | good
        40s   | t1     | 0.0    | good
        50s   | t1     | 2.0    | good
        1m    | t1     | 5998.0 | good
        1m10s | t1     | 5000.0 | good
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_counter_without_range_begins_anew_at_0() {
    let planned = plan("rate", "counter = true\nover = \"1m\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 100
         10s t1 200
         20s t1 50
         30s t1 60
         end",
    );
    expect![[r#"
        ts  | sensor | value             | quality
        10s | t1     | 10.0              | good
        20s | t1     | 7.5               | good
        30s | t1     | 5.333333333333333 | good
    "#]]
    .assert_eq(&seen);
}

#[test]
fn of_readings_of_one_time_the_last_one_counts() {
    let planned = plan("rate", "", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 0
         1s t1 5
         1s t1 7
         2s t1 8
         end",
    );
    expect![[r#"
        ts | sensor | value | quality
        1s | t1     | 5.0   | good
        1s | t1     | 7.0   | good
        2s | t1     | 1.0   | good
    "#]]
    .assert_eq(&seen);
}

#[test]
fn bad_and_late_readings_are_passed_over() {
    let planned = plan("rate", "", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 0
         2s t1 4 uncertain
         1s t1 99 bad
         watermark 2s
         1s t1 1
         3s t1 5
         restart
         4s t1 7
         5s t1 -
         end",
    );
    expect![[r#"
        ts | sensor | value | quality
        2s | t1     | 2.0   | uncertain
        3s | t1     | 1.0   | uncertain
        4s | t1     | 2.0   | good
        dropped 1 late
        dropped 2 bad_quality
    "#]]
    .assert_eq(&seen);
}

#[test]
fn wrong_options_are_told_at_once() {
    expect![[r#"
        option "per": expected more than no time, found 0s
        option "over": expected more than no time, found -1s
        option "wraps_at": expected a number above 0, found 0
    "#]]
    .assert_eq(&mistakes("rate", "per = \"0s\"\nover = \"-1s\"\nwraps_at = 0.0", ""));
    expect![[r#"
        option "per": wrong type: found integer "60"; expected a duration such as "250ms", "5s" or "1h30m"
    "#]]
    .assert_eq(&mistakes("rate", "per = 60", ""));
}
