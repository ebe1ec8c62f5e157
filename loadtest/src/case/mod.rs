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

mod feed;
mod limit;
mod parameters;
mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lineside_model::options::did_you_mean;
use lineside_model::{Error, Result, Span};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tempfile::TempDir;

pub use feed::Feed;
pub use limit::Rule;
pub use parameters::{Parameters, Value};

use template::Filler;

use crate::measure::Expect;
use crate::plant::{ANSWERED_KEPT, OVENS};

/// Where cases are, seen from the root of the repository; and where they were when this was built.
const FOLDERS: [&str; 2] = ["loadtest/cases", concat!(env!("CARGO_MANIFEST_DIR"), "/cases")];
const CASE: &str = "case.toml";
const PIPELINE: &str = "pipeline.toml";
/// The engine may answer polls for so long before the feeds begin and after they end.
const AROUND_SECONDS: u64 = 60;
/// What the relay is watched as.
pub const RELAY: &str = "relay";
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

/// The simulated ovens. What they see of setpoints is watched under the name `write`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ovens {
    /// How many times faster than real ovens. Default 8.
    pub time_scale: f64,
    /// A heater falls to 0 % if its power is not written again within this time. Default: never.
    pub watchdog: Option<Span>,
    /// How often the pipeline polls and answers each temperature. Then setpoints are watched from when their poll was due as well,
    /// under the name `write from due`.
    pub poll: Option<Span>,
    /// How long after its poll was due a setpoint is still in time. Default: until the next poll is due.
    pub deadline: Option<Span>,
}

impl Ovens {
    /// What its setpoints are watched as.
    pub const WATCH: &'static str = "write";
    /// The same from when its poll was due.
    pub const FROM_DUE: &'static str = "write from due";

    /// Whether the plant keeps all answers of so many seconds, and of the start before them: of one that it has forgotten the
    /// poll would count as never answered.
    fn keeps(&self, seconds: u64) -> bool {
        let Some(poll) = self.poll else { return true };
        let seconds = Duration::from_secs(seconds.saturating_add(AROUND_SECONDS)).as_secs_f64();
        seconds / poll.as_secs_f64() * OVENS.len() as f64 <= ANSWERED_KEPT as f64
    }
}

impl Default for Ovens {
    fn default() -> Self {
        Self { time_scale: 8.0, watchdog: None, poll: None, deadline: None }
    }
}

/// A hall of simulated PLCs, each on a port of its own: `${PLC_PORT_0}`, `${PLC_PORT_1}` and so on. When their polls arrive is
/// watched under the name `poll`: how late, and how many were missed. A holding register that is written answers to the input
/// register of the same address: how long after its reading is watched under the name `setpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hall {
    /// PLCs.
    pub plcs: u16,
    /// Registers of each.
    pub registers: u16,
    /// How often the pipeline polls each.
    pub poll: Span,
}

impl Hall {
    /// What its polls are watched as.
    pub const WATCH: &'static str = "poll";
    /// What setpoints are watched as that are written to it.
    pub const SETPOINTS: &'static str = "setpoint";
}

/// A relay that only forwards bytes, as the floor under what the engine does. Every other second the messages of a feed go
/// through it in place of the engine, so both see the same load on the same machine, and neither takes time from the other.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    /// The feed whose messages it gets.
    pub feed: String,
}

/// Cuts of all connections between engine and broker, from the start to the end of the feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cuts {
    /// How often.
    pub every: Span,
}

/// `case.toml` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    goal: String,
    #[serde(default = "one")]
    seed: u64,
    #[serde(default)]
    warm_up: u64,
    seconds: u64,
    #[serde(default)]
    limits: Vec<toml::Spanned<String>>,
    #[serde(default)]
    feed: BTreeMap<String, Feed>,
    #[serde(default)]
    watch: BTreeMap<String, Watch>,
    plant: Option<Ovens>,
    fleet: Option<Hall>,
    relay: Option<Relay>,
    storm: Option<Cuts>,
    /// Read before all others, as they are named in them.
    #[serde(default, rename = "parameters")]
    _parameters: IgnoredAny,
}

/// What is read of `case.toml` before its references are filled in.
#[derive(Debug, Deserialize)]
struct Declared {
    #[serde(default)]
    parameters: Parameters,
}

fn one() -> u64 {
    1
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
        let places = [PathBuf::from(name)].into_iter().chain(FOLDERS.iter().map(|folder| Path::new(folder).join(name)));
        match places.into_iter().find(|folder| folder.join(CASE).is_file()) {
            Some(folder) => Self::read(&folder, settings),
            None => {
                let known = known();
                Err(Error::user(format!("there is no load case \"{name}\""))
                    .hint(did_you_mean(name, known.iter().map(String::as_str))))
            }
        }
    }

    fn read(folder: &Path, settings: &[(String, String)]) -> Result<Self> {
        let file = folder.join(CASE);
        let unfilled = read_text(&file)?;
        let mut parameters = parse_toml::<Declared>(&file, &unfilled)?.parameters;
        let of_the_file = |error: Error| error.of(file.display());
        parameters::check(&parameters)
            .and_then(|()| parameters::set(&mut parameters, settings))
            .map_err(of_the_file)?;
        let filled = if parameters.is_empty() { None } else { Some(Arc::new(fill(folder, &parameters)?)) };
        let files = filled.as_ref().map_or(folder, |filled| filled.path());
        let text = read_text(&files.join(CASE))?;
        let written = parse_toml::<Written>(&file, &text)?;
        let Written { goal, seed, warm_up, seconds, limits, mut feed, watch, plant, fleet, relay, storm, .. } = written;
        let wrong = |message: String| Error::user(format!("{}: {message}", file.display()));
        if seconds == 0 {
            return Err(wrong("option \"seconds\" expects at least 1, found 0".to_owned()));
        }
        let of_feeds = watch.iter().map(|(name, watch)| (format!("watch \"{name}\""), &watch.feed));
        for (who, name) in of_feeds.chain(relay.iter().map(|relay| (RELAY.to_owned(), &relay.feed))) {
            if !feed.contains_key(name) {
                return Err(wrong(format!("{who} follows from a feed \"{name}\" that there is not"))
                    .hint(did_you_mean(name, feed.keys().map(String::as_str))));
            }
        }
        for (name, feed) in &feed {
            let (first, last) = (Duration::from_secs(warm_up), Duration::from_secs(warm_up + seconds));
            if feed.messages.rush.is_some_and(|rush| rush.end() < first || rush.end() >= last) {
                return Err(wrong(format!("feed \"{name}\" has a rush that does not end while it is measured"))
                    .hint("rush.from and rush.lasts are counted from the start of the feed, warm-up included"));
            }
        }
        if fleet.is_some_and(|fleet| fleet.poll <= Span::ZERO) {
            return Err(wrong("option \"fleet.poll\" expects a duration above 0".to_owned()));
        }
        if storm.is_some_and(|storm| storm.every <= Span::ZERO) {
            return Err(wrong("option \"storm.every\" expects a duration above 0".to_owned()));
        }
        if plant.is_some_and(|plant| plant.poll.is_some_and(|poll| poll <= Span::ZERO)) {
            return Err(wrong("option \"plant.poll\" expects a duration above 0".to_owned()));
        }
        if plant.is_some_and(|plant| !plant.keeps(warm_up.saturating_add(seconds))) {
            return Err(too_many_polls("option \"seconds\" is").of(file.display()));
        }
        for (name, feed) in &mut feed {
            feed.open(folder).map_err(|error| error.of(format_args!("{}: feed \"{name}\"", file.display())))?;
        }
        if let Some(relay) = relay.as_ref().filter(|relay| feed[&relay.feed].kafka.is_some()) {
            return Err(wrong(format!("relay forwards over MQTT, and feed \"{}\" goes to Kafka", relay.feed)));
        }
        if let Some((name, _)) = watch.iter().find(|(_, watch)| watch.expect.is_wrong()) {
            return Err(wrong(format!("watch \"{name}\" expects windows of no length"))
                .hint("size and slide are durations above 0"));
        }
        let mut known = watch.keys().cloned().collect::<Vec<_>>();
        known.extend(watch.keys().map(|name| format!("{name} {READINGS}")));
        known.extend(plant.map(|_| Ovens::WATCH.to_owned()));
        known.extend(plant.and_then(|plant| plant.poll).map(|_| Ovens::FROM_DUE.to_owned()));
        known.extend(fleet.iter().flat_map(|_| [Hall::WATCH, Hall::SETPOINTS].map(str::to_owned)));
        known.extend(relay.as_ref().map(|_| RELAY.to_owned()));
        let limits = limits.iter().map(|limit| {
            Rule::parse(limit.get_ref(), &known).map_err(|error| error.of(place(&file, &text, limit.span().start)))
        });
        let limits = limits.collect::<Result<Vec<_>>>()?;
        for name in limits.iter().filter_map(Rule::needs_deadline) {
            let has = match watch.get(name) {
                Some(watch) => watch.deadline.is_some(),
                None => name == Ovens::FROM_DUE,
            };
            if !has {
                return Err(wrong(format!("\"{name} missed\" has a limit, and \"{name}\" no deadline"))
                    .hint("write deadline = \"10ms\" under what is watched, or poll under [plant]"));
            }
        }
        let pipeline = files.join(PIPELINE);
        let table = parse_toml(&folder.join(PIPELINE), &read_text(&pipeline)?)?;
        let (mqtt_sources, kafka_sources) = (sources(&table, "mqtt"), sources(&table, "kafka"));
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        Ok(Self {
            name,
            goal,
            seed,
            warm_up,
            seconds,
            pipeline,
            mqtt_sources,
            kafka_sources,
            feeds: feed,
            watches: watch,
            plant,
            fleet,
            relay,
            storm,
            limits,
            parameters,
            _filled: filled,
        })
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

fn too_many_polls(what: &str) -> Error {
    Error::user(format!("{what} too long for a plant polled so often: it keeps its latest {ANSWERED_KEPT} setpoints"))
        .hint("fewer seconds, or a longer poll under [plant] and in the pipeline")
}

/// The cases that there are.
fn known() -> Vec<String> {
    let folder = FOLDERS.iter().find_map(|folder| std::fs::read_dir(folder).ok());
    let mut names = folder
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join(CASE).is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect::<Vec<_>>();
    names.sort();
    names
}

/// The files of a case with its parameters filled in, in a folder of their own.
fn fill(folder: &Path, parameters: &Parameters) -> Result<TempDir> {
    let cannot = |what: &Path, error: std::io::Error| {
        Error::external(format!("cannot fill in {}", what.display())).caused_by(error)
    };
    let filled = tempfile::tempdir().map_err(|error| cannot(folder, error))?;
    let mut filler = Filler::new(parameters);
    for entry in std::fs::read_dir(folder).map_err(|error| cannot(folder, error))? {
        let file = entry.map_err(|error| cannot(folder, error))?.path();
        let Some(name) = file.file_name().filter(|_| file.is_file()) else { continue };
        let bytes = std::fs::read(&file).map_err(|error| cannot(&file, error))?;
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => {
                let text = filler.fill(&text).map_err(|error| error.of(file.display()))?;
                text.into_bytes()
            }
            // A file that is no text names no parameter.
            Err(no_text) => no_text.into_bytes(),
        };
        std::fs::write(filled.path().join(name), bytes).map_err(|error| cannot(&file, error))?;
    }
    match filler.unused() {
        None => Ok(filled),
        Some(name) => {
            Err(Error::user(format!("{}: parameter \"{name}\" is used nowhere", folder.join(CASE).display()))
                .hint(format!("write \"${{{name}}}\" in a file of the case, or take it out")))
        }
    }
}

fn read_text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| Error::user(format!("cannot read {}", file.display())).caused_by(error))
}

fn parse_toml<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Error::user(error.message().to_owned()).of(place(file, text, at))
    })
}

/// File, line and column of a byte.
fn place(file: &Path, text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{}:{line}:{column}", file.display())
}

/// How many sources of a pipeline have this connector.
fn sources(pipeline: &toml::Table, of: &str) -> usize {
    let sources = pipeline.get("source").and_then(toml::Value::as_table);
    let connectors = sources.into_iter().flat_map(|sources| sources.values()).filter_map(|one| one.get("connector"));
    connectors.filter(|connector| connector.as_str() == Some(of)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPELINE_TEXT: &str = "[source.plant]\nconnector = \"mqtt\"\n[source.plc]\nconnector = \"modbus\"\n";

    fn read(case: &str) -> Result<Case> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join(CASE), case).expect("it can be written");
        std::fs::write(folder.path().join(PIPELINE), PIPELINE_TEXT).expect("it can be written");
        Case::read(folder.path(), &[])
    }

    fn told(case: &str) -> String {
        let error = read(case).expect_err("it is wrong").to_string();
        let (_, told) = error.split_once(CASE).expect("it names the file");
        told.to_owned()
    }

    #[test]
    fn every_case_of_the_project_can_be_read() {
        let cases = known();
        assert!(!cases.is_empty());
        for name in cases {
            let case = Case::open(&name).expect("it is right");
            assert!(!case.limits.is_empty(), "{name} holds nothing");
        }
    }

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
    fn what_is_wrong_is_told_with_its_place() {
        assert!(told("goal = \"g\"\nseconds = 5\nsecond = 6\n").starts_with(":3:1: unknown field `second`"));
        assert_eq!(
            told("goal = \"g\"\nseconds = 5\nlimits = [\n    \"alarm p99 at most 1ms\",\n]\n"),
            ":4:5: limit \"alarm p99 at most 1ms\": nothing of the name \"alarm\" is watched"
        );
        assert_eq!(
            told("goal = \"g\"\nseconds = 5\n[relay]\nfeed = \"plant\"\n"),
            ": relay follows from a feed \"plant\" that there is not"
        );
        assert_eq!(
            told("goal = \"g\"\nseconds = 5\n[feed.plant]\nmessages = { sensors = 0 }\n"),
            ": feed \"plant\": option \"sensors\" expects at least 1, found 0"
        );
        assert_eq!(
            told("goal = \"g\"\nseconds = 5\n[feed.plant]\nkafka = {}\n[relay]\nfeed = \"plant\"\n"),
            ": relay forwards over MQTT, and feed \"plant\" goes to Kafka"
        );
    }

    #[test]
    fn a_plant_is_not_polled_more_often_than_its_setpoints_are_kept() {
        let case = |seconds: u64| format!("goal = \"g\"\nseconds = {seconds}\n[plant]\npoll = \"10ms\"\n");
        let hour = told(&case(3_600));
        assert_eq!(
            hour,
            ": option \"seconds\" is too long for a plant polled so often: it keeps its latest 1048576 setpoints"
        );
        let half = read(&case(1_800)).expect("it is right");
        assert!(half.over(3_600).is_err());
    }

    #[test]
    fn parameters_are_filled_into_all_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it can be written");
        write(
            CASE,
            "goal = \"${sensors} sensors\"\nseconds = 5\n[parameters]\nsensors = 100\nplcs = 2\n\
             [feed.plant]\nmessages = { sensors = \"${sensors}\" }\n",
        );
        write(PIPELINE, "# for plc in 0..${plcs}\n[source.\"s${plc}\"]\nconnector = \"mqtt\"\n# end\n");
        let with = |name: &str, text: &str| Case::read(folder.path(), &[(name.to_owned(), text.to_owned())]);
        let case = with("sensors", "5000").expect("it is right");
        assert_eq!((case.goal.as_str(), case.feeds["plant"].messages.sensors), ("5000 sensors", 5_000));
        assert_eq!(case.mqtt_sources, 2);
        assert_eq!(with("plcs", "3").expect("it is right").mqtt_sources, 3);
        let pipeline = std::fs::read_to_string(&case.pipeline).expect("it lasts as long as the case");
        assert!(pipeline.starts_with("[source.\"s0\"]"), "{pipeline}");
        let told = |name: &str, text: &str| with(name, text).expect_err("it is wrong").to_string();
        assert!(told("plc", "3").ends_with("case.toml: there is no parameter \"plc\"; there are plcs, sensors"));
        assert!(told("plcs", "x").ends_with("parameter \"plcs\" expects a whole number, found \"x\""));
        assert!(told("sensors", "0").ends_with("feed \"plant\": option \"sensors\" expects at least 1, found 0"));
        write(PIPELINE, "[source.s0]\nconnector = \"mqtt\"\n");
        assert!(told("sensors", "5").ends_with("case.toml: parameter \"plcs\" is used nowhere"));
        write(PIPELINE, "[source.s0]\nconnector = \"${kind}\"\n");
        assert!(
            told("sensors", "5")
                .ends_with("pipeline.toml: line 2: there is no parameter \"kind\"; there are plcs, sensors")
        );
    }

    #[test]
    fn a_case_that_is_not_there_is_told() {
        let error = Case::open("tumblin").expect_err("there is none");
        assert_eq!(error.cure(), Some("did you mean \"tumbling\"?"));
    }
}
