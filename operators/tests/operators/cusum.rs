use expect_test::expect;

use crate::kit::{mistakes, plan, script};

#[test]
fn a_shift_is_told_when_its_sum_passes_the_limit() {
    let planned = plan("cusum", "target = 10.0\nk = 0.5\nh = 5.0", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 12
         1s t1 13
         2s t1 12
         3s t1 11
         4s t1 5
         5s t1 13
         6s t1 7
         7s t1 5
         8s t1 99 bad
         9s t1 5
         end",
    );
    expect![[r#"
        ts | sensor | side | value | sum
        2s | t1     | high | 12.0  | 5.5
        7s | t1     | low  | 5.0   | 8.0
        dropped 1 bad_quality
    "#]]
    .assert_eq(&seen);
}

#[test]
fn with_reset_the_sums_begin_anew_after_an_alarm() {
    let planned = plan("cusum", "target = 10.0\nk = 0.5\nh = 5.0\nreset = true", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 12
         1s t1 13
         2s t1 12
         3s t1 20
         4s t1 10
         5s t1 16
         end",
    );
    expect![[r#"
        ts | sensor | side | value | sum
        2s | t1     | high | 12.0  | 5.5
        5s | t1     | high | 16.0  | 5.5
    "#]]
    .assert_eq(&seen);
}

#[test]
fn with_sigma_slack_and_limit_are_multiples_of_it() {
    let planned = plan("cusum", "target = 10.0\nsigma = 2.0\nk = 0.5\nh = 2.0", "").expect("the options are right");
    let seen = script(
        &planned,
        "0s t1 14
         1s t1 12
         watermark 1s
         restart
         2s t1 11.5
         end",
    );
    expect![[r#"
        ts | sensor | side | value | sum
        2s | t1     | high | 11.5  | 4.5
    "#]]
    .assert_eq(&seen);
}

#[test]
fn wrong_options_are_told_at_once() {
    expect![[r#"
        option "sigma": expected a number above 0, found -2
        option "k": expected a number of at least 0, found -1
        option "h": expected a number above 0, found 0
    "#]]
    .assert_eq(&mistakes("cusum", "target = 1.0\nk = -1.0\nh = 0.0\nsigma = -2.0", ""));
    expect![[r#"
        option "target" is missing (target: What the value should be.)
        option "k" is missing (k: The slack: half of the shift that is to be found.)
    "#]]
    .assert_eq(&mistakes("cusum", "h = 5.0", ""));
}
