//! What sends messages: a made-up plant or a recorded trace, to the MQTT broker or to Kafka.

use std::path::Path;
use std::time::Duration;

use lineside_model::{Error, Result, Span, Timestamp};
use serde::Deserialize;

use crate::feed::{KafkaOptions, MqttOptions};
use crate::synthetic::{self, Message, Messages, Multiplied, Multiply};

/// What sends messages.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// The sensors and what they tell. Their seed and how long they tell are those of the case.
    #[serde(default)]
    pub messages: synthetic::Options,
    /// A recorded trace in their place.
    pub trace: Option<Multiply>,
    /// How it goes to the MQTT broker.
    #[serde(default)]
    pub mqtt: MqttOptions,
    /// How it goes to Kafka, in place of MQTT.
    pub kafka: Option<KafkaOptions>,
    /// The trace as it is sent.
    #[serde(skip)]
    recorded: Option<Multiplied>,
}

impl Feed {
    /// Checks it and reads its trace, which stands in the folder of the case.
    pub(super) fn open(&mut self, folder: &Path) -> Result<()> {
        self.messages.check()?;
        if self.kafka.is_some() && self.mqtt != MqttOptions::default() {
            return Err(Error::user("it goes to MQTT or to Kafka, found both").hint("leave out mqtt or kafka"));
        }
        if let Some(kafka) = &self.kafka {
            kafka.check()?;
        }
        if let Some(trace) = &self.trace {
            if self.messages != synthetic::Options::default() {
                return Err(
                    Error::user("it sends made-up messages or a trace, found both").hint("leave out messages or trace")
                );
            }
            self.recorded = Some(Multiplied::new(&trace.open(folder)?, trace)?);
        }
        Ok(())
    }

    /// Messages a second, on average.
    pub fn rate(&self) -> f64 {
        self.recorded.as_ref().map_or(self.messages.rate, Multiplied::rate)
    }

    /// The names of its sensors by their numbers, where they are not `s0`, `s1` and so on.
    pub fn names(&self) -> Option<Vec<String>> {
        self.recorded.as_ref().map(Multiplied::names)
    }

    /// Makes it so many times faster.
    pub(super) fn speed_up(&mut self, times: f64) -> Result<()> {
        match self.recorded.take() {
            Some(recorded) => {
                let rate = recorded.rate() * times;
                synthetic::check_above_0("rate", rate)?;
                self.recorded = Some(recorded.at_rate(rate));
                Ok(())
            }
            None => {
                self.messages.rate *= times;
                self.messages.check()
            }
        }
    }

    /// Its messages in the order in which they are due, of so many seconds, with event times that begin there.
    ///
    /// # Errors
    /// An option is out of its range.
    pub fn schedule(&self, seed: u64, seconds: u64, began: Timestamp) -> Result<Schedule> {
        match &self.recorded {
            Some(recorded) => {
                Ok(Schedule::Recorded(recorded.clone().starting(began).lasting(Duration::from_secs(seconds))))
            }
            None => {
                let mut options = self.messages.clone();
                options.seed = seed;
                options.lasts = Some(Span::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)));
                Ok(Schedule::MadeUp(Messages::new(&options)?.starting(began)))
            }
        }
    }
}

/// The messages of a feed.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Of a made-up plant.
    MadeUp(Messages),
    /// Of a trace.
    Recorded(Multiplied),
}

impl Iterator for Schedule {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        match self {
            Self::MadeUp(messages) => messages.next(),
            Self::Recorded(messages) => messages.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(text: &str) -> Result<Feed> {
        let mut feed = toml::from_str::<Feed>(text).expect("a feed");
        feed.open(Path::new(".")).map(|()| feed)
    }

    #[test]
    fn a_trace_is_sent_at_the_rate_of_the_case() {
        let mut feed = feed("trace = { file = \"nab\", copies = 5, rate = 1_000.0 }").expect("it is right");
        assert!((feed.rate() - 1_000.0).abs() < 1e-6);
        assert_eq!(feed.names().map(|names| names.len()), Some(10));
        let slow = feed.schedule(1, 6, Timestamp(50)).expect("it is right").count();
        feed.speed_up(3.0).expect("a rate");
        let messages = feed.schedule(1, 2, Timestamp(50)).expect("it is right").collect::<Vec<_>>();
        assert!(messages.iter().all(|message| message.due < Duration::from_secs(2)));
        assert_eq!(messages.len(), slow, "three times as fast, it is through in a third of the time");
        assert_eq!(messages[0].ts, Timestamp(50));
    }

    #[test]
    fn what_contradicts_itself_is_told() {
        for (text, told) in [
            ("kafka = {}\nmqtt = { qos = 1 }", "it goes to MQTT or to Kafka, found both"),
            (
                "trace = { file = \"nab\" }\nmessages = { rate = 5.0 }",
                "it sends made-up messages or a trace, found both",
            ),
            ("trace = { file = \"nowhere.csv\" }", "cannot read trace \"./nowhere.csv\""),
            (
                "trace = { file = \"nab\", rate = 5.0, speed = 2.0 }",
                "options \"rate\" and \"speed\" exclude each other",
            ),
            ("kafka = { partitions = 0 }", "option \"partitions\" expects at least 1, found 0"),
        ] {
            let error = feed(text).expect_err("it is wrong").to_string();
            assert!(error.starts_with(told), "{error}");
        }
    }
}
