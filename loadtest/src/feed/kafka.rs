//! Messages to a Kafka topic, keyed by sensor, through the client that Kafka users trust (librdkafka).
//!
//! The client gathers batches by itself; a message has left when the client has it. When its queue is full, the feeder
//! waits, and messages are late. What the cluster does not take within the timeout has failed. The client tells of each
//! message that failed, and when none is left; the rest is acknowledged. To be told of each one would take a quarter of a
//! processor.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lineside_model::{Error, Result};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Message as _};
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::books::Books;
use super::payload::{self, Table};
use super::rounds::{self, Left, Outlet};
use super::{FeedReport, Feeder, Running};
use crate::clock;
use crate::synthetic::Message;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What the client holds at most, in messages and KiB. It walks over the messages of a batch several times, also when it is
/// acknowledged: all that is under way is to stay in the processor's cache. With 100,000 a message costs half as much again.
const QUEUE_LEN: &str = "20000";
const QUEUE_KIB: &str = "524288";
/// What one batch holds at most, in messages and bytes.
const BATCH_LEN: &str = "100000";
const BATCH_BYTES: &str = "262144";
/// With a full queue, one looks again after this.
const ROOM_AGAIN: Duration = Duration::from_millis(1);
/// By then every message is acknowledged or has failed.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(40);
/// A message that is not acknowledged within so many milliseconds has failed.
const TIMEOUT_MS: &str = "30000";

/// How messages go to a Kafka topic.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaOptions {
    /// The topic. Default `readings`.
    pub topic: String,
    /// The partitions that a load case makes the topic with; a sensor always uses the same one. Default 1: then all messages stay in
    /// their order.
    pub partitions: u16,
    /// How long the client waits for a batch to fill, in milliseconds: it adds to the latency. Default 5.
    pub linger_ms: u32,
    /// Options of librdkafka by name, such as `{ "compression.type" = "lz4" }`. Default: none.
    pub options: BTreeMap<String, String>,
    /// Who must have a message before it is acknowledged: `leader`, or `all` replicas in sync. Default `all`; then none is
    /// written twice.
    pub acks: Acks,
}

/// Who must have a message before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acks {
    /// All replicas in sync, each message once (idempotent producer).
    #[default]
    All,
    /// The leader of the partition.
    Leader,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self { topic: "readings".to_owned(), partitions: 1, linger_ms: 5, options: BTreeMap::new(), acks: Acks::All }
    }
}

impl KafkaOptions {
    pub(crate) fn check(&self) -> Result<()> {
        if self.partitions == 0 {
            return Err(Error::user("option \"partitions\" expects at least 1, found 0"));
        }
        if self.topic.is_empty() {
            return Err(Error::user("option \"topic\" expects the name of a topic, found nothing"));
        }
        Ok(())
    }
}

/// A feeder to a Kafka topic of the cluster at `host:port`, several separated by commas.
pub type Kafka = Feeder<KafkaOptions>;

/// Messages that failed, and why the first did.
#[derive(Debug, Default)]
struct Failures {
    count: AtomicU64,
    first: Mutex<Option<Error>>,
}

struct Context(Arc<Failures>);

impl ClientContext for Context {}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((error, message)) = result {
            let mut first = self.0.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| {
                Error::external(format!("topic \"{}\" did not take all messages", message.topic()))
                    .caused_by(error.clone())
            });
            self.0.count.fetch_add(1, Ordering::Release);
        }
    }
}

impl Feeder<KafkaOptions> {
    /// Connects, and from `start` on sends each message when it is due.
    ///
    /// # Errors
    /// The cluster cannot be reached, or has no such topic. What goes wrong later is in the report.
    pub async fn start(
        self,
        messages: impl Iterator<Item = Message> + Send + 'static,
        start: Instant,
    ) -> Result<Running> {
        Running::spawn("feed-kafka", start, async |books, connected| self.run(messages, &books, connected).await).await
    }

    async fn run(
        self,
        messages: impl Iterator<Item = Message>,
        books: &Arc<Books>,
        connected: oneshot::Sender<Result<()>>,
    ) -> FeedReport {
        let failures = Arc::new(Failures::default());
        let producer = match self.connect(&failures) {
            Ok(producer) => {
                drop(connected.send(Ok(())));
                producer
            }
            Err(error) => {
                drop(connected.send(Err(error)));
                return FeedReport::default();
            }
        };
        let mut outlet = Topic {
            producer,
            topic: self.options.topic,
            table: Table::new(self.names),
            payload: Vec::new(),
            taken: 0,
            oldest: None,
            left: Left::default(),
        };
        let mut error = rounds::run(messages, books, &mut outlet).await.err();
        outlet.let_go();
        let sent = books.sent() + outlet.left.messages;
        books.enter(outlet.left.messages, clock::monotonic());
        // The thread is the feeder's own: it may wait.
        error = error.or(outlet.producer.flush(FLUSH_TIMEOUT).err().map(|error| {
            Error::external(format!("the Kafka cluster {} does not take the last messages", self.address))
                .caused_by(error)
        }));
        let unsettled = u64::try_from(outlet.producer.in_flight_count()).unwrap_or(0);
        let failed = failures.count.load(Ordering::Acquire) + unsettled;
        error = error.or(failures.first.lock().unwrap_or_else(PoisonError::into_inner).take());
        FeedReport {
            sent,
            acknowledged: Some(sent.saturating_sub(failed)),
            failed,
            late_max: outlet.left.late_max,
            by_second: books.by_second(),
            error,
        }
    }

    /// Runs on the feeder's own thread, which has nothing else to do meanwhile.
    fn connect(&self, failures: &Arc<Failures>) -> Result<ThreadedProducer<Context>> {
        let (acks, idempotent) = match self.options.acks {
            Acks::All => ("all", "true"),
            Acks::Leader => ("1", "false"),
        };
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.address)
            .set("acks", acks)
            .set("enable.idempotence", idempotent)
            .set("linger.ms", self.options.linger_ms.to_string())
            .set("delivery.report.only.error", "true")
            .set("queue.buffering.max.messages", QUEUE_LEN)
            .set("queue.buffering.max.kbytes", QUEUE_KIB)
            .set("batch.num.messages", BATCH_LEN)
            .set("batch.size", BATCH_BYTES)
            .set("message.timeout.ms", TIMEOUT_MS);
        for (name, value) in &self.options.options {
            config.set(name, value);
        }
        let producer: ThreadedProducer<Context> = config
            .create_with_context(Context(Arc::clone(failures)))
            .map_err(|error| Error::user("cannot set up the Kafka producer").caused_by(error))?;
        let topic = &self.options.topic;
        let found = producer.client().fetch_metadata(Some(topic), CONNECT_TIMEOUT).map_err(|error| {
            Error::external(format!("cannot reach the Kafka cluster {}", self.address)).caused_by(error)
        })?;
        match found.topics().iter().find(|found| found.name() == topic).and_then(|topic| topic.error()) {
            None => Ok(producer),
            Some(error) => Err(Error::user(format!("topic \"{topic}\" cannot be written to"))
                .hint("make the topic first")
                .caused_by(KafkaError::MetadataFetch(error.into()))),
        }
    }
}

/// The topic, and what is made once for each sensor: its name and the middle of its payload.
struct Topic {
    producer: ThreadedProducer<Context>,
    topic: String,
    table: Table<(String, Vec<u8>)>,
    payload: Vec<u8>,
    /// Messages that the client got in this round, and when the first of them was due.
    taken: u64,
    oldest: Option<Instant>,
    left: Left,
}

impl Outlet for Topic {
    async fn take(&mut self, message: &Message, due: Instant) -> Result<()> {
        let (key, middle) = self.table.of(message.sensor, |name| (name.to_owned(), payload::middle(name)));
        self.payload.clear();
        payload::write(message, middle, &mut self.payload)
            .map_err(|error| Error::internal("cannot write a message into memory").caused_by(error))?;
        loop {
            match self.producer.send(BaseRecord::to(&self.topic).key(key.as_str()).payload(&self.payload)) {
                Ok(()) => break,
                // Nothing tells when there is room again.
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => sleep(ROOM_AGAIN).await,
                Err((error, _)) => return Err(Error::external("the Kafka client refused a message").caused_by(error)),
            }
        }
        self.taken += 1;
        self.oldest.get_or_insert(due);
        Ok(())
    }

    fn let_go(&mut self) -> bool {
        if let Some(oldest) = self.oldest.take() {
            self.left.leave(std::mem::take(&mut self.taken), oldest);
        }
        false
    }

    async fn drain(&mut self) {}

    fn left(&mut self) -> &mut Left {
        &mut self.left
    }
}
