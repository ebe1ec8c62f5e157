use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lineside_loadtest::player::{EventTimes, Format, Qos, Speed};
use lineside_loadtest::{Broker, PlayOptions, Target, Trace, play, play_until, trace};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::{ClientConfig, Message};
use serde_json::Value;

use crate::{next, subscriber};

/// Lines written by the player, to look at later.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("UTF-8")
    }

    fn times(&self) -> Vec<i64> {
        let read =
            |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["ts"].as_i64().expect("a whole number");
        self.text().lines().map(read).collect()
    }

    fn target(&self) -> Target {
        Target::Lines(Box::new(self.clone()))
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Five readings, one a minute, one of them late.
fn minutes() -> (tempfile::NamedTempFile, Trace) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(
        b"ts,sensor,value\n0,a,1\n60000000,a,2\n30000000,\"b, \"\"left\"\"\",\n120000000,a,4\n240000000,a,5\n",
    )
    .expect("written");
    let trace = Trace::open(file.path()).expect("it opens");
    (file, trace)
}

fn fast() -> PlayOptions {
    PlayOptions { speed: Speed::Max, ..PlayOptions::default() }
}

#[tokio::test]
async fn every_row_reaches_the_broker_once_at_qos_1() {
    let broker = Broker::start(0).expect("it starts");
    let (_client, mut events) = subscriber(broker.port(), "counter", "plant/#").await;
    let counted = tokio::spawn(async move {
        let mut topics = std::collections::BTreeMap::<String, u64>::new();
        for _ in 0..29_962 {
            *topics.entry(next(&mut events).await.topic).or_default() += 1;
        }
        topics
    });
    let target = format!("mqtt://127.0.0.1:{}/plant", broker.port()).parse().expect("an address");
    let mut last = None;
    let report = play(&trace::nab(), target, &fast(), |p| last = Some(p)).await.expect("it plays");
    assert!(report.error.is_none(), "{report:?}");
    assert_eq!((report.rows, report.sent, report.acknowledged, report.failed), (29_962, 29_962, Some(29_962), 0));
    assert_eq!(last.map(|p| (p.rows, p.total)), Some((29_962, Some(29_962))));
    let topics = counted.await.expect("no panic").into_iter().collect::<Vec<_>>();
    let expected = [("plant/nab/ambient/temperature", 7_267), ("plant/nab/machine/temperature", 22_695)];
    assert_eq!(topics, expected.map(|(topic, n)| (topic.to_owned(), n)));
}

#[tokio::test]
async fn qos_0_counts_what_left_and_a_template_names_the_topic() {
    let broker = Broker::start(0).expect("it starts");
    let (_client, mut events) = subscriber(broker.port(), "counter", "in/+").await;
    let target = format!("mqtt://127.0.0.1:{}", broker.port()).parse().expect("an address");
    let options =
        PlayOptions { qos: Qos::AtMostOnce, topic: Some("in/{sensor}".to_owned()), format: Format::Csv, ..fast() };
    let counted = tokio::spawn(async move {
        let first = next(&mut events).await;
        for _ in 1..29_962 {
            next(&mut events).await;
        }
        first
    });
    let report = play(&trace::nab(), target, &options, |_| {}).await.expect("it plays");
    assert_eq!((report.rows, report.sent, report.acknowledged, report.failed), (29_962, 29_962, None, 0));
    let first = counted.await.expect("no panic");
    assert_eq!(first.topic, "in/nab.ambient.temperature");
    assert_eq!(&first.payload[..], b"1372896000000000,nab.ambient.temperature,69.88083514,good");
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_told_at_once() {
    // Bound and not listening: nobody else gets the port, and nobody answers on it.
    let held = tokio::net::TcpSocket::new_v4().expect("a socket");
    held.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let free = held.local_addr().expect("bound").port();
    let target = format!("mqtt://127.0.0.1:{free}/plant").parse().expect("an address");
    let error = play(&trace::nab(), target, &fast(), |_| {}).await.expect_err("nobody listens");
    assert!(error.to_string().starts_with(&format!("cannot connect to the MQTT broker 127.0.0.1:{free}")), "{error}");
}

#[tokio::test]
async fn a_broker_that_goes_away_leaves_exact_counts() {
    // A broker that says hello, takes some bytes and hangs up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let broker = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.expect("the player comes");
        let mut bytes = [0; 4096];
        let connect = stream.read(&mut bytes).await.expect("CONNECT");
        assert!(connect > 0);
        stream.write_all(&[0x20, 2, 0, 0]).await.expect("CONNACK");
        stream.read_exact(&mut bytes).await.expect("some messages");
        // PUBACK of the first message.
        stream.write_all(&[0x40, 2, 0, 1]).await.expect("PUBACK");
    });
    let target = format!("mqtt://127.0.0.1:{port}/plant").parse().expect("an address");
    let report = play(&trace::nab(), target, &fast(), |_| {}).await.expect("it begins");
    broker.await.expect("no panic");
    assert!(report.error.is_some() && report.acknowledged <= Some(1), "{report:?}");
    assert_eq!(report.failed, report.rows - report.acknowledged.unwrap_or(0));
}

#[tokio::test]
async fn every_row_is_delivered_to_kafka_by_its_sensor() {
    let cluster = MockCluster::new(1).expect("a stand-in for Kafka");
    cluster.create_topic("readings", 2, 1).expect("a topic");
    let target = format!("kafka://{}/readings", cluster.bootstrap_servers()).parse().expect("an address");
    let (_file, trace) = minutes();
    let report = play(&trace, target, &fast(), |_| {}).await.expect("it plays");
    assert!(report.error.is_none(), "{report:?}");
    assert_eq!((report.rows, report.sent, report.acknowledged, report.failed), (5, 5, Some(5), 0));

    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "test")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    consumer.subscribe(&["readings"]).expect("subscribed");
    // A poll may also end without a message, when partitions are assigned.
    let mut keys = std::iter::repeat_with(|| consumer.poll(Duration::from_secs(1)))
        .take(60)
        .flatten()
        .map(|message| {
            let message = message.expect("no error");
            String::from_utf8(message.key().expect("a key").to_vec()).expect("UTF-8")
        })
        .take(5)
        .collect::<Vec<_>>();
    keys.sort();
    assert_eq!(keys, ["a", "a", "a", "a", "b, \"left\""]);
}

#[tokio::test]
async fn lines_are_json_or_csv() {
    let (_file, trace) = minutes();
    let lines = Lines::default();
    play(&trace, lines.target(), &fast(), |_| {}).await.expect("it plays");
    let text = lines.text();
    let mut json = text.lines();
    assert_eq!(json.next(), Some(r#"{"ts":0,"sensor":"a","value":1.0,"quality":"good"}"#));
    assert_eq!(json.nth(1), Some(r#"{"ts":30000000,"sensor":"b, \"left\"","value":null,"quality":"good"}"#));

    let lines = Lines::default();
    let options = PlayOptions { format: Format::Csv, ..fast() };
    play(&trace, lines.target(), &options, |_| {}).await.expect("it plays");
    assert_eq!(lines.text().lines().nth(2), Some(r#"30000000,"b, ""left""",,good"#));
}

#[tokio::test(start_paused = true)]
async fn the_pace_is_that_of_the_trace_and_never_drifts() {
    let (_file, trace) = minutes();
    let start = tokio::time::Instant::now();
    let mut seen = Vec::new();
    let options = PlayOptions { speed: Speed::Times(10.0), ..PlayOptions::default() };
    let report = play(&trace, Lines::default().target(), &options, |p| seen.push((p.rows, p.elapsed.as_secs())))
        .await
        .expect("it plays");
    assert_eq!(start.elapsed().as_secs(), 24);
    // Told before each wait: after 1 row, after 2 and the late one, after 4, and at the end.
    assert_eq!(seen, [(1, 0), (3, 6), (4, 12), (5, 24)]);
    assert!(report.late_max < Duration::from_secs(7), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn scaled_event_times_keep_the_disorder_and_end_with_the_run() {
    let (_file, trace) = minutes();
    let lines = Lines::default();
    let options = PlayOptions { speed: Speed::Times(10.0), event_times: EventTimes::Scaled, ..PlayOptions::default() };
    play(&trace, lines.target(), &options, |_| {}).await.expect("it plays");
    let times = lines.times();
    let since = times.iter().map(|t| (t - times[0]) / 1_000_000).collect::<Vec<_>>();
    assert_eq!(since, [0, 6, 3, 12, 24]);
    let fast = PlayOptions { event_times: EventTimes::Scaled, ..fast() };
    assert!(play(&trace, lines.target(), &fast, |_| {}).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_repeated_trace_goes_on_in_time_until_it_is_stopped() {
    let (_file, trace) = minutes();
    let lines = Lines::default();
    let options = PlayOptions { repeat: true, ..PlayOptions::default() };
    let stop = tokio::time::sleep(Duration::from_secs(300));
    let report = play_until(&trace, lines.target(), &options, stop, |_| {}).await.expect("it plays");
    assert!(report.stopped && report.error.is_none());
    // One mean interval of 48 s after the last row of the first pass; then 60 s until the next.
    let seconds = lines.times().iter().map(|t| t / 1_000_000).collect::<Vec<_>>();
    assert_eq!(seconds, [0, 60, 30, 120, 240, 288]);
    assert_eq!((report.rows, report.sent, report.failed), (6, 6, 0));
}

#[test]
fn a_speed_is_a_number_or_max() {
    assert_eq!("max".parse::<Speed>().ok(), Some(Speed::Max));
    assert_eq!("2.5x".parse::<Speed>().ok(), Some(Speed::Times(2.5)));
    for text in ["0", "-1", "NaN", "inf", "quick", ""] {
        assert!(text.parse::<Speed>().is_err(), "{text} was taken");
    }
}
