//! Functions of signals before `OVER`: hysteresis, held_for, deadband, rate, ewma, cusum, and the rules of control charts.

use expect_test::expect;

use super::aggregates::run_line;
use super::harness::{explain, refused, run};
use crate::config::options::QualityOption;

const READINGS: &str = "
    0s   a  70  1
    10s  a  82  2
    10s  b  10  1
    20s  a  77  3
    35s  a  81  4
    30s  a  -   9
    40s  b  40  2
    50s  a  75  5";

fn over(columns: &str) -> String {
    format!("SELECT ts, sensor, value, {columns} FROM readings WINDOW s AS (PARTITION BY sensor ORDER BY ts)")
}

#[test]
fn a_switch_a_wait_and_a_band() {
    let sql = over(
        "hysteresis(value, 80, 75) OVER s AS pump, held_for(value > 76, INTERVAL '10' SECOND) OVER s AS held,
         deadband(value, 5) OVER s AS calm",
    );
    expect![[r#"
        ts   sensor  value  pump   held   calm
        0s   a       70.0   false  false  70.0
        10s  a       82.0   true   false  82.0
        10s  b       10.0   false  false  10.0
        20s  a       77.0   true   true   82.0
        30s  a       -      -      -      -
        35s  a       81.0   true   true   81.0
        40s  b       40.0   false  false  40.0
        50s  a       75.0   false  false  75.0
    "#]]
    .assert_eq(&run(&sql, READINGS));
    expect![[r#"
        prepare reads readings
          select ts, sensor, value, n, value > 76.0 AS argument
        over reads prepare
          partition by sensor order by ts: hysteresis(value, 80, 75), held_for(value > 76.0, INTERVAL '10.000000000 SECS'), deadband(value, 5)
          rows in the order of ts, each put out when the watermark has passed it
          rows behind the watermark are dropped and counted as late
          state: the rows that wait for the watermark
          state of hysteresis(value, 80, 75) for each sensor: whether it is on
          state of held_for(value > 76.0, INTERVAL '10.000000000 SECS') for each sensor: since when it is true
          state of deadband(value, 5) for each sensor: the last value that passed
          at most 1000000 keys, which are never forgotten; rows of others are dropped as too_many_keys
        select reads over
          select ts, sensor, value, hysteresis(value, 80, 75) AS pump, held_for(value > 76.0, INTERVAL '10.000000000 SECS') AS held, deadband(value, 5) AS calm
        event times: ts
    "#]].assert_eq(&explain(&sql));
}

#[test]
fn rates_and_means() {
    let sql = over(
        "rate(value) OVER s AS rate, rate(value, INTERVAL '1' MINUTE) OVER s AS a_minute, ewma(value, 0.5) OVER s AS mean,
         ewma(value, INTERVAL '10' SECOND) OVER s AS half_life",
    );
    expect![[r#"
        ts   sensor  value  rate                 a_minute  mean    half_life
        0s   a       70.0   -                    -         70.0    70.0
        10s  a       82.0   1.2                  72.0      76.0    76.0
        10s  b       10.0   -                    -         10.0    10.0
        20s  a       77.0   -0.5                 -30.0     76.5    76.5
        30s  a       -      -                    -         -       -
        35s  a       81.0   0.26666666666666666  16.0      78.75   79.40900974233027
        40s  b       40.0   1.0                  60.0      25.0    36.25
        50s  a       75.0   -0.4                 -24.0     76.875  76.55882034355965
    "#]]
    .assert_eq(&run(&sql, READINGS));
}

#[test]
fn cumulative_sums_and_rules() {
    let sql = over(
        "cusum_high(value, 75, 0.5) OVER s AS high, cusum_low(value, 75, 0.5) OVER s AS low,
         cusum_high(value, 75, 0.5, 8) OVER s AS anew, nelson(value, 75, 2) OVER s AS nelson,
         western_electric(value, 75.0, 2.5) OVER s AS we",
    );
    expect![[r#"
        ts   sensor  value  high  low   anew  nelson  we
        0s   a       70.0   0.0   4.5   0.0   -       -
        10s  a       82.0   6.5   0.0   6.5   1       -
        10s  b       10.0   0.0   64.5  0.0   1       1
        20s  a       77.0   8.0   0.0   8.0   -       -
        30s  a       -      -     -     -     -       -
        35s  a       81.0   13.5  0.0   13.5  5       2
        40s  b       40.0   0.0   99.0  0.0   1       1
        50s  a       75.0   13.0  0.0   0.0   -       -
    "#]]
    .assert_eq(&run(&sql, READINGS));
}

#[test]
fn rows_are_kept_by_what_a_signal_says() {
    let sql = "SELECT ts, sensor, value FROM readings
               QUALIFY held_for(value > 76, INTERVAL '10' SECOND) OVER (PARTITION BY sensor ORDER BY ts)";
    expect![[r#"
        ts   sensor  value
        20s  a       77.0
        35s  a       81.0
        filtered 6
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn a_bad_reading_is_no_value_to_a_signal() {
    let columns = "ts, value, quality, ewma(value, 0.5) OVER s AS mean, hysteresis(value, 120, 50) OVER s AS switch,
                   held_for(value > 90, INTERVAL '20' SECOND) OVER s AS held, lag(value) OVER s AS before";
    let sql = format!("SELECT {columns} FROM line WINDOW s AS (PARTITION BY sensor ORDER BY ts)");
    let mut told = String::new();
    for quality in [QualityOption::Usable, QualityOption::Good, QualityOption::All] {
        told += &format!("{quality:?}:\n{}", run_line(quality, &sql));
    }
    expect![[r#"
        Usable:
        ts    value  quality    mean   switch  held   before
        0s    100.0  good       100.0  false   false  -
        10s   900.0  bad        -      -       -      100.0
        20s   130.0  good       115.0  true    false  900.0
        25s   20.0   uncertain  67.5   false   false  130.0
        30s   40.0   good       53.75  false   false  20.0
        1m1s  -      bad        -      -       -      40.0
        Good:
        ts    value  quality    mean   switch  held   before
        0s    100.0  good       100.0  false   false  -
        10s   900.0  bad        -      -       -      100.0
        20s   130.0  good       115.0  true    false  900.0
        25s   20.0   uncertain  -      -       -      130.0
        30s   40.0   good       77.5   false   false  20.0
        1m1s  -      bad        -      -       -      40.0
        All:
        ts    value  quality    mean    switch  held   before
        0s    100.0  good       100.0   false   false  -
        10s   900.0  bad        500.0   true    false  100.0
        20s   130.0  good       315.0   true    true   900.0
        25s   20.0   uncertain  167.5   false   false  130.0
        30s   40.0   good       103.75  false   false  20.0
        1m1s  -      bad        -       -       -      40.0
    "#]]
    .assert_eq(&told);
}

/// What is an aggregate over a window is a function of the signal before `OVER`.
#[test]
fn a_mean_that_forgets_is_an_aggregate_too() {
    let sql = "SELECT window_start, ewma(value, 0.5) AS mean FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)
               WHERE sensor = 'a' GROUP BY window_start";
    expect![[r#"
        window_start  mean
        0s            76.875
        filtered 2
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn calls_that_do_not_fit_are_told_with_their_cure() {
    let wrong = [
        "hysteresis(value, 80, 80) OVER s",
        "hysteresis(value, n, 80) OVER s",
        "hysteresis(sensor, 80, 75) OVER s",
        "held_for(value, INTERVAL '5' SECOND) OVER s",
        "held_for(value > 1, 5) OVER s",
        "held_for(value > 1, INTERVAL '0' SECOND) OVER s",
        "held_for(value > 1, INTERVAL '1' MONTH) OVER s",
        "deadband(value, -1) OVER s",
        "rate(value, INTERVAL '0' SECOND) OVER s",
        "ewma(value, 1.5) OVER s",
        "ewma(value, INTERVAL '-1' SECOND) OVER s",
        "cusum_high(value, 75, -1) OVER s",
        "cusum_low(value, 75, 1, 0) OVER s",
        "nelson(value, 75, 0) OVER s",
        "western_electric(value, 75) OVER s",
        "rate(value)",
        "rate(value) OVER (PARTITION BY sensor)",
    ];
    let told = wrong.map(|call| format!("{call}\n{}", refused(&over(&format!("{call} AS x"))))).concat();
    expect![[r#"
        hysteresis(value, 80, 80) OVER s
        1:27: hysteresis: off: expected another value than on = 80, found the same
          put off below on by more than the noise
        hysteresis(value, n, 80) OVER s
        1:27: hysteresis: the value to go on at is a number, and the same for all rows
          write hysteresis(value, 80, 75) OVER (PARTITION BY … ORDER BY …)
        hysteresis(sensor, 80, 75) OVER s
        1:27: hysteresis: expected a number as argument 1, found Utf8
          CAST(… AS DOUBLE)
        held_for(value, INTERVAL '5' SECOND) OVER s
        1:27: held_for: expected a condition as argument 1, found Float64
          compare it with something: value > 80
        held_for(value > 1, 5) OVER s
        1:27: held_for: the duration is an interval, such as INTERVAL '5' SECOND
          write held_for(value > 80, INTERVAL '5' SECOND) OVER (PARTITION BY … ORDER BY …)
        held_for(value > 1, INTERVAL '0' SECOND) OVER s
        1:27: held_for: duration: expected more than no time, found 0s
          write held_for(value > 80, INTERVAL '5' SECOND) OVER (PARTITION BY … ORDER BY …)
        held_for(value > 1, INTERVAL '1' MONTH) OVER s
        1:27: held_for: months and years differ in length
          write held_for(value > 80, INTERVAL '5' SECOND) OVER (PARTITION BY … ORDER BY …)
        deadband(value, -1) OVER s
        1:27: deadband: band: expected a number of at least 0, found -1
          write deadband(value, 0.5) OVER (PARTITION BY … ORDER BY …)
        rate(value, INTERVAL '0' SECOND) OVER s
        1:27: rate: per: expected more than no time, found 0s
          write rate(value, INTERVAL '1' MINUTE) OVER (PARTITION BY … ORDER BY …)
        ewma(value, 1.5) OVER s
        1:27: ewma: alpha: expected a number above 0 and at most 1, found 1.5
          write ewma(value, 0.2) or ewma(value, INTERVAL '30' SECOND) OVER (PARTITION BY … ORDER BY …)
        ewma(value, INTERVAL '-1' SECOND) OVER s
        1:27: ewma: half_life: expected more than no time, found -1s
          write ewma(value, 0.2) or ewma(value, INTERVAL '30' SECOND) OVER (PARTITION BY … ORDER BY …)
        cusum_high(value, 75, -1) OVER s
        1:27: cusum_high: k: expected a number of at least 0, found -1
          write cusum_high(value, target, k) or cusum_high(value, target, k, h) OVER (PARTITION BY … ORDER BY …)
        cusum_low(value, 75, 1, 0) OVER s
        1:27: cusum_low: h: expected a number above 0, found 0
          write cusum_low(value, target, k) or cusum_low(value, target, k, h) OVER (PARTITION BY … ORDER BY …)
        nelson(value, 75, 0) OVER s
        1:27: nelson: sigma: expected a number above 0, found 0
          write nelson(value, mean, sigma) OVER (PARTITION BY … ORDER BY …)
        western_electric(value, 75) OVER s
        1:27: western_electric: it takes 3 arguments, found 2
          write western_electric(value, mean, sigma) OVER (PARTITION BY … ORDER BY …)
        rate(value)
        1:27: rate needs OVER: it goes from row to row in the order of time
          write rate(value, INTERVAL '1' MINUTE) OVER (PARTITION BY … ORDER BY …)
        rate(value) OVER (PARTITION BY sensor)
        1:27: rate OVER without ORDER BY would take in the whole stream, which has no end
          write OVER (PARTITION BY … ORDER BY ts)
    "#]]
    .assert_eq(&told);
}
