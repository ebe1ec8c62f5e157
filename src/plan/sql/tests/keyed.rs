//! Windows of each key: sessions, so many rows, from one condition to another.

use expect_test::expect;
use lineside_model::{Span, Timestamp};

use super::harness::{Running, explain, refused, rows, run, show, tables};

const READINGS: &str = "
    5s   a  10  1
    0s   a  1   2
    3s   b  5   3
    40s  a  3   4
    12s  a  20  5
    71s  b  -   6
    30s  b  9   7";

#[test]
fn a_session_is_rows_without_a_longer_pause() {
    let sql = "SELECT window_start, window_end, sensor, count(*) AS n, sum(value) AS total, last_value(n) AS last
               FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '10' SECOND)
               GROUP BY window_start, window_end, sensor HAVING count(*) < 9";
    expect![[r#"
        window_start  window_end  sensor  n  total  last
        3s            13s         b       1  5.0    3
        0s            22s         a       3  31.0   5
        30s           40s         b       1  9.0    7
        40s           50s         a       1  3.0    4
        1m11s         1m21s       b       1  -      6
    "#]]
    .assert_eq(&run(sql, READINGS));
    expect![[r#"
        window reads readings
          group by window_start, window_end, sensor over ts: count(*), sum(value), last_value(n)
        select reads window
          where count(*) < 9
          select window_start, window_end, sensor, count(*) AS n, sum(value) AS total, last_value(n) AS last
        event times: window_end
    "#]]
    .assert_eq(&explain(sql));
}

#[test]
fn flinks_form_of_a_session_is_the_short_form() {
    let short = "SELECT window_end, sensor, n % 2 AS odd, count(*) AS c
                 FROM SESSION(readings PARTITION BY (sensor, n % 2), ts, INTERVAL '30' SECOND)
                 GROUP BY window_start, window_end, sensor, n % 2";
    let long = "SELECT window_end, sensor, n % 2 AS odd, count(*) AS c
                FROM TABLE(SESSION(TABLE readings PARTITION BY (sensor, n % 2), DESCRIPTOR(ts), INTERVAL '30' SECOND))
                GROUP BY window_start, window_end, sensor, n % 2";
    let named = "select window_end, sensor, n % 2 as odd, count(*) as c
                 from table(session(data => table readings partition by (sensor, n % 2), timecol => descriptor(ts),
                                    gap => interval '30 seconds'))
                 group by window_start, window_end, sensor, n % 2";
    expect![[r#"
        window_end  sensor  odd  c
        30s         a       0    1
        42s         a       1    2
        1m          b       1    2
        1m10s       a       0    1
        1m41s       b       0    1
    "#]]
    .assert_eq(&run(short, READINGS));
    assert_eq!(run(long, READINGS), run(short, READINGS));
    assert_eq!(run(named, READINGS), run(short, READINGS));
    assert_eq!(explain(long), explain(short));
}

#[test]
fn without_partition_by_all_rows_share_the_windows() {
    let sql = "SELECT window_start, window_end, count(*) AS n
               FROM SESSION(readings, ts, INTERVAL '30' SECOND, MAX_SIZE => INTERVAL '40' SECOND)
               GROUP BY window_start, window_end";
    expect![[r#"
        window_start  window_end  n
        0s            40s         5
        40s           1m10s       1
        1m11s         1m41s       1
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn where_is_asked_after_the_windows_and_a_subquery_before() {
    let after = "SELECT window_start, window_end, count(*) AS n, sum(value) AS s
                 FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '10' SECOND)
                 WHERE value > 4 GROUP BY window_start, window_end, sensor";
    expect![[r#"
        window_start  window_end  n  s
        3s            13s         1  5.0
        0s            22s         2  30.0
        30s           40s         1  9.0
        filtered 3
    "#]]
    .assert_eq(&run(after, READINGS));
    expect![[r#"
        prepare reads readings
          select ts, sensor, value, value > 4.0 AS kept
        window reads prepare
          group by window_start, window_end, sensor over ts: count(*), sum(value)
        select reads window
          select window_start, window_end, count(*) AS n, sum(value) AS s
        event times: window_end
    "#]]
    .assert_eq(&explain(after));
    let before = "WITH high AS (SELECT * FROM readings WHERE value > 4)
                  SELECT window_start, window_end, count(*) AS n, sum(value) AS s
                  FROM SESSION(high PARTITION BY sensor, ts, INTERVAL '10' SECOND)
                  GROUP BY window_start, window_end, sensor";
    expect![[r#"
        window_start  window_end  n  s
        3s            13s         1  5.0
        5s            22s         2  30.0
        30s           40s         1  9.0
        filtered 3
    "#]]
    .assert_eq(&run(before, READINGS));
    expect![[r#"
        prepare reads readings
          where value > 4.0
          select ts, sensor, value, n
        window reads prepare
          group by window_start, window_end, sensor over ts: count(*), sum(value)
        select reads window
          select window_start, window_end, count(*) AS n, sum(value) AS s
        event times: window_end
    "#]]
    .assert_eq(&explain(before));
}

#[test]
fn count_windows_tumble_and_slide() {
    let tumbling = "SELECT window_start, window_end, sensor, count(*) AS n, sum(n) AS s, median(value) AS m
                    FROM COUNT_WINDOW(readings PARTITION BY sensor, ts, 2) GROUP BY window_start, window_end, sensor";
    expect![[r#"
        window_start  window_end  sensor  n  s   m
        0s            5s          a       2  3   5.5
        3s            30s         b       2  10  7.0
        12s           40s         a       2  9   11.5
    "#]]
    .assert_eq(&run(tumbling, READINGS));
    let sliding = "SELECT window_start, window_end, sensor, sum(n) AS s, median(value) AS m
                   FROM COUNT_WINDOW(readings PARTITION BY sensor, ts, 2, 1, GAP => INTERVAL '20' SECOND)
                   GROUP BY window_start, window_end, sensor";
    expect![[r#"
        window_start  window_end  sensor  s  m
        3s            3s          b       3  5.0
        0s            5s          a       3  5.5
        5s            12s         a       6  15.0
        30s           30s         b       7  9.0
        40s           40s         a       4  3.0
        1m11s         1m11s       b       6  -
    "#]]
    .assert_eq(&run(sliding, READINGS));
}

#[test]
fn a_window_lasts_from_one_condition_to_another() {
    let cycle = "SELECT window_start, window_end, sensor, count(*) AS n, max(value) AS top
                 FROM STATE_WINDOW(readings PARTITION BY sensor, ts, START => value > 4.5, STOP => value < 4)
                 GROUP BY window_start, window_end, sensor";
    expect![[r#"
        window_start  window_end  sensor  n  top
        5s            40s         a       3  20.0
        filtered 1
    "#]]
    .assert_eq(&run(cycle, READINGS));
    expect![[r#"
        prepare reads readings
          select ts, sensor, value, value > 4.5 AS start, value < 4.0 AS stop
        window reads prepare
          group by window_start, window_end, sensor over ts: count(*), max(value)
        select reads window
          select window_start, window_end, sensor, count(*) AS n, max(value) AS top
        event times: window_end
    "#]]
    .assert_eq(&explain(cycle));
    let while_high = "SELECT window_end - window_start AS lasted, sensor, count(*) AS n
                      FROM STATE_WINDOW(readings PARTITION BY sensor, ts, value > 4 AND sensor <> 'c',
                                        MAX_SIZE => INTERVAL '1' MINUTE)
                      GROUP BY window_start, window_end, sensor";
    expect![[r#"
        lasted  sensor  n
        PT35S   a       2
        PT60S   b       2
        filtered 3
    "#]]
    .assert_eq(&run(while_high, READINGS));
}

#[test]
fn windows_are_read_by_other_windows() {
    let sql = "WITH runs AS (
                   SELECT window_start, window_end, sensor, count(*) AS n
                   FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '10' SECOND, MAX_SIZE => INTERVAL '1' HOUR)
                   GROUP BY window_start, window_end, sensor)
               SELECT window_end, count(*) AS runs, sum(n) AS rows FROM TUMBLE(runs, window_start, INTERVAL '1' MINUTE)
               GROUP BY window_start, window_end";
    expect![[r#"
        window_end  runs  rows
        1m          4     6
        2m          1     1
    "#]]
    .assert_eq(&run(sql, READINGS));
    let mut running = Running::new(sql, &tables());
    running.feed("readings", &rows(READINGS));
    running.watermark(Timestamp(Span::from_secs(100).micros()));
    let schema = running.as_table("q").schema;
    assert_eq!(show(&schema, &running.take()), "window_end  runs  rows\n", "a session may go on for an hour");
    running.watermark(Timestamp::MAX);
    assert_eq!(show(&schema, &running.take()).lines().count(), 3);
}

#[test]
fn every_aggregate_runs_over_windows_of_each_key() {
    let sql =
        "SELECT window_start, sensor, time_weighted_avg(value) AS twa, slope(value) AS slope, count(DISTINCT n) AS d,
                      median(value) AS md, approx_median(value) AS am, array_agg(n) AS all, mode(n) AS mode,
                      array_agg(arrow_cast(sensor, 'Dictionary(Int8, Utf8)')) AS words, string_agg(sensor, '-') AS text,
                      count(arrow_cast(sensor, 'Dictionary(Int8, Utf8)')) FILTER (WHERE n > 2) AS some,
                      last_value(arrow_cast(sensor, 'Dictionary(Int8, Utf8)')) AS word
               FROM SOME_WINDOW GROUP BY window_start, window_end, sensor";
    let over = |window: &str| run(&sql.replace("SOME_WINDOW", window), READINGS);
    expect![[r#"
        window_start  sensor  twa     slope                d  md   am   all           mode  words         text     some  word
        3s            b       5.0     0.14814814814814814  2  7.0  7.0  [3, 7]        3     [b, b]        b-b      2     b
        0s            a       15.875  -0.0778677815521296  4  6.5  6.5  [2, 1, 5, 4]  1     [a, a, a, a]  a-a-a-a  2     a
        1m11s         b       -       -                    1  -    -    [6]           6     [b]           b        1     b
    "#]].assert_eq(&over("SESSION(readings PARTITION BY sensor, ts, INTERVAL '30' SECOND)"));
    expect![[r#"
        window_start  sensor  twa   slope                d  md    am    all        mode  words      text   some  word
        0s            a       6.25  1.5733944954128443   3  10.0  10.0  [2, 1, 5]  1     [a, a, a]  a-a-a  1     a
        5s            a       18.0  -0.3163265306122449  3  10.0  10.0  [1, 5, 4]  1     [a, a, a]  a-a-a  2     a
        3s            b       5.0   0.14814814814814814  3  7.0   7.0   [3, 7, 6]  3     [b, b, b]  b-b-b  3     b
    "#]]
    .assert_eq(&over("COUNT_WINDOW(readings PARTITION BY sensor, ts, 3, 1)"));
    expect![[r#"
        window_start  sensor  twa   slope                d  md    am    all        mode  words      text   some  word
        0s            a       6.25  1.573394495412844    3  10.0  10.0  [2, 1, 5]  1     [a, a, a]  a-a-a  1     a
        3s            b       5.0   0.14814814814814814  2  7.0   7.0   [3, 7]     3     [b, b]     b-b    2     b
        filtered 1
    "#]]
    .assert_eq(&over("STATE_WINDOW(readings PARTITION BY sensor, ts, START => n < 5, STOP => n > 4)"));
}

#[test]
fn what_is_wrong_is_told_where_it_is() {
    let group = "GROUP BY window_start, window_end, sensor";
    let queries = [
        "SELECT * FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '1' SECOND)".to_owned(),
        "SELECT s.n FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '1' SECOND) s JOIN others o ON s.ts = o.ts"
            .to_owned(),
        "SELECT avg(n) OVER (ORDER BY ts ROWS 2 PRECEDING) FROM SESSION(readings, ts, INTERVAL '1' SECOND)".to_owned(),
        format!("SELECT count(*) FROM SESSION(readings PARTITION BY sensor, ts) {group}"),
        format!("SELECT count(*) FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '0' SECOND) {group}"),
        format!("SELECT count(*) FROM SESSION(readings PARTITION BY sensor, ts, 5) {group}"),
        format!(
            "SELECT count(*) FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '1' SECOND, INTERVAL '-1' HOUR) {group}"
        ),
        format!("SELECT count(*) FROM SESSION(readings PARTITION BY sensr, ts, INTERVAL '1' SECOND) {group}"),
        format!("SELECT count(*) FROM SESSION(readings PARTITION BY sensor, value, INTERVAL '1' SECOND) {group}"),
        format!("SELECT count(*) FROM SESSION(readings, ts, INTERVAL '1' SECOND) {group}"),
        "SELECT count(*) FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '1' SECOND) GROUP BY window_end"
            .to_owned(),
        "SELECT count(*) FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '1' SECOND) GROUP BY sensor"
            .to_owned(),
        "SELECT count(*) FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '1' SECOND)".to_owned(),
        format!("SELECT count(*) FROM TUMBLE(readings PARTITION BY sensor, ts, INTERVAL '1' SECOND) {group}"),
        format!("SELECT count(*) FROM COUNT_WINDOW(readings PARTITION BY sensor, ts) {group}"),
        format!("SELECT count(*) FROM COUNT_WINDOW(readings PARTITION BY sensor, ts, 0) {group}"),
        format!("SELECT count(*) FROM COUNT_WINDOW(readings PARTITION BY sensor, ts, 2.5) {group}"),
        format!("SELECT count(*) FROM COUNT_WINDOW(readings PARTITION BY sensor, ts, 2, 3) {group}"),
        format!("SELECT count(*) FROM COUNT_WINDOW(readings PARTITION BY sensor, ts, 1000000, 1) {group}"),
        format!("SELECT count(*) FROM STATE_WINDOW(readings PARTITION BY sensor, ts) {group}"),
        format!("SELECT count(*) FROM STATE_WINDOW(readings PARTITION BY sensor, ts, START => value + 1) {group}"),
        format!("SELECT count(*) FROM STATE_WINDOW(readings PARTITION BY sensor, ts, START => max(value) > 1) {group}"),
        format!("SELECT count(*) FROM STATE_WINDOW(readings PARTITION BY sensor, ts, START => valu > 1) {group}"),
        format!("SELECT count(*) FROM STATE_WINDOW(readings PARTITION BY sensor, ts, UNTIL => value > 1) {group}"),
        format!("SELECT count(*) FROM STATE_WINDOW(readings PARTITION BY sensor, ts, START => ts > now()) {group}"),
    ];
    let told =
        queries.map(|sql| format!("{sql}\n{}", refused(&sql).lines().map(|l| format!("  {l}\n")).collect::<String>()));
    expect![[r#"
        SELECT * FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '1' SECOND)
          1:15: which rows a SESSION has is known when it is over, so it is read through an aggregate
            GROUP BY window_start, window_end and the PARTITION BY columns
        SELECT s.n FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '1' SECOND) s JOIN others o ON s.ts = o.ts
          1:17: which rows a SESSION has is known when it is over, so it is read through an aggregate
            GROUP BY window_start, window_end and the PARTITION BY columns
        SELECT avg(n) OVER (ORDER BY ts ROWS 2 PRECEDING) FROM SESSION(readings, ts, INTERVAL '1' SECOND)
          1:56: which rows a SESSION has is known when it is over, so it is read through an aggregate
            GROUP BY window_start, window_end and the PARTITION BY columns
        SELECT count(*) FROM SESSION(readings PARTITION BY sensor, ts) GROUP BY window_start, window_end, sensor
          1:22: SESSION needs its argument gap
            write SESSION(table PARTITION BY sensor, event_time, INTERVAL '30' SECOND)
        SELECT count(*) FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '0' SECOND) GROUP BY window_start, window_end, sensor
          1:73: the gap of a window must be greater than zero
            write SESSION(table PARTITION BY sensor, event_time, INTERVAL '30' SECOND)
        SELECT count(*) FROM SESSION(readings PARTITION BY sensor, ts, 5) GROUP BY window_start, window_end, sensor
          1:64: the gap of a window is an interval
            write SESSION(table PARTITION BY sensor, event_time, INTERVAL '30' SECOND)
        SELECT count(*) FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '1' SECOND, INTERVAL '-1' HOUR) GROUP BY window_start, window_end, sensor
          1:94: the max_size of a window must be greater than zero
            write SESSION(table PARTITION BY sensor, event_time, INTERVAL '30' SECOND)
        SELECT count(*) FROM SESSION(readings PARTITION BY sensr, ts, INTERVAL '1' SECOND) GROUP BY window_start, window_end, sensor
          1:52: no column "sensr"
            did you mean "sensor"?
        SELECT count(*) FROM SESSION(readings PARTITION BY sensor, value, INTERVAL '1' SECOND) GROUP BY window_start, window_end, sensor
          1:60: column "value" is not an event time, so windows cannot be cut by it
            the event times there are: ts
        SELECT count(*) FROM SESSION(readings, ts, INTERVAL '1' SECOND) GROUP BY window_start, window_end, sensor
          1:22: sensor is not in the PARTITION BY of SESSION, so it may differ within a window
            write PARTITION BY (sensor)
        SELECT count(*) FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '1' SECOND) GROUP BY window_end
          1:85: each sensor has windows of its own, so rows are grouped by it, too
            GROUP BY window_start, window_end, sensor
        SELECT count(*) FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '1' SECOND) GROUP BY sensor
          1:85: the rows are not grouped by their window, so no group would ever be complete
            GROUP BY window_start, window_end and the other columns
        SELECT count(*) FROM SESSION(readings PARTITION BY sensor, ts, INTERVAL '1' SECOND)
          1:22: the rows are not grouped by their window, so no group would ever be complete
            GROUP BY window_start, window_end and the other columns
        SELECT count(*) FROM TUMBLE(readings PARTITION BY sensor, ts, INTERVAL '1' SECOND) GROUP BY window_start, window_end, sensor
          1:38: TUMBLE has no PARTITION BY
            GROUP BY the column
        SELECT count(*) FROM COUNT_WINDOW(readings PARTITION BY sensor, ts) GROUP BY window_start, window_end, sensor
          1:22: COUNT_WINDOW needs its argument size
            write COUNT_WINDOW(table PARTITION BY sensor, event_time, 100)
        SELECT count(*) FROM COUNT_WINDOW(readings PARTITION BY sensor, ts, 0) GROUP BY window_start, window_end, sensor
          1:69: the size of a count window is a number of rows, at least 1
            write COUNT_WINDOW(table PARTITION BY sensor, event_time, 100)
        SELECT count(*) FROM COUNT_WINDOW(readings PARTITION BY sensor, ts, 2.5) GROUP BY window_start, window_end, sensor
          1:69: the size of a count window is a number of rows, at least 1
            write COUNT_WINDOW(table PARTITION BY sensor, event_time, 100)
        SELECT count(*) FROM COUNT_WINDOW(readings PARTITION BY sensor, ts, 2, 3) GROUP BY window_start, window_end, sensor
          1:72: the slide of 3 rows is longer than the window of 2: rows between would be lost
            size comes first, then slide
        SELECT count(*) FROM COUNT_WINDOW(readings PARTITION BY sensor, ts, 1000000, 1) GROUP BY window_start, window_end, sensor
          1:22: windows of 1000000 rows every 1 put each into more than 100000
            use a greater slide or a smaller size
        SELECT count(*) FROM STATE_WINDOW(readings PARTITION BY sensor, ts) GROUP BY window_start, window_end, sensor
          1:22: STATE_WINDOW needs its argument start
            write STATE_WINDOW(table PARTITION BY sensor, event_time, START => value > 80, STOP => value < 70)
        SELECT count(*) FROM STATE_WINDOW(readings PARTITION BY sensor, ts, START => value + 1) GROUP BY window_start, window_end, sensor
          1:78: value + 1 is not a condition on a row
            write STATE_WINDOW(table PARTITION BY sensor, event_time, START => value > 80, STOP => value < 70)
        SELECT count(*) FROM STATE_WINDOW(readings PARTITION BY sensor, ts, START => max(value) > 1) GROUP BY window_start, window_end, sensor
          1:78: max(value) > 1 is not a condition on a row
            write STATE_WINDOW(table PARTITION BY sensor, event_time, START => value > 80, STOP => value < 70)
        SELECT count(*) FROM STATE_WINDOW(readings PARTITION BY sensor, ts, START => valu > 1) GROUP BY window_start, window_end, sensor
          1:78: no column "valu"
            did you mean "value"?
        SELECT count(*) FROM STATE_WINDOW(readings PARTITION BY sensor, ts, UNTIL => value > 1) GROUP BY window_start, window_end, sensor
          1:69: argument "UNTIL => value > 1" does not belong here
            write STATE_WINDOW(table PARTITION BY sensor, event_time, START => value > 80, STOP => value < 70)
        SELECT count(*) FROM STATE_WINDOW(readings PARTITION BY sensor, ts, START => ts > now()) GROUP BY window_start, window_end, sensor
          1:83: a stream has no fixed now
            use the event time column
    "#]].assert_eq(&told.concat());
}
