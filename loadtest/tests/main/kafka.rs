use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lineside_loadtest::feed::{Kafka, KafkaOptions};
use lineside_loadtest::kafka_node::{KafkaNode, readers};
use lineside_loadtest::measure::{Expect, Expected};
use lineside_loadtest::synthetic::{Message, Messages, Options};
use lineside_loadtest::watch::{Shared, Subscriber};
use lineside_model::Span;

const MESSAGES: u64 = 1_000;

fn messages() -> impl Iterator<Item = Message> + Send {
    let options = Options { rate: 2_000.0, lasts: Some(Span::from_millis(500)), ..Options::default() };
    Messages::new(&options).expect("the options are right")
}

#[expect(clippy::disallowed_methods, reason = "a feed runs on the time of the outer world")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn each_message_to_a_topic_is_in_the_books_once() {
    let node = KafkaNode::start().await.expect("Kafka is installed: tests/kafka/install.sh");
    node.make_topics(&BTreeMap::from([("readings", 3), ("others", 1)])).await.expect("they are made");
    assert_eq!(readers(&node.looker().expect("a client")).await.expect("it can be asked"), 0);
    let start = now();
    let books = Shared::new(Expected::new(Expect::Each {}, messages(), Duration::ZERO), start);
    let mut watch =
        Subscriber::watch_kafka(&node.brokers(), "watch", "readings", books.clone()).expect("it has the topic");
    let options = KafkaOptions { partitions: 3, ..KafkaOptions::default() };
    let feed = Kafka::new(node.brokers(), options).start(messages(), start).await.expect("it connects");
    let report = feed.finish().await;
    assert_eq!((report.sent, report.acknowledged), (MESSAGES, Some(MESSAGES)));

    let all_there = async {
        while books.books().arrived() < MESSAGES {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_there).await.expect("all of them come");
    watch.check().expect("it still looks");
    let account = books.books().account(&BTreeMap::new());
    assert_eq!((account.expected, account.arrived, account.lost), (MESSAGES, MESSAGES, 0));
    assert_eq!((account.duplicates, account.reordered, books.books().strange()), (0, 0, 0));

    let error =
        Subscriber::watch_kafka(&node.brokers(), "watch", "nowhere", books).expect_err("there is no such topic");
    assert!(error.to_string().starts_with("nothing is heard of topic \"nowhere\""), "{error}");
}
