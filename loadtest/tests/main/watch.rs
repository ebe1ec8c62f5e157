use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lineside_loadtest::feed::{Mqtt, MqttOptions};
use lineside_loadtest::measure::{Expect, Expected};
use lineside_loadtest::mosquitto::Mosquitto;
use lineside_loadtest::synthetic::{Message, Messages, Options};
use lineside_loadtest::watch::{Shared, Subscriber};
use lineside_model::Span;

fn messages() -> impl Iterator<Item = Message> + Send {
    let options = Options { rate: 2_000.0, lasts: Some(Span::from_millis(500)), ..Options::default() };
    Messages::new(&options).expect("the options are right")
}

#[expect(clippy::disallowed_methods, reason = "a feed runs on the time of the outer world")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn each_message_through_a_relay_is_in_the_books_once() {
    let broker = Mosquitto::start().expect("mosquitto is installed: apt-get install mosquitto");
    let start = now();
    let books = Shared::new(Expected::new(Expect::Each {}, messages(), Duration::ZERO), start);
    let mut watch = Subscriber::watch(broker.port(), "watch", "out", books.clone()).expect("it subscribes");
    let mut relay = Subscriber::relay(broker.port(), "relay", "in/#", "out").expect("it subscribes");

    let options = MqttOptions { connections: 2, qos: 1, topic: "in/{sensor}".to_owned(), ..MqttOptions::default() };
    let feed = Mqtt::new(format!("127.0.0.1:{}", broker.port()), options);
    let report = feed.start(messages(), start).await.expect("it connects").finish().await;
    assert_eq!((report.sent, report.acknowledged), (1_000, Some(1_000)));

    let all_there = async {
        while books.books().arrived() < 1_000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_there).await.expect("all of them come");
    watch.check().expect("it still looks");
    relay.check().expect("it still forwards");
    let account = books.books().account(&BTreeMap::new());
    assert_eq!((account.expected, account.arrived, account.lost), (1_000, 1_000, 0));
    assert_eq!((account.duplicates, account.reordered, books.books().strange()), (0, 0, 0));
    assert_eq!(books.books().lateness().latency().count, 1_000);
}

#[test]
fn a_broker_that_is_not_there_is_told() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let error = Subscriber::relay(port, "relay", "in/#", "out").expect_err("nobody listens");
    assert!(error.to_string().starts_with("nothing is heard at the MQTT broker 127.0.0.1:"), "{error}");
}

#[test]
fn a_broker_tells_who_has_subscribed() {
    let broker = Mosquitto::start().expect("mosquitto is installed: apt-get install mosquitto");
    let _relay = Subscriber::relay(broker.port(), "relay-7", "in/#", "out").expect("it subscribes");
    // The broker writes its log by itself; reading it takes a moment.
    while broker.subscriptions("relay") == 0 {
        std::thread::yield_now();
    }
    assert_eq!((broker.subscriptions("relay"), broker.subscriptions("lineside-")), (1, 0));
}
