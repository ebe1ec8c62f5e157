use std::collections::HashMap;
use std::time::{Duration, Instant};

use lineside_loadtest::Broker;
use lineside_loadtest::feed::{Acks, Kafka, KafkaOptions, Mqtt, MqttOptions};
use lineside_loadtest::synthetic::{Disorder, Kind, Message, Messages, Options, Trouble};
use lineside_model::Span;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::{ClientConfig, Message as _};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{next, subscriber};

/// A second of a plant where messages are late, come twice and cannot be read, to be sent at once.
fn second() -> Vec<Message> {
    let disorder = Some(Disorder { fraction: 0.1, by_max: Span::from_millis(100) });
    let trouble = Trouble { disorder, duplicates: 0.05, bad: 0.05, ..Trouble::default() };
    let options =
        Options { sensors: 40, rate: 5_000.0, lasts: Some(Span::from_secs(1)), trouble, ..Options::default() };
    let messages = Messages::new(&options).expect("good options");
    messages.map(|message| Message { due: Duration::ZERO, ..message }).collect()
}

#[expect(clippy::disallowed_methods, reason = "a feed stands in the outer world's time")]
fn now() -> Instant {
    Instant::now()
}

async fn arrives_as_it_was_made(qos: u8) {
    let broker = Broker::start(0).expect("it starts");
    let (_client, mut events) = subscriber(broker.port(), "counter", "line/+/reading").await;
    let messages = second();
    let count = messages.len();
    let options = MqttOptions { connections: 7, qos, topic: "line/{sensor}/reading".to_owned(), in_flight_max: 50 };
    let feed = Mqtt::new(format!("127.0.0.1:{}", broker.port()), options);
    let running = feed.start(messages.clone().into_iter(), now()).await.expect("it starts");

    let mut arrived = HashMap::<String, Vec<Vec<u8>>>::new();
    for _ in 0..count {
        let publish = next(&mut events).await;
        arrived.entry(publish.topic.clone()).or_default().push(publish.payload.to_vec());
    }
    let report = running.finish().await;
    assert!(report.error.is_none(), "{report:?}");
    let acknowledged = (qos == 1).then_some(count as u64);
    assert_eq!((report.sent, report.acknowledged, report.failed), (count as u64, acknowledged, 0));
    assert_eq!(report.by_second.iter().sum::<u64>(), count as u64);

    // Each sensor's messages come in their order, each with what was put in.
    assert_eq!(arrived.len(), 40);
    for sensor in 0..40 {
        let sent = messages.iter().filter(|message| message.sensor == sensor).collect::<Vec<_>>();
        let came = &arrived[&format!("line/s{sensor}/reading")];
        assert_eq!(came.len(), sent.len());
        for (message, payload) in sent.iter().zip(came) {
            match serde_json::from_slice::<Value>(payload).ok().filter(|json| json["value"].is_number()) {
                None => assert_eq!(message.kind, Kind::Bad),
                Some(json) => {
                    assert_ne!(message.kind, Kind::Bad);
                    assert_eq!(json["n"], message.number);
                    assert_eq!(json["ts"], message.ts.micros());
                    assert_eq!(json["sensor"], format!("s{sensor}"));
                    assert_eq!(json["value"], message.value);
                }
            }
        }
    }
}

#[tokio::test]
async fn every_message_reaches_the_broker_in_the_order_of_its_sensor_at_qos_0() {
    arrives_as_it_was_made(0).await;
}

#[tokio::test]
async fn every_message_reaches_the_broker_in_the_order_of_its_sensor_at_qos_1() {
    arrives_as_it_was_made(1).await;
}

/// A broker that says hello, takes so many bytes, says something and hangs up.
async fn fickle(takes: usize, says: &'static [u8]) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let broker = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("the feeder comes");
        let mut hello = [0; 2];
        stream.read_exact(&mut hello).await.expect("CONNECT");
        stream.read_exact(&mut vec![0; usize::from(hello[1])]).await.expect("CONNECT");
        stream.write_all(&[0x20, 2, 0, 0]).await.expect("CONNACK");
        stream.read_exact(&mut vec![0; takes]).await.expect("some messages");
        stream.write_all(says).await.expect("taken");
    });
    (address, broker)
}

#[tokio::test]
async fn a_broker_that_hangs_up_leaves_exact_counts() {
    let (address, broker) = fickle(10_000, &[0x40, 2, 0, 1, 0x40, 2, 0, 2]).await;
    let options = MqttOptions { connections: 1, qos: 1, in_flight_max: 1_000, ..MqttOptions::default() };
    let messages = second();
    let count = messages.len() as u64;
    let running = Mqtt::new(address, options).start(messages.into_iter(), now()).await.expect("it starts");
    let report = running.finish().await;
    broker.await.expect("no panic");
    assert!(report.error.is_some(), "{report:?}");
    let acknowledged = report.acknowledged.expect("QoS 1");
    assert!(acknowledged <= 2 && report.sent >= 100, "{report:?}");
    assert_eq!(report.failed, count - acknowledged);
}

#[tokio::test]
async fn a_feed_that_is_stopped_takes_no_further_message() {
    let broker = Broker::start(0).expect("it starts");
    let (_client, mut events) = subscriber(broker.port(), "counter", "plant/+").await;
    let messages = Messages::new(&Options { rate: 1_000.0, ..Options::default() }).expect("good options");
    let feed = Mqtt::new(format!("127.0.0.1:{}", broker.port()), MqttOptions::default());
    let running = feed.start(messages, now()).await.expect("it starts");
    for _ in 0..20 {
        next(&mut events).await;
    }
    running.stop();
    let report = running.finish().await;
    assert!(report.error.is_none() && report.failed == 0 && report.sent >= 20, "{report:?}");
}

#[tokio::test]
async fn what_cannot_work_is_told_before_anything_is_sent() {
    let start = |address: &str, options| Mqtt::new(address, options).start(std::iter::empty(), now());
    for (options, name) in [
        (MqttOptions { connections: 0, ..MqttOptions::default() }, "connections"),
        (MqttOptions { qos: 2, ..MqttOptions::default() }, "qos"),
        (MqttOptions { in_flight_max: 0, ..MqttOptions::default() }, "in_flight_max"),
        (MqttOptions { topic: "a/#".to_owned(), ..MqttOptions::default() }, "a/#"),
    ] {
        let error = start("127.0.0.1:1", options).await.expect_err("wrong options").to_string();
        assert!(error.contains(name), "{error}");
    }
    // Bound and not listening: nobody else gets the port, and nobody answers on it.
    let held = tokio::net::TcpSocket::new_v4().expect("a socket");
    held.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = held.local_addr().expect("bound").to_string();
    let error = start(&address, MqttOptions::default()).await.expect_err("nobody listens");
    assert!(error.to_string().starts_with(&format!("cannot connect to the MQTT broker {address}")), "{error}");
}

#[tokio::test]
async fn every_message_reaches_kafka_once_in_the_order_of_its_sensor() {
    let cluster = MockCluster::new(1).expect("a stand-in for Kafka");
    cluster.create_topic("readings", 3, 1).expect("a topic");
    for acks in [Acks::All, Acks::Leader] {
        let messages = second();
        let count = messages.len() as u64;
        let names = (0..40).map(|sensor| format!("oven {sensor}")).collect();
        let options = KafkaOptions { acks, ..KafkaOptions::default() };
        let feed = Kafka::new(cluster.bootstrap_servers(), options).named(names);
        let running = feed.start(messages.into_iter(), now()).await.expect("it starts");
        let report = running.finish().await;
        assert!(report.error.is_none(), "{report:?}");
        assert_eq!((report.sent, report.acknowledged, report.failed), (count, Some(count), 0));
        assert_eq!(report.by_second.iter().sum::<u64>(), count);
    }

    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "test")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    consumer.subscribe(&["readings"]).expect("subscribed");
    let mut arrived = HashMap::<String, Vec<Vec<u8>>>::new();
    let messages = second();
    // A poll may also end without a message, when partitions are assigned.
    let polls = std::iter::repeat_with(|| consumer.poll(Duration::from_secs(1)));
    for message in polls.take(60 + 2 * messages.len()).flatten().take(2 * messages.len()) {
        let message = message.expect("no error");
        let key = String::from_utf8(message.key().expect("a key").to_vec()).expect("UTF-8");
        arrived.entry(key).or_default().push(message.payload().expect("a payload").to_vec());
    }
    for sensor in 0..40 {
        let sent = messages.iter().filter(|message| message.sensor == sensor).collect::<Vec<_>>();
        let came = &arrived[&format!("oven {sensor}")];
        assert_eq!(came.len(), 2 * sent.len());
        for (message, payload) in sent.iter().chain(&sent).zip(came).filter(|(message, _)| message.kind != Kind::Bad) {
            let json = serde_json::from_slice::<Value>(payload).expect("JSON");
            assert_eq!((&json["n"], &json["sensor"]), (&message.number.into(), &format!("oven {sensor}").into()));
        }
    }
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_told_before_anything_is_sent() {
    let cluster = MockCluster::new(1).expect("a stand-in for Kafka");
    cluster
        .topic_error("nowhere", rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        .expect("set");
    let options = KafkaOptions { topic: "nowhere".to_owned(), ..KafkaOptions::default() };
    let feed = Kafka::new(cluster.bootstrap_servers(), options);
    let error = feed.start(std::iter::empty(), now()).await.expect_err("no such topic").to_string();
    assert!(error.starts_with("topic \"nowhere\" cannot be written to"), "{error}");
}
