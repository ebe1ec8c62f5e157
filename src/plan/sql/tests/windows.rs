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
    expect![[""]].assert_eq(&run(sql, READINGS));
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
    expect![[""]].assert_eq(&run(short, READINGS));
    assert_eq!(run(long, READINGS), run(short, READINGS));
    assert_eq!(run(named, READINGS), run(short, READINGS));
    assert_eq!(explain(long), explain(short));
}

#[test]
fn an_offset_shifts_the_windows() {
    let sql = "SELECT window_start, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE, INTERVAL '1' SECOND)
               GROUP BY window_start";
    expect![[""]].assert_eq(&run(sql, READINGS));
}

#[test]
fn keys_arguments_and_having_are_expressions() {
    let sql = "SELECT upper(sensor) AS s, window_start + INTERVAL '1 hour' AS hour_later, max(value * 2) - min(value) AS range,
                      count(*) FILTER (WHERE n > 1) AS later, sum(value) FILTER (WHERE n > 1) AS later_sum
               FROM TUMBLE(readings, ts, INTERVAL '2' MINUTE) r
               WHERE r.n < 6 GROUP BY upper(sensor), window_start HAVING count(*) > 1";
    expect![[""]].assert_eq(&explain(sql));
    expect![[""]].assert_eq(&run(sql, READINGS));
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
    expect![[""]].assert_eq(&run(sql, READINGS));
}

#[test]
fn windows_without_aggregate_repeat_the_row() {
    let sql = "SELECT * FROM HOP(readings, ts, INTERVAL '30' SECOND, INTERVAL '60' SECOND) WHERE window_start >= to_timestamp(0)";
    expect![[""]].assert_eq(&run(sql, READINGS));
    let sql = "SELECT sensor, window_end - ts AS rest FROM TUMBLE(readings, ts, INTERVAL '60' SECOND)";
    expect![[""]].assert_eq(&run(sql, READINGS));
}

#[test]
fn a_subquery_below_the_window_and_above_it() {
    let sql = "WITH warm AS (SELECT ts AS t, sensor, value * 10 AS v FROM readings WHERE value > 1)
               SELECT window_end, hi + 1 AS more FROM (
                   SELECT window_start, window_end, max(v) AS hi, sum(v) AS s FROM
                       (SELECT *, v + 0 AS w FROM TUMBLE(warm, t, INTERVAL '1' MINUTE)) x
                   GROUP BY window_start, window_end) y
               WHERE s > 60";
    expect![[""]].assert_eq(&explain(sql));
    expect![[""]].assert_eq(&run(sql, READINGS));
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
        first.feed("readings", rows(text));
        let at = Timestamp(Span::from_secs(watermark).micros());
        first.watermark(at);
        for rows in first.take() {
            second.feed("minutes", rows);
        }
        second.watermark(at);
        told += &format!("{watermark}s:\n{}", show(&second.as_table("q").schema, &second.take()));
    }
    expect![[""]].assert_eq(&(told + &second.dropped()));
}

#[test]
fn keys_alone_give_the_distinct_ones_of_each_window() {
    let sql =
        "SELECT window_start, sensor FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_start, sensor";
    expect![[""]].assert_eq(&run(sql, READINGS));
}

#[test]
fn the_columns_a_window_is_keyed_by_can_be_followed_to_the_source() {
    let sql = "SELECT window_start, s, avg(v) AS mean FROM
                   (SELECT sensor AS s, value * 2 AS v, window_start FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)) x
               GROUP BY window_start, s";
    let plan = crate::plan::sql::plan_query("q", sql, &tables()).unwrap();
    let window = &plan.steps[1];
    assert_eq!(window.operator.partition_by, Some(vec!["s".to_owned()]));
    assert!(plan.steps[0].lineage[0].contains(&("s".to_owned(), "sensor".to_owned())), "{:?}", plan.steps[0].lineage);
}
