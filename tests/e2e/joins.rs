//! Joins of two files: the torques of a station with the pressures of its line.

use super::{Bench, reasons, wait_until};

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

/// Readings of a file, with what a table has about their product.
fn with_recipes(follow: bool, refresh: &str) -> String {
    format!(
        r#"
[source.readings]
connector = "file"
path = "readings.csv"
columns = {{ ts = {{ type = "timestamp", unit = "s" }}, product = "int", value = "float" }}
{follow}

[table.recipes]
connector = "file"
path = "recipes.csv"
columns = {{ product = "int", name = "text", limit = "float" }}
{refresh}

[query.joined]
sql = """
SELECT ts, value, name, value > "limit" AS above
FROM readings LEFT JOIN recipes ON readings.product = recipes.product
"""

[query.tops]
sql = """
SELECT window_start, name, max(value) AS top FROM TUMBLE(joined, ts, INTERVAL '10' SECOND) GROUP BY window_start, name
"""

[sink.out]
connector = "file"
input = "joined"
path = "joined.jsonl"
time = "s"

[sink.tops]
connector = "file"
input = "tops"
path = "tops.jsonl"
time = "s"
"#,
        follow = if follow { "follow = true" } else { "" },
    )
}

const READINGS: &str = "ts,product,value\n1,7,20.5\n2,8,30.5\n12,7,40.0\n";

#[test]
fn readings_are_looked_up_in_a_table_and_go_on_into_windows() {
    let bench = Bench::new();
    bench.write("readings.csv", READINGS);
    bench.write("recipes.csv", "product,name,limit\n7,bread,30.0\n9,cake,10.0\n");
    let ended = bench.run(&with_recipes(false, "")).well();
    assert_eq!(ended.dropped("tops"), reasons([]));
    expect_test::expect![[r#"
        {"ts":1,"value":20.5,"name":"bread","above":false}
        {"ts":2,"value":30.5,"name":null,"above":null}
        {"ts":12,"value":40.0,"name":"bread","above":true}
    "#]]
    .assert_eq(&bench.read("joined.jsonl"));
    expect_test::expect![[r#"
        {"window_start":0,"name":"bread","top":20.5}
        {"window_start":0,"name":null,"top":30.5}
        {"window_start":10,"name":"bread","top":40.0}
    "#]]
    .assert_eq(&bench.read("tops.jsonl"));
}

#[test]
fn a_table_is_read_again_and_does_not_hold_up_the_end() {
    let bench = Bench::new();
    bench.write("readings.csv", READINGS);
    bench.write("recipes.csv", "product,name,limit\n7,bread,30.0\n");
    bench.run(&with_recipes(false, "refresh = \"1h\"")).well();
    assert_eq!(bench.lines("joined.jsonl"), 3);

    let run = bench.start(&with_recipes(true, "refresh = \"1s\""));
    wait_until("the rows came out", || bench.read("joined.jsonl.partial").contains("bread"));
    bench.write("recipes.csv", "product,name,limit\n7,rolls,30.0\n");
    wait_until("the new name came out", || {
        bench.append("readings.csv", "13,7,1.0\n");
        bench.read("joined.jsonl.partial").contains("rolls")
    });
    run.stop().well();
    assert!(bench.read("joined.jsonl").contains("bread"));
}
