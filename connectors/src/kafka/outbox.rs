//! Messages on their way to Kafka: each is kept until its delivery is confirmed, so that none is lost with a connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lineside_model::{Error, Reason};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use tokio::sync::Notify;

use super::client::{Client, code, explain};
use crate::Meter;

/// A message on its way.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) topic: Arc<str>,
    pub(super) key: Option<Bytes>,
    pub(super) payload: Bytes,
    pub(super) headers: Vec<(Arc<str>, Option<String>)>,
    /// Milliseconds since 1970.
    pub(super) time: Option<i64>,
}

/// What is on its way through one connection.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) client: Client,
    brokers: String,
    meter: Arc<dyn Meter>,
    state: Mutex<State>,
    /// Told whenever a delivery was confirmed or failed.
    pub(super) moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// By their order.
    unconfirmed: BTreeMap<usize, Message>,
    next: usize,
    failed: Option<Error>,
    too_large_told: bool,
}

impl Outbox {
    /// A new connection that takes over what another one left.
    pub(super) fn new(client: Client, brokers: &str, meter: Arc<dyn Meter>, left: BTreeMap<usize, Message>) -> Self {
        let next = left.last_key_value().map_or(0, |(n, _)| n + 1);
        let state = Mutex::new(State { unconfirmed: left, next, ..State::default() });
        Self { client, brokers: brokers.to_owned(), meter, state, moved: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked under the lock did so between whole changes of the map.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes messages into keeping, in order, and gives each its number.
    pub(super) fn keep(&self, messages: &[Message]) -> std::ops::Range<usize> {
        let mut state = self.state();
        let first = state.next;
        state.next += messages.len();
        state.unconfirmed.extend((first..).zip(messages.iter().cloned()));
        first..state.next
    }

    /// All messages that are not confirmed.
    pub(super) fn unconfirmed(&self) -> BTreeMap<usize, Message> {
        self.state().unconfirmed.clone()
    }

    /// Whether every delivery is confirmed.
    pub(super) fn is_empty(&self) -> bool {
        self.state().unconfirmed.is_empty()
    }

    /// What went wrong with a delivery or the connection, once.
    pub(super) fn take_failed(&self) -> Option<Error> {
        self.state().failed.take().or_else(|| self.client.take_fatal())
    }

    /// Lets go of a message that can never be delivered, and counts it.
    pub(super) fn too_large(&self, number: usize) {
        let mut state = self.state();
        let Some(message) = state.unconfirmed.remove(&number) else { return };
        self.meter.dropped(Reason::TooLarge, 1);
        if !std::mem::replace(&mut state.too_large_told, true) {
            let len = message.payload.len();
            tracing::warn!(topic = %message.topic, len, "a message is larger than kafka takes; it was left out");
        }
    }

    /// Notes that a message was not delivered; it is kept.
    pub(super) fn failed(&self, number: usize, error: &KafkaError) {
        if code(error) == Some(Code::MessageSizeTooLarge) {
            return self.too_large(number);
        }
        let mut state = self.state();
        let Some(message) = state.unconfirmed.get(&number) else { return };
        let error = explain(error, &format!("topic \"{}\" did not take a message", message.topic), &self.brokers);
        state.failed.get_or_insert(error);
    }
}

impl ClientContext for Outbox {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
        self.moved.notify_one();
    }
}

impl ProducerContext for Outbox {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(_) => {
                self.client.is_up();
                self.state().unconfirmed.remove(&number);
            }
            Err((error, _)) => self.failed(number, error),
        }
        self.moved.notify_one();
    }
}
