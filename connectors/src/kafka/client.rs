//! What librdkafka reports, in our words: its log, what is wrong at the other end, and whether a broker can be reached.
//!
//! librdkafka reconnects by itself and says so again and again; here a broker that is gone is told once, and once when it is back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use lineside_model::Error;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// The state of one connection to a cluster.
#[derive(Debug)]
pub(super) struct Client {
    /// The source or sink.
    name: String,
    brokers: String,
    down: AtomicBool,
    fatal: Mutex<Option<Error>>,
}

impl Client {
    pub(super) fn new(name: &str, brokers: &str) -> Self {
        Self {
            name: name.to_owned(),
            brokers: brokers.to_owned(),
            down: AtomicBool::new(false),
            fatal: Mutex::new(None),
        }
    }

    /// Whether no broker can be reached.
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// A broker has answered.
    pub(super) fn is_up(&self) {
        if self.down.swap(false, Ordering::Relaxed) {
            tracing::info!(name = self.name, brokers = self.brokers, "a kafka broker is back");
        }
    }

    /// What went wrong so that this connection is of no use any more.
    pub(super) fn take_fatal(&self) -> Option<Error> {
        self.fatal.lock().ok()?.take()
    }

    /// Takes note of what librdkafka says went wrong; what the engine must act upon is an error of ours.
    pub(super) fn note(&self, error: &KafkaError, reason: &str) -> Option<Error> {
        match code(error) {
            Some(Code::AllBrokersDown) => {
                if !self.down.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        name = self.name,
                        brokers = self.brokers,
                        reason,
                        "no kafka broker can be reached; trying again"
                    );
                }
                None
            }
            Some(
                Code::BrokerTransportFailure
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::MessageTimedOut
                | Code::NetworkException
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::NotCoordinator
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::RebalanceInProgress
                | Code::WaitingForCoordinator
                | Code::PartitionEOF
                | Code::NoError,
            ) => {
                tracing::debug!(name = self.name, %error, reason, "kafka");
                None
            }
            _ => Some(explain(error, reason, &self.brokers)),
        }
    }
}

/// The code in an error, wherever it stands.
pub(super) fn code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::MessageConsumptionFatal(_) => Some(Code::Fatal),
        other => other.rdkafka_error_code(),
    }
}

/// An error of librdkafka with its class and cure.
pub(super) fn explain(error: &KafkaError, what: &str, brokers: &str) -> Error {
    let of = |message: String| if what.is_empty() { message } else { format!("{message}: {what}") };
    match code(error) {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
            Error::user(of(format!("there is no such topic at {brokers}")))
                .hint("create the topic, or correct the option topic")
        }
        Some(Code::InvalidTopic) => Error::user(of("kafka does not allow this name of a topic".to_owned())),
        Some(Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
            Error::user(of(format!("kafka at {brokers} does not allow this")))
                .hint("give the user of this pipeline the right in the cluster")
        }
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => {
            Error::user(of(format!("kafka at {brokers} refused the login")))
                .hint("correct sasl.username and sasl.password in options")
        }
        Some(Code::SSL | Code::UnsupportedSASLMechanism) => {
            Error::user(of(format!("no secure connection to kafka at {brokers}")))
                .hint("check security.protocol and the ssl. and sasl. keys in options")
        }
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::OperationTimedOut | Code::Resolve) => {
            Error::external(of(format!("no kafka broker at {brokers} answered")))
        }
        _ => Error::external(of(format!("kafka at {brokers} failed"))).caused_by(error.clone()),
    }
}

impl ClientContext for Client {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters of this comes as an error, too, and is told there once; but that the broker has deleted what this group
        // has not read comes only so.
        if facility == "OFFSET" && (level as i32) <= RDKafkaLogLevel::Warning as i32 {
            tracing::warn!(
                name = self.name,
                message,
                "kafka has deleted messages that were not read; reading goes on behind them"
            );
            return;
        }
        tracing::debug!(name = self.name, ?level, facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(error) = self.note(&error, reason)
            && let Ok(mut fatal) = self.fatal.lock()
        {
            fatal.get_or_insert(error);
        }
    }
}
