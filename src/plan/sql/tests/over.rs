//! `OVER (…)`: aggregates that slide from row to row, functions of a series, and what is refused of them.

use expect_test::expect;
use lineside_model::{Span, Timestamp};

use super::harness::{Running, explain, rows, run, show, tables};

const READINGS: &str = "
    0s   a  1   1
    30s  b  10  2
    59s  a  3   3
    60s  a  5   4
    60s  a  7   5
    61s  b  -   6
    125s a  7   7";

#[test]
fn a_minute_back_from_each_row() {
    let sql = "SELECT ts, sensor, value, avg(value) OVER minute AS mean, count(*) OVER minute AS n,
                      max(value) OVER minute AS hi
               FROM readings
               WINDOW minute AS (PARTITION BY sensor ORDER BY ts
                                 RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW)";
    expect![[r#"
        ts    sensor  value  mean  n  hi
        0s    a       1.0    1.0   1  1.0
        30s   b       10.0   10.0  1  10.0
        59s   a       3.0    2.0   2  3.0
        1m    a       5.0    4.0   4  7.0
        1m    a       7.0    4.0   4  7.0
        1m1s  b       -      10.0  2  10.0
        2m5s  a       7.0    7.0   1  7.0
    "#]]
    .assert_eq(&run(sql, READINGS));
    expect![[r#"
        over reads readings
          partition by sensor order by ts: avg(value) over the last 1m, count(*) over the last 1m, max(value) over the last 1m
          rows in the order of ts, each put out when the watermark has passed it
          rows behind the watermark are dropped and counted as late
          state: the rows that wait for the watermark
          state of avg(value) for each sensor: the values of the last 1m
          state of count(*) for each sensor: the values of the last 1m
          state of max(value) for each sensor: the values of the last 1m
          keys are forgotten when their frames are empty
        select reads over
          select ts, sensor, value, avg(value) AS mean, count(*) AS n, max(value) AS hi
        event times: ts
    "#]].assert_eq(&explain(sql));
}

#[test]
fn frames_of_rows_of_time_and_without_end() {
    let sql = "SELECT ts, n, sum(n) OVER (ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS two,
                      sum(n) OVER (ORDER BY ts) AS until_now, sum(n) OVER (ORDER BY ts ROWS UNBOUNDED PRECEDING) AS rows,
                      sum(n) OVER (ORDER BY ts RANGE CURRENT ROW) AS same_time,
                      sum(n) OVER (ORDER BY ts RANGE INTERVAL '1 second' PRECEDING) AS second
               FROM readings";
    expect![[r#"
        ts    n  two  until_now  rows  same_time  second
        0s    1  1    1          1     1          1
        30s   2  3    3          3     2          2
        59s   3  5    6          6     3          3
        1m    4  7    15         10    9          12
        1m    5  9    15         15    9          12
        1m1s  6  11   21         21    6          15
        2m5s  7  13   28         28    7          7
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn every_aggregate_that_slides() {
    let last_two = "OVER (PARTITION BY sensor ORDER BY ts ROWS 1 PRECEDING)";
    let calls = ["count(value)", "sum(value)", "sum(n)", "mean(value)", "min(value)", "max(value)", "stddev(value)"];
    let more = ["stddev_pop(value)", "first_value(value)", "last_value(value)", "min(sensor)", "last_value(ts)"];
    let columns = calls.into_iter().chain(more).enumerate();
    let columns = columns.map(|(n, call)| format!("{call} {last_two} AS c{n}")).collect::<Vec<_>>().join(", ");
    expect![[r#"
        c0  c1    c2  c3   c4   c5   c6                  c7   c8   c9   c10  c11
        1   1.0   1   1.0  1.0  1.0  -                   0.0  1.0  1.0  a    0s
        2   4.0   4   2.0  1.0  3.0  1.4142135623730951  1.0  1.0  3.0  a    59s
        2   8.0   7   4.0  3.0  5.0  1.4142135623730951  1.0  3.0  5.0  a    1m
        2   12.0  9   6.0  5.0  7.0  1.4142135623730951  1.0  5.0  7.0  a    1m
        2   14.0  12  7.0  7.0  7.0  0.0                 0.0  7.0  7.0  a    2m5s
        filtered 2
    "#]]
    .assert_eq(&run(&format!("SELECT {columns} FROM readings WHERE sensor = 'a'"), READINGS));
}

#[test]
fn the_value_before_and_the_number_of_a_row() {
    let sql = "SELECT sensor, value - lag(value) OVER s AS step, lag(sensor, 2) OVER (ORDER BY ts) AS two_back,
                      lag(value) IGNORE NULLS OVER s AS known, row_number() OVER s AS number
               FROM readings WINDOW s AS (PARTITION BY sensor ORDER BY ts)";
    expect![[r#"
        sensor  step  two_back  known  number
        a       -     -         -      1
        b       -     -         -      1
        a       2.0   a         1.0    2
        a       2.0   b         3.0    3
        a       2.0   a         5.0    4
        b       -     a         10.0   2
        a       0.0   a         7.0    5
    "#]]
    .assert_eq(&run(sql, READINGS));
    expect![[r#"
        over reads readings
          order by ts: lag(sensor, 2)
          rows in the order of ts, each put out when the watermark has passed it
          rows behind the watermark are dropped and counted as late
          state: the rows that wait for the watermark
          state of lag(sensor, 2): the last 2 values
        over_2 reads over
          partition by sensor order by ts: lag(value), lag(value) without nulls, row_number()
          rows in the order of ts, each put out when the watermark has passed it
          rows behind the watermark are dropped and counted as late
          state: the rows that wait for the watermark
          state of lag(value) for each sensor: the last value
          state of lag(value)_2 for each sensor: the last value
          state of row_number() for each sensor: a counter
          at most 1000000 keys, which are never forgotten; rows of others are dropped as too_many_keys
        select reads over_2
          select sensor, value - lag(value) AS step, lag(sensor, 2) AS two_back, lag(value)_2 AS known, row_number() AS number
        event times: none, so no window can be cut over its rows
    "#]].assert_eq(&explain(sql));
}

#[test]
fn keys_arguments_and_filters_are_expressions() {
    let sql = "SELECT upper(sensor) AS s, ts, sum(value * 2) FILTER (WHERE n > 1) OVER w + 1 AS twice,
                      count(*) FILTER (WHERE value > 4) OVER w AS high
               FROM readings WHERE n < 7 WINDOW w AS (PARTITION BY upper(sensor) ORDER BY ts)";
    expect![[r#"
        prepare reads readings
          where n < 7
          select ts, sensor, value, n, CASE WHEN (n > 1) THEN (value * 2.0) END AS argument, CASE WHEN (value > 4.0) THEN 1 END AS argument_2, upper(sensor) AS argument_3
        over reads prepare
          partition by argument_3 order by ts: sum(value * 2.0 where n > 1) over all rows so far, count(* where value > 4.0) over all rows so far
          rows in the order of ts, each put out when the watermark has passed it
          rows behind the watermark are dropped and counted as late
          state: the rows that wait for the watermark
          state of sum(value * 2.0 where n > 1) for each argument_3: one running value
          state of count(* where value > 4.0) for each argument_3: one running value
          at most 1000000 keys, which are never forgotten; rows of others are dropped as too_many_keys
        select reads over
          select upper(sensor) AS s, ts, sum(value * 2.0 where n > 1) + 1.0 AS twice, count(* where value > 4.0) AS high
        event times: ts
    "#]].assert_eq(&explain(sql));
    expect![[r#"
        s  ts    twice  high
        A  0s    -      0
        B  30s   21.0   1
        A  59s   7.0    0
        A  1m    31.0   2
        A  1m    31.0   2
        B  1m1s  21.0   1
        filtered 1
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn qualify_keeps_the_rows_that_moved() {
    let sql = "SELECT ts, sensor, n FROM readings
               QUALIFY n - lag(n) OVER (PARTITION BY sensor ORDER BY ts) > 1";
    expect![[r#"
        ts    sensor  n
        59s   a       3
        1m1s  b       6
        2m5s  a       7
        filtered 4
    "#]]
    .assert_eq(&run(sql, READINGS));
    let sql =
        "SELECT ts, sensor FROM (SELECT *, row_number() OVER (PARTITION BY sensor ORDER BY ts) AS number FROM readings)
               WHERE number = 1";
    expect![[r#"
        ts   sensor
        0s   a
        30s  b
        filtered 5
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn rows_wait_for_the_watermark_and_late_ones_are_counted() {
    let sum = |frame: &str| format!("SELECT ts, n, sum(n) OVER (ORDER BY ts {frame}) AS s FROM readings");
    let story = |sql: &str| {
        let mut running = Running::new(sql, &tables());
        let mut told = String::new();
        for (text, watermark) in [("5s a 1 1\n3s a 1 2", 4), ("4s a 1 4\n3s a 1 8", 5), ("5s a 1 16\n9s a 1 32", 6)] {
            running.feed("readings", &rows(text));
            running.watermark(Timestamp(Span::from_secs(watermark).micros()));
            told += &format!("{watermark}s:\n{}", show(&running.as_table("q").schema, &running.take()));
        }
        told + &running.dropped()
    };
    expect![[r#"
        4s:
        ts  n  s
        3s  2  2
        5s:
        ts  n  s
        4s  4  6
        6s:
        ts  n   s
        5s  1   23
        5s  16  23
        late 1
    "#]]
    .assert_eq(&story(&sum("RANGE INTERVAL '2' SECOND PRECEDING")));
    expect![[r#"
        4s:
        ts  n  s
        3s  2  2
        5s:
        ts  n  s
        4s  4  6
        5s  1  5
        6s:
        ts  n   s
        5s  16  17
        late 1
    "#]]
    .assert_eq(&story(&sum("ROWS 1 PRECEDING")));
}

#[test]
fn over_the_rows_of_windows_and_windows_over_its_rows() {
    let sql = "WITH minutes AS (SELECT window_start, window_end, sensor, sum(n) AS s
                                FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_start, window_end, sensor),
                    steps AS (SELECT window_end AS t, sensor, s, s - lag(s) OVER (PARTITION BY sensor ORDER BY window_end) AS step
                              FROM minutes)
               SELECT window_end, sensor, sum(s) AS s, max(step) AS step FROM TUMBLE(steps, t, INTERVAL '2' MINUTE)
               GROUP BY window_start, window_end, sensor";
    expect![[r#"
        window_end  sensor  s   step
        2m          a       4   -
        2m          b       2   -
        4m          a       16  5
        4m          b       6   4
    "#]]
    .assert_eq(&run(sql, READINGS));
    let sql =
        "SELECT window_end, sensor, sum(n) AS s, sum(sum(n)) OVER (PARTITION BY sensor ORDER BY window_end) AS so_far
               FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_end, sensor";
    expect![[r#"
        window_end  sensor  s  so_far
        1m          a       4  4
        1m          b       2  2
        2m          a       9  13
        2m          b       6  8
        3m          a       7  20
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn a_row_belongs_to_one_worker_by_the_keys_of_all_its_functions() {
    let sql = "SELECT ts, lag(n) OVER (PARTITION BY sensor ORDER BY ts) AS one, lag(n) OVER (PARTITION BY sensor, n ORDER BY ts) AS two
               FROM readings";
    let plan = crate::plan::sql::plan_query("q", sql, Default::default(), &tables()).unwrap();
    let keys =
        plan.steps.iter().map(|step| (step.label.as_str(), step.operator.partition_by.clone())).collect::<Vec<_>>();
    expect![[r#"[("over", Some(["sensor"])), ("over_2", Some(["sensor", "n"])), ("select", Some([]))]"#]]
        .assert_eq(&format!("{keys:?}"));
    assert!(plan.steps[1].lineage[0].contains(&("sensor".to_owned(), "sensor".to_owned())));
}
