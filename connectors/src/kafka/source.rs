//! Kafka topics as a source: what librdkafka has fetched becomes one batch of messages, without a copy for each.
//!
//! Offsets are committed when the engine has taken responsibility, never by themselves. A message without a value (a tombstone)
//! comes as an empty one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use lineside_model::schema::time_field;
use lineside_model::{Error, Result};
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Map, Value};

use super::client::{Client, explain};
use super::group::{Member, Partition};
use crate::{BuildContext, Frames, Position, Pulled, Source};

/// How long a broker may take to answer when we connect or leave.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The metadata of each message.
pub(super) fn metadata() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("key", DataType::Utf8, true),
        Field::new("headers", DataType::Utf8, true),
        time_field("kafka_timestamp", true),
    ]))
}

/// Topics to read, checked.
pub(super) struct ReadPlan {
    pub(super) name: String,
    pub(super) brokers: String,
    pub(super) topics: Vec<String>,
    pub(super) config: ClientConfig,
}

/// Reads topics as a member of a consumer group.
pub(super) struct KafkaSource {
    plan: Arc<ReadPlan>,
    context: BuildContext,
    consumer: Option<StreamConsumer<Member>>,
    /// What the engine had read when we were opened, whether or not the group knows of it.
    taken: BTreeMap<String, u64>,
    /// How far each partition was read here, also those that are no longer ours: the engine has that in hand.
    read: BTreeMap<String, u64>,
    /// What the engine has taken responsibility for, over all connections.
    acked: BTreeMap<String, u64>,
    /// Whether this connection has failed, so that nobody may be there to answer.
    broken: bool,
    /// An error that came after messages, for the next turn.
    failed: Option<Error>,
}

impl std::fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSource").field("topics", &self.plan.topics).finish_non_exhaustive()
    }
}

impl KafkaSource {
    pub(super) fn new(plan: Arc<ReadPlan>, context: BuildContext) -> Self {
        let (taken, read, acked) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { plan, context, consumer: None, taken, read, acked, broken: false, failed: None }
    }

    /// Waits for a message, and gives it with what else has arrived.
    async fn next(&mut self, limit: usize) -> Result<Pulled> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let consumer = self.consumer.as_ref().ok_or_else(not_open)?;
        let member = consumer.context();
        let mut batch = Batch::new();
        {
            let stream = consumer.stream();
            futures::pin_mut!(stream);
            let trouble = |error: &KafkaError| member.client.take_fatal().or_else(|| member.client.note(error, ""));
            // The first message is waited for; the others are what has arrived. Nothing is awaited once a message is out.
            loop {
                match stream.next().await {
                    Some(Ok(message)) => {
                        member.client.is_up();
                        batch.add(&message, &self.taken);
                        break;
                    }
                    Some(Err(error)) => match trouble(&error) {
                        Some(error) => return Err(error),
                        None => continue,
                    },
                    None => return Err(Error::internal("the stream of a kafka consumer ended")),
                }
            }
            while batch.ends.len() < limit {
                match stream.next().now_or_never() {
                    Some(Some(Ok(message))) => batch.add(&message, &self.taken),
                    Some(Some(Err(error))) => {
                        if let Some(error) = trouble(&error) {
                            self.failed = Some(error);
                            break;
                        }
                    }
                    Some(None) | None => break,
                }
            }
        }
        for part in &batch.parts {
            member.read(&part.topic, part.partition, part.first, part.next.max(part.taken));
        }
        if batch.already_taken > 0 {
            self.context.meter.add("already_taken", batch.already_taken);
        }
        // A partition that went away keeps its place; one that came back begins where the group stands.
        self.read.append(&mut member.position());
        // Even if all were taken before: their position has to be acknowledged in this connection, too.
        Ok(Pulled::Frames(batch.frames(&self.context), Position::Offsets(self.read.clone())))
    }
}

/// The part of a batch that came from one partition.
struct Part {
    topic: String,
    partition: i32,
    first: u64,
    next: u64,
    /// Messages before this offset were taken before.
    taken: u64,
}

/// Messages in the making.
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    topic: StringBuilder,
    partition: Vec<i32>,
    offset: Vec<i64>,
    key: StringBuilder,
    headers: StringBuilder,
    time: Vec<Option<i64>>,
    parts: Vec<Part>,
    already_taken: u64,
}

impl Batch {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            topic: StringBuilder::new(),
            partition: Vec::new(),
            offset: Vec::new(),
            key: StringBuilder::new(),
            headers: StringBuilder::new(),
            time: Vec::new(),
            parts: Vec::new(),
            already_taken: 0,
        }
    }

    fn add(&mut self, message: &BorrowedMessage<'_>, taken: &BTreeMap<String, u64>) {
        let (topic, partition) = (message.topic(), message.partition());
        let offset = u64::try_from(message.offset()).unwrap_or(0);
        let known = self.parts.iter().position(|part| part.partition == partition && part.topic == topic);
        let at = known.unwrap_or_else(|| {
            let taken = taken.get(&format!("{topic}/{partition}")).copied().unwrap_or(0);
            self.parts.push(Part { topic: topic.to_owned(), partition, first: offset, next: 0, taken });
            self.parts.len() - 1
        });
        let part = &mut self.parts[at];
        part.next = offset + 1;
        if offset < part.taken {
            self.already_taken += 1;
            return;
        }
        self.bytes.extend_from_slice(message.payload().unwrap_or_default());
        self.ends.push(self.bytes.len());
        self.topic.append_value(topic);
        self.partition.push(partition);
        self.offset.push(message.offset());
        self.key.append_option(message.key().map(String::from_utf8_lossy));
        self.headers.append_option(headers(message));
        self.time.push(message.timestamp().to_millis().and_then(|millis| millis.checked_mul(1_000)));
    }

    fn frames(mut self, context: &BuildContext) -> Frames {
        let bytes = Bytes::from(self.bytes);
        let mut start = 0;
        let payloads = self.ends.iter().map(|&end| bytes.slice(std::mem::replace(&mut start, end)..end)).collect();
        let time = TimestampMicrosecondArray::from(self.time).with_timezone("UTC");
        let metadata: Vec<ArrayRef> = vec![
            Arc::new(self.topic.finish()),
            Arc::new(Int32Array::from(self.partition)),
            Arc::new(Int64Array::from(self.offset)),
            Arc::new(self.key.finish()),
            Arc::new(self.headers.finish()),
            Arc::new(time),
        ];
        Frames { payloads, received_at: vec![context.clock.now(); self.ends.len()], metadata }
    }
}

/// The headers of a message as a JSON object; of several with one name the last counts.
fn headers(message: &BorrowedMessage<'_>) -> Option<String> {
    let headers = message.headers()?;
    let text = |value: Option<&[u8]>| match value {
        Some(value) => Value::String(String::from_utf8_lossy(value).into_owned()),
        None => Value::Null,
    };
    let all = headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect::<Map<_, _>>();
    (!all.is_empty()).then(|| Value::Object(all).to_string())
}

fn not_open() -> Error {
    Error::internal("a kafka source was used before it was opened")
}

#[async_trait(?Send)]
impl Source for KafkaSource {
    async fn open(&mut self, from: Option<Position>) -> Result<()> {
        self.taken = match from {
            Some(Position::Offsets(offsets)) => offsets,
            _ => BTreeMap::new(),
        };
        self.read.clone_from(&self.taken);
        (self.failed, self.broken) = (None, false);
        let plan = Arc::clone(&self.plan);
        let member = Member::new(Client::new(&plan.name, &plan.brokers));
        let consumer: StreamConsumer<Member> =
            plan.config.create_with_context(member).map_err(|e| explain(&e, "", &plan.brokers))?;
        // Asking for the first topic tells at once whether there is a broker, whether it lets us in, and whether the topic is there.
        let asked = tokio::task::spawn_blocking(move || {
            let answer = check_topics(&consumer, &plan);
            (consumer, answer)
        });
        let (consumer, answer) =
            asked.await.map_err(|e| Error::internal("the thread that asks kafka died").caused_by(e))?;
        answer?;
        let topics = self.plan.topics.iter().map(String::as_str).collect::<Vec<_>>();
        consumer.subscribe(&topics).map_err(|e| explain(&e, "subscribe", &self.plan.brokers))?;
        self.consumer = Some(consumer);
        Ok(())
    }

    async fn pull(&mut self, limit: usize) -> Result<Pulled> {
        let pulled = self.next(limit).await;
        self.broken |= pulled.is_err();
        pulled
    }

    async fn ack(&mut self, position: &Position) -> Result<()> {
        let Position::Offsets(offsets) = position else { return Ok(()) };
        for (partition, &offset) in offsets {
            let acked = self.acked.entry(partition.clone()).or_default();
            *acked = offset.max(*acked);
        }
        // Between two connections there is nobody to tell: the next one does.
        let Some(consumer) = &self.consumer else { return Ok(()) };
        let list = consumer.context().ack(offsets);
        if list.count() == 0 {
            return Ok(());
        }
        // Handed to librdkafka's own thread; the answer comes to the member. What fails goes with the next acknowledgement.
        consumer.commit(&list, CommitMode::Async).map_err(|e| {
            self.broken = true;
            explain(&e, "commit", &self.plan.brokers)
        })
    }

    async fn close(&mut self) -> Result<()> {
        let Some(consumer) = self.consumer.take() else { return Ok(()) };
        if self.broken {
            leave(consumer);
            return Ok(());
        }
        let member = consumer.context();
        if self.taken.keys().any(|partition| self.acked.contains_key(partition)) && !member.client.is_down() {
            // Only a member of the group can commit what was acknowledged of an earlier connection.
            if tokio::time::timeout(ANSWER_WITHIN / 2, join(&consumer)).await.is_err() {
                tracing::debug!(name = self.plan.name, "the group did not let us in while we were leaving");
            }
        }
        let owed = consumer.context().owed(&self.acked);
        let left = tokio::task::spawn_blocking(move || {
            if !consumer.context().client.is_down()
                && let Err(error) = commit_last(&consumer, owed)
            {
                tracing::warn!(%error, "the last offsets were not committed; what they stand for will be read again");
            }
            // Dropping it leaves the group, so that the partitions move on at once.
            drop(consumer);
        });
        match tokio::time::timeout(ANSWER_WITHIN, left).await {
            Ok(left) => left.map_err(|e| Error::internal("the thread that leaves the group died").caused_by(e)),
            Err(_) => {
                Err(Error::external(format!("kafka at {} did not answer while leaving the group", self.plan.brokers)))
            }
        }
    }
}

/// Leaves the group after an error, and waits for nobody. What of the acknowledged offsets does not arrive any more, a later
/// connection commits.
fn leave(consumer: StreamConsumer<Member>) {
    let list = consumer.context().uncommitted();
    if list.count() > 0
        && let Err(error) = consumer.commit(&list, CommitMode::Async)
    {
        tracing::debug!(%error, "the offsets of a lost connection go with the next one");
    }
    // It says goodbye where nobody waits for it.
    drop(tokio::task::spawn_blocking(move || drop(consumer)));
}

/// Waits until the group has shared its partitions out. What comes meanwhile is not acknowledged, and is read again.
async fn join(consumer: &StreamConsumer<Member>) {
    let stream = consumer.stream();
    futures::pin_mut!(stream);
    loop {
        tokio::select! {
            () = consumer.context().joined.notified() => return,
            _ = stream.next() => {}
        }
    }
}

/// Commits what was acknowledged and is not committed, and of what is owed that of which the group has not come so far by others.
fn commit_last(consumer: &StreamConsumer<Member>, owed: Vec<(Partition, u64)>) -> KafkaResult<()> {
    let mut list = consumer.context().uncommitted();
    if !owed.is_empty() {
        let mut asked = TopicPartitionList::new();
        for ((topic, partition), _) in &owed {
            asked.add_partition(topic, *partition);
        }
        let known = consumer.committed_offsets(asked, ANSWER_WITHIN / 2)?;
        for ((topic, partition), acked) in owed {
            let offset = i64::try_from(acked).unwrap_or(i64::MAX);
            let known = known.find_partition(&topic, partition).map(|known| known.offset());
            if !matches!(known, Some(Offset::Offset(known)) if known >= offset) {
                list.add_partition_offset(&topic, partition, Offset::Offset(offset))?;
            }
        }
    }
    if list.count() > 0 { consumer.commit(&list, CommitMode::Sync) } else { Ok(()) }
}

/// Asks the cluster about the topics.
fn check_topics(consumer: &StreamConsumer<Member>, plan: &ReadPlan) -> Result<()> {
    for topic in &plan.topics {
        let answer = consumer.fetch_metadata(Some(topic), ANSWER_WITHIN);
        let fatal = || consumer.context().client.take_fatal();
        let metadata = answer.map_err(|e| fatal().unwrap_or_else(|| explain(&e, "", &plan.brokers)))?;
        let error = metadata.topics().iter().find(|found| found.name() == topic).and_then(|found| found.error());
        if let Some(error) = error {
            return Err(explain(
                &KafkaError::MetadataFetch(error.into()),
                &format!("topic \"{topic}\""),
                &plan.brokers,
            ));
        }
    }
    Ok(())
}
