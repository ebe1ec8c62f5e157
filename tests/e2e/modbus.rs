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

/// A thread: its name, how nice it is, and its real-time priority, 0 for none (fields 2, 19 and 40 of `/proc/PID/task/*/stat`).
#[derive(Debug)]
struct Thread {
    name: String,
    nice: i32,
    realtime: u32,
}

fn threads(process: u32) -> Vec<Thread> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs").flatten();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    let read = |stat: String| {
        let (name, rest) = (stat.split_once('(')?.1).rsplit_once(')')?;
        let field = |n: usize| rest.split_whitespace().nth(n - 3);
        Some(Thread { name: name.to_owned(), nice: field(19)?.parse().ok()?, realtime: field(40)?.parse().ok()? })
    };
    stats.filter_map(read).collect()
}

#[test]
fn control_alone_runs_in_front_of_everything_else_where_that_is_permitted_and_wanted() {
    let plant = plant(0);
    // By its name, so that a thread of the runtime helps to look it up.
    let (bench, pipeline) = bench_and_pipeline(plant.port());
    let pipeline = pipeline.replace("127.0.0.1", "localhost");
    // Nobody listens there, which is enough for a lane.
    let beside = "\n[source.telemetry]\nconnector = \"mqtt\"\nurl = \"mqtt://127.0.0.1:9\"\ntopic = \"t\"\n\
                  codec = { type = \"json\", fields = { ts = { type = \"timestamp\", unit = \"ms\" } } }\n\
                  [sink.kept]\nconnector = \"file\"\ninput = \"telemetry\"\npath = \"kept.jsonl\"\n";
    let run = bench.start(&format!("{pipeline}{beside}"));
    wait_until("the loop is closed", || !plant.writes().is_empty());
    // Nobody may be permitted to on the machine that runs this test, or it has one core: then the log says so.
    let log = run.log();
    let permitted = log.contains("control runs at real-time priority");
    assert!(permitted || log.contains("control runs at normal priority"), "{log}");
    let all = threads(run.process.id());
    for Thread { name, nice, realtime } in &all {
        assert_eq!(*realtime, if permitted && name == "control" { 10 } else { 0 }, "{all:?}");
        assert_eq!(*nice, all[0].nice, "{all:?}");
    }
    let is_there = |name: &str| all.iter().any(|thread| thread.name == name);
    let lanes = is_there("control") && is_there("bulk-0") || is_there("lane") && !permitted;
    assert!(lanes && is_there("tokio-rt-worker"), "{all:?}");
    run.stop().well();

    let run = bench.start(&format!("[pipeline]\nrealtime = false\n{pipeline}"));
    wait_until("a temperature was read", || bench.read("polled.jsonl.partial").contains("oven3.temperature"));
    assert!(threads(run.process.id()).iter().all(|thread| thread.realtime == 0));
    assert!(!run.log().contains("priority"), "{}", run.log());
    run.stop().well();
}
