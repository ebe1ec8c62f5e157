//! The loop of the example line, against a PLC: temperatures in, heater power out and read back, also after the PLC was away.

use std::fs;

use lineside_loadtest::plant::Script;
use lineside_loadtest::{Plant, PlantOptions};

use super::{Bench, reasons, wait_until};

/// The PLC of the example line with nothing going wrong.
fn plant(port: u16) -> Plant {
    Plant::start(PlantOptions { port, script: Script::calm(), ..PlantOptions::default() }).expect("a free port")
}

/// The part of the example line that is about the PLC.
fn bench_and_pipeline(port: u16) -> (Bench, String) {
    let bench = Bench::new();
    for table in ["ovens.csv", "loops.csv"] {
        let from = format!("{}/examples/oven-line/{table}", env!("CARGO_MANIFEST_DIR"));
        fs::copy(from, bench.path(table)).expect("the example has its tables");
    }
    let pipeline = format!(
        r#"
[source.plc]
connector = "modbus"
url = "127.0.0.1:{port}"
registers = "ovens.csv"
poll = {{ fast = "100ms", slow = "200ms" }}

[query.averages]
sql = """
SELECT sensor, window_start, window_end, avg(value) AS value
FROM TUMBLE(plc, ts, INTERVAL '1' SECOND)
WHERE quality = 'good' AND sensor LIKE '%.temperature'
GROUP BY sensor, window_start, window_end
"""

[operator.heating]
type = "pid"
input = "averages"
time = "window_end"
table = "loops.csv"

[sink.heaters]
connector = "modbus"
input = "heating"
url = "127.0.0.1:{port}"
registers = "ovens.csv"

[sink.polled]
connector = "file"
input = "plc"
path = "polled.jsonl"
"#
    );
    (bench, pipeline)
}

#[test]
fn the_loop_is_closed_and_closes_again_when_the_plc_comes_back() {
    let first = plant(0);
    let port = first.port();
    let (bench, pipeline) = bench_and_pipeline(port);
    let run = bench.start(&pipeline);
    let warm = |plant: &Plant| plant.state().iter().all(|oven| oven.temperature > 80.0);
    wait_until("the ovens get warm", || warm(&first));
    let mut writes = first.writes();
    drop(first);
    run.wait_for_log("name=\"plc\"}: failed; trying again");

    let second = plant(port);
    wait_until("the ovens of the new PLC get warm", || warm(&second));
    wait_until("the power is seen in the PLC", || bench.read("polled.jsonl.partial").contains("oven3.power_actual"));
    let ended = run.stop().well();
    writes.extend(second.writes());

    assert!(writes.iter().all(|write| (0.0..=100.0).contains(&write.power)), "{writes:?}");
    assert!(ended.number("plc", "reconnects") >= 1);
    assert!(ended.number("heaters", "reconnects") >= 1);
    // What was decided while the PLC was away is written late or not at all, and nothing was refused or differs.
    let mut dropped = ended.dropped("heaters");
    dropped.remove("expired");
    assert_eq!(dropped, reasons([]));
    // Every part of the way is timed, and each is told once for what came through it.
    for (object, stages) in [
        ("plc", &["decode", "queue", "operators", "closing"][..]),
        ("heaters", &["sink_queue", "sink", "sensor_to_sink", "response_to_write"]),
    ] {
        let times = &ended.object(object)["times"];
        assert!(stages.iter().all(|stage| times[stage]["count"].as_u64() > Some(0)), "{object}: {times}");
    }
    // Each command arrived once: those counted as written, and none beside them.
    assert_eq!(ended.number("heaters", "rows_out"), writes.len() as u64);

    let polled = bench.json("polled.jsonl");
    let powers = polled.iter().filter(|row| row["sensor"] == "oven1.power").filter_map(|row| row["value"].as_f64());
    let sent = writes.iter().filter(|write| write.oven == 0).map(|write| write.power);
    let (highest, most) = (powers.fold(0.0, f64::max), sent.fold(0.0, f64::max));
    assert!((highest - most).abs() < 0.1, "read back {highest} %, sent {most} %");
    assert!(polled.iter().any(|row| row["quality"] == "bad"), "rows of the time without PLC are marked bad");
}

/// The threads of a process: their names, and their real-time priorities, 0 for none (fields 2 and 40 of `/proc/PID/task/*/stat`).
fn threads(process: u32) -> Vec<(String, u32)> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs").flatten();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    let read = |stat: String| {
        let (name, rest) = (stat.split_once('(')?.1).rsplit_once(')')?;
        Some((name.to_owned(), rest.split_whitespace().nth(37)?.parse().ok()?))
    };
    stats.filter_map(read).collect()
}

#[test]
fn control_alone_runs_in_front_of_everything_else_where_that_is_permitted_and_wanted() {
    let plant = plant(0);
    let (bench, pipeline) = bench_and_pipeline(plant.port());
    // Nobody listens there, which is enough for a lane.
    let beside = "\n[source.telemetry]\nconnector = \"mqtt\"\nurl = \"mqtt://127.0.0.1:9\"\ntopic = \"t\"\n\
                  codec = { type = \"json\", fields = { ts = { type = \"timestamp\", unit = \"ms\" } } }\n\
                  [sink.kept]\nconnector = \"file\"\ninput = \"telemetry\"\npath = \"kept.jsonl\"\n";
    let run = bench.start(&format!("{pipeline}{beside}"));
    wait_until("the loop is closed", || !plant.writes().is_empty());
    // Nobody may be permitted to on the machine that runs this test: then the log says so.
    let permitted = run.log().contains("control runs at real-time priority");
    assert!(permitted || run.log().contains("control runs at normal priority"), "{}", run.log());
    let all = threads(run.process.id());
    for (name, priority) in &all {
        assert_eq!(*priority, if permitted && name == "control" { 10 } else { 0 }, "{all:?}");
    }
    for name in ["control", "bulk-0"] {
        assert!(all.iter().any(|thread| thread.0 == name), "{all:?}");
    }
    run.stop().well();

    let run = bench.start(&format!("[pipeline]\nrealtime = false\n{pipeline}"));
    wait_until("the loop is closed", || run.log().contains("starting") && threads(run.process.id()).len() > 1);
    wait_until("the temperature was read", || bench.read("polled.jsonl.partial").contains("oven3.temperature"));
    assert!(threads(run.process.id()).iter().all(|thread| thread.1 == 0));
    assert!(!run.log().contains("priority"), "{}", run.log());
    run.stop().well();
}
