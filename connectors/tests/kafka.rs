//! Kafka, against a real broker: what is produced is consumed, once, whoever stops in between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use expect_test::expect;
use futures::FutureExt;
use lineside_connectors::{Frames, Position, Pulled, Sink, Source};
use lineside_model::{Class, Result, Timestamp};
use lineside_test_support::kafka::Kafka;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};

use crate::double::{plan_sink, plan_source, sink, source};

/// No single step takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

async fn topic(kafka: &Kafka, name: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka.brokers()).create().unwrap();
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let made = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
    made.into_iter().for_each(|result| drop(result.unwrap()));
}

fn messages(range: std::ops::Range<usize>) -> RecordBatch {
    let text = StringArray::from_iter_values(range.clone().map(|n| format!("m{n}")));
    let sensor = StringArray::from_iter_values(range.clone().map(|n| format!("s{}", n % 10)));
    let ts = TimestampMicrosecondArray::from_iter_values(range.map(|n| 1_700_000_000_000_000 + n as i64 * 1_000));
    let columns: [(&str, ArrayRef); 3] =
        [("text", Arc::new(text)), ("sensor", Arc::new(sensor)), ("ts", Arc::new(ts.with_timezone("UTC")))];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn source_options(kafka: &Kafka, topic: &str) -> Value {
    json!({"brokers": kafka.brokers(), "topic": topic, "start": "earliest"})
}

fn new_source(options: &Value) -> Box<dyn Source> {
    source("kafka", Path::new("."), options).0
}

fn new_sink(options: &Value) -> Box<dyn Sink> {
    sink("kafka", Path::new("."), options, &messages(0..0).schema()).0
}

async fn produce(kafka: &Kafka, topic: &str, range: std::ops::Range<usize>) {
    let mut out = new_sink(&json!({"brokers": kafka.brokers(), "topic": topic, "key": "sensor"}));
    out.open().await.unwrap();
    let outcome = out.write(&messages(range.clone()), Timestamp::default()).await.unwrap();
    assert_eq!(outcome.written, range.len());
    out.flush().await.unwrap();
    out.close().await.unwrap();
}

async fn pull(source: &mut dyn Source, limit: usize) -> Result<Option<(Frames, Position)>> {
    match tokio::time::timeout(PATIENCE, source.pull(limit)).await.expect("no message came") {
        Ok(Pulled::Frames(frames, position)) => Ok(Some((frames, position))),
        Ok(Pulled::Idle) => Ok(None),
        Ok(other) => panic!("not from kafka: {other:?}"),
        Err(error) => Err(error),
    }
}

fn texts(frames: &Frames) -> Vec<String> {
    frames.payloads.iter().map(|payload| String::from_utf8(payload.to_vec()).unwrap()).collect()
}

/// Reads so many messages, and gives them with the position after them.
async fn consume(source: &mut dyn Source, count: usize) -> (Vec<String>, Position) {
    let (mut all, mut last) = (Vec::new(), Position::None);
    while all.len() < count {
        if let Some((frames, position)) = pull(source, count - all.len()).await.unwrap() {
            all.extend(texts(&frames));
            last = position;
        }
    }
    (all, last)
}

fn expected(range: std::ops::Range<usize>) -> BTreeSet<String> {
    range.map(|n| format!("m{n}")).collect()
}

#[tokio::test]
async fn what_is_produced_is_consumed_with_key_headers_and_time() {
    let kafka = Kafka::start(1);
    topic(&kafka, "plant-s1", 1).await;
    topic(&kafka, "plant-s2", 1).await;
    let options =
        json!({"brokers": kafka.brokers(), "topic": "plant-{sensor}", "key": "sensor", "headers": ["sensor", "ts"]});
    let mut out = new_sink(&options);
    out.open().await.unwrap();
    out.write(&messages(1..3), Timestamp::default()).await.unwrap();
    out.flush().await.unwrap();
    out.close().await.unwrap();

    let mut input =
        new_source(&json!({"brokers": kafka.brokers(), "topic": ["plant-s1", "plant-s2"], "start": "earliest"}));
    input.open(None).await.unwrap();
    let mut seen = BTreeMap::new();
    while seen.len() < 2 {
        let Some((frames, _)) = pull(input.as_mut(), 100).await.unwrap() else { continue };
        for n in 0..frames.payloads.len() {
            let text = |at: usize| frames.metadata[at].as_string::<i32>().value(n).to_owned();
            let time = frames.metadata[5].as_primitive::<TimestampMicrosecondType>().value(n);
            assert_eq!(frames.metadata[1].as_primitive::<Int32Type>().value(n), 0);
            assert_eq!(frames.metadata[2].as_primitive::<Int64Type>().value(n), 0);
            seen.insert(text(0), format!("{} key={} headers={} time={time}", texts(&frames)[n], text(3), text(4)));
        }
    }
    input.close().await.unwrap();
    expect![[r#"
        {
            "plant-s1": "m1 key=s1 headers={\"sensor\":\"s1\",\"ts\":\"2023-11-14T22:13:20.001Z\"} time=1700000000001000",
            "plant-s2": "m2 key=s2 headers={\"sensor\":\"s2\",\"ts\":\"2023-11-14T22:13:20.002Z\"} time=1700000000002000",
        }
    "#]]
    .assert_debug_eq(&seen);
}

#[tokio::test]
async fn only_what_was_acknowledged_is_not_read_again() {
    let kafka = Kafka::start(1);
    topic(&kafka, "t", 3).await;
    produce(&kafka, "t", 0..300).await;
    let options = source_options(&kafka, "t");

    let mut first = new_source(&options);
    first.open(None).await.unwrap();
    let (acked, position) = consume(first.as_mut(), 120).await;
    first.ack(&position).await.unwrap();
    // Read, but nobody has taken responsibility.
    let (_, _) = consume(first.as_mut(), 30).await;
    first.close().await.unwrap();

    let mut second = new_source(&options);
    second.open(None).await.unwrap();
    let (rest, position) = consume(second.as_mut(), 180).await;
    second.ack(&position).await.unwrap();
    second.close().await.unwrap();
    let all = acked.iter().chain(&rest).cloned().collect::<BTreeSet<_>>();
    assert_eq!(all, expected(0..300));

    produce(&kafka, "t", 300..301).await;
    let mut third = new_source(&options);
    third.open(None).await.unwrap();
    assert_eq!(consume(third.as_mut(), 1).await.0, ["m300"]);
    third.close().await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_after_a_lost_connection_is_not_read_again_though_nothing_new_came() {
    let kafka = Kafka::start(1);
    topic(&kafka, "t", 3).await;
    produce(&kafka, "t", 0..30).await;
    let options = source_options(&kafka, "t");
    let mut first = new_source(&options);
    first.open(None).await.unwrap();
    let (_, position) = consume(first.as_mut(), 30).await;
    first.close().await.unwrap();
    first.open(Some(position.clone())).await.unwrap();
    first.ack(&position).await.unwrap();
    first.close().await.unwrap();

    produce(&kafka, "t", 30..33).await;
    let mut second = new_source(&options);
    second.open(None).await.unwrap();
    let (texts, position) = consume(second.as_mut(), 3).await;
    assert_eq!(texts.into_iter().collect::<BTreeSet<_>>(), expected(30..33));
    // What was read once is in the position, though the connection was lost twice and nothing was read in between.
    second.close().await.unwrap();
    second.open(Some(position.clone())).await.unwrap();
    produce(&kafka, "t", 33..34).await;
    let (texts, after) = consume(second.as_mut(), 1).await;
    assert_eq!(texts, ["m33"]);
    let (Position::Offsets(before), Position::Offsets(after)) = (position, after) else { panic!("not of kafka") };
    assert!(before.iter().all(|(partition, offset)| after.get(partition) >= Some(offset)), "{before:?} {after:?}");
    second.close().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_failed_is_closed_without_waiting_and_the_next_commits_what_was_acknowledged_meanwhile() {
    let kafka = Kafka::start(1);
    topic(&kafka, "t", 1).await;
    produce(&kafka, "t", 0..30).await;
    let options = source_options(&kafka, "t");
    let mut first = new_source(&options);
    first.open(None).await.unwrap();
    let (_, position) = consume(first.as_mut(), 30).await;
    first.close().await.unwrap();

    // A group does not let in who would share its partitions out in another way than its members.
    let mut sticky = options.clone();
    sticky["options"] = json!({"partition.assignment.strategy": "cooperative-sticky"});
    let mut other = new_source(&sticky);
    other.open(None).await.unwrap();
    consume(other.as_mut(), 30).await;
    first.open(Some(position.clone())).await.unwrap();
    first.ack(&position).await.unwrap();
    let error = pull(first.as_mut(), 10).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    first.close().now_or_never().expect("it waits for nobody").unwrap();

    other.close().await.unwrap();
    first.open(Some(position)).await.unwrap();
    first.close().await.unwrap();
    produce(&kafka, "t", 30..31).await;
    let mut second = new_source(&options);
    second.open(None).await.unwrap();
    assert_eq!(consume(second.as_mut(), 1).await.0, ["m30"]);
    second.close().await.unwrap();
}

#[tokio::test]
async fn a_partition_that_went_to_another_member_stays_in_the_position_as_far_as_it_was_read() {
    let kafka = Kafka::start(1);
    topic(&kafka, "t", 4).await;
    produce(&kafka, "t", 0..400).await;
    let options = source_options(&kafka, "t");
    let (mut one, mut other) = (new_source(&options), new_source(&options));
    one.open(None).await.unwrap();
    let (_, mut before) = consume(one.as_mut(), 400).await;
    other.open(None).await.unwrap();
    // Until the group has settled and both get something; `one` acknowledges nothing, so `other` reads from the beginning.
    let (mut shared, mut sent) = (false, 400);
    let after = loop {
        produce(&kafka, "t", sent..sent + 40).await;
        sent += 40;
        tokio::select! {
            pulled = pull(other.as_mut(), 1_000) => shared |= pulled.unwrap().is_some(),
            pulled = pull(one.as_mut(), 1_000) => match pulled.unwrap() {
                Some((_, after)) if shared => break after,
                Some((_, after)) => before = after,
                None => {}
            },
        }
    };
    let (Position::Offsets(before), Position::Offsets(after)) = (before, after) else { panic!("not of kafka") };
    // Those that went away are where they were; the others are read again from the beginning.
    let stayed = before.iter().filter(|(partition, offset)| after.get(*partition) == Some(*offset)).count();
    assert!(after.len() == 4 && stayed >= 2, "{before:?} {after:?}");
    one.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn two_members_share_a_topic_and_one_takes_over_from_the_other() {
    let kafka = Kafka::start(1);
    topic(&kafka, "t", 4).await;
    let options = source_options(&kafka, "t");
    let (mut one, mut other) = (new_source(&options), new_source(&options));
    one.open(None).await.unwrap();
    other.open(None).await.unwrap();
    // A rebalance may repeat what was read and not yet committed, so a set; but nothing may be missing.
    let mut seen = BTreeSet::new();
    let (mut of_one, mut of_other, mut sent) = (0, 0, 0);
    // Until the group has settled and both get something.
    while of_one == 0 || of_other == 0 || seen.len() < sent {
        if seen.len() == sent {
            produce(&kafka, "t", sent..sent + 40).await;
            sent += 40;
        }
        tokio::select! {
            pulled = pull(one.as_mut(), 100) => if let Some((frames, position)) = pulled.unwrap() {
                of_one += frames.payloads.len();
                seen.extend(texts(&frames));
                one.ack(&position).await.unwrap();
            },
            pulled = pull(other.as_mut(), 100) => if let Some((frames, position)) = pulled.unwrap() {
                of_other += frames.payloads.len();
                seen.extend(texts(&frames));
                other.ack(&position).await.unwrap();
            },
        }
    }
    one.close().await.unwrap();
    produce(&kafka, "t", sent..sent + 40).await;
    while seen.len() < sent + 40 {
        if let Some((frames, position)) = pull(other.as_mut(), 100).await.unwrap() {
            seen.extend(texts(&frames));
            other.ack(&position).await.unwrap();
        }
    }
    other.close().await.unwrap();
    assert_eq!(seen, expected(0..sent + 40));
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_the_broker_stops_in_the_middle() {
    let mut kafka = Kafka::start(1);
    topic(&kafka, "t", 1).await;
    let mut out = new_sink(&json!({"brokers": kafka.brokers(), "topic": "t"}));
    let mut input = new_source(&source_options(&kafka, "t"));
    out.open().await.unwrap();
    input.open(None).await.unwrap();
    out.write(&messages(0..100), Timestamp::default()).await.unwrap();
    out.flush().await.unwrap();
    let (before, position) = consume(input.as_mut(), 100).await;
    input.ack(&position).await.unwrap();

    kafka.stop();
    out.write(&messages(100..200), Timestamp::default()).await.unwrap();
    kafka.start_again();
    out.flush().await.unwrap();
    let (after, position) = consume(input.as_mut(), 100).await;
    input.ack(&position).await.unwrap();
    input.close().await.unwrap();
    out.close().await.unwrap();
    let all = before.iter().chain(&after).cloned().collect::<Vec<_>>();
    assert_eq!(all, (0..200).map(|n| format!("m{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn messages_of_a_broken_connection_are_sent_by_the_next() {
    let mut kafka = Kafka::start(1);
    topic(&kafka, "t", 1).await;
    let options = json!({"brokers": kafka.brokers(), "topic": "t", "options": {"message.timeout.ms": 500, "enable.idempotence": false}});
    let mut out = new_sink(&options);
    out.open().await.unwrap();
    kafka.stop();
    out.write(&messages(0..10), Timestamp::default()).await.unwrap();
    let error = out.flush().await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("topic \"t\""), "{error}");
    out.close().await.unwrap();
    kafka.start_again();
    out.open().await.unwrap();
    out.flush().await.unwrap();
    out.close().await.unwrap();

    let mut input = new_source(&source_options(&kafka, "t"));
    input.open(None).await.unwrap();
    assert_eq!(consume(input.as_mut(), 10).await.0, (0..10).map(|n| format!("m{n}")).collect::<Vec<_>>());
    input.close().await.unwrap();
}

#[tokio::test]
async fn what_kafka_refuses_is_told_with_its_class() {
    let kafka = Kafka::start(1);
    let mut input = new_source(&source_options(&kafka, "nowhere"));
    let error = input.open(None).await.unwrap_err();
    assert_eq!(error.class, Class::User, "{error}");
    assert!(error.to_string().contains("topic \"nowhere\""), "{error}");

    topic(&kafka, "t", 1).await;
    let (mut out, counts) = sink(
        "kafka",
        Path::new("."),
        &json!({"brokers": kafka.brokers(), "topic": "t", "options": {"message.max.bytes": 1000}}),
        &messages(0..0).schema(),
    );
    out.open().await.unwrap();
    let mut rows = messages(0..3).columns().to_vec();
    rows[0] = Arc::new(StringArray::from(vec!["good".to_owned(), "x".repeat(100_000), String::new()]));
    let rows = RecordBatch::try_new(messages(0..0).schema(), rows).unwrap();
    let outcome = out.write(&rows, Timestamp::default()).await.unwrap();
    out.flush().await.unwrap();
    out.close().await.unwrap();
    assert_eq!((outcome.written, outcome.rejected.len()), (2, 1));
    expect![[r#"{"too_large": 1}"#]].assert_eq(&format!("{:?}", counts.all()));
}

#[test]
fn options_are_checked_with_the_pipeline_and_secrets_are_not_shown() {
    let told = |options| plan_source("kafka", Path::new("."), &options).unwrap_err().to_string();
    expect![[r#"option "brokers": "kafka1" is not HOST:PORT; option "options.enable.auto.commit": "enable.auto.commit" cannot be set here: it is off: offsets are committed when the engine has taken responsibility for what was read; option "options.fetch.min.bites": librdkafka does not take "fetch.min.bites" = "1": No such configuration property: "fetch.min.bites""#]].assert_eq(&told(json!({
        "brokers": "kafka1", "topic": "t", "options": {"enable.auto.commit": true, "fetch.min.bites": 1}
    })));
    let planned = plan_source(
        "kafka",
        Path::new("."),
        &json!({"brokers": "k:9092", "topic": "t", "options": {"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "s3cr3t"}}),
    )
    .unwrap();
    expect![[r#"
        brokers k:9092, topics t, group lineside-test, start latest
        buffer: 32768 KiB for each partition
        librdkafka: sasl.mechanism = PLAIN, sasl.password = ***, sasl.username = u, security.protocol = sasl_ssl"#]]
    .assert_eq(&planned.explain.join("\n"));
    let told = plan_sink(
        "kafka",
        Path::new("."),
        &json!({"brokers": "k:9092", "topic": "a {line}", "key": "senser"}),
        &messages(0..0).schema(),
    );
    expect![[r#"option "topic": the rows have no column "line"; option "topic": a topic has only letters, digits, dots, underscores and hyphens; option "key": the rows have no column "senser""#]].assert_eq(&told.unwrap_err().to_string());
}
