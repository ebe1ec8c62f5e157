//! What cannot run as a stream, each with its place and the nearest form that runs.

use expect_test::{Expect, expect};

use super::harness::refused;

/// Each query and what is wrong with it.
fn check<const N: usize>(queries: [&str; N], expected: &Expect) {
    let told =
        queries.map(|sql| format!("{sql}\n{}", refused(sql).lines().map(|l| format!("  {l}\n")).collect::<String>()));
    expected.assert_eq(&told.join(""));
}

/// The same for what stands in FROM.
fn check_from<const N: usize>(relations: [&str; N], expected: &Expect) {
    let queries = relations.map(|relation| format!("SELECT * FROM {relation}"));
    check(queries.each_ref().map(String::as_str), expected);
}

/// The same for aggregates.
fn check_aggregates<const N: usize>(calls: [&str; N], expected: &Expect) {
    let window = "\nFROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_start";
    let told = calls.map(|call| {
        let told = refused(&format!("SELECT {call} AS a{window}"));
        format!("{call}\n{}", told.lines().map(|l| format!("  {l}\n")).collect::<String>())
    });
    expected.assert_eq(&told.join(""));
}

#[test]
fn only_one_select_is_a_query() {
    check(
        [
            "",
            "SELECT 1 FROM readings; SELECT 2 FROM readings",
            "CREATE TABLE t (a INT)",
            "INSERT INTO t SELECT * FROM readings",
            "SELECT 1",
            "VALUES (1)",
        ],
        &expect![[r#"

              1:1: the query is empty
                write one SELECT
            SELECT 1 FROM readings; SELECT 2 FROM readings
              1:25: a query is one SELECT
                give each its own [query.NAME]
            CREATE TABLE t (a INT)
              1:1: a query is one SELECT, found CREATE
                the name and the options of a query stand in [query.NAME] of the pipeline file
            INSERT INTO t SELECT * FROM readings
              1:1: a query is one SELECT, found INSERT
                the name and the options of a query stand in [query.NAME] of the pipeline file
            SELECT 1
              1:1: a query reads a stream, this one reads nothing
                write FROM and the name of a source or a query
            VALUES (1)
              1:8: VALUES never changes
                read a source of a pipeline file
        "#]],
    );
}

#[test]
fn syntax_errors_have_their_place() {
    check(
        [
            "SELEC * FROM readings",
            "SELECT a,\n FROM WHERE",
            "SELECT 'open FROM readings",
            "SELECT (1 FROM readings",
            "SELECT count(*) FROM readings\nEMIT ON WINDOW CLOSE",
        ],
        &expect![[r#"
            SELEC * FROM readings
              1:1: expected: an SQL statement, found: SELEC
            SELECT a,
             FROM WHERE
              2:7: expected an expression, found: FROM
            SELECT 'open FROM readings
              1:8: unterminated string literal
            SELECT (1 FROM readings
              1:11: expected: ), found: FROM
            SELECT count(*) FROM readings
            EMIT ON WINDOW CLOSE
              2:1: when results are put out is an option of the query, not a clause of it
                remove EMIT: a window's rows come out when the watermark closes it
        "#]],
    );
}

#[test]
fn names_that_are_not_there_get_the_nearest() {
    check(
        [
            "SELECT * FROM reading",
            "SELECT * FROM mixed UNION ALL SELECT * FROM q",
            "SELECT valu FROM readings",
            "SELECT sensor,\n  r.vale + 1 FROM readings r",
            "SELECT sqt(value) FROM readings",
        ],
        &expect![[r#"
            SELECT * FROM reading
              1:15: there is no source or query "reading"
                did you mean "readings"?
            SELECT * FROM mixed UNION ALL SELECT * FROM q
              1:15: there is no source or query "mixed"
                its name has capitals: write it in quotes, "Mixed"
              1:45: there is no source or query "q"
                a query cannot read itself
            SELECT valu FROM readings
              1:8: no column "valu"
                did you mean "value"?
            SELECT sensor,
              r.vale + 1 FROM readings r
              2:3: no column "r.vale"
                did you mean "value"?
            SELECT sqt(value) FROM readings
              1:8: there is no function "sqt"
                did you mean "sqrt"?
        "#]],
    );
}

#[test]
fn types_that_do_not_fit_are_named() {
    check(
        [
            "SELECT value + sensor FROM readings",
            "SELECT sqrt(value, 2) FROM readings",
            "SELECT value FROM readings WHERE value + 1",
            "SELECT value, value FROM readings",
            "SELECT value FROM readings UNION ALL SELECT value, n FROM readings",
            "SELECT CAST(value AS oven) FROM readings",
        ],
        &expect![[r#"
            SELECT value + sensor FROM readings
              1:8: Float64 + Utf8 cannot be computed
                CAST one of the two
            SELECT sqrt(value, 2) FROM readings
              1:8: "sqrt" does not take (Float64, Int64)
                CAST the arguments, or take others
            SELECT value FROM readings WHERE value + 1
              1:28: "where" expects a condition, found Float64
                compare it with something
            SELECT value, value FROM readings
              1:8: column "value" comes out twice
                give one of them another name with AS
            SELECT value FROM readings UNION ALL SELECT value, n FROM readings
              1:1: UNION queries have different number of columns
            SELECT CAST(value AS oven) FROM readings
              1:22: unsupported SQL type oven
        "#]],
    );
}

#[test]
fn what_needs_the_end_of_the_stream_is_refused() {
    check(
        [
            "SELECT * FROM readings ORDER BY ts",
            "SELECT * FROM readings LIMIT 10",
            "SELECT * FROM readings OFFSET 10",
            "SELECT * FROM readings FETCH FIRST 3 ROWS ONLY",
            "SELECT DISTINCT sensor FROM readings ORDER BY sensor",
            "SELECT sensor FROM readings UNION SELECT sensor FROM others",
            "SELECT sensor FROM readings EXCEPT SELECT sensor FROM others",
        ],
        &expect![[r#"
            SELECT * FROM readings ORDER BY ts
              1:33: ORDER BY needs the last row, and a stream has none
                leave it out: a window's rows come out in the order of time
            SELECT * FROM readings LIMIT 10
              1:24: a stream goes on: its number of rows cannot be limited
                say which rows are wanted in WHERE or HAVING
            SELECT * FROM readings OFFSET 10
              1:24: a stream goes on: its number of rows cannot be limited
                say which rows are wanted in WHERE or HAVING
            SELECT * FROM readings FETCH FIRST 3 ROWS ONLY
              1:24: a stream goes on: its number of rows cannot be limited
                say which rows are wanted in WHERE or HAVING
            SELECT DISTINCT sensor FROM readings ORDER BY sensor
              1:47: ORDER BY needs the last row, and a stream has none
                leave it out: a window's rows come out in the order of time
              1:8: DISTINCT would have to remember every row there ever was
                GROUP BY window_start, window_end and the columns, from TUMBLE(…)
            SELECT sensor FROM readings UNION SELECT sensor FROM others
              1:29: UNION would have to remember every row there ever was
                write UNION ALL, which keeps every row
            SELECT sensor FROM readings EXCEPT SELECT sensor FROM others
              1:29: EXCEPT would have to remember every row there ever was
                write the condition in WHERE
        "#]],
    );
}

#[test]
fn what_would_be_passed_over_is_refused() {
    check(
        [
            "SELECT ts FROM readings TABLESAMPLE BERNOULLI (10)",
            "SELECT ts FROM readings WITH ORDINALITY",
            "SELECT ts FROM readings r WITH (NOLOCK)",
            "SELECT ts FROM readings START WITH n = 1 CONNECT BY n = 2",
        ],
        &expect![[r#"
            SELECT ts FROM readings TABLESAMPLE BERNOULLI (10)
              1:16: which rows a sample takes would be another choice at each run
                write a condition in WHERE, such as n % 10 = 0
            SELECT ts FROM readings WITH ORDINALITY
              1:16: clauses of other SQL dialects do not run
                write the table's name alone
            SELECT ts FROM readings r WITH (NOLOCK)
              1:16: clauses of other SQL dialects do not run
                write the table's name alone
            SELECT ts FROM readings START WITH n = 1 CONNECT BY n = 2
              1:1: clauses of other SQL dialects do not run
                write a plain SELECT
        "#]],
    );
}

#[test]
fn joins_and_subqueries_in_expressions_are_refused() {
    check(
        [
            "SELECT * FROM readings r JOIN others o ON r.sensor = o.sensor",
            "SELECT * FROM readings, others",
            "SELECT * FROM readings WHERE value > (SELECT avg(value) FROM others)",
            "SELECT * FROM readings r WHERE EXISTS (SELECT 1 FROM others o WHERE o.sensor = r.sensor)",
            "SELECT * FROM readings WHERE sensor IN (SELECT sensor FROM others)",
            "WITH RECURSIVE a AS (SELECT * FROM readings) SELECT * FROM a",
            "SELECT unnest([1, 2]) FROM readings",
        ],
        &expect![[r#"
            SELECT * FROM readings r JOIN others o ON r.sensor = o.sensor
              1:43: a JOIN of streams without a bound of time would have to keep every row for ever
                add AND o.ts BETWEEN r.ts - INTERVAL '5' SECOND AND r.ts + INTERVAL '5' SECOND
            SELECT * FROM readings, others
              1:25: a JOIN of streams needs its condition
                write a JOIN b ON a.sensor = b.sensor AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '5' SECOND
            SELECT * FROM readings WHERE value > (SELECT avg(value) FROM others)
              1:39: a subquery in an expression would compare a stream with a stream
                write the subquery in FROM or WITH
            SELECT * FROM readings r WHERE EXISTS (SELECT 1 FROM others o WHERE o.sensor = r.sensor)
              1:40: a subquery in an expression would compare a stream with a stream
                write the subquery in FROM or WITH
            SELECT * FROM readings WHERE sensor IN (SELECT sensor FROM others)
              1:30: a subquery in an expression would compare a stream with a stream
                write the subquery in FROM or WITH
            WITH RECURSIVE a AS (SELECT * FROM readings) SELECT * FROM a
              1:6: a recursive query does not end on a stream
                write WITH without it
            SELECT unnest([1, 2]) FROM readings
              1:8: unnest does not run on a stream
                a query filters, computes columns, aggregates by TUMBLE or HOP windows, joins by time and brings streams together with UNION ALL
        "#]],
    );
}

#[test]
fn aggregates_need_a_window() {
    check(
        [
            "SELECT avg(value) FROM readings",
            "SELECT sensor FROM readings\nGROUP BY sensor",
            "SELECT avg(value) FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)",
            "SELECT sensor, avg(value) FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)\nGROUP BY sensor",
            "SELECT window_start FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)\nGROUP BY GROUPING SETS ((window_start), ())",
            "SELECT window_start FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)\nGROUP BY ROLLUP (window_start)",
            "SELECT value FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)\nGROUP BY window_start",
            "SELECT window_start, avg(m) FROM (SELECT window_start, sensor, max(value) AS m
FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_start, sensor) x GROUP BY window_start",
            "SELECT count(*) FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)
WHERE window_start > to_timestamp(0) GROUP BY window_start",
        ],
        &expect![[r#"
            SELECT avg(value) FROM readings
              1:8: an aggregate over a stream without windows would never be complete
                read FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) and GROUP BY window_start, window_end
            SELECT sensor FROM readings
            GROUP BY sensor
              2:1: an aggregate over a stream without windows would never be complete
                read FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) and GROUP BY window_start, window_end
            SELECT avg(value) FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)
              1:24: the rows are not grouped by their window, so no group would ever be complete
                GROUP BY window_start, window_end and the other columns
            SELECT sensor, avg(value) FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)
            GROUP BY sensor
              2:1: the rows are not grouped by their window, so no group would ever be complete
                GROUP BY window_start, window_end and the other columns
            SELECT window_start FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)
            GROUP BY GROUPING SETS ((window_start), ())
              2:26: several groupings in one query do not run on a stream
                write one query for each grouping
            SELECT window_start FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)
            GROUP BY ROLLUP (window_start)
              2:18: several groupings in one query do not run on a stream
                write one query for each grouping
            SELECT value FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)
            GROUP BY window_start
              1:8: column "value" is neither grouped by nor aggregated
                add it to GROUP BY, or write last_value(value)
            SELECT window_start, avg(m) FROM (SELECT window_start, sensor, max(value) AS m
            FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_start, sensor) x GROUP BY window_start
              1:22: an aggregate over a stream without windows would never be complete
                read FROM TUMBLE(…, window_start, INTERVAL '1' MINUTE) and GROUP BY window_start, window_end
            SELECT count(*) FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE)
            WHERE window_start > to_timestamp(0) GROUP BY window_start
              2:7: window_start and window_end are known once the rows are grouped by them, not before
                use them in SELECT or HAVING
        "#]],
    );
}

#[test]
fn aggregates_that_are_not_built_are_named() {
    check_aggregates(
        [
            "sum(DISTINCT n)",
            "nth_value(value, 2)",
            "approx_percentile_cont_with_weight(value, 1, 0.5)",
            "string_agg(sensor, ',' ORDER BY n)",
            "string_agg(sensor, sensor)",
            "approx_distinct(value)",
            "bit_and(value)",
            "corr(value, sensor)",
            "ewma(value, 1.5)",
            "ewma(value, n)",
            "ewma(value, INTERVAL '1' MONTH)",
            "twa(value, 'cubic')",
            "slope(sensor)",
            "delta(value, n)",
            "duration_in(value)",
            "duration_in_state(n, 'RUN')",
            "percent_good(value)",
            "mode([n])",
            "first_value(value ORDER BY n)",
            "first_value(value) RESPECT NULLS",
            "approx_percentile_cont(value, 1.5)",
            "approx_percentile_cont(value, 0.5, 100)",
            "percentile_cont(value) WITHIN GROUP (ORDER BY value)",
            "avg(sensor)",
            "stddev(sensor)",
            "max([n])",
            "count(value, n)",
        ],
        &expect![[r#"
            sum(DISTINCT n)
              1:8: of aggregates only count takes DISTINCT
                GROUP BY the column as well, and aggregate that query again
            nth_value(value, 2)
              1:8: aggregate nth_value would have to keep every row in an order of its own
                use first_value or last_value
            approx_percentile_cont_with_weight(value, 1, 0.5)
              1:8: aggregate approx_percentile_cont_with_weight would depend on how rows are cut into batches, since its digest is compressed after each
                use approx_percentile_cont, or percentile_cont, which is exact
            string_agg(sensor, ',' ORDER BY n)
              1:8: string_agg takes values as they come, not in another order
                leave out its ORDER BY
            string_agg(sensor, sensor)
              1:8: string_agg takes one column; what is behind it is the same for all rows
            approx_distinct(value)
              1:8: support for 'approx_distinct' for data type Float64 is not implemented
                CAST the argument, or take another
            bit_and(value)
              1:8: function 'bit_and' requires Integer, but received Float64 (DataType: Float64).. No function matches the given name and argument types 'bit_and(Float64)'. You might need to add explicit type casts
            corr(value, sensor)
              1:8: "corr" does not take (Float64, Utf8)
                CAST the arguments, or take others
            ewma(value, 1.5)
              1:8: ewma expects alpha above 0 and up to 1, found 1.5
                write ewma(value, 0.2)
            ewma(value, n)
              1:8: ewma needs a number from 0 to 1, or a half-life in days or shorter units
                write ewma(value, 0.2) or ewma(value, INTERVAL '10' SECOND)
            ewma(value, INTERVAL '1' MONTH)
              1:8: ewma needs a number from 0 to 1, or a half-life in days or shorter units
                write ewma(value, 0.2) or ewma(value, INTERVAL '10' SECOND)
            twa(value, 'cubic')
              1:8: twa goes from value to value by 'hold' or by 'linear'
                write twa(value) or twa(value, 'linear')
            slope(sensor)
              1:8: "slope" does not take (Utf8)
                CAST the arguments, or take others
            delta(value, n)
              1:8: "delta" does not take (Float64, Int64)
                CAST the arguments, or take others
            duration_in(value)
              1:8: "duration_in" does not take (Float64)
                CAST the arguments, or take others
            duration_in_state(n, 'RUN')
              1:8: duration_in_state needs a state that is a value of Int64
                write duration_in_state(state, 'RUN')
            percent_good(value)
              1:8: percent_good takes a quality, found Float64
                write percent_good(quality)
            mode([n])
              1:8: mode does not work on List(Int64)
                use a column of numbers, text, booleans, dates or timestamps, or CAST it to one
            first_value(value ORDER BY n)
              1:8: first_value goes by the event time of the window, not by another order
                leave out its ORDER BY
            first_value(value) RESPECT NULLS
              1:27: aggregates leave out nulls
                leave out RESPECT NULLS
            approx_percentile_cont(value, 1.5)
              1:8: approx_percentile_cont needs a fraction that is a number from 0 to 1
                write approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY value)
            approx_percentile_cont(value, 0.5, 100)
              1:8: the size of the digest behind approx_percentile_cont is fixed
                leave out the number of centroids
            percentile_cont(value) WITHIN GROUP (ORDER BY value)
              1:8: percentile_cont needs a fraction that is a number from 0 to 1
                write percentile_cont(0.95) WITHIN GROUP (ORDER BY value)
            avg(sensor)
              1:8: "avg" does not take String
                CAST the argument, or take another
            stddev(sensor)
              1:8: "stddev" does not take (Utf8)
                CAST the arguments, or take others
            max([n])
              1:8: max does not work on List(Int64)
                use a column of numbers, text, booleans, dates or timestamps, or CAST it to one
            count(value, n)
              1:8: count takes one column
        "#]],
    );
}

#[test]
fn over_goes_forward_in_time_and_looks_back() {
    let calls = [
        "avg(value) OVER (PARTITION BY sensor)",
        "avg(value) OVER (ORDER BY ts DESC)",
        "avg(value) OVER (ORDER BY value)",
        "avg(value) OVER (ORDER BY ts, n)",
        "avg(value) OVER (ORDER BY date_trunc('minute', ts))",
        "avg(value) OVER (ORDER BY ts ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING)",
        "avg(value) OVER (ORDER BY ts ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING)",
        "avg(value) OVER (ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
        "avg(value) OVER (ORDER BY ts GROUPS 3 PRECEDING)",
        "avg(value) OVER (ORDER BY ts ROWS 2000000 PRECEDING)",
        "avg(value) OVER (ORDER BY ts ROWS -1 PRECEDING)",
        "avg(value) OVER (ORDER BY ts RANGE INTERVAL '1' MONTH PRECEDING)",
        "avg(value) OVER (ORDER BY ts RANGE INTERVAL '-1' SECOND PRECEDING)",
        "avg(value) OVER (ORDER BY ts RANGE 10 PRECEDING)",
        "avg(value) OVER w",
        "avg(sensor) OVER (ORDER BY ts)",
        "count(DISTINCT sensor) OVER (ORDER BY ts)",
        "median(value) OVER (ORDER BY ts)",
        "array_agg(value) OVER (ORDER BY ts)",
        "first_value(value) RESPECT NULLS OVER (ORDER BY ts)",
        "lag(value, n) OVER (ORDER BY ts)",
        "lag(value, -1) OVER (ORDER BY ts)",
        "lag(value, 2000000) OVER (ORDER BY ts)",
        "lag(value, 1, 0) OVER (ORDER BY ts)",
        "lag([n]) OVER (ORDER BY ts)",
        "lag(value) FILTER (WHERE n > 1) OVER (ORDER BY ts)",
        "lag(value) OVER (PARTITION BY sensor)",
        "lag(value)",
        "lead(value) OVER (ORDER BY ts)",
        "rank() OVER (ORDER BY ts)",
        "ntile(4) OVER (ORDER BY ts)",
        "nth_value(value, 2) OVER (ORDER BY ts)",
        "lagg(value) OVER (ORDER BY ts)",
        "rank() OVER (PARTITION BY sensor ORDER BY value DESC)",
        "row_number() OVER (PARTITION BY sensor ORDER BY value DESC)",
        "sum(n) OVER (PARTITION BY ts ORDER BY ts)",
    ];
    let told = calls.map(|call| {
        let told = refused(&format!("SELECT {call} AS a FROM readings"));
        format!("{call}\n{}", told.lines().map(|l| format!("  {l}\n")).collect::<String>())
    });
    expect![[r#"
        avg(value) OVER (PARTITION BY sensor)
          1:8: avg OVER without ORDER BY would take in the whole stream, which has no end
            write OVER (PARTITION BY … ORDER BY ts)
        avg(value) OVER (ORDER BY ts DESC)
          1:8: avg OVER goes forward in time, a stream cannot be read backwards
            leave out DESC
        avg(value) OVER (ORDER BY value)
          1:8: avg OVER goes in the order of event time, no other order of a stream is ever complete
            write ORDER BY one of the event times there are: ts
        avg(value) OVER (ORDER BY ts, n)
          1:8: avg OVER goes by event time alone; rows of one time go in order of arrival
            write ORDER BY ts and nothing more
        avg(value) OVER (ORDER BY date_trunc('minute', ts))
          1:8: avg OVER goes in the order of event time, no other order of a stream is ever complete
            write ORDER BY one of the event times there are: ts
        avg(value) OVER (ORDER BY ts ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING)
          1:8: avg OVER would wait for rows that follow
            end the frame at the row: BETWEEN … PRECEDING AND CURRENT ROW
        avg(value) OVER (ORDER BY ts ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING)
          1:8: avg OVER has a frame that ends before the row
            end the frame at the row: BETWEEN … PRECEDING AND CURRENT ROW
        avg(value) OVER (ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
          1:8: avg OVER would wait for rows that follow
            end the frame at the row: BETWEEN … PRECEDING AND CURRENT ROW
        avg(value) OVER (ORDER BY ts GROUPS 3 PRECEDING)
          1:37: avg OVER has a frame of GROUPS, which does not run on a stream
            count rows by ROWS, or time by RANGE
        avg(value) OVER (ORDER BY ts ROWS 2000000 PRECEDING)
          1:8: a frame of 2000000 rows is too long, at most 1000000 are kept
            take a shorter frame, or HOP(…) with GROUP BY
        avg(value) OVER (ORDER BY ts ROWS -1 PRECEDING)
          1:37: invalid window frame: frame offsets for ROWS / GROUPS must be non negative integers
        avg(value) OVER (ORDER BY ts RANGE INTERVAL '1' MONTH PRECEDING)
          1:37: months and years differ in length
            write RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW
        avg(value) OVER (ORDER BY ts RANGE INTERVAL '-1' SECOND PRECEDING)
          1:8: a frame of -1s would begin after the row
            leave out the sign
        avg(value) OVER (ORDER BY ts RANGE 10 PRECEDING)
          1:37: months and years differ in length
            write RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW
        avg(value) OVER w
          1:24: the window w is not defined!
        avg(sensor) OVER (ORDER BY ts)
          1:8: "avg" does not take String
            CAST the argument, or take another
        count(DISTINCT sensor) OVER (ORDER BY ts)
          1:8: count OVER would have to keep every different value of its frame
            leave out DISTINCT, or use HOP(…) with GROUP BY
        median(value) OVER (ORDER BY ts)
          1:8: median does not slide from row to row
            use HOP(…) with GROUP BY, or one of: count, sum, avg, min, max, stddev, stddev_pop, var, var_pop, first_value, last_value
        array_agg(value) OVER (ORDER BY ts)
          1:8: aggregate array_agg does not slide from row to row
            use HOP(…) with GROUP BY
        first_value(value) RESPECT NULLS OVER (ORDER BY ts)
          1:27: aggregates leave out nulls
            leave out RESPECT NULLS
        lag(value, n) OVER (ORDER BY ts)
          1:8: lag: the number of rows is a whole number from 0, and the same for all rows
            write lag(value, 1) OVER (PARTITION BY … ORDER BY …)
        lag(value, -1) OVER (ORDER BY ts)
          1:8: lag: the number of rows is a whole number from 0
            write lag(value, 1) OVER (PARTITION BY … ORDER BY …)
        lag(value, 2000000) OVER (ORDER BY ts)
          1:8: lag: lag reaches 2000000 rows back, at most 1000000 are kept
            join the stream with itself by time, or take fewer rows
        lag(value, 1, 0) OVER (ORDER BY ts)
          1:8: lag: it takes 1 to 2 arguments, found 3
            write lag(value, 1) OVER (PARTITION BY … ORDER BY …)
        lag([n]) OVER (ORDER BY ts)
          1:8: lag: lag does not work on List(Int64)
            use a column of numbers, text, booleans, dates or timestamps, or CAST it to one
        lag(value) FILTER (WHERE n > 1) OVER (ORDER BY ts)
          1:8: lag takes every row, it cannot leave some out by FILTER
            write CASE WHEN … THEN … END as its argument
        lag(value) OVER (PARTITION BY sensor)
          1:8: lag OVER without ORDER BY would take in the whole stream, which has no end
            write OVER (PARTITION BY … ORDER BY ts)
        lag(value)
          1:8: lag needs OVER: it goes from row to row in the order of time
            write lag(value, 1) OVER (PARTITION BY … ORDER BY …)
        lead(value) OVER (ORDER BY ts)
          1:8: lead looks at rows that are still to come
            compare a row with the one before it: lag(value)
        rank() OVER (ORDER BY ts)
          1:8: rank compares a row with all others, and a stream is never complete
            PARTITION BY window_start, window_end of a windowed query
        ntile(4) OVER (ORDER BY ts)
          1:8: ntile is not built for streams
            there are lag, row_number, rank and dense_rank within windows, and the aggregates
        nth_value(value, 2) OVER (ORDER BY ts)
          1:8: nth_value is not built for streams
            there are lag, row_number, rank and dense_rank within windows, and the aggregates
        lagg(value) OVER (ORDER BY ts)
          1:8: there is no function "lagg"
            did you mean "lag"?
        rank() OVER (PARTITION BY sensor ORDER BY value DESC)
          1:8: rank compares rows of a window with each other, and its partition has none
            write OVER (PARTITION BY window_start, window_end ORDER BY …) over a windowed query
        row_number() OVER (PARTITION BY sensor ORDER BY value DESC)
          1:8: row_number compares rows of a window with each other, and its partition has none
            write OVER (PARTITION BY window_start, window_end ORDER BY …) over a windowed query
        sum(n) OVER (PARTITION BY ts ORDER BY ts)
          1:8: sum(n) would be kept for every window for ever
            leave the window out of PARTITION BY, or give a frame of time
    "#]].assert_eq(&told.join(""));
}

#[test]
fn a_stream_has_no_now() {
    check(
        [
            "SELECT now() FROM readings",
            "SELECT * FROM readings WHERE ts > current_timestamp - INTERVAL '1 hour'",
            "SELECT current_date FROM readings",
            "SELECT random() FROM readings",
        ],
        &expect![[r#"
            SELECT now() FROM readings
              1:8: a stream has no fixed now
                use the event time column
            SELECT * FROM readings WHERE ts > current_timestamp - INTERVAL '1 hour'
              1:35: a stream has no fixed now
                use the event time column
            SELECT current_date FROM readings
              1:8: a stream has no fixed now
                use the event time column
            SELECT random() FROM readings
              1:8: random() gives another answer each time, so a stream could not be replayed
                compute it from columns
        "#]],
    );
}

#[test]
fn window_functions_say_how_they_are_written() {
    check_from(
        [
            "TUMBLE(readings, value, INTERVAL '1' MINUTE)",
            "TUMBLE(readings, tss, INTERVAL '1' MINUTE)",
            "TUMBLE(readings, ts)",
            "TUMBLE(readings, ts + 1, INTERVAL '1' MINUTE)",
            "TUMBLE(readings, ts, 60)",
            "TUMBLE(readings, ts, INTERVAL '1' MONTH)",
            "TUMBLE(readings, ts, INTERVAL '0' SECOND)",
            "TUMBLE(readings, ts, INTERVAL '-1' SECOND)",
            "TUMBLE(readings, ts, INTERVAL '1' SECOND, INTERVAL '0' SECOND, 3)",
            "TUMBLE(readings, ts, SIZE => INTERVAL '1' SECOND, SIDE => 3)",
            "HOP(readings, ts, INTERVAL '60' SECOND, INTERVAL '5' SECOND)",
            "HOP(readings, ts, INTERVAL '1' MICROSECOND, INTERVAL '1' DAY)",
            "TABLE(SESSION(TABLE readings, DESCRIPTOR(ts), INTERVAL '5' MINUTE))",
            "TUMBLE((SELECT * FROM readings), ts, INTERVAL '1' SECOND)",
            "TUMBLE(reading, ts, INTERVAL '1' SECOND)",
            "(SELECT *, ts + INTERVAL '1 hour' AS h FROM readings) r, generate_series(1, 3)",
        ],
        &expect![[r#"
            SELECT * FROM TUMBLE(readings, value, INTERVAL '1' MINUTE)
              1:32: column "value" is not an event time, so windows cannot be cut by it
                the event times there are: ts
            SELECT * FROM TUMBLE(readings, tss, INTERVAL '1' MINUTE)
              1:32: no column "tss"
                did you mean "ts"?
            SELECT * FROM TUMBLE(readings, ts)
              1:15: TUMBLE needs its argument size
                write TUMBLE(table, event_time, INTERVAL '1' MINUTE)
            SELECT * FROM TUMBLE(readings, ts + 1, INTERVAL '1' MINUTE)
              1:32: "ts + 1" is not an event-time column
                write TUMBLE(table, event_time, INTERVAL '1' MINUTE)
            SELECT * FROM TUMBLE(readings, ts, 60)
              1:36: the size of a window is an interval
                write TUMBLE(table, event_time, INTERVAL '1' MINUTE)
            SELECT * FROM TUMBLE(readings, ts, INTERVAL '1' MONTH)
              1:45: months and years differ in length
                give the window in days or shorter units
            SELECT * FROM TUMBLE(readings, ts, INTERVAL '0' SECOND)
              1:45: the size of a window must be greater than zero
                write TUMBLE(table, event_time, INTERVAL '1' MINUTE)
            SELECT * FROM TUMBLE(readings, ts, INTERVAL '-1' SECOND)
              1:45: the size of a window must be greater than zero
                write TUMBLE(table, event_time, INTERVAL '1' MINUTE)
            SELECT * FROM TUMBLE(readings, ts, INTERVAL '1' SECOND, INTERVAL '0' SECOND, 3)
              1:78: argument "3" does not belong here
                write TUMBLE(table, event_time, INTERVAL '1' MINUTE)
            SELECT * FROM TUMBLE(readings, ts, SIZE => INTERVAL '1' SECOND, SIDE => 3)
              1:65: argument "SIDE => 3" does not belong here
                write TUMBLE(table, event_time, INTERVAL '1' MINUTE)
            SELECT * FROM HOP(readings, ts, INTERVAL '60' SECOND, INTERVAL '5' SECOND)
              1:15: the slide of 1m is longer than the window of 5s: rows between would be lost
                slide comes first, then size: HOP(readings, ts, INTERVAL '5' SECOND, INTERVAL '60' SECOND)
            SELECT * FROM HOP(readings, ts, INTERVAL '1' MICROSECOND, INTERVAL '1' DAY)
              1:15: each row would be repeated for more than 1000 windows
                take a longer slide or step, or aggregate by the window
            SELECT * FROM TABLE(SESSION(TABLE readings, DESCRIPTOR(ts), INTERVAL '5' MINUTE))
              1:21: which rows a SESSION has is known when it is over, so it is read through an aggregate
                GROUP BY window_start, window_end and the PARTITION BY columns
            SELECT * FROM TUMBLE((SELECT * FROM readings), ts, INTERVAL '1' SECOND)
              1:23: a subquery in an expression would compare a stream with a stream
                write the subquery in FROM or WITH
            SELECT * FROM TUMBLE(reading, ts, INTERVAL '1' SECOND)
              1:22: there is no source or query "reading"
                did you mean "readings"?
            SELECT * FROM (SELECT *, ts + INTERVAL '1 hour' AS h FROM readings) r, generate_series(1, 3)
              1:72: a JOIN of streams needs its condition
                write a JOIN b ON a.sensor = b.sensor AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '5' SECOND
        "#]],
    );
    check(
        [
            "WITH a AS (SELECT date_trunc('hour', ts) AS h FROM readings) SELECT * FROM TUMBLE(a, h, INTERVAL '1' SECOND)",
        ],
        &expect![[r#"
            WITH a AS (SELECT date_trunc('hour', ts) AS h FROM readings) SELECT * FROM TUMBLE(a, h, INTERVAL '1' SECOND)
              1:86: column "h" is not an event time, so windows cannot be cut by it
                it has none: pass one on unchanged from a source or from a windowed query
        "#]],
    );
}

#[test]
fn aggregates_that_need_a_whole_window_do_not_stand_before_over() {
    let over = "OVER (PARTITION BY sensor ORDER BY ts RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW)";
    let calls = ["twa(value)", "slope(value)", "corr(value, n)", "string_agg(sensor, ',')"];
    let told = calls.map(|call| format!("{call}\n{}", refused(&format!("SELECT {call} {over} AS a FROM readings"))));
    expect![[r#"
        twa(value)
        1:8: twa does not slide from row to row
          use HOP(…) with GROUP BY, or one of: count, sum, avg, min, max, stddev, stddev_pop, var, var_pop, first_value, last_value
        slope(value)
        1:8: slope does not slide from row to row
          use HOP(…) with GROUP BY, or one of: count, sum, avg, min, max, stddev, stddev_pop, var, var_pop, first_value, last_value
        corr(value, n)
        1:8: corr does not slide from row to row
          use HOP(…) with GROUP BY, or one of: count, sum, avg, min, max, stddev, stddev_pop, var, var_pop, first_value, last_value
        string_agg(sensor, ',')
        1:8: aggregate string_agg does not slide from row to row
          use HOP(…) with GROUP BY
    "#]]
    .assert_eq(&told.join(""));
}
