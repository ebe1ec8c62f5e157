//! Projection, filter, union: queries without windows.

use expect_test::expect;
use lineside_model::Timestamp;

use super::harness::{Running, explain, rows, run, run_tables, show, tables};
use crate::plan::sql::tables_of;

const READINGS: &str = "
    0s  a  20.5  1
    1s  b  -     2
    2s  a  -3    0";

#[test]
fn all_columns_pass_as_they_are() {
    expect![[r#"
        ts  sensor  value  n
        0s  a       20.5   1
        1s  b       -      2
        2s  a       -3.0   0
    "#]]
    .assert_eq(&run("SELECT * FROM readings", READINGS));
}

#[test]
fn columns_that_are_passed_on_are_not_copied() {
    let mut running = Running::new("SELECT value AS v FROM readings WHERE n >= 0", &tables());
    let input = rows(READINGS);
    running.feed("readings", &input);
    let output = running.take().remove(0);
    assert!(std::ptr::eq(input.column(2).as_ref(), output.column(0).as_ref()), "the column was copied");
}

#[test]
fn expressions_functions_casts_and_cases() {
    let sql = "SELECT upper(sensor) AS s, value * 2 AS twice, CAST(n AS TEXT) || '!' AS t, round(value) AS r,
                      CASE WHEN value > 0 THEN 'warm' WHEN value IS NULL THEN 'unknown' ELSE 'cold' END AS state,
                      coalesce(value, 0.0) AS v, date_trunc('minute', ts) AS minute, ts + INTERVAL '1 second' AS later
               FROM readings";
    expect![[r#"
        s  twice  t   r     state    v     minute  later
        A  41.0   1!  21.0  warm     20.5  0s      1s
        B  -      2!  -     unknown  0.0   0s      2s
        A  -6.0   0!  -3.0  cold     -3.0  0s      3s
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn rows_that_the_filter_leaves_out_are_counted() {
    expect![[r#"
        sensor  value
        a       20.5
        filtered 2
    "#]]
    .assert_eq(&run("SELECT sensor, value FROM readings WHERE value > 0 AND sensor <> 'c'", READINGS));
}

#[test]
fn a_condition_that_is_null_holds_for_no_row() {
    expect![[r#"
        sensor
        a
        a
        filtered 1
    "#]]
    .assert_eq(&run("SELECT sensor FROM readings WHERE value < 100", READINGS));
    expect![[r#"
        sensor
        filtered 3
    "#]]
    .assert_eq(&run("SELECT sensor FROM readings WHERE NULL", READINGS));
}

#[test]
fn a_row_whose_expression_fails_is_dropped_alone() {
    expect![[r#"
        sensor  share
        a       10
        b       5
        expression_failed 1
    "#]]
    .assert_eq(&run("SELECT sensor, 10 / n AS share FROM readings", READINGS));
    expect![[r#"
        number
        17.0
        4.5
        expression_failed 1
    "#]]
    .assert_eq(&run("SELECT CAST(sensor AS DOUBLE) AS number FROM readings", "0s 17 1\n1s x 1\n2s 4.5 1"));
}

#[test]
fn try_cast_gives_null_instead() {
    let sql = "SELECT TRY_CAST(sensor AS DOUBLE) AS number FROM readings";
    assert_eq!(run(sql, "0s 17 1\n1s x 1"), "number\n17.0\n-\n");
}

#[test]
fn a_filter_guards_what_comes_after_it() {
    expect![[r#"
        sensor
        a
        filtered 2
    "#]]
    .assert_eq(&run("SELECT sensor FROM readings WHERE n <> 0 AND 10 / n > 5", READINGS));
    let sql = "SELECT 10 / n AS share FROM (SELECT n FROM readings WHERE n <> 0)";
    expect![[r#"
        share
        10
        5
        filtered 1
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn subqueries_and_with_run_as_one_step() {
    let sql = "WITH warm AS (SELECT sensor, value + 1 AS v FROM readings WHERE value > 0)
               SELECT w.sensor, w.v * 2 AS twice FROM warm w WHERE w.v < 100";
    expect![[r#"
        select reads readings
          where value > 0.0 AND value + 1.0 < 100.0
          select sensor, (value + 1.0) * 2.0 AS twice
        event times: none, so no window can be cut over its rows
    "#]]
    .assert_eq(&explain(sql));
    expect![[r#"
        sensor  twice
        a       43.0
        filtered 2
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn what_is_used_twice_is_computed_once() {
    let sql = "SELECT v, v * v AS square FROM (SELECT sqrt(value) AS v FROM readings)";
    expect![[r#"
        prepare reads readings
          select sqrt(value) AS v
        select reads prepare
          select v, v * v AS square
        event times: none, so no window can be cut over its rows
    "#]]
    .assert_eq(&explain(sql));
}

#[test]
fn union_all_brings_streams_together() {
    let sql = "SELECT sensor, value FROM readings UNION ALL SELECT sensor || '!', n FROM others WHERE n > 1
               UNION ALL SELECT 'x', 1.5 FROM readings WHERE value IS NULL";
    expect![[r#"
        union reads readings, others, readings
          select sensor, value
          where n > 1
          select sensor || '!' AS sensor, CAST(n AS DOUBLE) AS value
          where value IS NULL
          select 'x' AS sensor, 1.5 AS value
        event times: none, so no window can be cut over its rows
    "#]]
    .assert_eq(&explain(sql));
    expect![[r#"
        sensor  value
        a       20.5
        b       -
        a       -3.0
        x       1.5
        b!      2.0
        filtered 4
    "#]]
    .assert_eq(&run_tables(sql, &[("readings", READINGS), ("others", READINGS)]));
}

#[test]
fn names_are_lower_case_unless_quoted() {
    expect![[r#"
        Sensor
        a
        filtered 2
    "#]]
    .assert_eq(&run("SELECT SENSOR AS \"Sensor\" FROM Readings WHERE N = 1", READINGS));
    assert_eq!(tables_of("SELECT * FROM \"Mixed\"").unwrap(), ["Mixed"]);
}

#[test]
fn times_compare_with_literals_and_have_parts() {
    let sql = "SELECT ts, extract(second FROM ts) AS s, to_char(ts, '%H:%M:%S') AS clock FROM readings
               WHERE ts >= TIMESTAMP '1970-01-01T00:00:01Z' AND ts < '1970-01-01 00:01:00'";
    expect![[r#"
        ts  s  clock
        1s  1  00:00:01
        2s  2  00:00:02
        filtered 1
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn event_times_keep_through_aliases() {
    let running = Running::new("SELECT ts AS t, value FROM readings UNION ALL SELECT ts, value FROM others", &tables());
    assert_eq!(running.as_table("q").times[0].name, "t");
}

#[test]
fn the_tables_of_a_query_are_known_before_it_is_planned() {
    let sql = "WITH a AS (SELECT * FROM readings) SELECT * FROM a UNION ALL SELECT sensor, ts, value, n FROM
               TABLE(TUMBLE(TABLE others, DESCRIPTOR(ts), INTERVAL '1' MINUTE))";
    assert_eq!(tables_of(sql).unwrap(), ["readings", "others"]);
    let same_name = "WITH readings AS (SELECT value FROM readings) SELECT * FROM readings";
    assert_eq!(tables_of(same_name).unwrap(), ["readings"]);
    assert_eq!(run(same_name, "0s a 1"), "value\n1.0\n");
}

#[test]
fn an_empty_stream_gives_the_columns() {
    let mut running = Running::new("SELECT sensor FROM readings WHERE false", &tables());
    running.feed("readings", &rows(READINGS));
    running.watermark(Timestamp::MAX);
    let schema = running.as_table("q").schema;
    expect![[r#"
        sensor
        filtered 3
    "#]]
    .assert_eq(&(show(&schema, &running.take()) + &running.dropped()));
}

#[test]
fn rows_cut_into_other_batches_give_the_same() {
    let text = (0..50).map(|n| format!("{n}s s{} {} {}\n", n % 3, n % 7, n % 5)).collect::<String>();
    let queries = [
        "SELECT *, 10 / n AS share FROM readings WHERE value > 1 AND 6 / (n - 1) <> 2",
        "SELECT sensor, value FROM readings UNION ALL SELECT sensor, 7 % n FROM readings WHERE n <> 2",
        "SELECT * FROM HOP(readings, ts, INTERVAL '3' SECOND, INTERVAL '10' SECOND) WHERE sensor = 's1'",
    ];
    for sql in queries {
        let mut whole = Running::new(sql, &tables());
        let mut cut = Running::new(sql, &tables());
        let input = rows(&text);
        whole.feed("readings", &input);
        for start in (0..50).step_by(7) {
            cut.feed("readings", &input.slice(start, 7.min(50 - start)));
        }
        assert_eq!(whole.dropped(), cut.dropped());
        let schema = whole.as_table("q").schema;
        let lines = |running: &mut Running| {
            let mut lines = show(&schema, &running.take()).lines().map(str::to_owned).collect::<Vec<_>>();
            lines.sort(); // the two parts of a union have no order between them
            lines
        };
        assert_eq!(lines(&mut whole), lines(&mut cut), "{sql}");
    }
}
