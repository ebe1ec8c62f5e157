//! `case.toml` as it is written, and the case that it makes: all that can be wrong with it is told here, with its place.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lineside_model::options::did_you_mean;
use lineside_model::{Error, Result, Span};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::folder::{CASE, PIPELINE, fill, parse_toml, place, read_text};
use super::ovens::too_many_polls;
use super::parameters::{self, Parameters};
use super::{Case, Cuts, Feed, Hall, Ovens, READINGS, RELAY, Relay, Rule, Watch};

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
    /// Reads the case of a folder, with some of its parameters set.
    pub(super) fn read(folder: &Path, settings: &[(String, String)]) -> Result<Self> {
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
}

/// How many sources of a pipeline have this connector.
fn sources(pipeline: &toml::Table, of: &str) -> usize {
    let sources = pipeline.get("source").and_then(toml::Value::as_table);
    let connectors = sources.into_iter().flat_map(|sources| sources.values()).filter_map(|one| one.get("connector"));
    connectors.filter(|connector| connector.as_str() == Some(of)).count()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const PIPELINE_TEXT: &str = "[source.plant]\nconnector = \"mqtt\"\n[source.plc]\nconnector = \"modbus\"\n";

    /// A case from such a `case.toml`, in a folder that is gone again.
    pub(in crate::case) fn read(case: &str) -> Result<Case> {
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
}
