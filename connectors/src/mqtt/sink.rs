//! The MQTT sink: one message a row, to a topic made from the row.
//!
//! At QoS 1 a flush returns when the broker has acknowledged every message; at QoS 0 when they were handed to the socket. What
//! was not confirmed when a connection broke is sent again over the next one, and nothing else, so delivery is at least once
//! (at QoS 0 only as far as the socket): what the broker took and could not confirm any more comes twice, at most the window. A
//! broker of version 5 may refuse a message for good: that is counted as refused.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use lineside_model::{Error, Reason, Result, Timestamp};
use tokio::sync::Notify;

use super::broker::{ANSWER_WITHIN, Broker, Session};
use super::link::{Client, Link, Told};
use super::row_topic::RowTopic;
use super::source::NetworkTask;
use crate::codec::MakeEncoder;
use crate::{BuildContext, Encoder, Meter, Outcome, Sink};

/// What was planned for a sink.
pub(super) struct SinkParts {
    pub(super) broker: Broker,
    pub(super) session: Session,
    pub(super) topic: RowTopic,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) encoder: MakeEncoder,
}

/// Publishes to a broker.
pub(super) struct MqttSink {
    parts: Arc<SinkParts>,
    encoder: Box<dyn Encoder>,
    meter: Arc<dyn Meter>,
    connection: Option<Connection>,
    /// What the broker has not confirmed, in the order of sending. Bounded by the window and the queue of requests.
    unconfirmed: VecDeque<(String, Bytes)>,
    /// The rows in which a connection broke, and how many messages of them were confirmed or are among the unconfirmed: the
    /// engine writes these rows again.
    interrupted: Option<(RecordBatch, usize)>,
}

impl std::fmt::Debug for MqttSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MqttSink")
            .field("broker", &self.parts.broker)
            .field("unconfirmed", &self.unconfirmed.len())
            .finish_non_exhaustive()
    }
}

struct Connection {
    client: Client,
    progress: Arc<Progress>,
    task: NetworkTask,
    /// How many confirmations were taken from `progress` into account.
    accounted: u64,
}

/// What the network task tells the sink.
#[derive(Debug, Default)]
struct Progress {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Messages that are the broker's, or refused by it, in the order of sending.
    confirmed: u64,
    ended: Option<Option<Error>>,
}

impl Progress {
    fn confirm(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).confirmed += 1;
        self.changed.notify_one();
    }

    fn end(&self, error: Error) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.ended.is_none() {
            state.ended = Some(Some(error));
        }
        drop(state);
        self.changed.notify_one();
    }

    /// How many are confirmed, or why no more will be.
    fn look(&self) -> (u64, Option<Error>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = || Error::external("the connection to the broker is closed");
        let error = state.ended.as_mut().map(|ended| ended.take().unwrap_or_else(closed));
        (state.confirmed, error)
    }
}

impl MqttSink {
    pub(super) fn new(parts: Arc<SinkParts>, context: &BuildContext) -> Self {
        let encoder = (parts.encoder)();
        Self {
            parts,
            encoder,
            meter: Arc::clone(&context.meter),
            connection: None,
            unconfirmed: VecDeque::new(),
            interrupted: None,
        }
    }

    /// Forgets what was confirmed; the error if the connection has ended.
    fn account(&mut self) -> Result<()> {
        let Some(connection) = &mut self.connection else { return Err(not_open()) };
        let (confirmed, error) = connection.progress.look();
        while connection.accounted < confirmed {
            self.unconfirmed.pop_front();
            connection.accounted += 1;
        }
        error.map_or(Ok(()), Err)
    }

    /// The error of a connection whose network task is gone.
    async fn ended(&mut self) -> Error {
        loop {
            let Some(connection) = &self.connection else { return not_open() };
            let progress = Arc::clone(&connection.progress);
            let changed = progress.changed.notified();
            if let Err(error) = self.account() {
                return error;
            }
            changed.await;
        }
    }
}

/// Whether these are the very same rows. All columns count: queries that read the same rows share those that they pass on.
fn same(before: &RecordBatch, now: &RecordBatch) -> bool {
    let (columns, others) = (before.columns(), now.columns());
    let equal = columns.len() == others.len() && before.num_rows() == now.num_rows();
    equal && columns.iter().zip(others).all(|(before, now)| Arc::ptr_eq(before, now))
}

fn not_open() -> Error {
    Error::external("the connection to the broker is not open")
}

#[async_trait(?Send)]
impl Sink for MqttSink {
    async fn open(&mut self) -> Result<()> {
        self.connection = None;
        let parts = Arc::clone(&self.parts);
        let (client, link, _) = parts.broker.connect(&parts.session).await?;
        let progress = Arc::new(Progress::default());
        let network =
            Network { parts: Arc::clone(&parts), progress: Arc::clone(&progress), meter: Arc::clone(&self.meter) };
        let task = NetworkTask(tokio::spawn(network.run(link)));
        self.connection = Some(Connection { client: client.clone(), progress, task, accounted: 0 });
        for (topic, payload) in &self.unconfirmed {
            if client.publish(topic, payload.clone(), parts.qos, parts.retain).await.is_err() {
                return Err(self.ended().await);
            }
        }
        Ok(())
    }

    async fn write(&mut self, rows: &RecordBatch, _origin: Timestamp) -> Result<Outcome> {
        // Other rows: the engine has given the interrupted ones up, since they expired.
        self.interrupted.take_if(|(before, _)| !same(before, rows));
        self.account()?;
        let parts = Arc::clone(&self.parts);
        let Some(client) = self.connection.as_ref().map(|connection| connection.client.clone()) else {
            return Err(not_open());
        };
        let mut payloads = Vec::with_capacity(rows.num_rows());
        self.encoder.encode(rows, &mut payloads)?;
        let topics = parts.topic.of(rows)?;
        let mut outcome = Outcome::default();
        let (mut no_topic, mut no_payload) = (0, 0);
        let have = self.interrupted.take().map_or(0, |(_, messages)| messages);
        for (topic, payload) in topics.into_iter().zip(payloads) {
            let (Some(topic), Some(payload)) = (&topic, payload) else {
                if topic.is_none() {
                    no_topic += 1
                } else {
                    no_payload += 1
                }
                continue;
            };
            outcome.written += 1;
            if outcome.written <= have {
                continue;
            }
            self.unconfirmed.push_back((topic.clone(), payload.clone()));
            if client.publish(topic, payload, parts.qos, parts.retain).await.is_err() {
                // The engine writes these rows again; what is unconfirmed by then is ours to repeat.
                self.interrupted = Some((rows.clone(), outcome.written));
                return Err(self.ended().await);
            }
        }
        if no_topic > 0 {
            let why = "a column of the topic has no value, an empty level, or one of + and #";
            outcome.rejected.push((Reason::NotEncodable, no_topic, why.to_owned()));
        }
        if no_payload > 0 {
            outcome.rejected.push((Reason::NotEncodable, no_payload, "the row has no value to write".to_owned()));
        }
        Ok(outcome)
    }

    async fn flush(&mut self) -> Result<()> {
        loop {
            let Some(connection) = &self.connection else { return Err(not_open()) };
            let progress = Arc::clone(&connection.progress);
            let changed = progress.changed.notified();
            let state = self.account();
            if self.unconfirmed.is_empty() {
                return Ok(());
            }
            state?;
            changed.await;
        }
    }

    async fn close(&mut self) -> Result<()> {
        let healthy = self.connection.is_some() && self.account().is_ok();
        let flushed = match healthy {
            true => tokio::time::timeout(ANSWER_WITHIN, self.flush()).await.unwrap_or_else(|_| {
                let (url, count) = (&self.parts.broker.url, self.unconfirmed.len());
                Err(Error::external(format!("broker {url} did not confirm {count} messages within 10 s")))
            }),
            false => Ok(()),
        };
        if let Some(Connection { client, task, .. }) = self.connection.take()
            && client.disconnect().is_ok()
        {
            task.finish().await;
        }
        flushed
    }
}

/// The network's side of a sink.
struct Network {
    parts: Arc<SinkParts>,
    progress: Arc<Progress>,
    meter: Arc<dyn Meter>,
}

impl Network {
    async fn run(self, mut link: Link) {
        let ended = Ended(Arc::clone(&self.progress));
        loop {
            match link.next(&self.parts.broker).await {
                Ok(Told::Disconnected) => break,
                Ok(told) => self.take(told),
                Err(error) => {
                    while let Some(told) = link.leftover() {
                        self.take(told);
                    }
                    self.progress.end(error);
                    break;
                }
            }
        }
        drop(ended);
    }

    fn take(&self, told: Told) {
        match told {
            Told::Sent => self.progress.confirm(),
            Told::Published(answer) => {
                if let Err(reason) = answer {
                    tracing::warn!(broker = %self.parts.broker.url, reason, "the broker refused a message");
                    self.meter.dropped(Reason::Refused, 1);
                }
                self.progress.confirm();
            }
            Told::Message(_) | Told::Subscribed(_) | Told::Connected { .. } | Told::Disconnected | Told::Nothing => {}
        }
    }
}

/// Tells the sink that the network task is over.
struct Ended(Arc<Progress>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end(Error::external("the connection to the broker is closed"));
    }
}
