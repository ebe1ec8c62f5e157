//! Trouble around the engine: files that are missing, servers that come late, a disk that is full. It is told, it is counted, and the
//! engine goes on when the cause is gone.

use std::net::TcpListener;

use lineside_loadtest::plant::Script;
use lineside_loadtest::{Plant, PlantOptions};
use lineside_test_support::mosquitto::Mosquitto;

use super::{Bench, reasons, wait_until};

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// A log file that is followed, as its lines come, to a sink.
fn followed(sink: &str) -> String {
    format!(
        r#"
[pipeline]
report_every = "200ms"

[source.readings]
connector = "file"
path = "readings.csv"
follow = true
only_columns = true
columns = {{ ts = "timestamp", sensor = "text", value = "float" }}

[sink.out]
input = "readings"
{sink}
"#
    )
}

const HEADER: &str = "ts,sensor,value\n";
const ONE: &str = "2025-01-01T00:00:00Z,press,1.5\n";
const TWO: &str = "2025-01-01T00:00:01Z,press,2.5\n";

#[test]
fn a_file_that_is_not_there_is_told_before_the_start() {
    let bench = Bench::new();
    let ended = bench.run(
        r#"
[source.readings]
connector = "file"
path = "absent.csv"

[sink.out]
connector = "void"
input = "readings"
"#,
    );
    assert_eq!(ended.code, Some(1));
    assert!(ended.log.contains("absent.csv"), "{}", ended.log);
}

#[test]
fn a_file_that_is_not_there_yet_is_waited_for() {
    let bench = Bench::new();
    let run = bench.start(&followed("connector = \"file\"\npath = \"out.jsonl\"\nappend = true"));
    run.wait_for_log("starting");
    bench.write("readings.csv", &format!("{HEADER}{ONE}"));
    wait_until("the row comes out", || bench.lines("out.jsonl") == 1);
    let ended = run.stop().well();
    assert_eq!(ended.number("out", "rows_out"), 1);
}

#[test]
fn a_full_disk_is_told_and_its_rows_are_counted_when_the_engine_is_stopped() {
    let bench = Bench::new();
    bench.write("readings.csv", &format!("{HEADER}{ONE}{TWO}"));
    let run = bench.start(&followed("connector = \"file\"\npath = \"/dev/full\"\nformat = \"csv\"\nappend = true"));
    run.wait_for_log("make room on the disk");
    let ended = run.stop();
    assert!(ended.log.contains("No space left on device"), "{}", ended.log);
    assert_eq!(ended.code, Some(2), "{}", ended.log);
    assert_eq!(ended.number("readings", "rows_in"), 2);
    assert!(ended.number("out", "reconnects") >= 1);
    assert_eq!(ended.dropped("out"), reasons([("undelivered", 2)]));
}

#[test]
fn a_broker_that_comes_later_is_waited_for() {
    let mut broker = Mosquitto::absent(free_port());
    let bench = Bench::new();
    bench.write("readings.csv", &format!("{HEADER}{ONE}"));
    let sink = format!("connector = \"mqtt\"\nurl = \"{}\"\ntopic = \"plant/{{sensor}}\"", broker.url());
    let run = bench.start(&followed(&sink));
    run.wait_for_log("trying again");
    broker.start_again();
    bench.append("readings.csv", TWO);
    run.wait_for_log("rows_in=2 rows_out=2");
    let ended = run.stop().well();
    assert_eq!(ended.number("out", "rows_out"), 2);
    assert_eq!(ended.dropped("out"), reasons([]));
}

#[test]
fn a_plc_that_comes_later_is_waited_for() {
    let port = free_port();
    let bench = Bench::new();
    let map = "name,unit_id,table,address,type,byte_order,unit,access\noven1.temperature,1,input,10,f32,ABCD,degC,RO\n";
    bench.write("map.csv", map);
    let run = bench.start(&format!(
        r#"
[source.plc]
connector = "modbus"
url = "127.0.0.1:{port}"
registers = "map.csv"
poll = "50ms"

[query.good]
sql = "SELECT * FROM plc WHERE quality = 'good'"

[sink.out]
connector = "file"
input = "good"
path = "out.jsonl"
append = true
"#
    ));
    run.wait_for_log("trying again");
    let _plant =
        Plant::start(PlantOptions { port, script: Script::calm(), ..PlantOptions::default() }).expect("a free port");
    wait_until("temperatures come out", || bench.lines("out.jsonl") >= 3);
    let ended = run.stop().well();
    assert!(ended.number("plc", "reconnects") >= 1);
}

#[test]
fn a_broker_that_stays_away_holds_up_no_stop() {
    let bench = Bench::new();
    let run = bench.start(&format!(
        r#"
[source.feed]
connector = "mqtt"
url = "mqtt://127.0.0.1:{}"
topic = "plant/{{sensor}}"

[sink.out]
connector = "void"
input = "feed"
"#,
        free_port()
    ));
    run.wait_for_log("trying again");
    run.stop().well();
}
