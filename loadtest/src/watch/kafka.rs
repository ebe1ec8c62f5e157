//! A reader of a Kafka topic that keeps the books over what the engine writes to it, from its first message on.

use std::time::Duration;

use lineside_model::{Error, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::{Shared, Subscriber};
use crate::clock;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// So often it looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What it reads ahead, in KiB.
const QUEUE_KIB: &str = "65536";

impl Subscriber {
    /// Keeps books over all messages of a Kafka topic. It belongs to no group, and begins with the first message of the topic.
    ///
    /// # Errors
    /// The cluster cannot be reached, or has no such topic.
    pub fn watch_kafka(brokers: &str, name: &str, topic: &str, books: Shared) -> Result<Self> {
        let consumer = assign(brokers, name, topic)?;
        let (stop, mut stopped) = oneshot::channel();
        let run = move || {
            while matches!(stopped.try_recv(), Err(TryRecvError::Empty)) {
                match consumer.poll(LOOK_EVERY) {
                    None => {}
                    Some(Ok(message)) => books.arrive(message.payload().unwrap_or_default(), clock::monotonic()),
                    Some(Err(error)) => {
                        return Err(Error::external("a watcher lost the Kafka cluster").caused_by(error));
                    }
                }
            }
            Ok(())
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        let thread = thread.map_err(|error| Error::external("a watcher got no thread").caused_by(error))?;
        Ok(Self::running(stop, thread))
    }
}

fn assign(brokers: &str, name: &str, topic: &str) -> Result<BaseConsumer> {
    let cannot = || Error::external(format!("nothing is heard of topic \"{topic}\" of the Kafka cluster {brokers}"));
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("client.id", name)
        // The client asks for one although nothing is joined or committed.
        .set("group.id", name)
        .set("enable.auto.commit", "false")
        .set("queued.max.messages.kbytes", QUEUE_KIB)
        .create()
        .map_err(|error| cannot().caused_by(error))?;
    let found = consumer.fetch_metadata(Some(topic), CONNECT_TIMEOUT).map_err(|error| cannot().caused_by(error))?;
    let mut all = TopicPartitionList::new();
    for partition in found.topics().iter().flat_map(|topic| topic.partitions()) {
        all.add_partition_offset(topic, partition.id(), Offset::Beginning)
            .map_err(|error| cannot().caused_by(error))?;
    }
    if all.count() == 0 {
        return Err(cannot().hint("make the topic first"));
    }
    consumer.assign(&all).map_err(|error| cannot().caused_by(error))?;
    Ok(consumer)
}
