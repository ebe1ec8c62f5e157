//! A load case: a folder that says what is to be shown, with which load, and what has to hold.
//!
//! | file | what |
//! | --- | --- |
//! | `case.toml` | goal, seed, warm-up, length, feeds, what is watched, limits |
//! | `pipeline.toml` | the pipeline, as the engine reads it; `${MQTT_PORT}`, `${KAFKA_PORT}`, `${PLC_PORT}` and `${PLC_PORT_0}` … say where the plant is |
//! | others | what the pipeline names: register maps, loop tables |
//!
//! A case may have [`Parameters`], which all its files can name: `${sensors}`, `# for plc in 0..${plcs}`; how is told in
//! `template.rs`.
//!
//! ```toml
//! goal = "an alarm is out soon after its reading came in"
//! seed = 7
//! warm_up = 3
//! seconds = 20
//! limits = ["alarm p99 at most 2 times relay p99", "alarm lost at most 0"]
//!
//! [feed.plant]
//! messages = { sensors = 100, rate = 10_000.0, signal = { level = 180.0 } }
//! mqtt = { connections = 4, topic = "plant/{sensor}" }
//!
//! [watch.alarm]
//! topic = "alarms/#"
//! feed = "plant"
//! expect = { above = { limit = 90.0 } }
//!
//! [relay]
//! feed = "plant"
//! ```

mod cuts;
mod feed;
mod folder;
mod hall;
mod limit;
mod ovens;
mod parameters;
mod quantity;
mod relay;
mod template;
mod unit;
mod watch;
mod written;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lineside_model::{Error, Result};
use tempfile::TempDir;

pub use cuts::Cuts;
pub use feed::Feed;
pub use hall::Hall;
pub use limit::Rule;
pub use ovens::Ovens;
pub use parameters::{Parameters, Value};
pub use relay::{RELAY, Relay};
pub use watch::{Over, Watch};

use ovens::too_many_polls;

/// Behind the name of a watch: the readings in its windows.
pub const READINGS: &str = "readings";

/// A load case, checked.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of its folder.
    pub name: String,
    /// What it is to show, one line.
    pub goal: String,
    /// What chance is made from, in all feeds and in the plant.
    pub seed: u64,
    /// Seconds that are accounted for and not measured.
    pub warm_up: u64,
    /// Seconds that are measured.
    pub seconds: u64,
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// How many sources of the pipeline read from the MQTT broker.
    pub mqtt_sources: usize,
    /// How many read from Kafka.
    pub kafka_sources: usize,
    /// What sends, by its name.
    pub feeds: BTreeMap<String, Feed>,
    /// What comes out, by its name.
    pub watches: BTreeMap<String, Watch>,
    /// The simulated ovens, if the pipeline controls them.
    pub plant: Option<Ovens>,
    /// The hall of PLCs, if the pipeline polls one.
    pub fleet: Option<Hall>,
    /// The relay, if there is one.
    pub relay: Option<Relay>,
    /// What cuts the connections of the engine, if anything does.
    pub storm: Option<Cuts>,
    /// What has to hold.
    pub limits: Vec<Rule>,
    /// What may be varied, as it is set.
    pub parameters: Parameters,
    /// Where the files are that were made of those of the case, if it has parameters.
    _filled: Option<Arc<TempDir>>,
}

impl Case {
    /// Finds a case by its name, or by the path of its folder, and reads it.
    ///
    /// # Errors
    /// There is no such case, or something is wrong with its files; the error tells where.
    pub fn open(name: &str) -> Result<Self> {
        Self::open_with(name, &[])
    }

    /// The same with some of its parameters set, each by its name and a text.
    ///
    /// # Errors
    /// As [`Case::open`]; or there is no such parameter, or its value is not of the kind of its default.
    pub fn open_with(name: &str, settings: &[(String, String)]) -> Result<Self> {
        Self::read(&folder::find(name)?, settings)
    }

    /// Messages a second, of all feeds together.
    pub fn rate(&self) -> f64 {
        self.feeds.values().map(Feed::rate).sum()
    }

    /// The topics of Kafka that it needs, each with its partitions; none if it does without Kafka.
    pub fn kafka_topics(&self) -> BTreeMap<&str, i32> {
        let watched = self.watches.values().filter(|watch| watch.over == Over::Kafka);
        let fed = self.feeds.values().filter_map(|feed| feed.kafka.as_ref());
        // What is fed says how many partitions; what comes out is read as one.
        let watched = watched.map(|watch| (watch.topic.as_str(), 1));
        watched.chain(fed.map(|kafka| (kafka.topic.as_str(), i32::from(kafka.partitions)))).collect()
    }

    /// The same case at so many messages a second: all feeds become faster or slower in proportion.
    ///
    /// # Errors
    /// The rate is not above 0, or there is no feed.
    pub fn at_rate(mut self, rate: f64) -> Result<Self> {
        let before = self.rate();
        if self.feeds.is_empty() {
            return Err(Error::user(format!("case \"{}\" has no feed to set a rate of", self.name)));
        }
        for feed in self.feeds.values_mut() {
            feed.speed_up(rate / before)?;
        }
        Ok(self)
    }

    /// The same case over so many seconds.
    ///
    /// # Errors
    /// There are none, or more than the setpoints of the plant are kept for.
    pub fn over(mut self, seconds: u64) -> Result<Self> {
        if seconds == 0 {
            return Err(Error::user("a run takes at least 1 second, found 0"));
        }
        if self.plant.is_some_and(|plant| !plant.keeps(self.warm_up.saturating_add(seconds))) {
            return Err(too_many_polls(&format!("{seconds} seconds are")));
        }
        self.seconds = seconds;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::written::tests::read;
    use super::*;

    #[test]
    fn a_rate_is_shared_out_among_the_feeds() {
        let case = read(
            "goal = \"g\"\nseconds = 5\n[feed.one]\nmessages = { rate = 100.0 }\n[feed.two]\nmessages = { rate = 300.0 }\n",
        );
        let case = case.expect("it is right").at_rate(1_000.0).expect("a rate");
        assert_eq!((case.rate(), case.feeds["one"].messages.rate), (1_000.0, 250.0));
        assert_eq!(case.mqtt_sources, 1);
        assert!(case.at_rate(0.0).is_err());
    }

    #[test]
    fn topics_of_kafka_are_those_that_are_fed_and_watched() {
        let case = read(
            "goal = \"g\"\nseconds = 5\n[feed.plant]\nkafka = { topic = \"in\", partitions = 3 }\n[watch.all]\n\
             topic = \"out\"\nover = \"kafka\"\nfeed = \"plant\"\nexpect = { each = {} }\n",
        );
        let case = case.expect("it is right");
        assert_eq!(case.kafka_topics(), BTreeMap::from([("in", 3), ("out", 1)]));
    }

    #[test]
    fn a_case_that_is_not_there_is_told() {
        let error = Case::open("tumblin").expect_err("there is none");
        assert_eq!(error.cure(), Some("did you mean \"tumbling\"?"));
    }
}
