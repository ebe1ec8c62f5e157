//! Joins: the last row before, all rows around, the same window; what comes out, and what is refused.

use expect_test::expect;

use super::harness::{explain, refused, run_tables};

const TORQUE: &str = "
    1s   a  1   1
    5s   a  2   2
    5s   b  3   3
    9s   a  4   4";

const PRESSURE: &str = "
    0s   b  10
    2s   a  20
    5s   a  50
    6s   b  60
    8s   a  80";

fn run(sql: &str) -> String {
    run_tables(sql, &[("readings", TORQUE), ("others", PRESSURE)])
}

fn run_on(join: &str) -> String {
    run(&format!("SELECT r.ts AS at, r.sensor, r.value, o.ts AS other_at, o.value AS other FROM readings r {join}"))
}

#[test]
fn asof_takes_the_last_row_before() {
    expect![[r#"
        at  sensor  value  other_at  other
        5s  a       2.0    5s        50.0
        5s  b       3.0    0s        10.0
        9s  a       4.0    8s        80.0
        unmatched 1
    "#]]
    .assert_eq(&run_on("ASOF JOIN others o MATCH_CONDITION (r.ts >= o.ts) ON r.sensor = o.sensor"));
    expect![[r#"
        at  sensor  value  other_at  other
        1s  a       1.0    -         -
        5s  a       2.0    2s        20.0
        5s  b       3.0    0s        10.0
        9s  a       4.0    8s        80.0
    "#]]
    .assert_eq(&run_on("ASOF LEFT JOIN others o MATCH_CONDITION (r.ts > o.ts) ON r.sensor = o.sensor"));
    expect![[r#"
        at  sensor  value  other_at  other
        1s  a       1.0    0s        10.0
        5s  a       2.0    5s        50.0
        5s  b       3.0    5s        50.0
        9s  a       4.0    8s        80.0
    "#]]
    .assert_eq(&run_on("ASOF JOIN others o MATCH_CONDITION (o.ts <= r.ts)"));
}

#[test]
fn asof_with_a_tolerance_takes_no_older_row() {
    let join = |within: &str| {
        run_on(&format!("ASOF LEFT JOIN others o MATCH_CONDITION (r.ts >= o.ts AND {within}) ON o.sensor = r.sensor"))
    };
    let two = join("r.ts - o.ts <= INTERVAL '2' SECOND");
    expect![[r#"
        at  sensor  value  other_at  other
        1s  a       1.0    -         -
        5s  a       2.0    5s        50.0
        5s  b       3.0    -         -
        9s  a       4.0    8s        80.0
    "#]]
    .assert_eq(&two);
    assert_eq!(join("r.ts <= o.ts + INTERVAL '2' SECOND"), two);
    assert_eq!(join("o.ts >= r.ts - INTERVAL '2' SECOND"), two);
}

#[test]
fn asof_forward_and_nearest() {
    expect![[r#"
        at  sensor  value  other_at  other
        1s  a       1.0    2s        20.0
        5s  a       2.0    5s        50.0
        5s  b       3.0    6s        60.0
        9s  a       4.0    -         -
    "#]].assert_eq(&run_on(
        "ASOF LEFT JOIN others o MATCH_CONDITION (r.ts <= o.ts AND o.ts - r.ts <= INTERVAL '3' SECOND) ON r.sensor = o.sensor",
    ));
    expect![[r#"
        at  sensor  value  other_at  other
        1s  a       1.0    2s        20.0
        5s  a       2.0    5s        50.0
        5s  b       3.0    6s        60.0
        9s  a       4.0    8s        80.0
    "#]]
    .assert_eq(&run_on(
        "LEFT ASOF JOIN others o MATCH_CONDITION (NEAREST(r.ts, o.ts, INTERVAL '3' SECOND)) ON r.sensor = o.sensor",
    ));
}

#[test]
fn a_join_takes_every_row_within_reach() {
    const ON: &str = "JOIN others o ON r.sensor = o.sensor AND o.ts BETWEEN r.ts - INTERVAL '3' SECOND AND r.ts + INTERVAL '1' SECOND";
    expect![[r#"
        at  sensor  value  other_at  other
        1s  a       1.0    2s        20.0
        5s  a       2.0    2s        20.0
        5s  a       2.0    5s        50.0
        5s  b       3.0    6s        60.0
        9s  a       4.0    8s        80.0
        unmatched 1
    "#]]
    .assert_eq(&run_on(ON));
    expect![[r#"
        at  sensor  value  other_at  other
        1s  a       1.0    2s        20.0
        5s  a       2.0    2s        20.0
        5s  a       2.0    5s        50.0
        5s  b       3.0    6s        60.0
        9s  a       4.0    8s        80.0
        unmatched 1
    "#]]
    .assert_eq(&run_on(&format!("LEFT {ON}")));
    expect![[r#"
        at  sensor  value  other_at  other
        1s  a       1.0    2s        20.0
        5s  a       2.0    2s        20.0
        5s  a       2.0    5s        50.0
        5s  b       3.0    6s        60.0
        9s  a       4.0    8s        80.0
        -   -       -      0s        10.0
    "#]]
    .assert_eq(&run_on(&format!("RIGHT {ON}")));
    expect![[r#"
        at  sensor  value  other_at  other
        1s  a       1.0    2s        20.0
        5s  a       2.0    2s        20.0
        5s  a       2.0    5s        50.0
        5s  b       3.0    6s        60.0
        9s  a       4.0    8s        80.0
        -   -       -      0s        10.0
    "#]]
    .assert_eq(&run_on(&format!("FULL OUTER {ON}")));
}

#[test]
fn windows_are_joined_by_their_edges() {
    let sql = "WITH one AS (SELECT window_start, window_end, sensor, sum(value) AS torque
                            FROM TUMBLE(readings, ts, INTERVAL '5' SECOND) GROUP BY window_start, window_end, sensor),
                    two AS (SELECT window_start, window_end, sensor, max(value) AS pressure
                            FROM TUMBLE(others, ts, INTERVAL '5' SECOND) GROUP BY window_start, window_end, sensor)
               SELECT one.window_start, one.window_end, one.sensor, torque, pressure FROM one
               LEFT JOIN two ON one.window_start = two.window_start AND one.window_end = two.window_end AND one.sensor = two.sensor";
    expect![[r#"
        window_start  window_end  sensor  torque  pressure
        0s            5s          a       1.0     20.0
        5s            10s         a       6.0     80.0
        5s            10s         b       3.0     60.0
        unmatched 1
    "#]]
    .assert_eq(&run(sql));
    expect![[r#"
        window reads readings
          group by window_start, window_end, sensor over ts: sum(value)
        window_2 reads others
          group by window_start, window_end, sensor over ts: max(value)
          windows of 5s every 5s, from 1970-01-01T00:00:00Z, closed when the watermark reaches their end
          rows of closed windows are dropped and counted as late
          state: one entry per aggregate, group and slice that has rows; 1 slices to a window
          groups are forgotten when they are in no open window; rows of more than 1000000 at a time are too_many_keys
        join reads window, window_2
          joins each row of one with every row of two with the same sensor, window_end: two.window_start = one.window_start
          a row of one without partner comes out alone
          a row of two without partner is counted as unmatched
          state: a row of one until the watermark is 5s past it
          state: a row of two until the watermark is 5s past it
          rows behind the watermark are dropped and counted as late
        select reads join
          select window_start, window_end, sensor, torque, pressure
        event times: window_start (up to 5s behind the watermark)
    "#]].assert_eq(&explain(sql));
    let using = sql.replace(
        "ON one.window_start = two.window_start AND one.window_end = two.window_end AND one.sensor = two.sensor",
        "USING (window_start, window_end, sensor)",
    );
    assert_eq!(run(&using), run(sql));
}

#[test]
fn joined_rows_are_grouped_by_windows() {
    let sql = "SELECT window_start, count(*) AS n, max(pressure) AS pressure
               FROM TUMBLE(pairs, at, INTERVAL '5' SECOND) GROUP BY window_start";
    let sql = format!(
        "WITH pairs AS (SELECT r.ts AS at, o.value AS pressure FROM readings r
         ASOF JOIN others o MATCH_CONDITION (r.ts >= o.ts) ON r.sensor = o.sensor) {sql}"
    );
    expect![[r#"
        window_start  n  pressure
        5s            3  80.0
        unmatched 1
    "#]]
    .assert_eq(&run(&sql));
}

#[test]
fn conditions_on_one_side_and_on_both() {
    expect![[r#"
        at  sensor  value  other_at  other
        5s  a       2.0    5s        50.0
        unmatched 3
        filtered 4
    "#]].assert_eq(&run_on(
        "JOIN others o ON r.sensor = o.sensor AND o.ts BETWEEN r.ts - INTERVAL '5' SECOND AND r.ts AND o.value > 10 AND r.value * 10 < o.value WHERE r.n < 4",
    ));
    expect![[r#"
        at  sensor  value  other_at  other
        1s  a       1.0    -         -
        5s  a       2.0    2s        20.0
        5s  b       3.0    0s        10.0
        9s  a       4.0    2s        20.0
        filtered 3
    "#]]
    .assert_eq(&run_on(
        "ASOF LEFT JOIN others o MATCH_CONDITION (r.ts >= o.ts) ON upper(r.sensor) = upper(o.sensor) AND o.value < 50",
    ));
}

#[test]
fn explain_tells_what_is_kept_and_why() {
    expect![[r#"
        join reads readings, others
          joins each row of r with the last row of o with the same sensor: o.ts at most r.ts
          a row of r without partner comes out alone
          state: a row of r until the watermark is past it
          state: the last row of o for each sensor for ever, of at most 1000000; rows of more are counted as too_many_keys
          rows behind the watermark are dropped and counted as late
        select reads join
          select ts, value_2 AS value
        event times: ts
    "#]].assert_eq(&explain(
        "SELECT r.ts, o.value FROM readings r ASOF LEFT JOIN others o MATCH_CONDITION (r.ts >= o.ts) ON r.sensor = o.sensor",
    ));
    expect![[r#"
        join reads readings, others
          joins each row of r with every row of o with the same n: o.ts from r.ts - 5s to r.ts + 1s
          a row of r without partner is counted as unmatched
          a row of o without partner is counted as unmatched
          state: a row of r until the watermark is 1s past it
          state: a row of o until the watermark is 6s past it
          rows behind the watermark are dropped and counted as late
        select reads join
          select ts, sensor, value, n, value_2 AS v
        event times: ts (up to 1s behind the watermark)
    "#]].assert_eq(&explain(
        "SELECT r.*, o.value AS v FROM readings r JOIN others o ON r.n = o.n AND o.ts BETWEEN r.ts - INTERVAL '5' SECOND AND r.ts + INTERVAL '1' SECOND",
    ));
    expect![[r#"
        prepare reads readings
          select ts, value, upper(sensor) AS key
        join reads prepare, others
          joins each row of r with every row of o with the same key = sensor: o.ts = r.ts
          a row of r without partner is counted as unmatched
          a row of o without partner is counted as unmatched
          state: a row of r until the watermark is past it
          state: a row of o until the watermark is past it
          rows behind the watermark are dropped and counted as late
        select reads join
          select ts, value_2 AS v
        event times: ts
    "#]]
    .assert_eq(&explain(
        "SELECT r.ts, o.value AS v FROM readings r JOIN others o ON r.ts = o.ts AND upper(r.sensor) = o.sensor",
    ));
}

fn refusals<const N: usize>(joins: [&str; N]) -> String {
    joins
        .map(|join| {
            let told = refused(&format!("SELECT r.ts FROM readings r\n{join}"));
            format!("{join}\n{}", told.lines().map(|l| format!("  {l}\n")).collect::<String>())
        })
        .join("")
}

#[test]
fn joins_without_bound_are_refused_with_one() {
    expect![[r#"
        JOIN others o ON r.sensor = o.sensor
          2:18: a JOIN of streams without a bound of time would have to keep every row for ever
            add AND o.ts BETWEEN r.ts - INTERVAL '5' SECOND AND r.ts + INTERVAL '5' SECOND
        JOIN others o ON o.ts >= r.ts AND r.sensor = o.sensor
          2:18: a JOIN of streams without a bound of time would have to keep every row for ever
            add AND o.ts BETWEEN r.ts - INTERVAL '5' SECOND AND r.ts + INTERVAL '5' SECOND
        JOIN others o ON true
          2:1: a JOIN of streams without a bound of time would have to keep every row for ever
            add AND o.ts BETWEEN r.ts - INTERVAL '5' SECOND AND r.ts + INTERVAL '5' SECOND
        JOIN others o USING (sensor)
          2:1: a JOIN of streams without a bound of time would have to keep every row for ever
            add AND o.ts BETWEEN r.ts - INTERVAL '5' SECOND AND r.ts + INTERVAL '5' SECOND
        CROSS JOIN others o
          2:12: this JOIN would bring every row of one stream together with every row of another
            write a JOIN b ON a.sensor = b.sensor AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '5' SECOND
        NATURAL JOIN others o
          2:14: a JOIN of streams needs its condition
            write a JOIN b ON a.sensor = b.sensor AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '5' SECOND
        JOIN others o
          2:6: a JOIN of streams needs its condition
            write a JOIN b ON a.sensor = b.sensor AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '5' SECOND
        , others o WHERE r.ts = o.ts
          2:3: a JOIN of streams needs its condition
            write a JOIN b ON a.sensor = b.sensor AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '5' SECOND
        JOIN (SELECT max(ts) AS t, sensor FROM TUMBLE(others, ts, INTERVAL '1' DAY) GROUP BY window_start, sensor) o ON r.ts = o.t
          2:113: a JOIN of streams without a bound of time would have to keep every row for ever
            its right side has no event time: pass one on unchanged
        LEFT SEMI JOIN others o ON r.ts = o.ts
          2:16: this JOIN would bring every row of one stream together with every row of another
            write a JOIN b ON a.sensor = b.sensor AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '5' SECOND
    "#]].assert_eq(&refusals([
        "JOIN others o ON r.sensor = o.sensor",
        "JOIN others o ON o.ts >= r.ts AND r.sensor = o.sensor",
        "JOIN others o ON true",
        "JOIN others o USING (sensor)",
        "CROSS JOIN others o",
        "NATURAL JOIN others o",
        "JOIN others o",
        ", others o WHERE r.ts = o.ts",
        "JOIN (SELECT max(ts) AS t, sensor FROM TUMBLE(others, ts, INTERVAL '1' DAY) GROUP BY window_start, sensor) o ON r.ts = o.t",
        "LEFT SEMI JOIN others o ON r.ts = o.ts",
    ]));
}

#[test]
fn asof_joins_that_cannot_run_are_refused() {
    expect![[r#"
        ASOF JOIN others o ON r.sensor = o.sensor
          2:1: ASOF JOIN does not say which row is taken
            write a ASOF JOIN b MATCH_CONDITION (a.ts >= b.ts) ON a.sensor = b.sensor
        ASOF JOIN others o MATCH_CONDITION (r.ts >= o.ts) USING (sensor)
          2:51: USING does not go with MATCH_CONDITION
            write the columns with ON: ON a.sensor = b.sensor
        ASOF JOIN others o MATCH_CONDITION r.ts >= o.ts
          2:1: ASOF JOIN does not say which row is taken
            write a ASOF JOIN b MATCH_CONDITION (a.ts >= b.ts) ON a.sensor = b.sensor
        ASOF JOIN others o MATCH_CONDITION (r.ts <= o.ts) ON r.sensor = o.sensor
          2:37: without a bound a row could wait for ever for one that comes after it
            say how far: MATCH_CONDITION (r.ts <= o.ts AND o.ts - r.ts <= INTERVAL '5' SECOND)
        ASOF JOIN others o MATCH_CONDITION (NEAREST(r.ts, o.ts)) ON r.sensor = o.sensor
          2:45: without a bound a row could wait for ever for a nearer one
            say how near: NEAREST(r.ts, o.ts, INTERVAL '5' SECOND)
        ASOF JOIN others o MATCH_CONDITION (r.n >= o.n) ON r.sensor = o.sensor
          2:37: MATCH_CONDITION compares the event times of both sides
            write MATCH_CONDITION (r.ts >= o.ts), and other conditions behind ON
        ASOF JOIN others o MATCH_CONDITION (r.ts >= r.ts) ON r.sensor = o.sensor
          2:37: MATCH_CONDITION compares the event times of both sides
            write MATCH_CONDITION (r.ts >= o.ts), and other conditions behind ON
        ASOF JOIN others o MATCH_CONDITION (r.ts >= o.ts AND r.ts - o.ts <= INTERVAL '-1' SECOND)
          2:37: no two rows can be joined: the time is to be after and before what it cannot both be
            exchange the two bounds
        ASOF RIGHT JOIN others o MATCH_CONDITION (r.ts >= o.ts)
          2:43: ASOF RIGHT JOIN does not run: it looks for one row for each of the left
            exchange the tables and write ASOF LEFT JOIN
        ASOF LEFT JOIN others o MATCH_CONDITION (r.ts >= o.ts) ON r.value > 0
          2:59: "r.value > CAST(0 AS DOUBLE)" is no condition that an ASOF JOIN can look partners up by
            write it in WHERE, or behind a JOIN that puts out no rows alone
        ASOF JOIN others o MATCH_CONDITION (r.ts >= o.ts) ON r.value > o.value
          2:54: "r.value > o.value" is no condition that an ASOF JOIN can look partners up by
            write it in WHERE, or behind a JOIN that puts out no rows alone
        JOIN others o ON r.ts = o.ts WHERE NEAREST(r.ts, o.ts)
          2:36: there is no function "nearest"
            did you mean "greatest"?
        FULL JOIN others o ON r.ts = o.ts AND r.value < o.value
          2:39: "r.value < o.value" is no condition that a FULL JOIN can look partners up by
            write it in WHERE, or behind a JOIN that puts out no rows alone
        RIGHT JOIN others o USING (ts)
          2:21: which side a column of USING is of is not clear where a RIGHT JOIN has no left row
            write ON a.sensor = b.sensor, and SELECT coalesce(a.sensor, b.sensor)
    "#]]
    .assert_eq(&refusals([
        "ASOF JOIN others o ON r.sensor = o.sensor",
        "ASOF JOIN others o MATCH_CONDITION (r.ts >= o.ts) USING (sensor)",
        "ASOF JOIN others o MATCH_CONDITION r.ts >= o.ts",
        "ASOF JOIN others o MATCH_CONDITION (r.ts <= o.ts) ON r.sensor = o.sensor",
        "ASOF JOIN others o MATCH_CONDITION (NEAREST(r.ts, o.ts)) ON r.sensor = o.sensor",
        "ASOF JOIN others o MATCH_CONDITION (r.n >= o.n) ON r.sensor = o.sensor",
        "ASOF JOIN others o MATCH_CONDITION (r.ts >= r.ts) ON r.sensor = o.sensor",
        "ASOF JOIN others o MATCH_CONDITION (r.ts >= o.ts AND r.ts - o.ts <= INTERVAL '-1' SECOND)",
        "ASOF RIGHT JOIN others o MATCH_CONDITION (r.ts >= o.ts)",
        "ASOF LEFT JOIN others o MATCH_CONDITION (r.ts >= o.ts) ON r.value > 0",
        "ASOF JOIN others o MATCH_CONDITION (r.ts >= o.ts) ON r.value > o.value",
        "JOIN others o ON r.ts = o.ts WHERE NEAREST(r.ts, o.ts)",
        "FULL JOIN others o ON r.ts = o.ts AND r.value < o.value",
        "RIGHT JOIN others o USING (ts)",
    ]));
}

const RECIPES: &str = "
    0s   a  100  1
    0s   a  200  2
    0s   c  300  4";

fn look_up(join: &str) -> String {
    let sql = format!("SELECT r.ts AS at, r.sensor, r.value, p.value AS recipe FROM readings r {join}");
    // The first reading comes before the table was read.
    run_tables(&sql, &[("readings", "1s a 1 1"), ("recipes", RECIPES), ("readings", "2s b 2 2\n3s a 3 4")])
}

#[test]
fn rows_are_looked_up_in_a_table() {
    expect![[r#"
        at  sensor  value  recipe
        1s  a       1.0    100.0
        1s  a       1.0    200.0
        3s  a       3.0    100.0
        3s  a       3.0    200.0
        unmatched 1
    "#]]
    .assert_eq(&look_up("JOIN recipes p ON r.sensor = p.sensor"));
    expect![[r#"
        at  sensor  value  recipe
        1s  a       1.0    100.0
        2s  b       2.0    -
        3s  a       3.0    -
    "#]]
    .assert_eq(&look_up("LEFT JOIN recipes p ON r.n = p.n AND r.sensor = p.sensor"));
    expect![[r#"
        at  sensor  value  recipe
        3s  a       3.0    200.0
        unmatched 1
        filtered 3
    "#]]
    .assert_eq(&look_up("JOIN recipes p ON r.sensor = p.sensor AND p.value > r.value * 50 WHERE r.n > 1"));
    expect![[r#"
        at  sensor  value  recipe
        1s  a       1.0    1000.0
        3s  a       3.0    1000.0
        unmatched 1
        filtered 2
    "#]].assert_eq(&look_up(
        "JOIN (SELECT upper(sensor) AS name, sensor, value * 10 AS value FROM recipes WHERE n < 2) p ON lower(r.sensor) = p.sensor",
    ));
}

#[test]
fn a_table_that_is_read_again_takes_the_place_of_the_one_before() {
    let sql = "SELECT r.ts, p.value AS recipe FROM readings r LEFT JOIN recipes p USING (sensor)";
    let input = [("recipes", "0s a 1"), ("readings", "1s a 0"), ("recipes", "0s b 2"), ("readings", "1s a 0\n2s b 0")];
    expect![[r#"
        ts  recipe
        1s  1.0
        1s  -
        2s  2.0
    "#]]
    .assert_eq(&run_tables(sql, &input));
}

#[test]
fn joins_follow_each_other() {
    let sql = "SELECT r.ts, r.value AS torque, o.value AS pressure, p.value AS recipe
               FROM readings r ASOF JOIN others o MATCH_CONDITION (r.ts >= o.ts) ON r.sensor = o.sensor
               JOIN recipes p ON o.sensor = p.sensor AND r.n = p.n";
    let input = [("recipes", RECIPES), ("readings", TORQUE), ("others", PRESSURE)];
    expect![[r#"
        ts  torque  pressure  recipe
        5s  2.0     50.0      200.0
        unmatched 3
    "#]]
    .assert_eq(&run_tables(sql, &input));
    expect![[r#"
        join reads readings, others
          joins each row of r with the last row of o with the same sensor: o.ts at most r.ts
          a row of r without partner is counted as unmatched
          state: a row of r until the watermark is past it
          state: the last row of o for each sensor for ever, of at most 1000000; rows of more are counted as too_many_keys
          rows behind the watermark are dropped and counted as late
        lookup reads join, recipes
          looks each row up in p by sensor, n, as the table is then; one that is not found is counted as unmatched
          state: the rows of p; a new reading takes the place of all of them
          until it was read first, 100000 rows wait, and more are counted as overflow
        select reads lookup
          select ts, value AS torque, value_2 AS pressure, value_3 AS recipe
        event times: ts
    "#]].assert_eq(&explain(sql));
    let sql = "SELECT r.ts, p.ts AS two, o.ts AS three FROM readings r JOIN readings p ON r.ts = p.ts AND r.n = p.n
               LEFT JOIN others o ON o.ts BETWEEN p.ts - INTERVAL '1' SECOND AND p.ts AND o.sensor = r.sensor";
    expect![[r#"
        ts  two  three
        1s  1s   -
        5s  5s   5s
        5s  5s   -
        9s  9s   8s
        unmatched 3
    "#]]
    .assert_eq(&run(sql));
}

#[test]
fn columns_that_a_join_left_out_are_missed_by_nobody() {
    const AROUND: &str =
        "readings r JOIN others o ON r.sensor = o.sensor AND o.ts BETWEEN r.ts - INTERVAL '4' SECOND AND r.ts";
    expect![[r#"
        ts  both  before
        5s  22.0  -
        5s  52.0  20.0
        9s  54.0  50.0
        9s  84.0  50.0
        unmatched 4
    "#]].assert_eq(&run(&format!(
        "SELECT r.ts, r.value + o.value AS both, lag(o.value) OVER (PARTITION BY upper(r.sensor) ORDER BY r.ts) AS before FROM {AROUND}"
    )));
    // The table computes, and the column that it computes is used twice.
    let twice = "JOIN (SELECT sensor, value * 2 AS twice FROM recipes) p ON r.sensor = p.sensor";
    let sql = format!("SELECT twice + 1 AS more, twice - 1 AS less FROM readings r {twice}");
    expect![[r#"
        more   less
        201.0  199.0
        401.0  399.0
        unmatched 1
    "#]]
    .assert_eq(&run_tables(&sql, &[("recipes", RECIPES), ("readings", "2s b 2 2\n3s a 3 4")]));
}

#[test]
fn times_cut_to_seconds_are_not_the_times() {
    expect![[r#"
        JOIN others o ON CAST(r.ts AS TIMESTAMP(0)) = CAST(o.ts AS TIMESTAMP(0))
          2:23: a JOIN of streams without a bound of time would have to keep every row for ever
            add AND o.ts BETWEEN r.ts - INTERVAL '5' SECOND AND r.ts + INTERVAL '5' SECOND
        JOIN others o ON r.ts = CAST((o.ts AT TIME ZONE 'Europe/Berlin') AS TIMESTAMP)
          2:18: a JOIN of streams without a bound of time would have to keep every row for ever
            add AND o.ts BETWEEN r.ts - INTERVAL '5' SECOND AND r.ts + INTERVAL '5' SECOND
    "#]]
    .assert_eq(&refusals([
        "JOIN others o ON CAST(r.ts AS TIMESTAMP(0)) = CAST(o.ts AS TIMESTAMP(0))",
        "JOIN others o ON r.ts = CAST((o.ts AT TIME ZONE 'Europe/Berlin') AS TIMESTAMP)",
    ]));
    expect![[r#"
        at  sensor  value  other_at  other
        5s  a       2.0    5s        50.0
        unmatched 7
    "#]]
    .assert_eq(&run_on("JOIN others o ON CAST(r.ts AS TIMESTAMP) = o.ts AND r.sensor = o.sensor"));
}

#[test]
fn what_a_table_cannot_be_is_refused() {
    expect![[r#"
        JOIN recipes p ON r.value > p.value
          2:19: rows are looked up in a table by a column of it that is equal
            write JOIN … ON a.product = b.product
        JOIN recipes p ON true
          2:1: rows are looked up in a table by a column of it that is equal
            write JOIN … ON a.product = b.product
        RIGHT JOIN recipes p ON r.sensor = p.sensor
          2:25: a RIGHT JOIN with a table does not run
            write JOIN or LEFT JOIN, the table behind it
        LEFT JOIN recipes p ON r.sensor = p.sensor AND p.value > 0
          2:48: "p.value > CAST(0 AS DOUBLE)" is no condition that a LEFT JOIN can look rows up by
            write it in WHERE, or write JOIN
        LEFT JOIN (SELECT sensor, value * 2 AS value FROM recipes) p ON r.sensor = p.sensor
          2:65: a LEFT JOIN reads the columns of a table as they are
            compute columns and conditions behind the join, or write JOIN
        JOIN recipes p ON r.sensor = upper(p.sensor)
          2:36: "upper(p.sensor)" is computed: rows are looked up by a column of the table
            CAST or compute the other side
        ASOF JOIN recipes p MATCH_CONDITION (r.ts >= p.ts) ON r.sensor = p.sensor
          2:38: a table is looked up as it is now, not as it was at a time
            leave out ASOF and MATCH_CONDITION
    "#]]
    .assert_eq(&refusals([
        "JOIN recipes p ON r.value > p.value",
        "JOIN recipes p ON true",
        "RIGHT JOIN recipes p ON r.sensor = p.sensor",
        "LEFT JOIN recipes p ON r.sensor = p.sensor AND p.value > 0",
        "LEFT JOIN (SELECT sensor, value * 2 AS value FROM recipes) p ON r.sensor = p.sensor",
        "JOIN recipes p ON r.sensor = upper(p.sensor)",
        "ASOF JOIN recipes p MATCH_CONDITION (r.ts >= p.ts) ON r.sensor = p.sensor",
    ]));
    expect![[r#"
        1:15: table "recipes" is no stream: its rows are all there from the beginning
          read a stream and look rows up: FROM … JOIN recipes ON …
    "#]]
    .assert_eq(&refused("SELECT * FROM recipes"));
    expect![[r#"
        1:15: table "recipes" is no stream: its rows are all there from the beginning
          read a stream and look rows up: FROM … JOIN recipes ON …
    "#]]
    .assert_eq(&refused("SELECT * FROM recipes p JOIN readings r ON r.sensor = p.sensor"));
    expect![[r#"
        1:29: table "recipes" is no stream: its rows are all there from the beginning
          read a stream and look rows up: FROM … JOIN recipes ON …
    "#]]
    .assert_eq(&refused("SELECT count(*) FROM TUMBLE(recipes, ts, INTERVAL '1' SECOND) GROUP BY window_start"));
}
