//! Kafka topics, read as a member of a consumer group and written by an idempotent producer, over librdkafka.

mod client;
mod config;
mod group;
mod outbox;
mod route;
mod sink;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use lineside_model::{Problem, Problems, parse_options};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use self::config::{Setting, check_brokers, config, shown};
use self::route::Route;
use crate::codec::MakeEncoder;
use crate::registry::find_codec;
use crate::{ConnectorKind, Gives, PlanContext, PlannedSink, PlannedSource};

/// Options of topics to read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SourceOptions {
    /// The brokers to ask first: `host:port`, several with commas.
    brokers: String,
    /// The topic, or a list of topics.
    topic: Topics,
    /// The consumer group; default `lineside-PIPELINE`.
    group: Option<String>,
    /// Where to begin when the group has read nothing yet: `earliest` or `latest`; default `latest`.
    #[serde(default)]
    start: Start,
    /// Options of librdkafka by name, for security and tuning, such as `{ "security.protocol" = "ssl" }`.
    #[serde(default)]
    options: BTreeMap<String, Setting>,
}

/// Options of a topic to write.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SinkOptions {
    /// The brokers to ask first: `host:port`, several with commas.
    brokers: String,
    /// The topic; `{column}` stands for the value of a column.
    topic: String,
    /// The column that is the key of the message, which decides its partition; default: no key.
    key: Option<String>,
    /// Columns that go along as headers; default: none.
    #[serde(default)]
    headers: Vec<String>,
    /// Options of librdkafka by name, for security and tuning, such as `{ "compression.type" = "zstd" }`.
    #[serde(default)]
    options: BTreeMap<String, Setting>,
}

/// One topic or several.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
enum Topics {
    /// One topic.
    One(String),
    /// Several topics.
    Several(Vec<String>),
}

impl<'de> Deserialize<'de> for Topics {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        match Value::deserialize(from)? {
            Value::String(topic) => Ok(Self::One(topic)),
            other => Vec::deserialize(other)
                .map(Self::Several)
                .map_err(|_| D::Error::custom("expected a topic such as \"readings\", or a list of topics")),
        }
    }
}

/// Where a new group begins.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Start {
    /// With the oldest message that Kafka still has.
    Earliest,
    /// With what comes from now on.
    #[default]
    Latest,
}

/// The connector `kafka`.
#[derive(Debug)]
pub struct KafkaKind;

impl ConnectorKind for KafkaKind {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn about(&self) -> &'static str {
        "Kafka topics: consumer groups with offsets committed after the engine took over, and an idempotent producer"
    }

    fn example(&self) -> &'static str {
        r#"[source.readings]
connector = "kafka"
brokers = "127.0.0.1:9092"
topic = "readings"
start = "earliest"
codec = { type = "json", columns = { ts = { type = "timestamp", unit = "us" }, sensor = "text", value = "float" } }

[sink.averages]
connector = "kafka"
input = "per_minute"
brokers = "127.0.0.1:9092"
topic = "averages"
key = "sensor"
"#
    }

    fn source_options(&self) -> Option<schemars::Schema> {
        Some(schemars::schema_for!(SourceOptions))
    }

    fn sink_options(&self) -> Option<schemars::Schema> {
        Some(schemars::schema_for!(SinkOptions))
    }

    fn plan_source(&self, options: &Value, context: &PlanContext<'_>) -> Result<PlannedSource, Problems> {
        let options: SourceOptions = parse_options(options)?;
        let mut problems = Problems::default();
        check_brokers(&options.brokers, &mut problems);
        let topics = match options.topic {
            Topics::One(topic) => vec![topic],
            Topics::Several(topics) => topics,
        };
        if topics.is_empty() || topics.iter().any(String::is_empty) {
            problems.push(Problem::option("topic", "there is no topic to read"));
        }
        let group = options.group.unwrap_or_else(|| format!("lineside-{}", context.pipeline));
        let start = match options.start {
            Start::Earliest => "earliest",
            Start::Latest => "latest",
        };
        let client = format!("lineside-{}-{}", context.pipeline, context.name);
        let defaults = [("client.id", client.as_str()), ("queued.max.messages.kbytes", QUEUE_KIB)];
        let ours = [
            ("bootstrap.servers", options.brokers.as_str()),
            ("group.id", &group),
            ("auto.offset.reset", start),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "false"),
        ];
        let config = match config(&defaults, &options.options, &ours) {
            Ok(config) => config,
            Err(more) => {
                problems.0.extend(more.0);
                return Err(problems);
            }
        };
        let queue = config.get("queued.max.messages.kbytes").unwrap_or(QUEUE_KIB);
        let mut explain = vec![
            format!("brokers {}, topics {}, group {group}, start {start}", options.brokers, topics.join(", ")),
            format!("buffer: {queue} KiB for each partition"),
        ];
        explain.extend(shown(&options.options));
        let plan =
            Arc::new(source::ReadPlan { name: context.name.to_owned(), brokers: options.brokers, topics, config });
        problems.or(PlannedSource {
            gives: Gives::Frames(source::metadata()),
            time: Some("kafka_timestamp"),
            bounded: false,
            unacked_limit: None,
            control: false,
            explain,
            tags: Vec::new(),
            build: Box::new(move |context| Box::new(source::KafkaSource::new(Arc::clone(&plan), context.clone()))),
        })
    }

    fn plan_sink(
        &self,
        options: &Value,
        input: &SchemaRef,
        codec: Option<MakeEncoder>,
        context: &PlanContext<'_>,
    ) -> Result<PlannedSink, Problems> {
        let options: SinkOptions = parse_options(options)?;
        let mut problems = Problems::default();
        check_brokers(&options.brokers, &mut problems);
        let route = Route::new(&options.topic, options.key.as_deref(), &options.headers, input, &mut problems);
        let encoder = match (codec, find_codec("json")) {
            (Some(encoder), _) => Some(encoder),
            (None, Some(json)) => {
                json.plan_encoder(&json!({}), input, context).map_err(|more| problems.0.extend(more.0)).ok()
            }
            (None, None) => {
                problems.push(Problem::option("codec", "this sink needs a codec").hint("add codec = { type = \"…\" }"));
                None
            }
        };
        let client = format!("lineside-{}-{}", context.pipeline, context.name);
        // Nobody waits for a batch to fill: while five requests are under way, the next batch gathers by itself.
        let defaults = [
            ("client.id", client.as_str()),
            ("enable.idempotence", "true"),
            ("linger.ms", "0"),
            ("queue.buffering.max.kbytes", QUEUE_KIB),
        ];
        let ours = [("bootstrap.servers", options.brokers.as_str())];
        let config = config(&defaults, &options.options, &ours).map_err(|more| problems.0.extend(more.0)).ok();
        let (Some(encoder), Some(config), true) = (encoder, config, problems.0.is_empty()) else {
            return Err(problems);
        };
        let queue = config.get("queue.buffering.max.kbytes").unwrap_or(QUEUE_KIB);
        let mut explain = vec![
            format!("brokers {}, topic {}", options.brokers, options.topic),
            format!("buffer: {queue} KiB; when it is full, the sink waits"),
        ];
        explain.extend(shown(&options.options));
        let plan = Arc::new(sink::WritePlan {
            name: context.name.to_owned(),
            brokers: options.brokers,
            route,
            encoder,
            config,
        });
        Ok(PlannedSink {
            control: false,
            shared: true,
            explain,
            tags: Vec::new(),
            build: Box::new(move |context| Box::new(sink::KafkaSink::new(Arc::clone(&plan), context.clone()))),
        })
    }
}

/// The bound of librdkafka's queues.
const QUEUE_KIB: &str = "32768";
