//! What a case expects to come out of the engine, and over which broker.

use lineside_model::Span;
use serde::Deserialize;

use crate::measure::Expect;

/// What is expected to come out of the engine.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// The topic filter; over Kafka, the topic.
    pub topic: String,
    /// The broker that it comes over. Default: MQTT.
    #[serde(default)]
    pub over: Over,
    /// The feed that it follows from.
    pub feed: String,
    /// How.
    pub expect: Expect,
    /// The sources and steps of the pipeline on its way: what they say they left out is not lost. Default: all.
    pub through: Option<Vec<String>>,
    /// How long after it was due an answer is still in time.
    pub deadline: Option<Span>,
}

impl Watch {
    /// How late answers may be that count as in time after a rush: the deadline, or 100 ms.
    pub(crate) fn in_time(&self) -> Span {
        self.deadline.unwrap_or(Span::from_millis(100))
    }
}

/// A broker between plant and engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// mosquitto, on `${MQTT_PORT}`.
    #[default]
    Mqtt,
    /// One node of Apache Kafka, on `${KAFKA_PORT}`.
    Kafka,
}
