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
          select ts, sensor, value, n, upper(sensor) AS argument, CASE WHEN (n > 1) THEN (value * 2.0) END AS argument_2, CASE WHEN (value > 4.0) THEN 1 END AS argument_3
        over reads prepare
          partition by argument order by ts: sum(value * 2.0 where n > 1) over all rows so far, count(* where value > 4.0) over all rows so far
          rows in the order of ts, each put out when the watermark has passed it
          rows behind the watermark are dropped and counted as late
          state: the rows that wait for the watermark
          state of sum(value * 2.0 where n > 1) for each argument: one running value
          state of count(* where value > 4.0) for each argument: one running value
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

/// The means of sensors in minutes.
const MEANS: &str = "WITH means AS (SELECT window_start, window_end, sensor, avg(value) AS mean
    FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_start, window_end, sensor)";
const LINE: &str = "
    1s a 10\n2s b 30\n3s c 20\n4s d 30\n5s e -
    61s d 5\n62s c 6\n63s b 5
    125s a 1";

#[test]
fn the_two_best_of_each_window() {
    let sql = format!(
        "{MEANS} SELECT window_end, sensor, mean, rn FROM (
             SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY mean DESC NULLS LAST) AS rn FROM means)
         WHERE rn <= 2"
    );
    expect![[r#"
        window_end  sensor  mean  rn
        1m          b       30.0  1
        1m          d       30.0  2
        2m          c       6.0   1
        2m          b       5.0   2
        3m          a       1.0   1
        filtered 4
    "#]]
    .assert_eq(&run(&sql, LINE));
    expect![[r#"
        window reads readings
          group by window_start, window_end, sensor over ts: avg(value)
        rank reads window
          partition by window_start, window_end order by avg(value) DESC: row_number
          a window's rows are put out when the watermark has passed window_start, window_end
          rows of windows that were put out are dropped and counted as late
          state: rows up to row_number 2 of each window_start, window_end, and as many again and 1024 before they are looked through
        select reads rank
          where row_number <= 2
          select window_end, sensor, avg(value) AS mean, row_number AS rn
        event times: window_end
    "#]].assert_eq(&explain(&sql));
    let qualify = format!(
        "{MEANS} SELECT window_end, sensor, mean, ROW_NUMBER() OVER w AS rn FROM means
         WINDOW w AS (PARTITION BY window_start, window_end ORDER BY mean DESC NULLS LAST) QUALIFY rn <= 2"
    );
    assert_eq!(run(&qualify, LINE), run(&sql, LINE));
}

#[test]
fn ranks_of_all_rows_of_a_window_and_of_the_aggregates_of_one_select() {
    let sql = format!(
        "{MEANS} SELECT window_end, sensor, rank() OVER w AS r, dense_rank() OVER w AS d, row_number() OVER w AS n
         FROM means WINDOW w AS (PARTITION BY window_end ORDER BY mean DESC)"
    );
    expect![[r#"
        window_end  sensor  r  d  n
        1m          e       1  1  1
        1m          b       2  2  2
        1m          d       2  2  3
        1m          c       4  3  4
        1m          a       5  4  5
        2m          c       1  1  1
        2m          b       2  2  2
        2m          d       2  2  3
        3m          a       1  1  1
    "#]]
    .assert_eq(&run(&sql, LINE));
    let sql = "SELECT window_end, sensor, max(value) AS hi FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)
               GROUP BY window_start, window_end, sensor
               QUALIFY row_number() OVER (PARTITION BY window_end ORDER BY max(value) DESC NULLS LAST, sensor DESC) = 1";
    expect![[r#"
        window_end  sensor  hi
        1m          d       30.0
        2m          c       6.0
        3m          a       1.0
        filtered 6
    "#]]
    .assert_eq(&run(sql, LINE));
    let sql =
        "SELECT window_end, sensor, value, rank() OVER (PARTITION BY window_start, window_end ORDER BY value) AS r
               FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) QUALIFY r = 1";
    expect![[r#"
        window_end  sensor  value  r
        1m          a       10.0   1
        2m          d       5.0    1
        2m          b       5.0    1
        3m          a       1.0    1
        filtered 5
    "#]]
    .assert_eq(&run(sql, LINE));
}

#[test]
fn a_window_of_the_best_of_windows() {
    let sql = format!(
        "{MEANS}, best AS (SELECT window_start, window_end, sensor, mean FROM means
                           QUALIFY row_number() OVER (PARTITION BY window_start, window_end ORDER BY mean DESC) <= 2)
         SELECT window_end, count(*) AS n, max(mean) AS hi FROM TUMBLE(best, window_start, INTERVAL '2' MINUTE)
         GROUP BY window_start, window_end"
    );
    expect![[r#"
        window_end  n  hi
        2m          4  30.0
        4m          1  1.0
        filtered 4
    "#]]
    .assert_eq(&run(&sql, LINE));
}

#[test]
fn windows_are_cut_over_windows_by_any_of_their_times_and_in_any_form() {
    let minutes = "SELECT window_start, window_end, sensor, sum(n) AS n, count(*) AS rows FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)
                   GROUP BY window_start, window_end, sensor";
    let whole = "SELECT window_start, window_end, sensor, sum(n) AS n, count(*) AS rows FROM TUMBLE(readings, ts, INTERVAL '2' MINUTE)
                 GROUP BY window_start, window_end, sensor";
    let by_start = "SELECT window_start, window_end, sensor, sum(n) AS n, CAST(sum(rows) AS BIGINT) AS rows
                    FROM TUMBLE(minutes, window_start, INTERVAL '2' MINUTE) GROUP BY window_start, window_end, sensor";
    let expected = run(whole, READINGS);
    assert_eq!(run(&format!("WITH minutes AS ({minutes}) {by_start}"), READINGS), expected);
    let renamed = format!(
        "WITH minutes AS (SELECT window_start AS t, sensor, n, rows FROM ({minutes})) {}",
        by_start.replace("minutes, window_start", "minutes, t")
    );
    assert_eq!(run(&renamed, READINGS), expected);
    let mut first = Running::new(minutes, &tables());
    let mut all = tables();
    all.push(first.as_table("minutes"));
    let mut second = Running::new(by_start, &all);
    let mut found = Vec::new();
    for (n, line) in READINGS.lines().filter(|line| !line.trim().is_empty()).enumerate() {
        first.feed("readings", &rows(line));
        let watermark = Timestamp(Span::from_secs([0, 30, 59, 60, 60, 61, 125][n]).micros());
        for at in if n == 6 { vec![watermark, Timestamp::MAX] } else { vec![watermark] } {
            first.watermark(at);
            first.take().iter().for_each(|rows| second.feed("minutes", rows));
            second.watermark(at);
            found.extend(second.take());
        }
    }
    assert_eq!(show(&second.as_table("q").schema, &found), expected);
    // By window_end a minute belongs to the two minutes that its end is in, as in Flink.
    let by_end =
        format!("WITH minutes AS ({minutes}) {}", by_start.replace("minutes, window_start", "minutes, window_end"));
    expect![[r#"
        window_start  window_end  sensor  n   rows
        0s            2m          a       4   2
        0s            2m          b       2   1
        2m            4m          a       16  3
        2m            4m          b       6   1
    "#]]
    .assert_eq(&run(&by_end, READINGS));
}

#[test]
fn readings_of_bad_quality_are_left_out_of_frames_and_not_of_lag() {
    let times = vec![lineside_operators::TimeColumn { name: "ts".to_owned(), delay: Span::ZERO }];
    let line = crate::plan::sql::Table {
        name: "line".to_owned(),
        schema: lineside_model::schema::readings(),
        times,
        fixed: false,
    };
    let sql = "SELECT ts, avg(value) OVER s AS mean, count(*) OVER s AS n, lag(value) OVER s AS before FROM line
               WINDOW s AS (PARTITION BY sensor ORDER BY ts ROWS 9 PRECEDING)";
    let plan = crate::plan::sql::plan_query("q", sql, Default::default(), &[line]).unwrap();
    let told = plan.steps[..2].iter().flat_map(|step| &step.operator.explain).map(|line| format!("{line}\n"));
    expect![[r#"
        select ts, sensor, value, quality, received_at, if_usable(value, quality) AS argument
        partition by sensor order by ts: avg(value) over the last 10 rows, count(*) over the last 10 rows, lag(value)
        rows in the order of ts, each put out when the watermark has passed it
        rows behind the watermark are dropped and counted as late
        state: the rows that wait for the watermark
        state of avg(value) for each sensor: the values of the last 10 rows
        state of count(*) for each sensor: the values of the last 10 rows
        state of lag(value) for each sensor: the last value
        at most 1000000 keys, which are never forgotten; rows of others are dropped as too_many_keys
        readings of bad quality take part in count(*), not in avg(value); quality = "all" in the query's table takes them all
    "#]].assert_eq(&told.collect::<String>());
}
