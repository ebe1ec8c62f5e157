//! What the user sets of librdkafka, checked when the pipeline is, and shown without its secrets.

use std::collections::BTreeMap;
use std::fmt;

use lineside_model::{At, Problem, Problems};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

/// A value of a librdkafka option: text, a number, or true or false.
#[derive(Clone, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Setting {
    /// Text.
    Text(String),
    /// A number.
    Number(f64),
    /// True or false.
    Flag(bool),
}

// A setting may be a password, so it is never printed without its key.
impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        match serde_json::Value::deserialize(from)? {
            serde_json::Value::String(text) => Ok(Self::Text(text)),
            serde_json::Value::Bool(flag) => Ok(Self::Flag(flag)),
            serde_json::Value::Number(number) => {
                number.as_f64().map(Self::Number).ok_or_else(|| D::Error::custom("expected a number"))
            }
            _ => Err(D::Error::custom("expected text, a number, or true or false")),
        }
    }
}

impl Setting {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}

/// Options of librdkafka that lineside sets, with the reason why nobody else does.
const OURS: &[(&str, &str)] = &[
    ("bootstrap.servers", "is the option brokers"),
    ("metadata.broker.list", "is the option brokers"),
    ("group.id", "is the option group"),
    ("auto.offset.reset", "is the option start"),
    ("enable.auto.commit", "is off: offsets are committed when the engine has taken responsibility for what was read"),
    ("auto.commit.enable", "is off: offsets are committed when the engine has taken responsibility for what was read"),
    ("auto.commit.interval.ms", "has no effect: offsets are committed when the engine has taken responsibility"),
    (
        "enable.auto.offset.store",
        "is off: offsets are committed when the engine has taken responsibility for what was read",
    ),
    ("enable.partition.eof", "is off: a topic has no end"),
    ("delivery.report.only.error", "is off: every delivery is waited for"),
    ("transactional.id", "is not used: delivery is at least once, and without duplicates while the connection lasts"),
    ("log_level", "is the log level of lineside"),
    ("statistics.interval.ms", "is not used: lineside counts by itself"),
];

/// Whether a value must not be shown.
fn is_secret(key: &str) -> bool {
    ["password", "secret", "key", "token", "pem", "sasl.jaas"].iter().any(|word| key.contains(word))
}

/// Makes the configuration of a client from defaults, the user's options, and what is ours.
///
/// # Errors
/// Every option that librdkafka does not know or take, and every one that is ours.
pub(super) fn config(
    defaults: &[(&str, &str)],
    options: &BTreeMap<String, Setting>,
    ours: &[(&str, &str)],
) -> Result<ClientConfig, Problems> {
    let mut problems = Problems::default();
    for (key, value) in options {
        let at = || At::Option(vec!["options".to_owned(), key.clone()]);
        if let Some((_, why)) = OURS.iter().find(|(name, _)| name == key) {
            problems.push(Problem { at: at(), message: format!("\"{key}\" cannot be set here: it {why}"), hint: None });
            continue;
        }
        let refused = ClientConfig::new().set(key, value.text()).create_native_config().err();
        if let Some(KafkaError::ClientConfig(_, why, ..)) = refused {
            let message = if is_secret(key) {
                format!("librdkafka does not take the value of \"{key}\"")
            } else {
                format!("librdkafka does not take \"{key}\" = \"{}\": {}", value.text(), why.trim_end_matches('.'))
            };
            problems.push(Problem {
                at: at(),
                message,
                hint: Some("the names and values are those of librdkafka's CONFIGURATION.md".to_owned()),
            });
        }
    }
    let mut config = ClientConfig::new();
    for (key, value) in defaults {
        config.set(*key, *value);
    }
    for (key, value) in options {
        config.set(key, value.text());
    }
    for (key, value) in ours {
        config.set(*key, *value);
    }
    // Some options only clash with each other, and librdkafka says so when a client is made; here what it can say without one.
    if problems.0.is_empty()
        && let Err(KafkaError::ClientConfig(_, why, key, _)) = config.create_native_config()
    {
        problems.push(Problem::option("options", format!("librdkafka does not take \"{key}\": {why}")));
    }
    problems.or(config)
}

/// The user's options for `explain`.
pub(super) fn shown(options: &BTreeMap<String, Setting>) -> Option<String> {
    if options.is_empty() {
        return None;
    }
    let all = options.iter().map(|(key, value)| {
        let value = if is_secret(key) { "***".to_owned() } else { value.text() };
        format!("{key} = {value}")
    });
    Some(format!("librdkafka: {}", all.collect::<Vec<_>>().join(", ")))
}

/// Checks the option `brokers`.
pub(super) fn check_brokers(brokers: &str, problems: &mut Problems) {
    for broker in brokers.split(',').map(str::trim) {
        let host = broker.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if host.is_none() {
            problems.push(
                Problem::option("brokers", format!("\"{broker}\" is not HOST:PORT"))
                    .hint("write brokers = \"kafka1:9092,kafka2:9092\""),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, Setting> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Setting::Text((*value).to_owned()))).collect()
    }

    #[test]
    fn options_that_are_ours_or_unknown_or_wrong_are_all_told() {
        let wrong = options(&[
            ("group.id", "x"),
            ("fetch.min.bites", "1"),
            ("fetch.min.bytes", "many"),
            ("ssl.key.password", "s3cr3t\u{0}"),
        ]);
        let told = config(&[], &wrong, &[]).expect_err("wrong options").to_string();
        for part in ["\"group.id\" cannot be set here", "fetch.min.bites", "fetch.min.bytes"] {
            assert!(told.contains(part), "{part} not in: {told}");
        }
        assert!(!told.contains("s3cr3t"), "{told}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown =
            shown(&options(&[("sasl.password", "s3cr3t"), ("ssl.keystore.password", "s3cr3t"), ("linger.ms", "5")]));
        assert_eq!(
            shown.as_deref(),
            Some("librdkafka: linger.ms = 5, sasl.password = ***, ssl.keystore.password = ***")
        );
    }
}
