//! Joins of two files: the torques of a station with the pressures of its line.

use super::{Bench, reasons};

/// Two files and a query over them.
fn pipeline(sql: &str) -> String {
    format!(
        r#"
[source.torques]
connector = "file"
path = "torques.csv"
columns = {{ ts = {{ type = "timestamp", unit = "s" }}, station = "text", torque = "float" }}
time = {{ column = "ts", disorder = "2s" }}

[source.pressures]
connector = "file"
path = "pressures.csv"
columns = {{ ts = {{ type = "timestamp", unit = "s" }}, station = "text", pressure = "float" }}

[query.joined]
sql = """
{sql}
"""

[sink.out]
connector = "file"
input = "joined"
path = "joined.jsonl"
time = "s"
"#
    )
}

fn run(sql: &str, dropped: u64) -> String {
    let bench = Bench::new();
    bench.write("torques.csv", "ts,station,torque\n10,a,1.0\n13,b,2.0\n12,a,3.0\n20,a,4.0\n");
    bench.write("pressures.csv", "ts,station,pressure\n9,b,5.1\n10,a,5.2\n12,a,5.3\n14,b,5.4\n19,a,5.5\n");
    let ended = bench.run(&pipeline(sql)).well();
    let expected = if dropped == 0 { reasons([]) } else { reasons([("unmatched", dropped)]) };
    assert_eq!(ended.dropped("joined/join"), expected);
    bench.read("joined.jsonl")
}

#[test]
fn each_torque_with_the_last_pressure_before_it() {
    let rows = run(
        "SELECT t.ts, t.station, torque, pressure FROM torques t
         ASOF LEFT JOIN pressures p MATCH_CONDITION (t.ts >= p.ts AND t.ts - p.ts <= INTERVAL '3' SECOND) ON t.station = p.station",
        0,
    );
    expect_test::expect![[r#"
        {"ts":10,"station":"a","torque":1.0,"pressure":5.2}
        {"ts":12,"station":"a","torque":3.0,"pressure":5.3}
        {"ts":13,"station":"b","torque":2.0,"pressure":null}
        {"ts":20,"station":"a","torque":4.0,"pressure":5.5}
    "#]]
    .assert_eq(&rows);
}

#[test]
fn each_torque_with_the_pressures_around_it() {
    let rows = run(
        "SELECT t.ts, t.station, torque, p.ts AS at, pressure FROM torques t
         JOIN pressures p ON t.station = p.station AND p.ts BETWEEN t.ts - INTERVAL '2' SECOND AND t.ts + INTERVAL '1' SECOND",
        1,
    );
    expect_test::expect![[r#"
        {"ts":10,"station":"a","torque":1.0,"at":10,"pressure":5.2}
        {"ts":12,"station":"a","torque":3.0,"at":10,"pressure":5.2}
        {"ts":12,"station":"a","torque":3.0,"at":12,"pressure":5.3}
        {"ts":13,"station":"b","torque":2.0,"at":14,"pressure":5.4}
        {"ts":20,"station":"a","torque":4.0,"at":19,"pressure":5.5}
    "#]]
    .assert_eq(&rows);
}

#[test]
fn the_windows_of_two_queries() {
    let rows = run(
        "SELECT coalesce(t.window_start, p.window_start) AS window_start, coalesce(t.station, p.station) AS station, torque, pressure FROM
           (SELECT window_start, window_end, station, max(torque) AS torque
            FROM TUMBLE(torques, ts, INTERVAL '10' SECOND) GROUP BY window_start, window_end, station) t
         FULL JOIN
           (SELECT window_start, window_end, station, max(pressure) AS pressure
            FROM TUMBLE(pressures, ts, INTERVAL '10' SECOND) GROUP BY window_start, window_end, station) p
         ON t.window_start = p.window_start AND t.window_end = p.window_end AND t.station = p.station",
        0,
    );
    expect_test::expect![[r#"
        {"window_start":0,"station":"b","torque":null,"pressure":5.1}
        {"window_start":10,"station":"a","torque":3.0,"pressure":5.5}
        {"window_start":10,"station":"b","torque":2.0,"pressure":5.4}
        {"window_start":20,"station":"a","torque":4.0,"pressure":null}
    "#]]
    .assert_eq(&rows);
}
