//! Kafka as a sink: rows become messages of an idempotent producer, and `flush` returns when Kafka has confirmed every one.
//!
//! A message is kept until its delivery is confirmed. When the connection breaks, the engine opens the sink again, and the
//! sink sends what was not confirmed, in order. When librdkafka's queue is full, `write` waits for room.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use lineside_model::{Error, Reason, Result, Timestamp};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

use super::client::{Client, code, explain};
use super::outbox::{Message, Outbox};
use super::route::Route;
use super::source::ANSWER_WITHIN;
use crate::codec::MakeEncoder;
use crate::{BuildContext, Encoder, Outcome, Sink};

/// Topics to write, checked.
pub(super) struct WritePlan {
    pub(super) name: String,
    pub(super) brokers: String,
    pub(super) route: Route,
    pub(super) encoder: MakeEncoder,
    pub(super) config: ClientConfig,
}

/// Writes to topics.
pub(super) struct KafkaSink {
    plan: Arc<WritePlan>,
    context: BuildContext,
    encoder: Box<dyn Encoder>,
    producer: Option<ThreadedProducer<Outbox>>,
    /// What the last connection left unconfirmed.
    left: BTreeMap<usize, Message>,
    /// Whether the last call failed: then `close` waits for nobody.
    failed: bool,
}

impl std::fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSink").field("route", &self.plan.route).finish_non_exhaustive()
    }
}

impl KafkaSink {
    pub(super) fn new(plan: Arc<WritePlan>, context: BuildContext) -> Self {
        let encoder = (plan.encoder)();
        Self { plan, context, encoder, producer: None, left: BTreeMap::new(), failed: false }
    }

    fn producer(&self) -> Result<&ThreadedProducer<Outbox>> {
        self.producer.as_ref().ok_or_else(|| Error::internal("a kafka sink was used before it was opened"))
    }

    async fn connect(&mut self) -> Result<()> {
        let plan = Arc::clone(&self.plan);
        let client = Client::new(&plan.name, &plan.brokers);
        let outbox = Outbox::new(client, &plan.brokers, Arc::clone(&self.context.meter), self.left.clone());
        // Its threads are started by a helper as well, so that they do not have the place of a control lane.
        let asked = tokio::task::spawn_blocking(move || {
            let producer: ThreadedProducer<Outbox> =
                plan.config.create_with_context(outbox).map_err(|e| explain(&e, "", &plan.brokers))?;
            check_topic(&producer, &plan).map(|()| producer)
        });
        let producer = asked.await.map_err(|e| Error::internal("the thread that asks kafka died").caused_by(e))?;
        self.producer = Some(producer?);
        for (number, message) in std::mem::take(&mut self.left) {
            self.send(number, &message).await?;
        }
        Ok(())
    }

    /// Hands a message that is kept to librdkafka; waits while its queue is full.
    async fn send(&self, number: usize, message: &Message) -> Result<()> {
        let producer = self.producer()?;
        let outbox = producer.context();
        loop {
            let mut record =
                BaseRecord::<[u8], [u8], usize>::with_opaque_to(&message.topic, number).payload(&message.payload);
            if let Some(key) = &message.key {
                record = record.key(key);
            }
            if let Some(time) = message.time {
                record = record.timestamp(time);
            }
            if !message.headers.is_empty() {
                let headers = OwnedHeaders::new_with_capacity(message.headers.len());
                let headers = message
                    .headers
                    .iter()
                    .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: value.as_ref() }));
                record = record.headers(headers);
            }
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, _)) if code(&error) == Some(Code::QueueFull) => outbox.moved.notified().await,
                Err((error, _)) => {
                    // It stays in keeping; what is wrong is told by the next call.
                    outbox.failed(number, &error);
                    return Ok(());
                }
            }
        }
    }

    async fn deliver(&mut self, rows: &RecordBatch) -> Result<Outcome> {
        if let Some(error) = self.producer()?.context().take_failed() {
            return Err(error);
        }
        let mut payloads = Vec::with_capacity(rows.num_rows());
        self.encoder.encode(rows, &mut payloads)?;
        let mut rejected = BTreeMap::<Reason, (usize, String)>::new();
        let messages = self.plan.route.address(rows, payloads, &mut rejected)?;
        // From here on the rows are taken: whatever happens to the connection, the sink delivers them.
        let numbers = self.producer()?.context().keep(&messages);
        for (number, message) in numbers.zip(&messages) {
            self.send(number, message).await?;
        }
        let rejected = rejected.into_iter().map(|(reason, (count, why))| (reason, count, why)).collect();
        Ok(Outcome { written: messages.len(), rejected })
    }

    /// Waits until every delivery is confirmed.
    async fn confirmed(&self) -> Result<()> {
        let outbox = self.producer()?.context();
        loop {
            if let Some(error) = outbox.take_failed() {
                return Err(error);
            }
            if outbox.is_empty() {
                return Ok(());
            }
            outbox.moved.notified().await;
        }
    }

    fn noted<T>(&mut self, result: Result<T>) -> Result<T> {
        self.failed = result.is_err();
        result
    }
}

#[async_trait(?Send)]
impl Sink for KafkaSink {
    async fn open(&mut self) -> Result<()> {
        let result = self.connect().await;
        self.noted(result)
    }

    async fn write(&mut self, rows: &RecordBatch, _: Timestamp) -> Result<Outcome> {
        let result = self.deliver(rows).await;
        self.noted(result)
    }

    async fn flush(&mut self) -> Result<()> {
        let result = self.confirmed().await;
        self.noted(result)
    }

    async fn close(&mut self) -> Result<()> {
        if self.producer.is_none() {
            return Ok(());
        }
        let flushed = if self.failed { Ok(()) } else { self.confirmed().await };
        let Some(producer) = self.producer.take() else { return flushed };
        self.left = producer.context().unconfirmed();
        let dropped = tokio::task::spawn_blocking(move || drop(producer)).await;
        dropped.map_err(|e| Error::internal("the thread that disconnects from kafka died").caused_by(e))?;
        flushed
    }
}

/// Asks whether there is a broker, and whether it has the topic.
fn check_topic(producer: &ThreadedProducer<Outbox>, plan: &WritePlan) -> Result<()> {
    let topic = plan.route.fixed();
    let answer = producer.client().fetch_metadata(topic, ANSWER_WITHIN);
    let fatal = || producer.context().client.take_fatal();
    let metadata = answer.map_err(|e| fatal().unwrap_or_else(|| explain(&e, "", &plan.brokers)))?;
    let error = metadata.topics().iter().find(|found| Some(found.name()) == topic).and_then(|found| found.error());
    match (error, topic) {
        (Some(error), Some(topic)) => {
            let error = KafkaError::MetadataFetch(error.into());
            // A topic that is being created on our asking has no leader for a moment.
            match code(&error) {
                Some(Code::LeaderNotAvailable) => Ok(()),
                _ => Err(explain(&error, &format!("topic \"{topic}\""), &plan.brokers)),
            }
        }
        _ => Ok(()),
    }
}
