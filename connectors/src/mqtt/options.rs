//! What a pipeline file can say about MQTT.

use std::borrow::Cow;

use lineside_model::{Problem, Problems, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::broker::{Broker, Will};
use crate::{PlanContext, Secret, Tls};

/// Options of an MQTT source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttSourceOptions {
    /// The broker: mqtt://host:1883, or mqtts://host:8883 for an encrypted connection. The port may be left out.
    pub url: String,
    /// What to read: a topic template, or a list of them. {name} takes one level as a text column, {name:int} and
    /// {name:float} as a number, {name...} the rest; + and # match without a column; $share/GROUP/ in front shares the work.
    pub topic: Topics,
    /// 0: messages may be lost on the way; 1: a message is acknowledged when the engine has taken responsibility for it.
    /// Default: 1.
    pub qos: Option<u8>,
    /// The version of MQTT: "3.1.1" or "5". Default: "3.1.1".
    pub version: Option<Version>,
    /// Who we are to the broker; must be ours alone. Default: lineside-PIPELINE-SOURCE.
    pub client_id: Option<String>,
    /// Whether the broker forgets us, and all that came in the meantime, when the connection ends. Default: true at qos 0,
    /// false at qos 1.
    pub clean_session: Option<bool>,
    /// How long the broker keeps our session (version 5). Default: 1d.
    pub session_expiry: Option<Span>,
    /// How often to ping when nothing else is said, 5s at least. Default: 30s.
    pub keep_alive: Option<Span>,
    /// User name. Default: none.
    pub username: Option<String>,
    /// Password of the user. Default: none.
    pub password: Option<Secret>,
    /// Files for an encrypted connection; belongs to mqtts. Default: the authorities that the machine trusts.
    pub tls: Option<Tls>,
    /// What the broker publishes for us when we are gone without goodbye. Default: nothing.
    pub last_will: Option<LastWill>,
    /// Messages of more bytes are dropped and counted. Default: 16777216.
    pub max_packet: Option<usize>,
    /// Messages that may wait for the engine; at qos 0 more are dropped and counted. Default: 65536.
    pub buffer: Option<usize>,
    /// Bytes that may wait for the engine; at qos 0 more are dropped and counted. Default: 67108864.
    pub buffer_bytes: Option<usize>,
    /// Messages that the broker may send before the first is acknowledged (version 5). Default: 1000.
    pub receive_maximum: Option<u16>,
}

/// Options of an MQTT sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttSinkOptions {
    /// The broker: mqtt://host:1883, or mqtts://host:8883 for an encrypted connection. The port may be left out.
    pub url: String,
    /// Where to publish; {column} is the value of the row's column.
    pub topic: String,
    /// 0: messages may be lost on the way; 1: the broker confirms each message. Default: 1.
    pub qos: Option<u8>,
    /// Whether the broker keeps the last message of each topic for those who come later. Default: false.
    pub retain: Option<bool>,
    /// The version of MQTT: "3.1.1" or "5". Default: "3.1.1".
    pub version: Option<Version>,
    /// Who we are to the broker; must be ours alone. Default: lineside-PIPELINE-SINK.
    pub client_id: Option<String>,
    /// How often to ping when nothing else is said, 5s at least. Default: 30s.
    pub keep_alive: Option<Span>,
    /// User name. Default: none.
    pub username: Option<String>,
    /// Password of the user. Default: none.
    pub password: Option<Secret>,
    /// Files for an encrypted connection; belongs to mqtts. Default: the authorities that the machine trusts.
    pub tls: Option<Tls>,
    /// What the broker publishes for us when we are gone without goodbye. Default: nothing.
    pub last_will: Option<LastWill>,
}

/// The version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Version {
    /// 3.1.1, which every broker speaks.
    #[default]
    #[serde(rename = "3.1.1")]
    V3,
    /// 5, which gives reasons when it refuses.
    #[serde(rename = "5")]
    V5,
}

/// What the broker publishes for us when we are gone without goodbye.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LastWill {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: String,
    /// At which QoS, 0 or 1. Default: 1.
    pub qos: Option<u8>,
    /// Whether the broker keeps it for those who come later. Default: false.
    pub retain: Option<bool>,
}

/// One topic or several.
#[derive(Debug)]
pub struct Topics(pub Vec<String>);

impl<'de> Deserialize<'de> for Topics {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> serde::de::Visitor<'de> for OneOrMany {
            type Value = Topics;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a topic such as \"plant/{line}/{metric}\", or a list of topics")
            }
            fn visit_str<E: serde::de::Error>(self, topic: &str) -> Result<Topics, E> {
                Ok(Topics(vec![topic.to_owned()]))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Topics, A::Error> {
                let mut topics = Vec::new();
                while let Some(topic) = items.next_element()? {
                    topics.push(topic);
                }
                Ok(Topics(topics))
            }
        }
        from.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Topics {
    fn schema_name() -> Cow<'static, str> {
        "Topics".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}

/// The options that a source and a sink have in common.
pub(super) struct BrokerOptions<'o> {
    pub(super) url: &'o str,
    pub(super) version: Option<Version>,
    pub(super) client_id: Option<&'o str>,
    pub(super) keep_alive: Option<Span>,
    pub(super) username: Option<&'o str>,
    pub(super) password: Option<&'o Secret>,
    pub(super) tls: Option<&'o Tls>,
    pub(super) last_will: Option<&'o LastWill>,
}

impl BrokerOptions<'_> {
    /// Checks them, noting everything that is wrong.
    pub(super) fn plan(&self, context: &PlanContext<'_>, problems: &mut Problems) -> Option<Broker> {
        let before = problems.0.len();
        let address = address(self.url).map_err(|problem| problems.push(problem)).ok();
        let encrypted = address.as_ref().is_some_and(|address| address.encrypted);
        let tls = match (encrypted, self.tls) {
            (true, tls) => match tls.cloned().unwrap_or_default().client_config(context.folder) {
                Ok(config) => Some(config),
                Err(problem) => {
                    problems.0.extend(Problems::from(problem).within("tls").0);
                    None
                }
            },
            (false, Some(_)) if address.is_some() => {
                problems.push(
                    Problem::option("tls", "the connection is not encrypted, so tls does not apply")
                        .hint("write mqtts:// in the url, or remove tls"),
                );
                None
            }
            (false, _) => None,
        };
        let keep_alive = self.keep_alive.unwrap_or(Span::from_secs(30));
        if keep_alive < Span::from_secs(5) || keep_alive > Span::from_secs(65_535) {
            problems.push(Problem::option("keep_alive", format!("{keep_alive} is not between 5s and 18h12m15s")));
        }
        let client_id = match self.client_id {
            Some(written) => written.to_owned(),
            None => format!("lineside-{}-{}", context.pipeline, context.name),
        };
        if client_id.is_empty() || client_id.len() > 65_535 {
            problems.push(Problem::option("client_id", "a client_id has 1 to 65535 bytes"));
        }
        let login = match (self.username, self.password) {
            (Some(user), password) => Some((user.to_owned(), password.cloned().unwrap_or_else(|| Secret::new("")))),
            (None, Some(_)) => {
                problems.push(Problem::option("password", "a password needs a username").hint("add username = \"…\""));
                None
            }
            (None, None) => None,
        };
        let will = self.last_will.map(|will| {
            if will.topic.is_empty() || will.topic.contains(['+', '#', '\0']) {
                let problem = Problem::option("topic", "the topic of a last will is not empty and has no wildcard");
                problems.0.extend(Problems::from(problem).within("last_will").0);
            }
            let mut inner = Problems::default();
            let qos = check_qos("qos", will.qos, &mut inner);
            problems.0.extend(inner.within("last_will").0);
            Will { topic: will.topic.clone(), payload: will.payload.clone(), qos, retain: will.retain.unwrap_or(false) }
        });
        let address = address?;
        (problems.0.len() == before).then(|| Broker {
            url: self.url.to_owned(),
            host: address.host,
            port: address.port,
            version_5: self.version.unwrap_or_default() == Version::V5,
            client_id,
            keep_alive,
            login,
            tls,
            will,
        })
    }
}

/// The QoS of a message; 1 if the user says nothing.
pub(super) fn check_qos(option: &str, written: Option<u8>, problems: &mut Problems) -> u8 {
    let qos = written.unwrap_or(1);
    if qos > 1 {
        let hint = "use qos 1: delivery is at least once, and duplicates can be removed by a key";
        problems.push(Problem::option(option, format!("qos is 0 or 1, found {qos}")).hint(hint));
    }
    qos.min(1)
}

#[derive(Debug, PartialEq, Eq)]
struct Address {
    encrypted: bool,
    host: String,
    port: u16,
}

fn address(url: &str) -> Result<Address, Problem> {
    let usual = "an address looks like mqtt://broker.plant.local:1883 or mqtts://broker.plant.local";
    let (encrypted, rest) = match url.split_once("://") {
        Some(("mqtt", rest)) => (false, rest),
        Some(("mqtts", rest)) => (true, rest),
        _ => return Err(Problem::option("url", "the address begins with neither mqtt:// nor mqtts://").hint(usual)),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        // Not repeated: it may hold a password.
        return Err(Problem::option("url", "an address holds no user or password")
            .hint("write them as username and password = \"${MQTT_PASSWORD}\""));
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse::<u16>().ok().filter(|port| *port > 0);
            (host, port.ok_or_else(|| Problem::option("url", format!("\"{rest}\" has no valid port")).hint(usual))?)
        }
        _ => (rest, if encrypted { 8883 } else { 1883 }),
    };
    let literal_v6 = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || host.contains(['/', '?', '#', ' ']) || (host.contains(':') && !literal_v6) {
        return Err(Problem::option("url", format!("\"{rest}\" names no host")).hint(usual));
    }
    if literal_v6 && encrypted {
        return Err(Problem::option("url", "an encrypted connection needs the host's name, not its IPv6 address"));
    }
    Ok(Address { encrypted, host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_perhaps_a_port() {
        for (url, encrypted, host, port) in [
            ("mqtt://broker", false, "broker", 1883),
            ("mqtt://10.0.0.1:2883/", false, "10.0.0.1", 2883),
            ("mqtts://broker.local", true, "broker.local", 8883),
            ("mqtt://[::1]:1883", false, "[::1]", 1883),
        ] {
            assert_eq!(address(url), Ok(Address { encrypted, host: host.into(), port }), "{url}");
        }
    }

    #[test]
    fn a_wrong_address_is_told_without_its_password() {
        for url in ["broker:1883", "mqtt://", "mqtt://a:b", "mqtt://a:0", "tcp://a", "mqtt://a/b", "mqtt://::1"] {
            assert!(address(url).is_err(), "{url}");
        }
        let problem = address("mqtt://me:tiger@broker").unwrap_err();
        assert!(!problem.message.contains("tiger"), "{problem:?}");
    }
}
