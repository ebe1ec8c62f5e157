//! What cannot run as a stream, each with its place and the nearest form that runs.

use expect_test::{Expect, expect};

use super::harness::refused;

fn check(sql: &str, expected: Expect) {
    expected.assert_eq(&refused(sql));
}

#[test]
fn only_one_select_is_a_query() {
    check(
        "",
        expect![[r#"
        1:1: the query is empty
          write one SELECT
    "#]],
    );
    check(
        "SELECT 1 FROM readings; SELECT 2 FROM readings",
        expect![[r#"
        1:25: a query is one SELECT
          give each its own [query.NAME]
    "#]],
    );
    check(
        "CREATE TABLE t (a INT)",
        expect![[r#"
        1:1: a query is one SELECT, found CREATE
          the name and the options of a query stand in [query.NAME] of the pipeline file
    "#]],
    );
    check(
        "INSERT INTO t SELECT * FROM readings",
        expect![[r#"
        1:1: a query is one SELECT, found INSERT
          the name and the options of a query stand in [query.NAME] of the pipeline file
    "#]],
    );
    check(
        "SELECT 1",
        expect![[r#"
        1:1: a query reads a stream, this one reads nothing
          write FROM and the name of a source or a query
    "#]],
    );
    check(
        "VALUES (1)",
        expect![[r#"
        1:8: VALUES never changes
          read a source of a pipeline file
    "#]],
    );
}

#[test]
fn syntax_errors_have_their_place() {
    check(
        "SELEC * FROM readings",
        expect![[r#"
        1:1: expected: an SQL statement, found: SELEC
    "#]],
    );
    check(
        "SELECT a,\n FROM WHERE",
        expect![[r#"
        2:7: expected an expression, found: FROM
    "#]],
    );
    check(
        "SELECT 'open FROM readings",
        expect![[r#"
        1:8: unterminated string literal
    "#]],
    );
    check(
        "SELECT (1 FROM readings",
        expect![[r#"
        1:11: expected: ), found: FROM
    "#]],
    );
    check(
        "SELECT count(*) FROM readings\nEMIT ON WINDOW CLOSE",
        expect![[r#"
        2:6: expected: end of statement, found: ON
    "#]],
    );
}

#[test]
fn names_that_are_not_there_get_the_nearest() {
    check(
        "SELECT * FROM reading",
        expect![[r#"
        1:15: there is no source or query "reading"
          did you mean "readings"?
    "#]],
    );
    check(
        "SELECT * FROM mixed UNION ALL SELECT * FROM q",
        expect![[r#"
        1:15: there is no source or query "mixed"
          its name has capitals: write it in quotes, "Mixed"
        1:45: there is no source or query "q"
          a query cannot read itself
    "#]],
    );
    check(
        "SELECT valu FROM readings",
        expect![[r#"
        1:8: no column "valu"
          did you mean "value"?
    "#]],
    );
    check(
        "SELECT sensor,\n  r.vale + 1 FROM readings r",
        expect![[r#"
        2:3: no column "r.vale"
          did you mean "value"?
    "#]],
    );
    check(
        "SELECT foo(value) FROM readings",
        expect![[r#"
        1:8: invalid function 'foo'
    "#]],
    );
    check(
        "SELECT value + sensor FROM readings",
        expect![[r#"
        1:8: expressions have incompatible types
    "#]],
    );
    check(
        "SELECT sqrt(value, 2) FROM readings",
        expect![[r#"
        1:8: failed to coerce arguments to satisfy a call to 'sqrt' function: coercion from Float64, Int64 to the signature Uniform(1, [Float64, Float32]) failed. No function matches the given name and argument types 'sqrt(Float64, Int64)'. You might need to add explicit type casts
    "#]],
    );
    check(
        "SELECT value, value FROM readings",
        expect![[r#"
        1:1: projections require unique expression names but the expression "readings.value" at position 0 and "readings.value" at position 1 have the same name. Consider aliasing ("AS") one of them
    "#]],
    );
}

#[test]
fn what_needs_the_end_of_the_stream_is_refused() {
    check(
        "SELECT * FROM readings ORDER BY ts",
        expect![[r#"
        1:33: ORDER BY needs the last row, and a stream has none
          leave it out: a window's rows come out in the order of time
    "#]],
    );
    check(
        "SELECT * FROM readings LIMIT 10",
        expect![[r#"
        1:24: a stream goes on: its number of rows cannot be limited
          say which rows are wanted in WHERE or HAVING
    "#]],
    );
    check(
        "SELECT * FROM readings OFFSET 10",
        expect![[r#"
        1:24: a stream goes on: its number of rows cannot be limited
          say which rows are wanted in WHERE or HAVING
    "#]],
    );
    check(
        "SELECT DISTINCT sensor FROM readings",
        expect![[r#"
        1:8: DISTINCT would have to remember every row there ever was
          GROUP BY window_start, window_end and the columns, from TUMBLE(…)
    "#]],
    );
    check(
        "SELECT sensor FROM readings UNION SELECT sensor FROM others",
        expect![[r#"
        1:29: UNION would have to remember every row there ever was
          write UNION ALL, which keeps every row
    "#]],
    );
    check(
        "SELECT sensor FROM readings EXCEPT SELECT sensor FROM others",
        expect![[r#"
        1:29: EXCEPT would have to remember every row there ever was
          write the condition in WHERE
    "#]],
    );
    check(
        "SELECT * FROM readings LIMIT 10 OFFSET 5",
        expect![[r#"
        1:24: a stream goes on: its number of rows cannot be limited
          say which rows are wanted in WHERE or HAVING
    "#]],
    );
}

#[test]
fn joins_and_subqueries_in_expressions_are_refused() {
    check(
        "SELECT * FROM readings r JOIN others o ON r.sensor = o.sensor",
        expect![[r#"
        1:31: a JOIN of streams does not run
          bring the streams together with UNION ALL, then GROUP BY the window
    "#]],
    );
    check(
        "SELECT * FROM readings, others",
        expect![[r#"
        1:25: a JOIN of streams does not run
          bring the streams together with UNION ALL, then GROUP BY the window
    "#]],
    );
    check(
        "SELECT * FROM readings WHERE value > (SELECT avg(value) FROM others)",
        expect![[r#"
        1:39: a subquery in an expression would compare a stream with a stream
          subqueries run in FROM
    "#]],
    );
    check(
        "SELECT * FROM readings r WHERE EXISTS (SELECT 1 FROM others o WHERE o.sensor = r.sensor)",
        expect![[r#"
        1:40: a subquery in an expression would compare a stream with a stream
          subqueries run in FROM
    "#]],
    );
    check(
        "SELECT * FROM readings WHERE sensor IN (SELECT sensor FROM others)",
        expect![[r#"
        1:30: a subquery in an expression would compare a stream with a stream
          subqueries run in FROM
    "#]],
    );
    check(
        "SELECT avg(value) OVER (PARTITION BY sensor) FROM readings",
        expect![[r#"
        1:8: OVER is not built for streams
          use HOP(…) with GROUP BY for sliding windows
    "#]],
    );
    check(
        "WITH RECURSIVE a AS (SELECT * FROM readings) SELECT * FROM a",
        expect![[r#"
        1:6: a recursive query does not end on a stream
          write WITH without it
    "#]],
    );
}

#[test]
fn aggregates_need_a_window() {
    check(
        "SELECT avg(value) FROM readings",
        expect![[r#"
        1:8: an aggregate over a stream without windows would never be complete
          read FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) and GROUP BY window_start, window_end
    "#]],
    );
    check(
        "SELECT sensor FROM readings\nGROUP BY sensor",
        expect![[r#"
        2:1: an aggregate over a stream without windows would never be complete
          read FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) and GROUP BY window_start, window_end
    "#]],
    );
    check(
        "SELECT avg(value) FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)",
        expect![[r#"
        1:24: the rows are not grouped by their window, so no group would ever be complete
          GROUP BY window_start, window_end and the other columns
    "#]],
    );
    check(
        "SELECT sensor, avg(value) FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)\nGROUP BY sensor",
        expect![[r#"
        2:1: the rows are not grouped by their window, so no group would ever be complete
          GROUP BY window_start, window_end and the other columns
    "#]],
    );
    check(
        "SELECT window_start, sensor FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY GROUPING SETS ((window_start), (sensor))",
        expect![[r#"
            1:101: several groupings in one query do not run on a stream
              write one query for each grouping
        "#]],
    );
    check(
        "SELECT window_start FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY ROLLUP (window_start)",
        expect![[r#"
        1:85: several groupings in one query do not run on a stream
          write one query for each grouping
    "#]],
    );
    check(
        "SELECT value FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_start",
        expect![[r#"
        1:8: 'readings.value' must appear in GROUP BY clause because it's not an aggregate expression
          Either add 'readings.value' to GROUP BY clause, or use an aggregate function like ANY_VALUE(readings.value)
    "#]],
    );
    check(
        "SELECT window_start, avg(m) FROM (SELECT window_start, sensor, max(value) AS m
         FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_start, sensor) x GROUP BY window_start",
        expect![[r#"
            2:15: shim
        "#]],
    );
    check(
        "SELECT count(*) FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) WHERE window_start > to_timestamp(0) GROUP BY window_start",
        expect![[r#"
            1:70: window_start and window_end are known once the rows are grouped by them, not before
              use them in SELECT or HAVING
        "#]],
    );
}

fn aggregate(call: &str) -> String {
    refused(&format!("SELECT {call} AS a FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_start"))
}

#[test]
fn aggregates_that_are_not_built_are_named() {
    expect![[r#"
        1:8: a DISTINCT aggregate would have to keep every value of the window
          GROUP BY the column as well, and aggregate that query again
    "#]]
    .assert_eq(&aggregate("count(DISTINCT sensor)"));
    expect![[r#"
        1:8: aggregate array_agg is not built for streams
          there are: count, sum, avg, min, max, stddev, stddev_pop, first_value, last_value, median, percentile_cont, approx_median, approx_percentile_cont
    "#]].assert_eq(&aggregate("array_agg(value)"));
    expect![[r#"
        1:8: aggregate corr is not built for streams
          there are: count, sum, avg, min, max, stddev, stddev_pop, first_value, last_value, median, percentile_cont, approx_median, approx_percentile_cont
    "#]].assert_eq(&aggregate("corr(value, n)"));
    expect![[r#"
        1:8: first_value goes by the event time of the window, not by another order
          leave out its ORDER BY
    "#]]
    .assert_eq(&aggregate("first_value(value ORDER BY n)"));
    expect![[r#"
        1:27: aggregates leave out nulls
          leave out RESPECT NULLS
    "#]]
    .assert_eq(&aggregate("first_value(value) RESPECT NULLS"));
    expect![[r#"
        1:8: approx_percentile_cont needs a fraction that is a number from 0 to 1
          write approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY value)
    "#]]
    .assert_eq(&aggregate("approx_percentile_cont(value, 1.5)"));
    expect![[r#"
        1:8: the size of the digest behind approx_percentile_cont is fixed
          leave out the number of centroids
    "#]]
    .assert_eq(&aggregate("approx_percentile_cont(value, 0.5, 100)"));
    expect![[r#"
        1:8: percentile_cont needs a fraction that is a number from 0 to 1
          write percentile_cont(0.95) WITHIN GROUP (ORDER BY value)
    "#]]
    .assert_eq(&aggregate("percentile_cont(value) WITHIN GROUP (ORDER BY value)"));
    expect![[r#"
        1:8: internal error: Function 'avg' failed to match any signature, errors: Error during planning: Function 'avg' requires Decimal, but received String (DataType: Utf8).,Error during planning: Function 'avg' requires Duration, but received String (DataType: Utf8).,Error during planning: Function 'avg' requires Float64, but received String (DataType: Utf8)
    "#]].assert_eq(&aggregate("avg(sensor)"));
    expect![[r#"
        1:8: count takes one column
    "#]]
    .assert_eq(&aggregate("count(value, n)"));
}

#[test]
fn a_stream_has_no_now() {
    check(
        "SELECT now() FROM readings",
        expect![[r#"
        1:8: a stream has no fixed now
          use the event time column
    "#]],
    );
    check(
        "SELECT * FROM readings WHERE ts > current_timestamp - INTERVAL '1 hour'",
        expect![[r#"
        1:35: a stream has no fixed now
          use the event time column
    "#]],
    );
    check(
        "SELECT current_date FROM readings",
        expect![[r#"
        1:8: a stream has no fixed now
          use the event time column
    "#]],
    );
    check(
        "SELECT random() FROM readings",
        expect![[r#"
        1:8: random() gives another answer each time, so a stream could not be replayed
          compute it from columns
    "#]],
    );
}

fn from(relation: &str) -> String {
    refused(&format!("SELECT * FROM {relation}"))
}

#[test]
fn window_functions_say_how_they_are_written() {
    expect![[r#"
        1:32: column "value" is not an event time, so windows cannot be cut by it
          the event times there are: ts
    "#]]
    .assert_eq(&from("TUMBLE(readings, value, INTERVAL '1' MINUTE)"));
    expect![[r#"
        1:32: no column "tss"
          did you mean "ts"?
    "#]]
    .assert_eq(&from("TUMBLE(readings, tss, INTERVAL '1' MINUTE)"));
    expect![[r#"
        1:15: TUMBLE needs its argument size
          write TUMBLE(table, event_time, INTERVAL '1' MINUTE)
    "#]]
    .assert_eq(&from("TUMBLE(readings, ts)"));
    expect![[r#"
        1:32: "ts + 1" is not an event-time column
          write TUMBLE(table, event_time, INTERVAL '1' MINUTE)
    "#]]
    .assert_eq(&from("TUMBLE(readings, ts + 1, INTERVAL '1' MINUTE)"));
    expect![[r#"
        1:36: the size of a window is an interval
          write TUMBLE(table, event_time, INTERVAL '1' MINUTE)
    "#]]
    .assert_eq(&from("TUMBLE(readings, ts, 60)"));
    expect![[r#"
        1:45: months and years differ in length
          give the window in days or shorter units
    "#]]
    .assert_eq(&from("TUMBLE(readings, ts, INTERVAL '1' MONTH)"));
    expect![[r#"
        1:45: the size of a window must be greater than zero
          write TUMBLE(table, event_time, INTERVAL '1' MINUTE)
    "#]]
    .assert_eq(&from("TUMBLE(readings, ts, INTERVAL '0' SECOND)"));
    expect![[r#"
        1:45: the size of a window must be greater than zero
          write TUMBLE(table, event_time, INTERVAL '1' MINUTE)
    "#]]
    .assert_eq(&from("TUMBLE(readings, ts, INTERVAL '-1' SECOND)"));
    expect![[r#"
        1:78: argument "3" does not belong here
          write TUMBLE(table, event_time, INTERVAL '1' MINUTE)
    "#]]
    .assert_eq(&from("TUMBLE(readings, ts, INTERVAL '1' SECOND, INTERVAL '0' SECOND, 3)"));
    expect![[r#"
        1:65: argument "SIDE => 3" does not belong here
          write TUMBLE(table, event_time, INTERVAL '1' MINUTE)
    "#]]
    .assert_eq(&from("TUMBLE(readings, ts, SIZE => INTERVAL '1' SECOND, SIDE => 3)"));
    expect![[r#"
        1:15: the slide of 1m is longer than the window of 5s: rows between would be lost
          slide comes first, then size: HOP(readings, ts, INTERVAL '5' SECOND, INTERVAL '60' SECOND)
    "#]]
    .assert_eq(&from("HOP(readings, ts, INTERVAL '60' SECOND, INTERVAL '5' SECOND)"));
    expect![[r#"
        1:15: each row would be repeated for more than 1000 windows
          take a longer slide, or aggregate by the window
    "#]]
    .assert_eq(&from("HOP(readings, ts, INTERVAL '1' MICROSECOND, INTERVAL '1' DAY)"));
    expect![[r#"
        1:35: expected: ), found: readings
    "#]]
    .assert_eq(&from("TABLE(SESSION(TABLE readings, DESCRIPTOR(ts), INTERVAL '5' MINUTE))"));
    expect![[r#"
        1:23: a subquery in an expression would compare a stream with a stream
          subqueries run in FROM
    "#]]
    .assert_eq(&from("TUMBLE((SELECT * FROM readings), ts, INTERVAL '1' SECOND)"));
    expect![[r#"
        1:22: there is no source or query "reading"
          did you mean "readings"?
    "#]]
    .assert_eq(&from("TUMBLE(reading, ts, INTERVAL '1' SECOND)"));
    let computed = "(SELECT date_trunc('hour', ts) AS h FROM readings)";
    expect![[r#"
        1:86: column "h" is not an event time, so windows cannot be cut by it
          it has none: pass one on unchanged from a source or from a windowed query
    "#]]
    .assert_eq(&refused(&format!("WITH a AS {computed} SELECT * FROM TUMBLE(a, h, INTERVAL '1' SECOND)")));
}
