//! The MQTT connector against Debian's mosquitto and, in this process, rumqttd.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lineside_connectors::mqtt::Mqtt;
use lineside_connectors::{
    BuildContext, ConnectorKind, Frames, Gives, Meter, Outcome, PlanContext, Position, Pulled, Sink, Source,
};
use lineside_model::{Class, Clock, Problems, Reason, Span, Timestamp};
use rumqttc::{AsyncClient, Event, EventLoop, Incoming, MqttOptions, QoS};
use serde_json::{Value, json};

// ---------------------------------------------------------------- the peers

/// Debian's mosquitto on a free port, stopped when dropped.
struct Mosquitto {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
    more: String,
}

impl Mosquitto {
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, free_port(), more)
    }

    fn start_in(folder: tempfile::TempDir, port: u16, more: &str) -> Self {
        let path = folder.path().display();
        let config = format!(
            "listener {port} 127.0.0.1\nuser root\nlog_dest stderr\nlog_type all\nset_tcp_nodelay true\n\
             persistence true\npersistence_location {path}/\nmessage_size_limit 0\n{}{more}\n",
            if more.contains("allow_anonymous") { "" } else { "allow_anonymous true\n" }
        );
        std::fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
        let mut child = Command::new("/usr/sbin/mosquitto")
            .arg("-c")
            .arg(folder.path().join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("these tests need /usr/sbin/mosquitto: install Debian's package \"mosquitto\"");
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains(" running") {
            assert!(log.read_line(&mut said).unwrap() > 0, "mosquitto did not start: {said}");
        }
        // The rest of the log is read away, so that the broker never waits for us.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, port, folder, more: more.to_owned() }
    }

    fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Stops it as a reboot would: it writes down its sessions.
    fn stop(mut self) -> (tempfile::TempDir, u16, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
        (std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap()), self.port, std::mem::take(&mut self.more))
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A plain client, as a sensor or a dashboard would be.
struct Peer {
    client: AsyncClient,
    link: EventLoop,
}

impl Peer {
    async fn connect(port: u16, id: &str) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_max_packet_size(64 << 20, 64 << 20);
        let (client, link) = AsyncClient::new(options, 100);
        let mut peer = Self { client, link };
        peer.until(|event| matches!(event, Event::Incoming(Incoming::ConnAck(_)))).await;
        peer
    }

    async fn until(&mut self, mut done: impl FnMut(&Event) -> bool) -> Event {
        loop {
            let event = self.link.poll().await.unwrap();
            if done(&event) {
                return event;
            }
        }
    }

    /// Publishes and waits until the broker has them.
    async fn publish(&mut self, messages: &[(&str, &str)], qos: QoS, retain: bool) {
        for (topic, payload) in messages {
            self.client.publish(*topic, qos, retain, *payload).await.unwrap();
            match qos {
                QoS::AtMostOnce => {
                    self.until(|event| matches!(event, Event::Outgoing(rumqttc::Outgoing::Publish(_)))).await
                }
                _ => self.until(|event| matches!(event, Event::Incoming(Incoming::PubAck(_)))).await,
            };
        }
    }

    async fn subscribe(&mut self, topic: &str) {
        self.client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
        self.until(|event| matches!(event, Event::Incoming(Incoming::SubAck(_)))).await;
    }

    async fn next(&mut self) -> (String, String, bool) {
        match self.until(|event| matches!(event, Event::Incoming(Incoming::Publish(_)))).await {
            Event::Incoming(Incoming::Publish(p)) => {
                (p.topic, String::from_utf8(p.payload.to_vec()).unwrap(), p.retain)
            }
            other => panic!("{other:?}"),
        }
    }
}

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(43_200_000_000)
    }
}

#[derive(Debug, Default)]
struct Counts(Mutex<BTreeMap<Reason, u64>>);

impl Meter for Counts {
    fn dropped(&self, reason: Reason, count: u64) {
        *self.0.lock().unwrap().entry(reason).or_default() += count;
    }
    fn add(&self, _: &'static str, _: u64) {}
    fn time(&self, _: &'static str, _: Span) {}
}

impl Counts {
    fn of(&self, reason: Reason) -> u64 {
        self.0.lock().unwrap().get(&reason).copied().unwrap_or(0)
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
            let (mut source, _) = source(options);
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
            let (texts, _, position) = read(&mut *source, 3).await;
            assert_eq!(texts, ["1", "2", "3"], "version {version}");
            source.ack(&position).await.unwrap();
            source.close().await.unwrap();
        }
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
async fn a_sink_repeats_what_was_not_confirmed_when_the_broker_is_back() {
    within(async {
        for version in VERSIONS {
            let broker = Mosquitto::start("");
            let (mut sink, _) =
                sink(json!({ "url": broker.url(), "topic": "p/x", "version": version, "retain": true }));
            sink.open().await.unwrap();
            let (folder, port, more) = broker.stop();
            // The first write may still be taken; what counts is that no flush succeeds and none of it is forgotten.
            let first = sink.write(&alarms(), Timestamp(0)).await;
            let error = match first {
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

// ---------------------------------------------------------------- encrypted

/// An authority and a certificate of it for this machine, as files.
fn certificates(folder: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["broker.plant.local".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("ca.pem"), ca_cert.pem()).unwrap();
    std::fs::write(folder.join("server.pem"), cert.pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}

#[tokio::test]
async fn an_encrypted_connection_trusts_the_plants_own_authority_and_no_other() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let path = folder.path().to_owned();
        let shown = path.display();
        let broker = Mosquitto::start_in(
            folder,
            free_port(),
            &format!("cafile {shown}/ca.pem\ncertfile {shown}/server.pem\nkeyfile {shown}/server.key"),
        );
        for version in VERSIONS {
            let context = PlanContext { folder: &path, ..here() };
            let plan = |tls: Value| {
                let options = json!({
                    "url": format!("mqtts://127.0.0.1:{}", broker.port), "topic": "p/{x}", "version": version,
                    "tls": tls,
                });
                (Mqtt.plan_source(&options, &context).unwrap().build)(&build_context().0)
            };
            let mut source = plan(json!({ "ca": "ca.pem", "server_name": "broker.plant.local" }));
            source.open(None).await.unwrap();
            source.close().await.unwrap();
            for wrong in [json!({ "ca": "ca.pem" }), json!({ "ca": "server.pem", "server_name": "broker.plant.local" })]
            {
                let error = plan(wrong).open(None).await.unwrap_err();
                assert!(error.cure().is_some_and(|hint| hint.contains("tls.ca")), "{error:?}");
            }
        }
    })
    .await;
}

// ---------------------------------------------------------------- another broker

fn rumqttd() -> (u16, u16) {
    let (v4, v5) = (free_port(), free_port());
    let server = |name: &str, port: u16| rumqttd::ServerSettings {
        name: name.to_owned(),
        listen: SocketAddr::from(([127, 0, 0, 1], port)),
        tls: None,
        next_connection_delay_ms: 0,
        connections: rumqttd::ConnectionSettings {
            connection_timeout_ms: 5_000,
            max_payload_size: 1 << 20,
            max_inflight_count: 100,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    let config = rumqttd::Config {
        router: rumqttd::RouterConfig {
            max_connections: 10,
            max_outgoing_packet_count: 200,
            max_segment_size: 1 << 20,
            max_segment_count: 10,
            ..Default::default()
        },
        v4: Some(HashMap::from([("v4".to_owned(), server("v4", v4))])),
        v5: Some(HashMap::from([("v5".to_owned(), server("v5", v5))])),
        ..Default::default()
    };
    std::thread::spawn(move || rumqttd::Broker::new(config).start());
    for port in [v4, v5] {
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
    }
    (v4, v5)
}

#[tokio::test]
async fn a_sink_and_a_source_meet_at_another_make_of_broker() {
    within(async {
        let (v4, v5) = rumqttd();
        for (version, port) in [("3.1.1", v4), ("5", v5)] {
            let url = format!("mqtt://127.0.0.1:{port}");
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
