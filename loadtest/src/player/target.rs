//! Where a trace is played to, as one writes it: `mqtt://host:1883/plant`, `kafka://host:9092/readings`, `stdout`.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use lineside_model::{Error, Result};

/// Where a trace is played to.
pub enum Target {
    /// An MQTT 3.1.1 broker.
    Mqtt(MqttAddress),
    /// A topic of a Kafka cluster.
    Kafka {
        /// `host:port`, several separated by commas.
        brokers: String,
        /// The topic; keys are the names of the sensors.
        topic: String,
    },
    /// One message a line.
    Lines(Box<dyn Write + Send>),
}

/// An MQTT broker and the first levels of the topics.
#[derive(Clone, PartialEq, Eq)]
pub struct MqttAddress {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name and password.
    pub login: Option<(String, String)>,
    /// What the topics begin with; may be empty.
    pub prefix: String,
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // The text may hold a password, so no message repeats it.
        let wrong = || {
            Error::user("this is not a place to play a trace to")
                .hint("write mqtt://host:1883/topic-prefix, kafka://host:9092/topic or stdout")
        };
        if text == "stdout" || text == "-" {
            return Ok(Self::Lines(Box::new(std::io::stdout())));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        match scheme {
            "mqtt" => {
                let (login, place) = match authority.rsplit_once('@') {
                    Some((login, place)) => (Some(login.split_once(':').unwrap_or((login, ""))), place),
                    None => (None, authority),
                };
                let (host, port) = match place.rsplit_once(':') {
                    Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
                    None => (place, 1883),
                };
                if host.is_empty() {
                    return Err(wrong());
                }
                Ok(Self::Mqtt(MqttAddress {
                    host: host.to_owned(),
                    port,
                    login: login.map(|(user, password)| (user.to_owned(), password.to_owned())),
                    prefix: path.trim_end_matches('/').to_owned(),
                }))
            }
            "kafka" if !authority.is_empty() && !path.is_empty() => {
                Ok(Self::Kafka { brokers: authority.to_owned(), topic: path.to_owned() })
            }
            "kafka" => {
                Err(Error::user("a Kafka address needs a broker and a topic").hint("write kafka://host:9092/topic"))
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Debug for MqttAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mqtt://{}:{}/{}", self.host, self.port, self.prefix)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mqtt(address) => address.fmt(f),
            Self::Kafka { brokers, topic } => write!(f, "kafka://{brokers}/{topic}"),
            Self::Lines(_) => f.write_str("lines"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_in_its_parts() {
        let Ok(Target::Mqtt(address)) = "mqtt://anna:s:3@broker:1884/plant/hall2/".parse() else { panic!("not taken") };
        assert_eq!((address.host.as_str(), address.port, address.prefix.as_str()), ("broker", 1884, "plant/hall2"));
        assert_eq!(address.login, Some(("anna".to_owned(), "s:3".to_owned())));
        let Ok(Target::Mqtt(address)) = "mqtt://broker".parse() else { panic!("not taken") };
        assert_eq!((address.port, address.prefix.as_str(), address.login), (1883, "", None));
        let Ok(Target::Kafka { brokers, topic }) = "kafka://a:9092,b:9092/readings".parse() else {
            panic!("not taken")
        };
        assert_eq!((brokers.as_str(), topic.as_str()), ("a:9092,b:9092", "readings"));
    }

    #[test]
    fn a_password_is_never_shown() {
        let target = "mqtt://anna:secret@broker/plant".parse::<Target>().expect("a good address");
        assert_eq!(format!("{target:?}"), "mqtt://broker:1883/plant");
        let error = "mqtt://anna:secret@broker:port".parse::<Target>().expect_err("not a port");
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "file", "http://host/x", "mqtt://", "mqtt://:1883", "kafka://host:9092", "kafka:///topic"] {
            assert!(text.parse::<Target>().is_err(), "{text} was taken");
        }
    }
}
