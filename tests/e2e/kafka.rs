//! A real Kafka broker: a year of readings goes through, none lost and none twice, though the engine is stopped on the way.

use std::collections::HashSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use lineside_test_support::kafka::Kafka;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use super::{Bench, trace, wait_until};

const PARTITIONS: i32 = 3;
const STEEL: i64 = 210_240;
/// No answer of the broker takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

fn make_topics(kafka: &Kafka, names: &[&str]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka.brokers()).create().expect("a client");
    let topics = names.iter().map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let made = runtime.block_on(admin.create_topics(&topics.collect::<Vec<_>>(), &AdminOptions::new()));
    for topic in made.expect("the broker answers") {
        topic.expect("the topic is made");
    }
}

fn reader(kafka: &Kafka) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", kafka.brokers())
        .set("group.id", "the-test")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a client")
}

/// How many messages a topic has.
fn size(reader: &BaseConsumer, topic: &str) -> i64 {
    let ends = (0..PARTITIONS).map(|partition| reader.fetch_watermarks(topic, partition, PATIENCE));
    ends.map(|ends| ends.expect("the broker answers").1).sum()
}

#[test]
fn a_year_of_steel_goes_through_once_though_lineside_is_stopped_on_the_way() {
    let kafka = Kafka::start(1);
    make_topics(&kafka, &["in", "out"]);
    let pipeline = format!(
        r#"
[pipeline]
name = "steel"

[source.readings]
connector = "kafka"
brokers = "{brokers}"
topic = "in"
start = "earliest"
time = {{ column = "ts", disorder = "1d" }}

[query.good]
sql = "SELECT ts, sensor, value FROM readings WHERE quality = 'good'"

[sink.out]
connector = "kafka"
input = "good"
brokers = "{brokers}"
topic = "out"
key = "sensor"
"#,
        brokers = kafka.brokers()
    );
    let bench = Bench::new();
    let reader = reader(&kafka);
    // A new topic has no leader for a moment.
    for (topic, partition) in ["in", "out"].into_iter().flat_map(|topic| (0..PARTITIONS).map(move |n| (topic, n))) {
        wait_until("the topic has a leader", || reader.fetch_watermarks(topic, partition, PATIENCE).is_ok());
    }

    // Six seconds for the year, so that the engine is stopped while more is coming.
    let mut feed = Command::new(env!("CARGO_BIN_EXE_lineside"))
        .args(["replay", &trace("steel"), "--speed", "5000000", "--to"])
        .arg(format!("kafka://{}/in", kafka.brokers()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command was built with the tests");
    let first = bench.start(&pipeline);
    wait_until("a part is through", || size(&reader, "out") >= STEEL / 4);
    let first = first.stop().well();
    let part = first.number("out", "rows_out");
    assert!((1..STEEL as u64).contains(&part), "it was stopped on the way, after {part} rows");
    assert!(feed.wait().expect("it is our child").success());
    assert_eq!(size(&reader, "in"), STEEL);

    // Now on two workers, which take batches in turn.
    let second = bench.start(&pipeline.replace("[pipeline]", "[pipeline]\nworkers = 2"));
    wait_until("all is through", || size(&reader, "out") >= STEEL);
    let second = second.stop().well();
    assert_eq!(part + second.number("out", "rows_out"), STEEL as u64);
    assert_eq!(size(&reader, "out"), STEEL);

    assert_eq!(distinct(&reader, "out"), STEEL as usize);
}

/// How many different readings a topic has; each is keyed by its sensor.
fn distinct(reader: &BaseConsumer, topic: &str) -> usize {
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    }
    reader.assign(&all).expect("the topic is there");
    let (mut read, mut seen) = (0, HashSet::new());
    wait_until("the topic is read", || {
        while let Some(message) = reader.poll(Duration::from_millis(100)) {
            let message = message.expect("the broker is well");
            let row = serde_json::from_slice::<Value>(message.payload().unwrap_or_default()).expect("JSON");
            assert_eq!(message.key(), row["sensor"].as_str().map(str::as_bytes));
            seen.insert((row["sensor"].as_str().map(str::to_owned), row["ts"].as_i64()));
            read += 1;
        }
        read == STEEL
    });
    seen.len()
}
