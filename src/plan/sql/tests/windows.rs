//! Windows: tumbling and hopping, aggregated and not, queries over queries.

use expect_test::expect;
use lineside_model::{Span, Timestamp};

use super::harness::{Running, explain, rows, run, show, tables};

const READINGS: &str = "
    0s   a  1   1
    5s   b  10  2
    59s  a  3   3
    60s  a  5   4
    61s  b  -   5
    125s a  7   6";

#[test]
fn tumbling_windows_are_half_open_and_aligned_to_the_epoch() {
    let sql = "SELECT window_start, window_end, sensor, count(*) AS n, count(value) AS values, avg(value) AS mean
               FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_start, window_end, sensor";
    expect![[r#"
        window_start  window_end  sensor  n  values  mean
        0s            1m          a       2  2       2.0
        0s            1m          b       1  1       10.0
        1m            2m          a       1  1       5.0
        1m            2m          b       1  0       -
        2m            3m          a       1  1       7.0
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn the_long_form_is_the_short_form() {
    let short = "SELECT window_end, sum(n) AS s FROM HOP(readings, ts, INTERVAL '30' SECOND, INTERVAL '60' SECOND)
                 GROUP BY window_start, window_end";
    let long = "SELECT window_end, sum(n) AS s
                FROM TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '30' SECOND, INTERVAL '60' SECOND))
                GROUP BY window_start, window_end";
    let named = "select window_end, sum(n) as s
                 from table(hop(data => table readings, timecol => descriptor(ts), size => interval '60 seconds',
                                slide => interval '30' second))
                 group by window_start, window_end";
    expect![[r#"
        window_end  s
        30s         3
        1m          6
        1m30s       12
        2m          9
        2m30s       6
        3m          6
    "#]]
    .assert_eq(&run(short, READINGS));
    assert_eq!(run(long, READINGS), run(short, READINGS));
    assert_eq!(run(named, READINGS), run(short, READINGS));
    assert_eq!(explain(long), explain(short));
}

#[test]
fn an_offset_shifts_the_windows() {
    let sql = "SELECT window_start, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE, INTERVAL '1' SECOND)
               GROUP BY window_start";
    expect![[r#"
        window_start  n
        -59s          1
        1s            3
        1m1s          1
        2m1s          1
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn keys_arguments_and_having_are_expressions() {
    let sql = "SELECT upper(sensor) AS s, window_start + INTERVAL '1 hour' AS hour_later, max(value * 2) - min(value) AS range,
                      count(*) FILTER (WHERE n > 1) AS later, sum(value) FILTER (WHERE n > 1) AS later_sum
               FROM TUMBLE(readings, ts, INTERVAL '2' MINUTE) r
               WHERE r.n < 6 GROUP BY upper(sensor), window_start HAVING count(*) > 1";
    expect![[r#"
        prepare reads readings
          where n < 6
          select ts, upper(sensor) AS upper(r.sensor), value * 2.0 AS argument, value, CASE WHEN (n > 1) THEN 1 END AS argument_2, CASE WHEN (n > 1) THEN value END AS argument_3
        window reads prepare
          group by window_start, window_end, upper(r.sensor) over ts: max(value * 2.0), min(value), count(* where n > 1), sum(value where n > 1), count(*)
        select reads window
          where count(*) > 1
          select upper(r.sensor) AS s, window_start + INTERVAL '1 HOURS' AS hour_later, max(value * 2.0) - min(value) AS range, count(* where n > 1) AS later, sum(value where n > 1) AS later_sum
        event times: none, so no window can be cut over its rows
    "#]].assert_eq(&explain(sql));
    expect![[r#"
        s  hour_later  range  later  later_sum
        A  1h          9.0    2      8.0
        B  1h          10.0   2      10.0
        filtered 1
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn every_aggregate_there_is() {
    let sql = "SELECT count(*) AS c, sum(n) AS s, mean(value) AS m, min(sensor) AS lo, max(value) AS hi,
                      stddev(value) AS sd, stddev_samp(value) AS ss, stddev_pop(value) AS sp,
                      first_value(value) AS f, last_value(n ORDER BY ts) AS l, last_value(n ORDER BY ts DESC) AS l2,
                      median(value) AS md, percentile_cont(0.25) WITHIN GROUP (ORDER BY value) AS q1,
                      percentile_cont(0.25) WITHIN GROUP (ORDER BY value DESC) AS q3,
                      approx_median(value) AS am, approx_percentile_cont(value, 0.5) AS ap,
                      approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS aw
               FROM TUMBLE(readings, ts, INTERVAL '1' DAY) GROUP BY window_start";
    expect![[r#"
        c  s   m    lo  hi    sd                 ss                 sp                 f    l  l2  md   q1   q3   am   ap   aw
        6  21  5.2  a   10.0  3.492849839314596  3.492849839314596  3.124099870362662  1.0  6  1   5.0  3.0  7.0  5.0  5.0  5.0
    "#]].assert_eq(&run(sql, READINGS));
}

#[test]
fn windows_without_aggregate_repeat_the_row() {
    let sql = "SELECT * FROM HOP(readings, ts, INTERVAL '30' SECOND, INTERVAL '60' SECOND) WHERE window_start >= to_timestamp(0)";
    expect![[r#"
        ts    sensor  value  n  window_start  window_end
        0s    a       1.0    1  0s            1m
        5s    b       10.0   2  0s            1m
        59s   a       3.0    3  0s            1m
        59s   a       3.0    3  30s           1m30s
        1m    a       5.0    4  30s           1m30s
        1m    a       5.0    4  1m            2m
        1m1s  b       -      5  30s           1m30s
        1m1s  b       -      5  1m            2m
        2m5s  a       7.0    6  1m30s         2m30s
        2m5s  a       7.0    6  2m            3m
        filtered 2
    "#]]
    .assert_eq(&run(sql, READINGS));
    let sql = "SELECT sensor, window_end - ts AS rest FROM TUMBLE(readings, ts, INTERVAL '60' SECOND)";
    expect![[r#"
        sensor  rest
        a       PT60S
        b       PT55S
        a       PT1S
        a       PT60S
        b       PT59S
        a       PT55S
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn a_subquery_below_the_window_and_above_it() {
    let sql = "WITH warm AS (SELECT ts AS t, sensor, value * 10 AS v FROM readings WHERE value > 1)
               SELECT window_end, hi + 1 AS more FROM (
                   SELECT window_start, window_end, max(v) AS hi, sum(v) AS s FROM
                       (SELECT *, v + 0 AS w FROM TUMBLE(warm, t, INTERVAL '1' MINUTE)) x
                   GROUP BY window_start, window_end) y
               WHERE s > 60";
    expect![[r#"
        prepare reads readings
          where value > 1.0
          select ts, value * 10.0 AS argument
        window reads prepare
          group by window_start, window_end over ts: max(value * 10.0), sum(value * 10.0)
        select reads window
          where sum(value * 10.0) > 60.0
          select window_end, max(value * 10.0) + 1.0 AS more
        event times: window_end
    "#]]
    .assert_eq(&explain(sql));
    expect![[r#"
        window_end  more
        1m          101.0
        3m          71.0
        filtered 3
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn a_query_over_a_query_takes_its_window_as_time() {
    let minutes = "SELECT window_start, window_end, sensor, count(*) AS n
                   FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_start, window_end, sensor";
    let mut first = Running::new(minutes, &tables());
    let mut all = tables();
    all.push(first.as_table("minutes"));
    let hours =
        "SELECT window_start, sum(n) AS n, count(*) AS rows FROM TUMBLE(minutes, window_start, INTERVAL '2' MINUTE)
                 GROUP BY window_start";
    let mut second = Running::new(hours, &all);
    let mut told = String::new();
    for (text, watermark) in [("0s a 1\n60s a 1\n61s b 1", 90), ("110s a 1\n121s a 1", 121), ("200s a 1", 300)] {
        first.feed("readings", &rows(text));
        let at = Timestamp(Span::from_secs(watermark).micros());
        first.watermark(at);
        for rows in first.take() {
            second.feed("minutes", &rows);
        }
        second.watermark(at);
        told += &format!("{watermark}s:\n{}", show(&second.as_table("q").schema, &second.take()));
    }
    expect![[r#"
        90s:
        window_start  n  rows
        121s:
        window_start  n  rows
        300s:
        window_start  n  rows
        0s            4  3
        2m            2  2
    "#]]
    .assert_eq(&(told + &second.dropped()));
}

#[test]
fn keys_alone_give_the_distinct_ones_of_each_window() {
    let sql =
        "SELECT window_start, sensor FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_start, sensor";
    expect![[r#"
        window_start  sensor
        0s            a
        0s            b
        1m            a
        1m            b
        2m            a
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn a_column_may_stand_in_group_by_twice() {
    expect![[r#"
        window_start  sensor  c
        0s            a       2
        0s            b       1
        1m            a       1
        1m            b       1
        2m            a       1
    "#]]
    .assert_eq(&run(
        "SELECT ALL window_start, sensor, count(*) AS c FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)
         GROUP BY window_start, sensor, sensor, window_start",
        READINGS,
    ));
}

#[test]
fn the_columns_a_window_is_keyed_by_can_be_followed_to_the_source() {
    let sql = "SELECT window_start, s, avg(v) AS mean FROM
                   (SELECT sensor AS s, value * 2 AS v, window_start FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)) x
               GROUP BY window_start, s";
    let plan = crate::plan::sql::plan_query("q", sql, crate::plan::sql::Wish::default(), &tables()).unwrap();
    let window = &plan.steps[1];
    assert_eq!(window.operator.partition_by, Some(vec!["s".to_owned()]));
    assert!(plan.steps[0].lineage[0].contains(&("s".to_owned(), "sensor".to_owned())), "{:?}", plan.steps[0].lineage);
}

#[test]
fn windows_over_streams_brought_together() {
    let sql = "WITH both AS (SELECT ts, value FROM readings UNION ALL SELECT ts, n FROM readings)
               SELECT window_start AS \"Start\", sum(value) FROM TUMBLE(both, ts, INTERVAL '5m') GROUP BY 1";
    expect![[r#"
        Start  sum(both.value)
        0s     47.0
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn a_row_whose_key_or_argument_fails_is_left_out_of_its_window() {
    let sql =
        "SELECT window_start, sum(12 / (n - 3)) AS s FROM TUMBLE(readings, ts, INTERVAL '1' DAY) GROUP BY window_start";
    expect![[r#"
        window_start  s
        0s            4
        expression_failed 1
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn windows_of_one_query_are_the_rows_of_the_next_within_one_text() {
    let sql = "WITH seconds AS (SELECT window_start, window_end, sensor, avg(value) AS mean
                                FROM TUMBLE(readings, ts, INTERVAL '1' SECOND) GROUP BY window_start, window_end, sensor)
               SELECT sensor, window_end, max(mean) AS peak FROM TUMBLE(seconds, window_start, INTERVAL '1' MINUTE)
               GROUP BY sensor, window_end";
    expect![[r#"
        sensor  window_end  peak
        a       1m          3.0
        b       1m          10.0
        a       2m          5.0
        b       2m          -
        a       3m          7.0
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn intervals_are_written_in_many_ways() {
    let of = |interval: &str| {
        let sql = format!("SELECT window_start, count(*) AS n FROM TUMBLE(readings, ts, {interval}) GROUP BY 1");
        run(&sql, READINGS)
    };
    for same in ["INTERVAL '90 seconds'", "INTERVAL '90s'", "INTERVAL '1 minute 30 seconds'", "interval '1.5' minute"] {
        assert_eq!(of(same), of("INTERVAL '90' SECOND"), "{same}");
    }
    assert_eq!(of("INTERVAL '2m'"), of("INTERVAL '2' MINUTE"));
}
