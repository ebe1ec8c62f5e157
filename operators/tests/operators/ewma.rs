use expect_test::expect;

use crate::kit::{mistakes, plan, script};

#[test]
fn a_mean_follows_its_readings() {
    let planned = plan("ewma", "alpha = 0.5", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         1s t1 24.0
         2s t1 24.0 uncertain
         3s t1 0 bad
         4s t2 10.0
         5s t1 25.0
         end",
    );
    expect![[r#"
        ts | sensor | value | quality
        0s | t1     | 20.0  | good
        1s | t1     | 22.0  | good
        2s | t1     | 23.0  | uncertain
        4s | t2     | 10.0  | good
        5s | t1     | 24.0  | good
        dropped 1 bad_quality
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_start_value_weighs_in() {
    let planned = plan("ewma", "alpha = 0.25\nstart = 100.0", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 80.0
         1s t1 80.0
         end",
    );
    expect![[r#"
        ts | sensor | value | quality
        0s | t1     | 95.0  | good
        1s | t1     | 91.25 | good
    "#]]
    .assert_eq(&seen);
}

#[test]
fn with_a_half_life_the_past_fades_with_time() {
    let planned = plan("ewma", "half_life = \"10s\"", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 0
         10s t1 100
         30s t1 100
         30s t1 0
         40s t1 0
         end",
    );
    expect![[r#"
        ts  | sensor | value | quality
        0s  | t1     | 0.0   | good
        10s | t1     | 50.0  | good
        30s | t1     | 87.5  | good
        30s | t1     | 87.5  | good
        40s | t1     | 43.75 | good
    "#]]
    .assert_eq(&seen);
}

#[test]
fn a_mean_survives_a_restart() {
    let planned = plan("ewma", "alpha = 0.5", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 20.0
         1s t1 24.0
         watermark 0s
         restart
         2s t1 24.0
         end",
    );
    expect![[r#"
        ts | sensor | value | quality
        0s | t1     | 20.0  | good
        1s | t1     | 22.0  | good
        2s | t1     | 23.0  | good
    "#]]
    .assert_eq(&seen);
}

#[test]
fn wrong_options_are_told_at_once() {
    expect![[r#"
        a mean needs a weight (give alpha or half_life)
    "#]]
    .assert_eq(&mistakes("ewma", "", ""));
    expect![[r#"
        option "alpha": expected a number above 0 and at most 1, found 1.5
    "#]]
    .assert_eq(&mistakes("ewma", "alpha = 1.5", ""));
    expect![[r#"
        option "half_life": a mean has one weight (give alpha or half_life)
    "#]]
    .assert_eq(&mistakes("ewma", "alpha = 0.5\nhalf_life = \"1s\"", ""));
    expect![[r#"
        option "half_life": expected more than no time, found 0s
    "#]]
    .assert_eq(&mistakes("ewma", "half_life = \"0s\"", ""));
}
