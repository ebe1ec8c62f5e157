//! The MQTT connector against Debian's mosquitto and, in this process, rumqttd.

mod peers;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lineside_connectors::mqtt::Mqtt;
use lineside_connectors::{
    BuildContext, ConnectorKind, Frames, Gives, Meter, Outcome, PlanContext, Position, Pulled, Sink, Source,
};
use lineside_model::{Class, Clock, Problems, Reason, Span, Timestamp};
use peers::{Mosquitto, Peer, acknowledged, certificates, free_port, hear, rumqttd, send};
use rumqttc::QoS;
use serde_json::{Value, json};

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(43_200_000_000)
    }
}

#[derive(Debug, Default)]
struct Counts(Mutex<BTreeMap<&'static str, u64>>);

impl Meter for Counts {
    fn dropped(&self, reason: Reason, count: u64) {
        self.add(reason.word(), count);
    }
    fn add(&self, name: &'static str, count: u64) {
        *self.0.lock().unwrap().entry(name).or_default() += count;
    }
    fn time(&self, _: &'static str, _: Span) {}
}

impl Counts {
    fn of(&self, reason: Reason) -> u64 {
        self.named(reason.word())
    }
    fn named(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

// ---------------------------------------------------------------- the connector

fn here() -> PlanContext<'static> {
    PlanContext { name: "sensors", pipeline: "test", folder: Path::new(".") }
}

fn build_context() -> (BuildContext, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    (BuildContext { clock: Arc::new(Noon), meter: Arc::clone(&counts) as Arc<dyn Meter> }, counts)
}

fn source(options: Value) -> (Box<dyn Source>, Arc<Counts>) {
    let (context, counts) = build_context();
    ((Mqtt.plan_source(&options, &here()).unwrap().build)(&context), counts)
}

fn alarms() -> RecordBatch {
    RecordBatch::try_new(
        alarm_schema(),
        vec![
            Arc::new(StringArray::from(vec![Some("oven1"), Some("a+b"), None, Some("oven2"), Some("a//b")])),
            Arc::new(Float64Array::from(vec![181.5, 1.0, 2.0, f64::NAN, 3.0])),
        ],
    )
    .unwrap()
}

fn alarm_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("sensor", DataType::Utf8, true),
        Field::new("value", DataType::Float64, false),
    ]))
}

fn sink(options: Value) -> (Box<dyn Sink>, Arc<Counts>) {
    let (context, counts) = build_context();
    ((Mqtt.plan_sink(&options, &alarm_schema(), None, &here()).unwrap().build)(&context), counts)
}

/// The texts of so many messages, and the last batch and position.
async fn read(source: &mut dyn Source, count: usize) -> (Vec<String>, Frames, Position) {
    let mut texts = Vec::new();
    loop {
        match source.pull(64).await.unwrap() {
            Pulled::Frames(frames, position) => {
                texts.extend(frames.payloads.iter().map(|p| String::from_utf8_lossy(p).into_owned()));
                if texts.len() >= count {
                    return (texts, frames, position);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn within<T>(story: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), story).await.expect("the story ends within a minute")
}

const VERSIONS: [&str; 2] = ["3.1.1", "5"];

#[tokio::test]
async fn messages_of_both_qos_arrive_with_their_topic_in_columns() {
    within(async {
        let broker = Mosquitto::start("");
        for version in VERSIONS {
            for qos in [0, 1] {
                let (mut source, counts) = source(json!({
                    "url": broker.url(), "version": version, "qos": qos, "client_id": format!("s{version}{qos}"),
                    "topic": "plant/{line:int}/{machine}/{metric}", "clean_session": true,
                }));
                source.open(None).await.unwrap();
                let mut sensor = Peer::connect(broker.port, "sensor").await;
                let sent = [("plant/1/press/oil", "1"), ("plant/x/press/oil", "2"), ("plant/2/oven/air", "3")];
                sensor.publish(&sent, QoS::AtLeastOnce, false).await;
                let (mut lines, mut machines, mut qoses) = (vec![], vec![], vec![]);
                while lines.len() < 2 {
                    let Pulled::Frames(frames, position) = source.pull(64).await.unwrap() else { panic!("no frames") };
                    source.ack(&position).await.unwrap();
                    assert_eq!(frames.received_at.len(), frames.payloads.len());
                    assert_eq!(frames.received_at[0], Noon.now());
                    lines.extend(frames.metadata[0].as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec());
                    machines.extend(frames.metadata[1].as_string::<i32>().iter().map(|m| m.unwrap().to_owned()));
                    qoses.extend(frames.metadata[4].as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec());
                    assert_eq!(position == Position::None, qos == 0);
                }
                assert_eq!((lines, machines), (vec![1, 2], vec!["press".to_owned(), "oven".to_owned()]));
                assert_eq!(qoses, [qos, qos]);
                assert_eq!(counts.of(Reason::UnknownTopic), 1);
                source.close().await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_retained_message_says_so() {
    within(async {
        let broker = Mosquitto::start("");
        let mut sensor = Peer::connect(broker.port, "sensor").await;
        sensor.publish(&[("p/a", "old")], QoS::AtLeastOnce, true).await;
        for version in VERSIONS {
            let (mut source, _) = source(json!({
                "url": broker.url(), "topic": "p/{x}", "version": version, "clean_session": true, "client_id": version,
            }));
            source.open(None).await.unwrap();
            let (texts, frames, position) = read(&mut *source, 1).await;
            assert_eq!(texts, ["old"]);
            assert!(frames.metadata[3].as_boolean().value(0));
            source.ack(&position).await.unwrap();
            sensor.publish(&[("p/a", "new")], QoS::AtLeastOnce, false).await;
            let (texts, frames, _) = read(&mut *source, 1).await;
            assert_eq!(texts, ["new"]);
            assert!(!frames.metadata[3].as_boolean().value(0));
            source.close().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_after_a_lost_connection() {
    within(async {
        let broker = Mosquitto::start("");
        for version in VERSIONS {
            let options = json!({ "url": broker.url(), "topic": "p/{x}", "version": version, "client_id": version });
            let (mut first, _) = source(options.clone());
            first.open(None).await.unwrap();
            let mut sensor = Peer::connect(broker.port, "sensor").await;
            let sent = [("p/a", "1"), ("p/a", "2"), ("p/a", "3")];
            sensor.publish(&sent, QoS::AtLeastOnce, false).await;
            let mut taken = Vec::new();
            while taken.len() < 3 {
                // One at a time: the position after the first message is acknowledged, the others are not.
                let Pulled::Frames(frames, position) = first.pull(1).await.unwrap() else { panic!("no frames") };
                taken.extend(frames.payloads);
                if taken.len() == 1 {
                    first.ack(&position).await.unwrap();
                }
            }
            // The acknowledgement is on its way when the broker has answered what came after it.
            sensor.publish(&[("p/b", "4")], QoS::AtLeastOnce, false).await;
            read(&mut *first, 1).await;
            drop(first);
            let (mut second, _) = source(options);
            second.open(None).await.unwrap();
            let (texts, _, position) = read(&mut *second, 3).await;
            assert_eq!(texts, ["2", "3", "4"], "version {version}");
            second.ack(&position).await.unwrap();
            second.close().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_window_of_one_message_does_not_stop_the_flow() {
    within(async {
        let broker = Mosquitto::start("max_inflight_messages 1");
        let (mut source, counts) = source(json!({ "url": broker.url(), "topic": "p/{x:int}" }));
        source.open(None).await.unwrap();
        let mut sensor = Peer::connect(broker.port, "sensor").await;
        let sent = [("p/1", "1"), ("p/wrong", "-"), ("p/wrong", "-"), ("p/2", "2"), ("p/3", "3")];
        sensor.publish(&sent, QoS::AtLeastOnce, false).await;
        for expected in ["1", "2", "3"] {
            let (texts, _, position) = read(&mut *source, 1).await;
            assert_eq!(texts, [expected]);
            source.ack(&position).await.unwrap();
        }
        assert_eq!(counts.of(Reason::UnknownTopic), 2);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_lost_while_the_broker_is_away() {
    within(async {
        for version in VERSIONS {
            let broker = Mosquitto::start("");
            let port = broker.port;
            let options = json!({ "url": broker.url(), "topic": "p/#", "version": version });
            let (mut source, counts) = source(options);
            source.open(None).await.unwrap();
            let mut sensor = Peer::connect(port, "sensor").await;
            sensor.publish(&[("p/a", "1"), ("p/a", "2")], QoS::AtLeastOnce, false).await;
            let (texts, _, _) = read(&mut *source, 2).await;
            assert_eq!(texts, ["1", "2"]);
            let (folder, port, more) = broker.stop();
            let error = source.pull(64).await.unwrap_err();
            assert!(error.is_retryable(), "{error}");
            source.close().await.unwrap();
            let error = source.open(None).await.unwrap_err();
            assert!(error.is_retryable() && error.class == Class::External, "{error}");
            let broker = Mosquitto::start_in(folder, port, &more);
            let mut sensor = Peer::connect(broker.port, "sensor").await;
            sensor.publish(&[("p/a", "3")], QoS::AtLeastOnce, false).await;
            source.open(None).await.unwrap();
            let (texts, _, position) = read(&mut *source, 1).await;
            assert_eq!(texts, ["3"], "version {version}: the engine has the others in hand");
            assert_eq!(counts.named("already_taken"), 2);
            source.ack(&position).await.unwrap();
            source.close().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_engine_has_in_hand_is_not_handed_on_again_and_acknowledged_when_it_comes_again() {
    within(async {
        let broker = Mosquitto::start("");
        for version in VERSIONS {
            let options = json!({ "url": broker.url(), "topic": "p/#", "version": version, "client_id": version });
            let (mut first, counts) = source(options.clone());
            first.open(None).await.unwrap();
            let mut sensor = Peer::connect(broker.port, "sensor").await;
            sensor.publish(&[("p/a", "1"), ("p/a", "1"), ("p/a", "2")], QoS::AtLeastOnce, false).await;
            let (texts, _, position) = read(&mut *first, 3).await;
            assert_eq!(texts, ["1", "1", "2"]);
            first.close().await.unwrap();
            // The engine is done with them while there is no connection.
            first.ack(&position).await.unwrap();
            first.open(None).await.unwrap();
            sensor.publish(&[("p/a", "3")], QoS::AtLeastOnce, false).await;
            let (texts, _, position) = read(&mut *first, 1).await;
            assert_eq!(texts, ["3"], "version {version}");
            assert_eq!(counts.named("already_taken"), 3);
            first.ack(&position).await.unwrap();
            first.close().await.unwrap();
            // A broker may take one packet of each connection in turn, and drops what it has not read when the client comes
            // back. So ten answers to another client are time enough for four acknowledgements and the goodbye.
            sensor.publish(&[("elsewhere", ""); 10], QoS::AtLeastOnce, false).await;
            let (mut second, _) = source(options);
            second.open(None).await.unwrap();
            sensor.publish(&[("p/a", "4")], QoS::AtLeastOnce, false).await;
            assert_eq!(read(&mut *second, 1).await.0, ["4"], "version {version}: all before was acknowledged");
        }
    })
    .await;
}

#[tokio::test]
async fn only_the_same_message_of_the_same_session_counts_as_sent_again() {
    within(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mqtt://{}", listener.local_addr().unwrap());
        let (mut source, counts) = source(json!({ "url": url, "topic": "p/#", "client_id": "reader" }));
        let in_hand = [(1, false, "one"), (2, false, "two"), (3, false, "three"), (4, false, "four")];
        let (opened, line) = tokio::join!(source.open(None), send(&listener, false, &in_hand));
        opened.unwrap();
        let (_, _, position) = read(&mut *source, 4).await;
        drop(line);
        assert!(source.pull(64).await.unwrap_err().is_retryable());
        source.close().await.unwrap();

        // Of these only the first is as it must be: the second is of another content, the third is not said to come again.
        let told = [(1, true, "one"), (2, true, "other"), (3, false, "three"), (3, true, "three")];
        let (opened, mut line) = tokio::join!(source.open(None), send(&listener, true, &told));
        opened.unwrap();
        let (texts, _, _) = read(&mut *source, 3).await;
        assert_eq!(texts, ["other", "three", "three"]);
        assert_eq!(counts.named("already_taken"), 1);
        source.ack(&position).await.unwrap();
        assert_eq!(acknowledged(&mut line, 1).await, [1], "the others wait for their own turn");
        drop(line);
        assert!(source.pull(64).await.unwrap_err().is_retryable());
        source.close().await.unwrap();

        // A broker that has forgotten us may use any id for anything.
        let told = [(2, true, "other"), (4, true, "four")];
        let (opened, _line) = tokio::join!(source.open(None), send(&listener, false, &told));
        opened.unwrap();
        assert_eq!(read(&mut *source, 2).await.0, ["other", "four"]);
        assert_eq!((counts.named("already_taken"), counts.named("sessions_lost")), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_new_message_under_the_id_of_one_that_the_broker_gave_up_is_handed_on_though_it_says_the_same() {
    within(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mqtt://{}", listener.local_addr().unwrap());
        // Over the second connection the first message is not repeated; a new one under its id is lost with the line.
        let after_repeating: &[_] = &[(2, true, "OFF"), (3, false, "new")];
        for (told, repeated) in [(after_repeating, 1), (&[], 0)] {
            let (mut source, counts) = source(json!({ "url": url, "topic": "p/#", "client_id": "reader" }));
            let in_hand = [(1, false, "ON"), (2, false, "OFF")];
            let (opened, line) = tokio::join!(source.open(None), send(&listener, false, &in_hand));
            opened.unwrap();
            assert_eq!(read(&mut *source, 2).await.0, ["ON", "OFF"]);
            drop(line);
            assert!(source.pull(64).await.unwrap_err().is_retryable());
            source.close().await.unwrap();

            let (opened, line) = tokio::join!(source.open(None), send(&listener, true, told));
            opened.unwrap();
            if !told.is_empty() {
                assert_eq!(read(&mut *source, 1).await.0, ["new"]);
            }
            drop(line);
            assert!(source.pull(64).await.unwrap_err().is_retryable());
            source.close().await.unwrap();

            let (opened, _line) = tokio::join!(source.open(None), send(&listener, true, &[(1, true, "ON")]));
            opened.unwrap();
            assert_eq!(read(&mut *source, 1).await.0, ["ON"]);
            assert_eq!(counts.named("already_taken"), repeated);
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_that_the_broker_has_forgotten_is_told() {
    within(async {
        let broker = Mosquitto::start("");
        let (mut source, counts) = source(json!({ "url": broker.url(), "topic": "p/#" }));
        source.open(None).await.unwrap();
        source.close().await.unwrap();
        source.open(None).await.unwrap();
        assert_eq!(counts.named("sessions_lost"), 0);
        let (_, port, more) = broker.stop();
        let _fresh = Mosquitto::start_in(tempfile::tempdir().unwrap(), port, &more);
        source.open(None).await.unwrap();
        assert_eq!(counts.named("sessions_lost"), 1);
    })
    .await;
}

#[tokio::test]
async fn bad_credentials_are_the_users_to_mend() {
    within(async {
        let broker = Mosquitto::start("allow_anonymous false");
        for version in VERSIONS {
            let options = json!({
                "url": broker.url(), "topic": "p/#", "version": version, "username": "me", "password": "tiger",
            });
            let (mut source, _) = source(options);
            let error = source.open(None).await.unwrap_err();
            assert_eq!((error.class, error.is_retryable()), (Class::User, false), "{error}");
            assert!(error.cure().is_some());
            let shown = format!("{error} {error:?} {source:?}");
            assert!(!shown.contains("tiger"), "{shown}");
        }
    })
    .await;
}

#[tokio::test]
async fn ten_megabytes_arrive_and_more_than_the_limit_is_counted() {
    within(async {
        let broker = Mosquitto::start("");
        let large = "x".repeat(10_000_000);
        for version in VERSIONS {
            let mut sensor = Peer::connect(broker.port, "sensor").await;
            for (limit, expected, dropped) in [(16 << 20, vec![large.len(), 3], 0), (1 << 20, vec![3], 1)] {
                let (mut source, counts) = source(json!({
                    "url": broker.url(), "topic": "p/{x}", "version": version, "max_packet": limit,
                    "clean_session": true, "client_id": "reader",
                }));
                source.open(None).await.unwrap();
                sensor.publish(&[("p/a", &large), ("p/a", "end")], QoS::AtLeastOnce, false).await;
                let mut sizes = Vec::new();
                while sizes.len() < expected.len() {
                    let Pulled::Frames(frames, position) = source.pull(64).await.unwrap() else { panic!("no frames") };
                    sizes.extend(frames.payloads.iter().map(bytes::Bytes::len));
                    source.ack(&position).await.unwrap();
                }
                assert_eq!(sizes, expected);
                assert_eq!(counts.of(Reason::TooLarge), dropped);
                source.close().await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_overflows_the_buffer_at_qos_0_is_counted() {
    within(async {
        let broker = Mosquitto::start("");
        let (mut source, counts) = source(json!({ "url": broker.url(), "topic": "p/#", "qos": 0, "buffer": 5 }));
        source.open(None).await.unwrap();
        let mut sensor = Peer::connect(broker.port, "sensor").await;
        sensor.publish(&[("p/a", "x"); 12], QoS::AtLeastOnce, false).await;
        // All twelve have been read from the wire when these two numbers add up; letting others run is how they get there.
        while counts.of(Reason::Overflow) < 7 {
            tokio::task::yield_now().await;
        }
        let (texts, _, _) = read(&mut *source, 5).await;
        assert_eq!(texts.len(), 5);
    })
    .await;
}

#[tokio::test]
async fn the_last_will_is_published_when_we_vanish_and_not_when_we_leave() {
    within(async {
        let broker = Mosquitto::start("");
        for version in VERSIONS {
            let mut dashboard = Peer::connect(broker.port, "dashboard").await;
            dashboard.subscribe("status/#").await;
            let options = json!({
                "url": broker.url(), "topic": "p/#", "version": version, "client_id": "vanishing",
                "last_will": { "topic": "status/lineside", "payload": "gone" },
            });
            let (mut leaving, _) = source(options.clone());
            leaving.open(None).await.unwrap();
            leaving.close().await.unwrap();
            let (mut vanishing, _) = source(options);
            vanishing.open(None).await.unwrap();
            drop(vanishing);
            assert_eq!(dashboard.next().await, ("status/lineside".into(), "gone".into(), false));
            dashboard.client.publish("status/end", QoS::AtLeastOnce, false, "end").await.unwrap();
            assert_eq!(dashboard.next().await.1, "end", "one will only");
        }
    })
    .await;
}

#[tokio::test]
async fn another_client_with_our_id_is_hinted_at() {
    within(async {
        let broker = Mosquitto::start("");
        for version in VERSIONS {
            let (mut source, _) =
                source(json!({ "url": broker.url(), "topic": "p/#", "version": version, "client_id": "same" }));
            source.open(None).await.unwrap();
            let _other = Peer::connect(broker.port, "same").await;
            let error = source.pull(64).await.unwrap_err();
            assert!(error.is_retryable());
            assert!(error.cure().is_some_and(|hint| hint.contains("client_id")), "{error:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn rows_are_published_to_topics_made_from_them() {
    within(async {
        let broker = Mosquitto::start("");
        for version in VERSIONS {
            for qos in [0, 1] {
                let mut dashboard = Peer::connect(broker.port, "dashboard").await;
                dashboard.subscribe("alarms/#").await;
                let (mut sink, _) = sink(json!({
                    "url": broker.url(), "topic": "alarms/{sensor}", "version": version, "qos": qos,
                }));
                sink.open().await.unwrap();
                let Outcome { written, rejected } = sink.write(&alarms(), Timestamp(0)).await.unwrap();
                sink.flush().await.unwrap();
                assert_eq!((written, rejected.len(), rejected[0].0, rejected[0].1), (2, 1, Reason::NotEncodable, 3));
                let first = r#"{"sensor":"oven1","value":181.5}"#.to_owned();
                assert_eq!(dashboard.next().await, ("alarms/oven1".to_owned(), first, false));
                let second = r#"{"sensor":"oven2","value":null}"#.to_owned();
                assert_eq!(dashboard.next().await, ("alarms/oven2".to_owned(), second, false));
                sink.close().await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn more_rows_than_the_window_are_all_confirmed_by_a_flush() {
    within(async {
        let broker = Mosquitto::start("max_queued_messages 0");
        for version in VERSIONS {
            let mut dashboard = Peer::connect(broker.port, "dashboard").await;
            dashboard.subscribe("many/#").await;
            let (mut sink, _) = sink(json!({ "url": broker.url(), "topic": "many/x", "version": version }));
            sink.open().await.unwrap();
            let rows = RecordBatch::try_new(
                alarm_schema(),
                vec![
                    Arc::new(StringArray::from(vec!["s"; 1_000])),
                    Arc::new(Float64Array::from((0..1_000).map(f64::from).collect::<Vec<_>>())),
                ],
            )
            .unwrap();
            assert_eq!(sink.write(&rows, Timestamp(0)).await.unwrap().written, 1_000);
            sink.flush().await.unwrap();
            for n in 0..1_000 {
                assert_eq!(dashboard.next().await.1, format!(r#"{{"sensor":"s","value":{n}.0}}"#));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_sink_writes_again_when_the_broker_is_back() {
    within(async {
        for version in VERSIONS {
            let broker = Mosquitto::start("");
            let (mut sink, _) =
                sink(json!({ "url": broker.url(), "topic": "p/x", "version": version, "retain": true }));
            sink.open().await.unwrap();
            let (folder, port, more) = broker.stop();
            // Whether the write or the flush notices first: one of them does.
            let error = match sink.write(&alarms(), Timestamp(0)).await {
                Ok(_) => sink.flush().await.unwrap_err(),
                Err(error) => error,
            };
            assert!(error.is_retryable(), "{error}");
            sink.close().await.unwrap();
            assert!(sink.open().await.unwrap_err().is_retryable());
            let broker = Mosquitto::start_in(folder, port, &more);
            sink.open().await.unwrap();
            sink.write(&alarms(), Timestamp(0)).await.unwrap();
            sink.flush().await.unwrap();
            let mut dashboard = Peer::connect(broker.port, "dashboard").await;
            dashboard.subscribe("p/#").await;
            assert!(dashboard.next().await.2, "retained");
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_broker_took_and_did_not_confirm_is_sent_again_by_the_sink() {
    within(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mqtt://{}", listener.local_addr().unwrap());
        let (mut sink, _) = sink(json!({ "url": url, "topic": "p/x" }));
        let (first, ()) = tokio::join!(hear(&listener, |heard| heard.len() == 5, false), async {
            sink.open().await.unwrap();
            assert_eq!(sink.write(&alarms(), Timestamp(0)).await.unwrap().written, 5);
        });
        assert!(sink.flush().await.unwrap_err().is_retryable());
        sink.close().await.unwrap();
        let (second, ()) = tokio::join!(hear(&listener, |heard| heard.len() == 5, true), async {
            sink.open().await.unwrap();
            sink.flush().await.unwrap();
        });
        assert_eq!(first, second);
    })
    .await;
}

#[tokio::test]
async fn of_rows_in_which_a_connection_broke_only_what_was_not_confirmed_is_sent_again() {
    within(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mqtt://{}", listener.local_addr().unwrap());
        let (mut sink, _) = sink(json!({ "url": url, "topic": "p/x" }));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["s"; 1_000])),
            Arc::new(Float64Array::from_iter_values((0..1_000).map(f64::from))),
        ];
        let rows = RecordBatch::try_new(alarm_schema(), columns).unwrap();
        let text = |n: usize| format!(r#"{{"sensor":"s","value":{n}.0}}"#);
        let (first, ()) = tokio::join!(hear(&listener, |heard| heard.len() >= 300, true), async {
            sink.open().await.unwrap();
            assert!(sink.write(&rows, Timestamp(0)).await.unwrap_err().is_retryable());
        });
        sink.close().await.unwrap();
        let last = |heard: &[String]| heard.last() == Some(&text(999));
        let (second, ()) = tokio::join!(hear(&listener, last, true), async {
            sink.open().await.unwrap();
            assert_eq!(sink.write(&rows, Timestamp(0)).await.unwrap().written, 1_000);
        });
        // Messages that far behind the window had to be confirmed for the others to be sent.
        let begins = 1_000 - second.len();
        assert!((first.len() - 100..=first.len()).contains(&begins), "{begins} of {}", first.len());
        assert_eq!(second, (begins..1_000).map(text).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn after_rows_in_which_a_connection_broke_others_that_share_a_column_with_them_are_written_whole() {
    within(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mqtt://{}", listener.local_addr().unwrap());
        let (mut sink, _) = sink(json!({ "url": url, "topic": "p/x" }));
        let sensors: ArrayRef = Arc::new(StringArray::from(vec!["s"; 1_000]));
        let of_values = |from: i32| {
            let values = Float64Array::from_iter_values((from..from + 1_000).map(f64::from));
            RecordBatch::try_new(alarm_schema(), vec![Arc::clone(&sensors), Arc::new(values)]).unwrap()
        };
        let text = |n: usize| format!(r#"{{"sensor":"s","value":{n}.0}}"#);
        let _first = tokio::join!(hear(&listener, |heard| heard.len() >= 300, true), async {
            sink.open().await.unwrap();
            assert!(sink.write(&of_values(0), Timestamp(0)).await.unwrap_err().is_retryable());
        });
        sink.close().await.unwrap();
        // The first have expired; what of them was handed to the network is sent again, then all of the others.
        let last = |heard: &[String]| heard.last() == Some(&text(1_999));
        let (heard, ()) = tokio::join!(hear(&listener, last, true), async {
            sink.open().await.unwrap();
            assert_eq!(sink.write(&of_values(1_000), Timestamp(0)).await.unwrap().written, 1_000);
        });
        let others = heard.len().saturating_sub(1_000);
        assert_eq!(heard[others..], (1_000..2_000).map(text).collect::<Vec<_>>());
    })
    .await;
}

// ---------------------------------------------------------------- encrypted

/// mosquitto with a certificate of the plant's own authority, and the folder that all certificates are in.
fn encrypted_mosquitto(more: &str) -> (Mosquitto, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = folder.path().to_owned();
    let shown = path.display();
    let tls = format!("cafile {shown}/ca.pem\ncertfile {shown}/server.pem\nkeyfile {shown}/server.key\n{more}");
    (Mosquitto::start_in(folder, free_port(), &tls), path)
}

fn encrypted_source(broker: &Mosquitto, folder: &Path, version: &str, tls: Value) -> Box<dyn Source> {
    let url = format!("mqtts://127.0.0.1:{}", broker.port);
    let options = json!({ "url": url, "topic": "p/{x}", "version": version, "tls": tls });
    let context = PlanContext { folder, ..here() };
    (Mqtt.plan_source(&options, &context).unwrap().build)(&build_context().0)
}

#[tokio::test]
async fn an_encrypted_connection_trusts_the_plants_own_authority_and_no_other() {
    within(async {
        let (broker, folder) = encrypted_mosquitto("");
        for version in VERSIONS {
            let right = json!({ "ca": "ca.pem", "server_name": "broker.plant.local" });
            let mut source = encrypted_source(&broker, &folder, version, right);
            source.open(None).await.unwrap();
            source.close().await.unwrap();
            let other_name = json!({ "ca": "ca.pem" });
            let other_authority = json!({ "ca": "server.pem", "server_name": "broker.plant.local" });
            for wrong in [other_name, other_authority] {
                let error = encrypted_source(&broker, &folder, version, wrong).open(None).await.unwrap_err();
                assert!(error.cure().is_some_and(|hint| hint.contains("tls.ca")), "{error:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_asks_for_our_certificate_gets_it() {
    within(async {
        let (broker, folder) = encrypted_mosquitto("require_certificate true");
        for version in VERSIONS {
            let without = json!({ "ca": "ca.pem", "server_name": "broker.plant.local" });
            let mut with = without.clone();
            with["cert"] = json!("client.pem");
            with["key"] = json!("client.key");
            let mut source = encrypted_source(&broker, &folder, version, with);
            source.open(None).await.unwrap();
            source.close().await.unwrap();
            encrypted_source(&broker, &folder, version, without).open(None).await.unwrap_err();
        }
    })
    .await;
}

// ---------------------------------------------------------------- another broker

#[tokio::test]
async fn a_sink_and_a_source_meet_at_another_make_of_broker() {
    within(async {
        for version in VERSIONS {
            let url = format!("mqtt://127.0.0.1:{}", rumqttd(version));
            let (mut source, _) = source(json!({ "url": url, "topic": "alarms/{sensor}", "version": version }));
            source.open(None).await.unwrap();
            let (mut sink, _) = sink(json!({
                "url": url, "topic": "alarms/{sensor}", "version": version, "client_id": "sink",
            }));
            sink.open().await.unwrap();
            sink.write(&alarms(), Timestamp(0)).await.unwrap();
            sink.flush().await.unwrap();
            let (texts, frames, position) = read(&mut *source, 2).await;
            assert_eq!(texts[0], r#"{"sensor":"oven1","value":181.5}"#);
            assert_eq!(frames.metadata[0].as_string::<i32>().value(frames.metadata[0].len() - 1), "oven2");
            source.ack(&position).await.unwrap();
            sink.close().await.unwrap();
            source.close().await.unwrap();
        }
    })
    .await;
}

// ---------------------------------------------------------------- plans

#[test]
fn all_that_is_wrong_with_a_source_is_told_at_once() {
    let options = json!({
        "url": "tcp://broker", "topic": ["a/{x}", "b/#/c"], "qos": 2, "keep_alive": "1s", "tls": {}, "pasword": "x",
        "receive_maximum": 10, "last_will": { "topic": "a/#", "payload": "x" },
    });
    let problems = |options: &Value| -> Problems { Mqtt.plan_source(options, &here()).unwrap_err() };
    assert!(problems(&options).to_string().contains("pasword"));
    let mut known = options;
    known.as_object_mut().unwrap().remove("pasword");
    let told = problems(&known).to_string();
    for part in ["mqtt://", "b/#/c", "qos is 0 or 1", "keep_alive", "version 5", "last_will.topic"] {
        assert!(told.contains(part), "{part} not in: {told}");
    }
}

#[test]
fn a_plan_shows_the_columns_and_no_secret() {
    let options = json!({
        "url": "mqtt://broker", "topic": "plant/{line:int}/{metric}", "username": "me", "password": "tiger",
    });
    let planned = Mqtt.plan_source(&options, &here()).unwrap();
    let Gives::Frames(schema) = &planned.gives else { panic!("frames are given") };
    let names = schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>();
    assert_eq!(names, ["line", "metric", "topic", "qos", "retained"]);
    assert_eq!(planned.unacked_limit, Some(10));
    let shown = format!("{planned:?}");
    assert!(shown.contains("lineside-test-sensors") && !shown.contains("tiger"), "{shown}");
}
