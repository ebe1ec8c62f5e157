//! Aggregates of a plant, and which readings they trust.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema};
use expect_test::expect;
use lineside_model::schema::time_field;
use lineside_model::{Quality, Span, Timestamp};
use lineside_operators::TimeColumn;

use super::harness::{Running, run, show};
use crate::config::options::QualityOption;
use crate::plan::sql::Table;

const READINGS: &str = "
    0s   a  1   1
    5s   a  10  2
    9s   a  3   3
    61s  b  -   5
    62s  b  4   5";

const LINE: &str = "
    0s   press  100  good       RUN
    10s  press  900  bad        FAULT
    20s  press  130  good       RUN
    25s  press  20   uncertain  IDLE
    30s  press  40   good       RUN
    61s  press  -    bad        -";

/// `line(ts, sensor, value, quality, state)`.
fn line() -> Table {
    let schema = Schema::new(vec![
        time_field("ts", false),
        Field::new("sensor", DataType::Utf8, false),
        Field::new("value", DataType::Float64, true),
        Field::new("quality", Quality::data_type(), false),
        Field::new("state", DataType::Utf8, true),
    ]);
    let times = vec![TimeColumn { name: "ts".to_owned(), delay: Span::ZERO }];
    Table { name: "line".to_owned(), schema: Arc::new(schema), times, fixed: false }
}

fn rows(text: &str) -> RecordBatch {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|l| !l.is_empty());
    let lines = lines.collect::<Vec<_>>();
    let times = lines.iter().map(|l| l[0].parse::<Span>().unwrap().micros()).collect::<Vec<_>>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
        Arc::new(lines.iter().map(|l| Some(l[1])).collect::<StringArray>()),
        Arc::new(lines.iter().map(|l| l[2].parse().ok()).collect::<Float64Array>()),
        Quality::column(lines.iter().map(|l| Quality::from_word(l[3]).unwrap())),
        Arc::new(lines.iter().map(|l| Some(l[4]).filter(|s| *s != "-")).collect::<StringArray>()),
    ];
    RecordBatch::try_new(line().schema, columns).unwrap()
}

/// Runs a query over `line`, in two batches.
pub(super) fn run_line(quality: QualityOption, sql: &str) -> String {
    let mut running = Running::with(sql, quality, &[line()]);
    let rows = rows(LINE);
    running.feed("line", &rows.slice(0, 3));
    running.feed("line", &rows.slice(3, 3));
    running.watermark(Timestamp::MAX);
    let schema = running.as_table("q").schema;
    show(&schema, &running.take()) + &running.dropped()
}

fn per_minute(select: &str) -> String {
    format!("SELECT {select} FROM TUMBLE(line, ts, INTERVAL '1' MINUTE) GROUP BY window_start")
}

#[test]
fn a_signal_over_time() {
    let sql = "SELECT sensor, value_range(value) AS height, spread(n) AS n, delta(value) AS delta,
                      rate_of_change(value) AS rate, slope(value) AS slope, twa(value) AS twa,
                      time_weighted_avg(value, 'linear') AS twl, integral(value, 'hold') AS area,
                      counter_increase(value) AS counted, ewma(value, 0.5) AS ew,
                      ewma(value, INTERVAL '4' SECOND) AS half, duration_in(value > 2) AS above
               FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_start, sensor";
    expect![[r#"
        sensor  height  n    delta  rate                slope               twa  twl                area  counted  ew    half               above
        a       9.0     2.0  2.0    0.2222222222222222  0.2868852459016393  5.0  5.944444444444445  45.0  12.0     4.25  4.607983065679142  4.0
        b       0.0     0.0  0.0    -                   -                   4.0  4.0                0.0   0.0      4.0   4.0                0.0
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn how_often_how_many_and_how_two_go_together() {
    let sql =
        "SELECT sensor, count(DISTINCT value) AS d, mode(value) AS mode, mode(sensor) AS s, bool_and(n > 1) AS every,
                      bool_or(n > 1) AS some, var_samp(value) AS vs, var_pop(value) AS vp, corr(value, n) AS corr,
                      regr_slope(value, n) AS slope, regr_intercept(value, n) AS at0, regr_count(value, n) AS pairs,
                      covar_pop(value, n) FILTER (WHERE n < 3) AS cp
               FROM TUMBLE(readings, ts, INTERVAL '1' MINUTE) GROUP BY window_start, sensor";
    expect![[r#"
        sensor  d  mode  s  every  some  vs                  vp                  corr                 slope               at0                 pairs  cp
        a       3  1.0   a  false  true  22.333333333333336  14.888888888888891  0.21160368475757943  0.9999999999999998  2.6666666666666674  3      2.25
        b       1  4.0   b  true   true  -                   0.0                 -                    -                   -                   1      -
    "#]]
    .assert_eq(&run(sql, READINGS));
}

#[test]
fn functions_of_datafusion_run_over_windows() {
    let sql =
        "SELECT sensor, string_agg(arrow_cast(value, 'Utf8'), '+') AS all, array_agg(value) AS list, bit_or(n) AS bits,
                      approx_distinct(n) AS about, sum(CAST(value AS DECIMAL(10,2))) AS exact,
                      avg(CAST(value AS DECIMAL(10,2))) AS mean, max(CAST(value AS DECIMAL(10,2))) AS hi,
                      any_value(n) AS some, bit_and(n) FILTER (WHERE n > 1) AS both
               FROM HOP(readings, ts, INTERVAL '30' SECOND, INTERVAL '60' SECOND) GROUP BY window_start, sensor";
    expect![[r#"
        sensor  all           list              bits  about  exact  mean      hi     some  both
        a       1.0+10.0+3.0  [1.0, 10.0, 3.0]  3     3      14.00  4.666666  10.00  1     2
        a       1.0+10.0+3.0  [1.0, 10.0, 3.0]  3     3      14.00  4.666666  10.00  1     2
        b       4.0           [4.0]             5     1      4.00   4.000000  4.00   5     5
        b       4.0           [4.0]             5     1      4.00   4.000000  4.00   5     5
    "#]]
    .assert_eq(&run(sql, READINGS));
}

const EXTERNAL: &str = "count(*) AS rows, string_agg(sensor, ',') AS names, array_agg(value) AS list,
                        approx_distinct(sensor) AS about, bit_xor(n) AS bits, sum(CAST(value AS DECIMAL(10,2))) AS exact";

/// Rows half a second apart with some out of order, in batches of so many rows, restarted after each batch or not.
fn run_pieces(relation: &str, batch: usize, restart: bool) -> String {
    let sql = format!("SELECT sensor, {EXTERNAL} FROM {relation} GROUP BY window_start, sensor");
    let mut running = Running::new(&sql, &super::harness::tables());
    let text = (0..60u64).map(|n| {
        let at = n * 500 - if n % 7 == 3 { 1_500 } else { 0 };
        let value = if n % 11 == 5 { "-".to_owned() } else { format!("{}.25", n % 9) };
        format!("{at}ms {} {value} {n}\n", ["a", "b", "c"][n as usize % 3])
    });
    let lines = text.collect::<Vec<_>>();
    let mut told = String::new();
    for (n, line) in lines.chunks(batch).enumerate() {
        running.feed("readings", &super::harness::rows(&line.concat()));
        if restart {
            running.restart();
        }
        let at = ((n + 1) * batch * 500) as i64 - 4_000;
        if ((n + 1) * batch).is_multiple_of(20) {
            running.watermark(Timestamp(at * 1_000));
        }
    }
    running.watermark(Timestamp::MAX);
    let schema = running.as_table("q").schema;
    told += &show(&schema, &running.take());
    told + &running.dropped()
}

#[test]
fn functions_of_datafusion_do_not_feel_batches_and_restarts() {
    for relation in
        ["TUMBLE(readings, ts, INTERVAL '10' SECOND)", "HOP(readings, ts, INTERVAL '3' SECOND, INTERVAL '10' SECOND)"]
    {
        let straight = run_pieces(relation, 20, false);
        assert!(straight.lines().count() > 9, "{straight}");
        for batch in [1, 4, 10, 20] {
            assert_eq!(run_pieces(relation, batch, true), straight, "{relation} in batches of {batch}");
        }
    }
}

#[test]
fn readings_of_bad_quality_are_counted_and_not_averaged() {
    let sql = per_minute(
        "window_start, count(*) AS rows, count(value) AS values, avg(value) AS mean, max(value) AS hi,
         first_value(value) AS first, percent_good(quality) AS good, corr(value, value) AS corr,
         max(value) FILTER (WHERE value < 1000) AS low, duration_in_state(state, 'RUN') AS run",
    );
    let mut told = String::new();
    for quality in [QualityOption::Usable, QualityOption::Good, QualityOption::All] {
        told += &format!("{quality:?}:\n{}", run_line(quality, &sql));
    }
    expect![[r#"
        Usable:
        window_start  rows  values  mean  hi     first  good  corr                low    run
        0s            5     4       72.5  130.0  100.0  60.0  0.9999999999999999  130.0  25.0
        1m            1     0       -     -      -      0.0   -                   -      -
        Good:
        window_start  rows  values  mean  hi     first  good  corr  low    run
        0s            5     3       90.0  130.0  100.0  60.0  1.0   130.0  30.0
        1m            1     0       -     -      -      0.0   -     -      -
        All:
        window_start  rows  values  mean   hi     first  good  corr  low    run
        0s            5     5       238.0  900.0  100.0  60.0  1.0   900.0  15.0
        1m            1     0       -      -      -      0.0   -     -      -
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_query_that_names_quality_has_its_own_say() {
    let bad = "SELECT avg(value) AS mean FROM TUMBLE(line, ts, INTERVAL '1' MINUTE) WHERE quality = 'bad'
               GROUP BY window_start";
    let below = "WITH bad AS (SELECT ts, value, quality FROM line WHERE quality = 'bad')
                 SELECT avg(value) AS mean FROM TUMBLE(bad, ts, INTERVAL '1' MINUTE) GROUP BY window_start";
    let grouped = "SELECT quality, avg(value) AS mean FROM TUMBLE(line, ts, INTERVAL '1' MINUTE)
                   GROUP BY window_start, quality";
    let filtered =
        per_minute("avg(value) FILTER (WHERE quality = 'bad') AS bad, avg(value) AS mean, max(quality) AS q");
    let without = "WITH plain AS (SELECT ts, value FROM line)
                   SELECT avg(value) AS mean FROM TUMBLE(plain, ts, INTERVAL '1' MINUTE) GROUP BY window_start";
    let mut told = String::new();
    for sql in [bad, below, grouped, &filtered, without] {
        told += &run_line(QualityOption::default(), sql);
    }
    expect![[r#"
        mean
        900.0
        -
        filtered 4
        mean
        900.0
        -
        filtered 4
        quality    mean
        good       90.0
        bad        900.0
        uncertain  20.0
        bad        -
        bad    mean  q
        900.0  72.5  uncertain
        -      -     bad
        mean
        238.0
        -
    "#]]
    .assert_eq(&told);
}

#[test]
fn explain_tells_whose_readings_are_left_out() {
    let plan = |quality: QualityOption, select: &str| {
        let plan = crate::plan::sql::plan_query("q", &per_minute(select), quality.into(), &[line()]).unwrap();
        plan.steps.iter().flat_map(|step| step.operator.explain.clone()).collect::<Vec<_>>().join("\n") + "\n"
    };
    expect![[r#"
        select ts, if_usable(value, quality) AS argument, if_usable(sensor, quality) AS argument_2
        group by window_start, window_end over ts: avg(value), count(*), twa(value), count(DISTINCT sensor)
        windows of 1m every 1m, from 1970-01-01T00:00:00Z, closed when the watermark reaches their end
        rows of closed windows are dropped and counted as late
        state: one entry per aggregate, group and slice that has rows; 1 slices to a window
        groups are forgotten when they are in no open window; rows of more than 1000000 at a time are too_many_keys
        count_distinct keeps every different value of the open windows
        time_weighted_avg keeps every reading of the open windows, 16 bytes each, since readings may come out of order
        readings of bad quality take part in count(*), not in avg(value), twa(value), count(DISTINCT sensor); quality = "all" in the query's table takes them all
        select avg(value) AS m, count(*) AS n, twa(value) AS t, count(DISTINCT sensor) AS d
    "#]]
    .assert_eq(&plan(
        QualityOption::Usable,
        "avg(value) AS m, count(*) AS n, twa(value) AS t, count(DISTINCT sensor) AS d",
    ));
    let all = plan(QualityOption::All, "avg(value) AS m, count(*) AS n");
    assert!(!all.contains("quality"), "{all}");
}
