//! MQTT through a real broker: each message is a row or a dead letter, also when the broker or the engine is away for a while.

use std::collections::BTreeMap;

use lineside_test_support::mosquitto::Mosquitto;
use rumqttc::{Client, Event, Incoming, MqttOptions, QoS};

use super::{Bench, reasons, wait_until};

/// 2025-01-01, in microseconds.
const NEW_YEAR: i64 = 1_735_689_600_000_000;

/// A topic and a payload.
type Message = (String, Vec<u8>);

fn reading(n: usize) -> Message {
    let machine = ["press", "saw", "oven"][n % 3];
    let ts = NEW_YEAR + n as i64 * 1_000_000;
    let text = format!(r#"{{"ts":{ts},"sensor":"{machine}.temperature","value":{},"quality":"good"}}"#, n as f64 / 8.0);
    (format!("factory/hall1/{machine}/temperature"), text.into_bytes())
}

/// What no codec may take for a reading, each with the reason that lineside is to give.
const BAD: [(&[u8], &str); 9] = [
    (b"", "empty"),
    (br#"{"ts":1735689600000000,"sensor":"press.te"#, "malformed"),
    (br#"{"ts":1735689600000000,"sensor":"press.temperature","value":NaN}"#, "malformed"),
    (br#"{"ts":1735689600000000,"sensor":"press.temperature","value":1e999}"#, "not_finite"),
    (br#"{"ts":1735689600000000,"sensor":"press.temperature","value":"warm"}"#, "wrong_type"),
    (br#"{"ts":"yesterday","sensor":"press.temperature","value":20.5}"#, "wrong_type"),
    (br#"{"ts":1735689600000000,"sensor":"press.temperature"}"#, "missing_field"),
    (b"{\"ts\":1735689600000000,\"sensor\":\"press\xff\",\"value\":20.5}", "not_utf8"),
    (br#"[{"ts":1735689600000000,"sensor":"press.temperature","value":20.5}]"#, "wrong_type"),
];

/// Publishes at QoS 1 and returns when the broker has them all.
fn publish(broker: &Mosquitto, messages: &[Message]) {
    let mut options = MqttOptions::new("feeder", "127.0.0.1", broker.port());
    options.set_max_packet_size(64 << 20, 64 << 20);
    let (client, mut connection) = Client::new(options, messages.len() + 1);
    for (topic, payload) in messages {
        client.try_publish(topic, QoS::AtLeastOnce, false, payload.clone()).expect("the queue is long enough");
    }
    let events = connection.iter().map(|event| event.expect("the broker is there"));
    let acknowledged = events.filter(|event| matches!(event, Event::Incoming(Incoming::PubAck(_))));
    assert_eq!(acknowledged.take(messages.len()).count(), messages.len());
}

fn pipeline(broker: &Mosquitto, qos: u8) -> String {
    format!(
        r#"
[pipeline]
name = "ledger"

[source.factory]
connector = "mqtt"
url = "{url}"
topic = "factory/{{hall}}/{{machine}}/{{metric}}"
qos = {qos}
codec = "json"
on_bad = "dead_letter"
time = {{ column = "ts", disorder = "10s" }}

[sink.rows]
connector = "file"
input = "factory"
path = "rows.jsonl"
time = "us"

[sink.bad]
connector = "file"
input = "factory.dead_letters"
path = "bad.jsonl"
"#,
        url = broker.url()
    )
}

/// How often each reading came out, by its number.
fn rows(bench: &Bench) -> BTreeMap<usize, usize> {
    let mut rows = BTreeMap::new();
    for row in bench.json("rows.jsonl") {
        let n =
            usize::try_from((row["ts"].as_i64().expect("microseconds") - NEW_YEAR) / 1_000_000).expect("after 1970");
        assert_eq!(row["value"], n as f64 / 8.0, "{row}");
        assert_eq!(row["sensor"], format!("{}.temperature", row["machine"].as_str().expect("a text")), "{row}");
        *rows.entry(n).or_default() += 1;
    }
    rows
}

#[test]
fn each_message_is_a_row_or_a_dead_letter_with_its_reason() {
    // Every tenth is 7 places late, every fiftieth comes twice, and there are bad ones in between.
    let mut order = (0..2_000).collect::<Vec<_>>();
    order.sort_by_key(|n| if n % 10 == 3 { n + 7 } else { *n });
    let mut messages = Vec::new();
    let mut bad = BTreeMap::<String, u64>::new();
    for (at, &n) in order.iter().enumerate() {
        messages.push(reading(n));
        if n % 50 == 0 {
            messages.push(reading(n));
        }
        if at % 20 == 0 {
            let (payload, reason) = BAD[at / 20 % BAD.len()];
            messages.push(("factory/hall1/press/temperature".to_owned(), payload.to_vec()));
            *bad.entry(reason.to_owned()).or_default() += 1;
        }
    }
    for qos in [0, 1] {
        let (broker, bench) = (Mosquitto::start(), Bench::new());
        let run = bench.start(&pipeline(&broker, qos));
        wait_until("lineside subscribes", || broker.has_subscriber("lineside-ledger-factory"));
        publish(&broker, &messages);
        wait_until("all are through", || bench.lines("rows.jsonl") >= 2_040 && bench.lines("bad.jsonl") >= 100);
        let ended = run.stop().well();

        assert_eq!(ended.number("factory", "messages"), 2_140, "qos {qos}");
        assert_eq!(ended.number("factory", "rows_in"), 2_040, "qos {qos}");
        assert_eq!(ended.dropped("factory"), bad, "qos {qos}");
        let expected = (0..2_000).map(|n| (n, if n % 50 == 0 { 2 } else { 1 })).collect();
        assert_eq!(rows(&bench), expected, "qos {qos}");
        let mut told = BTreeMap::<String, u64>::new();
        for letter in bench.json("bad.jsonl") {
            *told.entry(letter["reason"].as_str().expect("a text").to_owned()).or_default() += 1;
        }
        assert_eq!(told, bad, "qos {qos}");
    }
}

#[test]
fn a_broker_that_restarts_loses_nothing_at_qos_1() {
    let mut broker = Mosquitto::start();
    let bench = Bench::new();
    let run = bench.start(&pipeline(&broker, 1));
    wait_until("lineside subscribes", || broker.has_subscriber("lineside-ledger-factory"));
    publish(&broker, &(0..500).map(reading).collect::<Vec<_>>());
    wait_until("the first are through", || bench.lines("rows.jsonl") >= 500);
    broker.stop();
    run.wait_for_log("trying again");
    broker.start_again();
    publish(&broker, &(500..1_000).map(reading).collect::<Vec<_>>());
    wait_until("the others are through", || bench.lines("rows.jsonl") >= 1_000);
    let ended = run.stop().well();
    assert!(ended.number("factory", "reconnects") >= 1);
    assert_eq!(ended.dropped("factory"), reasons([]));
    assert_eq!(rows(&bench).into_keys().collect::<Vec<_>>(), (0..1_000).collect::<Vec<_>>());
}

#[test]
fn messages_wait_at_the_broker_while_lineside_is_stopped_and_come_once() {
    let broker = Mosquitto::start();
    let first = Bench::new();
    let run = first.start(&pipeline(&broker, 1));
    wait_until("lineside subscribes", || broker.has_subscriber("lineside-ledger-factory"));
    run.stop().well();
    for range in [0..300, 300..600] {
        publish(&broker, &range.clone().map(reading).collect::<Vec<_>>());
        let bench = Bench::new();
        let run = bench.start(&pipeline(&broker, 1));
        wait_until("what waited is through", || bench.lines("rows.jsonl") >= range.len());
        run.stop().well();
        assert_eq!(rows(&bench), range.map(|n| (n, 1)).collect());
    }
}

#[test]
fn huge_messages_and_times_of_another_century_are_counted_and_hold_up_nothing() {
    let broker = Mosquitto::start();
    let bench = Bench::new();
    let run = bench.start(&pipeline(&broker, 1));
    wait_until("lineside subscribes", || broker.has_subscriber("lineside-ledger-factory"));
    let topic = || "factory/hall1/press/temperature".to_owned();
    let at = |ts: i64| (topic(), format!(r#"{{"ts":{ts},"sensor":"press.temperature","value":1.5}}"#).into_bytes());
    let messages = [
        reading(0),
        // Beyond what the codec takes, and beyond what the source takes.
        (topic(), vec![b'9'; 10 << 20]),
        (topic(), vec![b'9'; 17 << 20]),
        // 2100-01-01; a clock that was never set is odd, but it is a time.
        at(4_102_444_800_000_000),
        at(0),
        reading(1),
    ];
    publish(&broker, &messages);
    wait_until("the last is through", || bench.lines("rows.jsonl") >= 3);
    let ended = run.stop().well();
    assert_eq!(ended.dropped("factory"), reasons([("too_large", 2), ("too_far_ahead", 1)]));
    let times = bench.json("rows.jsonl").iter().map(|row| row["ts"].as_i64()).collect::<Vec<_>>();
    assert_eq!(times, [Some(NEW_YEAR), Some(0), Some(NEW_YEAR + 1_000_000)]);
    assert_eq!(bench.json("bad.jsonl").len(), 1, "the payload that the source does not take is not kept either");
}
