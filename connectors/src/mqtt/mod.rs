//! MQTT: the bus of most plants' sensors and gateways, as source and as sink, versions 3.1.1 and 5, QoS 0 and 1.
//!
//! ```toml
//! [source.plant]
//! connector = "mqtt"
//! url = "mqtt://broker.plant.local"
//! topic = "plant/{line}/{machine}/{metric}"
//! ```
//!
//! Each message is one row (or several, if the codec says so) with the columns that the codec reads, one for each name in the
//! topic, and `topic`, `qos` and `retained`. Sensors that are late or silent are the engine's business; a broker that is gone
//! is tried again until it is back.

mod broker;
mod inbox;
mod options;
mod sink;
mod source;
mod template;
mod trouble;

use std::sync::Arc;

use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use lineside_model::{Problem, Problems, Span, parse_options};
use serde_json::Value;

use broker::{IN_FLIGHT_MAX, Session};
use options::{BrokerOptions, check_qos};
use sink::{MqttSink, SinkParts};
use source::{MqttSource, SourceParts};
use template::{RowTopic, TopicTemplates};

pub use options::{LastWill, MqttSinkOptions, MqttSourceOptions, Topics, Version};

use crate::codec::{CodecKind, Field, FieldType, Json, MakeEncoder};
use crate::{ConnectorKind, Gives, PlanContext, PlannedSink, PlannedSource};

/// mosquitto sends 20 messages ahead of the first acknowledgement unless told otherwise, and version 3.1.1 cannot ask:
/// half of that keeps the messages flowing.
const UNACKED_V3: usize = 10;

/// Requests that can wait for the network: every packet id can be acknowledged at once.
const SOURCE_REQUESTS: usize = 65_536;

/// Messages that a sink can be ahead of the socket.
const SINK_REQUESTS: usize = 64;

/// The MQTT connector.
#[derive(Debug)]
pub struct Mqtt;

impl ConnectorKind for Mqtt {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    fn about(&self) -> &'static str {
        "MQTT 3.1.1 and 5: topics as columns, QoS 0 and 1, acknowledged when the engine is responsible"
    }

    fn example(&self) -> &'static str {
        r#"[source.plant]
connector = "mqtt"
url = "mqtt://broker.plant.local:1883"
topic = "plant/{line}/{machine}/{metric}"
username = "lineside"
password = "${MQTT_PASSWORD}"
codec = { type = "json" }

[sink.alarms]
connector = "mqtt"
input = "alarms"
url = "mqtts://broker.plant.local"
topic = "alarms/{sensor}"
tls = { ca = "plant-ca.pem" }"#
    }

    fn source_options(&self) -> Option<schemars::Schema> {
        Some(schemars::schema_for!(MqttSourceOptions))
    }

    fn sink_options(&self) -> Option<schemars::Schema> {
        Some(schemars::schema_for!(MqttSinkOptions))
    }

    fn plan_source(&self, options: &Value, context: &PlanContext<'_>) -> Result<PlannedSource, Problems> {
        let options = parse_options::<MqttSourceOptions>(options)?;
        let mut problems = Problems::default();
        let common = BrokerOptions {
            url: &options.url,
            version: options.version,
            client_id: options.client_id.as_deref(),
            keep_alive: options.keep_alive,
            username: options.username.as_deref(),
            password: options.password.as_ref(),
            tls: options.tls.as_ref(),
            last_will: options.last_will.as_ref(),
        };
        let broker = common.plan(context, &mut problems);
        let qos = check_qos("qos", options.qos, &mut problems);
        let topics = TopicTemplates::parse(&options.topic.0).unwrap_or_else(|wrong| {
            problems.0.extend(wrong);
            TopicTemplates::default()
        });
        let version_5 = options.version.unwrap_or_default() == Version::V5;
        for (option, given) in [
            ("session_expiry", options.session_expiry.is_some()),
            ("receive_maximum", options.receive_maximum.is_some()),
        ] {
            if given && !version_5 {
                problems.push(Problem::option(option, format!("{option} is of version 5")).hint("set version = \"5\""));
            }
        }
        if options.receive_maximum == Some(0) {
            problems.push(Problem::option("receive_maximum", "receive_maximum is at least 1"));
        }
        if options.buffer == Some(0) {
            problems.push(Problem::option("buffer", "a buffer holds at least 1 message"));
        }
        let clean = options.clean_session.unwrap_or(qos == 0);
        let receive_maximum = version_5.then(|| options.receive_maximum.unwrap_or(1_000));
        let mut columns = topics.columns.clone();
        for (name, kind) in [("topic", FieldType::Text), ("qos", FieldType::Int), ("retained", FieldType::Bool)] {
            columns.push(Field::new(name, kind, None, false).map_err(Problem::whole)?);
        }
        let metadata = Arc::new(Schema::new(columns.iter().map(Field::column).collect::<Vec<ArrowField>>()));
        let Some(broker) = broker else { return Err(problems) };
        let parts = Arc::new(SourceParts {
            session: Session {
                clean,
                expiry: options.session_expiry.unwrap_or(Span::from_secs(86_400)),
                receive_maximum,
                requests: SOURCE_REQUESTS,
            },
            broker,
            qos,
            topics,
            columns,
            messages_max: options.buffer.unwrap_or(65_536),
            bytes_max: options.buffer_bytes.unwrap_or(64 << 20),
            payload_max: options.max_packet.unwrap_or(16 << 20),
        });
        let unacked_limit = match (qos, receive_maximum) {
            (0, _) => None,
            (_, Some(window)) => Some(usize::from(window / 2).max(1)),
            (_, None) => Some(UNACKED_V3),
        };
        let planned = PlannedSource {
            gives: Gives::Frames(metadata),
            time: None,
            bounded: false,
            unacked_limit,
            control: false,
            explain: explain_source(&parts),
            tags: Vec::new(),
            build: Box::new(move |context| Box::new(MqttSource::new(Arc::clone(&parts), context))),
        };
        problems.or(planned)
    }

    fn plan_sink(
        &self,
        options: &Value,
        input: &SchemaRef,
        codec: Option<MakeEncoder>,
        context: &PlanContext<'_>,
    ) -> Result<PlannedSink, Problems> {
        let options = parse_options::<MqttSinkOptions>(options)?;
        let mut problems = Problems::default();
        let common = BrokerOptions {
            url: &options.url,
            version: options.version,
            client_id: options.client_id.as_deref(),
            keep_alive: options.keep_alive,
            username: options.username.as_deref(),
            password: options.password.as_ref(),
            tls: options.tls.as_ref(),
            last_will: options.last_will.as_ref(),
        };
        let broker = common.plan(context, &mut problems);
        let qos = check_qos("qos", options.qos, &mut problems);
        let topic = RowTopic::parse(&options.topic, input).map_err(|problem| problems.push(problem)).ok();
        let (Some(broker), Some(topic)) = (broker, topic) else { return Err(problems) };
        let encoder = match codec {
            Some(encoder) => encoder,
            None => Json.plan_encoder(&Value::Object(serde_json::Map::new()), input, context)?,
        };
        let session = Session { clean: true, expiry: Span::ZERO, receive_maximum: None, requests: SINK_REQUESTS };
        let retain = options.retain.unwrap_or(false);
        let explain = vec![
            format!("publishes to {} as \"{}\", {}", broker.url, broker.client_id, version_word(broker.version_5)),
            format!("topic {}, qos {qos}, retain {retain}", options.topic),
            match qos {
                0 => format!("at most once; {SINK_REQUESTS} messages ahead of the socket"),
                _ => format!("at least once; {IN_FLIGHT_MAX} messages unconfirmed, {SINK_REQUESTS} more waiting"),
            },
        ];
        let parts = Arc::new(SinkParts { broker, session, topic, qos, retain, encoder });
        let planned = PlannedSink {
            control: false,
            shared: false,
            explain,
            tags: Vec::new(),
            build: Box::new(move |context| Box::new(MqttSink::new(Arc::clone(&parts), context))),
        };
        problems.or(planned)
    }
}

fn version_word(version_5: bool) -> &'static str {
    if version_5 { "MQTT 5" } else { "MQTT 3.1.1" }
}

fn explain_source(parts: &SourceParts) -> Vec<String> {
    let broker = &parts.broker;
    let mut lines = vec![
        format!("reads {} as \"{}\", {}", broker.url, broker.client_id, version_word(broker.version_5)),
        format!("subscribes to {} at qos {}", parts.topics.filters.join(", "), parts.qos),
    ];
    lines.push(if parts.session.clean {
        "the broker forgets us when the connection ends: messages of that time are lost".to_owned()
    } else {
        "the broker keeps messages for us while we are away".to_owned()
    });
    let window = match parts.session.receive_maximum {
        Some(window) => format!("{window} messages"),
        None => "the broker's window (mosquitto: 20 messages)".to_owned(),
    };
    let (messages, bytes, payload) = (parts.messages_max, parts.bytes_max, parts.payload_max);
    lines.push(match parts.qos {
        0 => format!("at most once; holds {messages} messages and {bytes} bytes, drops and counts what is more"),
        _ => format!("at least once; holds {window} unacknowledged, of QoS 0 messages {messages} and {bytes} bytes"),
    });
    lines.push(format!(
        "messages above {payload} bytes are dropped and counted; one packet of up to 256 MiB is read whole"
    ));
    lines
}
