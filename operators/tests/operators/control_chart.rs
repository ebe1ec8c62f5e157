use expect_test::expect;

use crate::kit::{mistakes, plan, script};

#[test]
fn a_pattern_is_told_once_by_the_reading_that_completes_it() {
    let planned = plan("control_chart", "mean = 10.0\nsigma = 1.0", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 12.1
         1s t1 12.5
         2s t1 13.2
         3s t1 10.0
         4s t1 7.5
         5s t1 9.0 bad
         6s t1 7.9
         7s t1 6.9
         8s t1 6.8
         end",
    );
    expect![[r#"
        ts | sensor | rule | side | finding               | value | sigmas
        1s | t1     | 5    | up   | 2 of 3 beyond 2 sigma | 12.5  | 2.5
        2s | t1     | 1    | up   | beyond 3 sigma        | 13.2  | 3.1999999999999993
        6s | t1     | 5    | down | 2 of 3 beyond 2 sigma | 7.9   | -2.0999999999999996
        7s | t1     | 1    | down | beyond 3 sigma        | 6.9   | -3.0999999999999996
        8s | t1     | 6    | down | 4 of 5 beyond 1 sigma | 6.8   | -3.2
        dropped 1 bad_quality
    "#]]
    .assert_eq(&seen);
}

#[test]
fn nine_on_one_side_are_eight_for_western_electric() {
    let planned = plan("control_chart", "mean = 10.0\nsigma = 1.0\nrules = \"western_electric\"", "")
        .expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 10.5
         1s t1 10.6
         2s t1 10.5
         3s t1 10.6
         4s t1 10.5
         5s t1 10.6
         6s t1 10.5
         7s t1 10.6
         8s t1 10.5
         9s t1 10.0
         end",
    );
    expect![[r#"
        ts | sensor | rule | side | finding                            | value | sigmas
        7s | t1     | 4    | up   | 8 in a row on one side of the mean | 10.6  | 0.5999999999999996
    "#]]
    .assert_eq(&seen);
}

#[test]
fn only_the_rules_that_were_asked_for_are_looked_at() {
    let planned = plan("control_chart", "mean = 10.0\nsigma = 1.0\nonly = [3, 4]", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 10
         1s t1 11
         2s t1 12
         3s t1 13
         4s t1 14
         5s t1 15
         6s t1 16
         7s t1 99
         8s t1 98
         9s t1 98
         10s t1 99
         11s t1 98
         12s t1 99
         13s t1 98
         14s t1 99
         15s t1 98
         16s t1 99
         17s t1 98
         18s t1 99
         19s t1 98
         20s t1 99
         21s t1 98
         22s t1 99
         23s t1 98
         end",
    );
    expect![[r#"
        ts  | sensor | rule | side | finding                          | value | sigmas
        5s  | t1     | 3    | up   | 6 in a row rising or falling     | 15.0  | 5.0
        22s | t1     | 4    | -    | 14 in a row up and down by turns | 99.0  | 89.0
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_baseline_is_taken_from_the_first_readings_and_needs_movement() {
    let planned = plan("control_chart", "baseline = 3", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 10
         1s t1 10
         2s t1 10
         3s t1 11
         watermark 3s
         restart
         4s t1 99
         0s t2 1
         9s t2 2
         end",
    );
    expect![[r#"
        ts | sensor | rule | side | finding        | value | sigmas
        4s | t1     | 1    | up   | beyond 3 sigma | 99.0  | 177.5
        dropped 1 late
    "#]]
    .assert_eq(&seen);
}

#[test]
fn wrong_options_are_told_at_once() {
    expect![[r#"
        a chart needs mean and sigma, or a baseline to estimate both from (give mean and sigma, or baseline alone)
    "#]]
    .assert_eq(&mistakes("control_chart", "", ""));
    expect![[r#"
        option "only": expected numbers from 1 to 8, found 9
        option "sigma": expected a number above 0, found 0
        option "baseline": expected at least 2 readings, found 1
        a chart needs mean and sigma, or a baseline to estimate both from (give mean and sigma, or baseline alone)
    "#]]
    .assert_eq(&mistakes("control_chart", "mean = 1.0\nsigma = 0.0\nbaseline = 1\nonly = [9]", ""));
    expect![[r#"
        option "only": expected numbers from 1 to 4, found 5
    "#]]
    .assert_eq(&mistakes("control_chart", "rules = \"western_electric\"\nbaseline = 20\nonly = [5]", ""));
    expect![[r#"
        option "rules": unknown variant "nelsen"; expected "nelson" or "western_electric"
    "#]]
    .assert_eq(&mistakes("control_chart", "rules = \"nelsen\"", ""));
}
