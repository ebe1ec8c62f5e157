//! Windows over recorded data that really is out of order: late rows are counted, and results are those of a plain recomputation.

use std::collections::BTreeMap;

use lineside_loadtest::Trace;

use super::{Bench, reasons, trace};

const HOUR: i64 = 3_600_000_000;
const MINUTE: i64 = 60_000_000;

/// Sum and count by sensor and start of the window.
type Sums = BTreeMap<(String, i64), (f64, u64)>;

/// What a window query should say of a trace, told by the definition of a watermark and nothing else. The second number is how
/// many rows are late.
fn recomputed(name: &str, size: i64, disorder: i64) -> (Sums, u64) {
    let (mut sums, mut late, mut newest) = (Sums::new(), 0, i64::MIN);
    let trace = Trace::open(trace(name)).expect("the trace comes with the project");
    for row in trace.batches().expect("the trace is whole").flat_map(|batch| batch.expect("the trace is whole")) {
        let start = row.ts.micros().div_euclid(size) * size;
        if newest != i64::MIN && start + size <= newest - disorder {
            late += 1;
        } else {
            let (sum, count) = sums.entry((row.sensor.to_string(), start)).or_default();
            *sum += row.value.expect("the traces have a value in each row");
            *count += 1;
        }
        newest = newest.max(row.ts.micros());
    }
    (sums, late)
}

fn pipeline(name: &str, size: &str, disorder: &str) -> String {
    format!(
        r#"
[source.readings]
connector = "file"
path = "{path}"
columns = {{ ts = {{ type = "timestamp", unit = "us" }} }}
time = {{ column = "ts", disorder = "{disorder}" }}

[query.sums]
sql = """
SELECT sensor, window_start, sum(value) AS sum, count(*) AS n
FROM TUMBLE(readings, ts, INTERVAL '{size}')
GROUP BY sensor, window_start
"""

[sink.out]
connector = "file"
input = "sums"
path = "sums.jsonl"
time = "us"
"#,
        path = trace(name)
    )
}

fn written(bench: &Bench) -> Sums {
    let rows = bench.json("sums.jsonl");
    let sums = rows.iter().map(|row| {
        let sensor = row["sensor"].as_str().expect("a text").to_owned();
        let start = row["window_start"].as_i64().expect("microseconds");
        ((sensor, start), (row["sum"].as_f64().expect("a number"), row["n"].as_u64().expect("a count")))
    });
    let windows = sums.collect::<Sums>();
    assert_eq!(windows.len(), rows.len(), "a window came out twice");
    windows
}

fn assert_same(found: &Sums, expected: &Sums) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (window, (sum, count)) in expected {
        let (found_sum, found_count) = found[window];
        assert_eq!(found_count, *count, "{window:?}");
        assert!((found_sum - sum).abs() <= 1e-9 * sum.abs().max(1.0), "{window:?}: {found_sum} and not {sum}");
    }
}

#[test]
fn steel_rows_that_come_a_day_late_are_counted_and_left_out() {
    let bench = Bench::new();
    let ended = bench.run(&pipeline("steel", "1 hour", "15m")).well();
    assert_eq!(ended.number("readings", "rows_in"), 210_240);
    assert_eq!(ended.dropped("sums/window"), reasons([("late", 2_190)]));
    let (expected, late) = recomputed("steel", HOUR, 15 * MINUTE);
    assert_eq!(late, 2_190);
    assert_same(&written(&bench), &expected);
}

#[test]
fn steel_rows_that_come_a_day_late_are_in_when_disorder_allows() {
    let bench = Bench::new();
    let ended = bench.run(&pipeline("steel", "1 hour", "1d")).well();
    assert_eq!(ended.dropped("sums/window"), reasons([]));
    let (expected, late) = recomputed("steel", HOUR, 24 * HOUR);
    assert_eq!(late, 0);
    assert_same(&written(&bench), &expected);
}

#[test]
fn nab_rows_of_the_hour_that_the_clock_went_through_twice_are_late() {
    let bench = Bench::new();
    let ended = bench.run(&pipeline("nab", "1 minute", "0s")).well();
    assert_eq!(ended.number("readings", "rows_in"), 29_962);
    let (expected, late) = recomputed("nab", MINUTE, 0);
    assert_eq!(late, 11);
    assert_eq!(ended.dropped("sums/window"), reasons([("late", late)]));
    assert_same(&written(&bench), &expected);
}

#[test]
fn the_table_of_watermarks_names_the_sensor_that_is_an_hour_behind_and_does_not_keep_the_run_from_its_end() {
    let bench = Bench::new();
    let row = |second: i64, sensor: &str, behind: i64| {
        format!("{},{sensor},1.5\n", 1_704_067_200_000_000 + (second - behind) * 1_000_000)
    };
    let rows = (0..60).flat_map(|second| [("a", 0), ("b", 3600), ("c", 0)].map(|(s, behind)| row(second, s, behind)));
    bench.write("in.csv", &format!("ts,sensor,value\n{}", rows.collect::<String>()));
    let ended = bench
        .run(
            r#"
[source.readings]
connector = "file"
path = "in.csv"
columns = { ts = { type = "timestamp", unit = "us" }, sensor = "text", value = "float" }
time = { column = "ts", per_key = "sensor", idle_after = "5s" }

[query.counts]
sql = "SELECT window_start, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '10' SECOND) GROUP BY window_start"

[sink.counts]
connector = "file"
input = "counts"
path = "counts.jsonl"

[sink.watermarks]
connector = "file"
input = "system.watermarks"
path = "watermarks.jsonl"
"#,
        )
        .well();
    assert!(ended.dropped("counts/window")["late"] > 40);
    let told = bench.json("watermarks.jsonl");
    let last = told.last().expect("the table has rows");
    assert_eq!((last["sensor"].as_str(), last["state"].as_str()), (Some("b"), Some("behind")), "{last}");
    assert_eq!(ended.object("readings")["sensors"][0]["sensor"], "a");
}

#[test]
fn three_workers_that_take_batches_in_turn_tell_the_same_as_one() {
    let bench = Bench::new();
    let whole = pipeline("steel", "1 hour", "15m");
    let ended = bench.run(&format!("[pipeline]\nworkers = 3\n{whole}")).well();
    assert_eq!(ended.dropped("sums/window"), reasons([("late", 2_190)]));
    assert_eq!(ended.number("sums/window", "rows_in"), 210_240);
    let (expected, _) = recomputed("steel", HOUR, 15 * MINUTE);
    assert_same(&written(&bench), &expected);
    assert_eq!(ended.number("out", "rows_out"), expected.len() as u64);
}

#[test]
fn rows_keep_their_order_whichever_worker_they_pass() {
    let bench = Bench::new();
    let rows = (0..60_000).map(|n| format!("{},{n}\n", 1_704_067_200_000_000_i64 + n * 1_000));
    bench.write("in.csv", &format!("ts,value\n{}", rows.collect::<String>()));
    let ended = bench
        .run(
            r#"
[pipeline]
workers = 3

[source.readings]
connector = "file"
path = "in.csv"
columns = { ts = { type = "timestamp", unit = "us" }, value = "int" }

[query.odd]
sql = "SELECT ts, value FROM readings WHERE value % 2 = 1"

[sink.odd]
connector = "file"
input = "odd"
path = "odd.jsonl"
"#,
        )
        .well();
    assert_eq!(ended.dropped("odd"), reasons([("filtered", 30_000)]));
    let values = bench.json("odd.jsonl").iter().map(|row| row["value"].as_i64()).collect::<Vec<_>>();
    assert!(values.iter().copied().eq((0..30_000).map(|n| Some(2 * n + 1))), "{} rows", values.len());
}
