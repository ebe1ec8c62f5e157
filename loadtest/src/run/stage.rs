//! All that takes part in a run: broker, plant, engine, feeders and those who look on. Dropping it ends them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use lineside_model::{Error, Reason, Result, Span, Timestamp};
use serde_json::Value;

use crate::case::{Case, Feed, Hall, Ovens, Over, READINGS, RELAY, Watch};
use crate::clock;
use crate::engine::{Engine, Usage};
use crate::feed::{Feeder, Running};
use crate::fleet::{Fleet, FleetOptions};
use crate::kafka_node::{KafkaNode, readers};
use crate::measure::{Expect, Expected, Lateness};
use crate::mosquitto::Mosquitto;
use crate::outcome::{Account, Deadline, Latency, Limit, Outcome, Second, StageTime};
use crate::plant::{OVENS, Plant, PlantOptions, Script};
use crate::relay::Relay;
use crate::storm::Storm;
use crate::synthetic::Message;
use crate::watch::{Shared, Subscriber, Writes, from_due};

/// Clients of the engine have names that begin so.
const ENGINE_CLIENTS: &str = "lineside-";
/// How long the engine may take until it reads from the plant.
const START_MAX: Duration = Duration::from_secs(20);
/// How often one looks whether something has happened.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Feeders and watchers have so long to connect before the first message is due, and so much longer for each connection.
const LEAD: Span = Span::from_millis(500);
const LEAD_EACH: Span = Span::from_millis(5);
/// When nothing has come for so long, nothing more will; after the engine has ended, for so long.
const QUIET: Duration = Duration::from_secs(2);
/// After a storm the engine may be waiting for its next attempt to connect.
const QUIET_AFTER_STORM: Duration = Duration::from_secs(30);
const QUIET_AT_LAST: Duration = Duration::from_millis(300);
/// The messages of the relay have topics that begin so, and those that it has forwarded this one.
const TO_RELAY: &str = "to-relay/";
const RELAYED: &str = "relayed";

/// What takes part in a run.
pub(super) struct Stage {
    // In this order they end: those who need others first.
    feeds: Vec<(String, Running)>,
    watches: Vec<Watching>,
    relay: Option<Relay>,
    engine: Option<Engine>,
    plant: Option<(Plant, Option<Writes>)>,
    ovens: Option<Ovens>,
    first_output: Option<Duration>,
    fleet: Option<(Fleet, Span, Option<Writes>)>,
    storm: Option<Storm>,
    kafka: Option<KafkaNode>,
    broker: Mosquitto,
    begins: Instant,
    began: Timestamp,
    warm_up: u64,
    arrived_before: u64,
}

/// Something that is watched.
struct Watching {
    name: String,
    through: Option<Vec<String>>,
    deadline: Option<Span>,
    books: Shared,
    subscriber: Subscriber,
}

/// Which seconds of a feed.
#[derive(Clone, Copy)]
enum Seconds {
    All,
    Even,
    Odd,
}

impl Stage {
    /// Starts everything; the feeds begin a moment later.
    pub(super) async fn start(case: &Case, lineside: &Path) -> Result<Self> {
        let broker = Mosquitto::start()?;
        let topics = case.kafka_topics();
        let kafka = match topics.is_empty() && case.kafka_sources == 0 {
            true => None,
            false => Some(KafkaNode::start().await?),
        };
        if let Some(kafka) = &kafka {
            kafka.make_topics(&topics).await?;
        }
        let looker = kafka.as_ref().map(KafkaNode::looker).transpose()?;
        let plant = case.plant.map(|ovens| start_plant(ovens, case.seed)).transpose()?;
        let plc_port = plant.as_ref().map_or(0, Plant::port);
        let storm = case.storm.map(|cuts| {
            let lasts = lead(case).to_std() + Duration::from_secs(case.warm_up + case.seconds);
            Storm::start(broker.port(), cuts.every.to_std(), lasts)
        });
        let storm = storm.transpose()?;
        let mqtt_port = storm.as_ref().map_or(broker.port(), Storm::port);
        let fleet = case.fleet.map(|hall| start_fleet(hall, case.seed)).transpose()?;
        let mut environment =
            vec![("MQTT_PORT".to_owned(), mqtt_port.to_string()), ("PLC_PORT".to_owned(), plc_port.to_string())];
        environment.extend(kafka.iter().map(|kafka| ("KAFKA_PORT".to_owned(), kafka.port().to_string())));
        for (number, port) in fleet.iter().flat_map(|fleet| fleet.ports()).enumerate() {
            environment.push((format!("PLC_PORT_{number}"), port.to_string()));
        }
        let mut engine = Engine::start(lineside, &case.pipeline, &environment)?;
        let polled =
            || fleet.as_ref().is_none_or(|fleet| (0..fleet.ports().len()).all(|plc| fleet.poll_count(plc) > 0));
        let written = || plant.as_ref().is_none_or(|plant| plant.write_count() > 0);
        let subscribed = || broker.subscriptions(ENGINE_CLIENTS) >= case.mqtt_sources;
        let read = async || -> Result<bool> {
            let Some(looker) = &looker else { return Ok(true) };
            Ok(readers(looker).await? >= case.kafka_sources)
        };
        until(&mut engine, async || Ok(subscribed() && written() && polled() && read().await?)).await?;
        // Seen by the plant itself, so that it does not depend on how often one looks.
        let first_write = plant.as_ref().and_then(|plant| Some(plant.started() + plant.answered().first()?.written));
        let first_output = first_write.map(|at| at.saturating_duration_since(engine.started()));

        let began = clock::now() + lead(case);
        let begins = clock::monotonic() + lead(case).to_std();
        let mut stage = Self {
            feeds: Vec::new(),
            watches: Vec::new(),
            relay: None,
            engine: Some(engine),
            plant: plant.map(|plant| (plant, None)),
            ovens: case.plant,
            first_output,
            fleet: fleet.zip(case.fleet).map(|(fleet, hall)| (fleet, hall.poll, None)),
            begins,
            began,
            warm_up: case.warm_up,
            arrived_before: 0,
            storm,
            kafka,
            broker,
        };
        stage.watch(case)?;
        stage.feed(case).await?;
        if case.warm_up == 0 {
            stage.measure_writes();
        }
        Ok(stage)
    }

    /// When the feeds begin.
    pub(super) fn begins(&self) -> Instant {
        self.begins
    }

    /// The same by the wall clock, as RFC 3339.
    pub(super) fn started(&self) -> String {
        let at = DateTime::<Utc>::from_timestamp_micros(self.began.micros()).unwrap_or_default();
        at.to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    fn port(&self) -> u16 {
        self.broker.port()
    }

    /// The address of Kafka, where a case has it.
    fn brokers(&self) -> String {
        self.kafka.as_ref().map(KafkaNode::brokers).unwrap_or_default()
    }

    fn watch(&mut self, case: &Case) -> Result<()> {
        let relayed = case.relay.as_ref().map(|relay| Watch {
            topic: RELAYED.to_owned(),
            over: Over::Mqtt,
            feed: relay.feed.clone(),
            expect: Expect::Each {},
            // The relay is not the engine: what the engine left out says nothing of it.
            through: Some(Vec::new()),
            deadline: None,
        });
        if case.relay.is_some() {
            self.relay = Some(Relay::start(self.port(), &format!("{TO_RELAY}#"), RELAYED)?);
        }
        let of_the_relay = relayed.iter().map(|watch| (RELAY, watch, Seconds::Odd));
        let of_the_engine = case.watches.iter().map(|(name, watch)| {
            let shared = case.relay.as_ref().is_some_and(|relay| relay.feed == watch.feed);
            (name.as_str(), watch, if shared { Seconds::Even } else { Seconds::All })
        });
        for (name, watch, seconds) in of_the_engine.chain(of_the_relay) {
            let feed = &case.feeds[&watch.feed];
            let messages = schedule(case, feed, self.began, seconds)?;
            let books = Expected::new(watch.expect, messages, Duration::from_secs(case.warm_up)).named(feed.names());
            let books = Shared::new(books, self.begins);
            let client = format!("watch-{name}");
            let subscriber = match watch.over {
                Over::Mqtt => Subscriber::watch(self.port(), &client, &watch.topic, books.clone())?,
                Over::Kafka => Subscriber::watch_kafka(&self.brokers(), &client, &watch.topic, books.clone())?,
            };
            let (name, through, deadline) = (name.to_owned(), watch.through.clone(), watch.deadline);
            self.watches.push(Watching { name, through, deadline, books, subscriber });
        }
        Ok(())
    }

    async fn feed(&mut self, case: &Case) -> Result<()> {
        for (name, feed) in &case.feeds {
            let address = format!("127.0.0.1:{}", self.port());
            let names = || feed.names();
            let shared = case.relay.as_ref().is_some_and(|relay| relay.feed == *name);
            let to_engine = schedule(case, feed, self.began, if shared { Seconds::Even } else { Seconds::All })?;
            let running = match &feed.kafka {
                Some(kafka) => feeder(&self.brokers(), kafka, names()).start(to_engine, self.begins).await?,
                None => feeder(&address, &feed.mqtt, names()).start(to_engine, self.begins).await?,
            };
            self.feeds.push((name.clone(), running));
            if shared {
                let mut options = feed.mqtt.clone();
                options.topic = format!("{TO_RELAY}{}", options.topic);
                let to_relay = schedule(case, feed, self.began, Seconds::Odd)?;
                let running = feeder(&address, &options, names()).start(to_relay, self.begins).await?;
                self.feeds.push((format!("{name}, to the relay"), running));
            }
        }
        Ok(())
    }

    fn measure_writes(&mut self) {
        if let Some((plant, writes)) = &mut self.plant {
            *writes = Some(Writes::since(plant.reaction(), plant.write_count()));
        }
        if let Some((fleet, _, writes)) = &mut self.fleet {
            *writes = Some(Writes::since(fleet.reaction(), fleet.write_count()));
        }
    }

    /// What happened in this second since the feeds began.
    pub(super) fn second(&mut self, second: u64) -> Result<Second> {
        let usage = self.engine.as_mut().map_or(Ok(Usage::default()), Engine::sample)?;
        let place = usize::try_from(second).unwrap_or(usize::MAX);
        let sent = self.feeds.iter().filter_map(|(_, feed)| feed.sent_by_second().get(place).copied());
        let mut told = Second {
            sent: sent.sum(),
            cpu_percent: usage.cpu_percent,
            rss_bytes: usage.rss_bytes,
            descriptors: usage.descriptors,
            ..Second::default()
        };
        let mut arrived = 0;
        for watching in &mut self.watches {
            watching.subscriber.check().map_err(|error| error.of(format_args!("watch \"{}\"", watching.name)))?;
            arrived += watching.books.books().arrived();
        }
        if let Some(relay) = &mut self.relay {
            relay.check().map_err(|error| error.of(RELAY))?;
        }
        told.arrived = arrived - std::mem::replace(&mut self.arrived_before, arrived);
        match second.checked_sub(self.warm_up) {
            Some(measured) => {
                let at = Duration::from_secs(measured);
                if let Some((plant, Some(writes))) = &mut self.plant {
                    told.arrived += writes.look(plant.reaction(), plant.write_count(), at);
                }
                if let Some((fleet, _, Some(writes))) = &mut self.fleet {
                    told.arrived += writes.look(fleet.reaction(), fleet.write_count(), at);
                }
                self.tell_latencies(measured, &mut told);
            }
            None if second + 1 == self.warm_up => self.measure_writes(),
            None => {}
        }
        Ok(told)
    }

    fn tell_latencies(&self, measured: u64, told: &mut Second) {
        let mut add = |name: &str, lateness: &Lateness| {
            if let Some(of) = lateness.second(usize::try_from(measured).unwrap_or(usize::MAX)) {
                told.p50.insert(name.to_owned(), of.p50);
                told.p99.insert(name.to_owned(), of.p99);
                told.max.insert(name.to_owned(), of.max);
            }
        };
        for watching in &self.watches {
            add(&watching.name, watching.books.books().lateness());
        }
        if let Some((_, Some(writes))) = &self.plant {
            add(Ovens::WATCH, writes.lateness());
        }
        if let Some((_, _, Some(writes))) = &self.fleet {
            add(Hall::SETPOINTS, writes.lateness());
        }
    }

    /// Ends the run: waits for what is under way, stops the engine, and closes the books.
    pub(super) async fn close(mut self, outcome: &mut Outcome) -> Result<()> {
        for (name, feed) in self.feeds.drain(..) {
            let report = feed.finish().await;
            if let Some(error) = report.error {
                return Err(error.of(format_args!("feed \"{name}\"")));
            }
            if report.failed > 0 {
                return Err(Error::external(format!("feed \"{name}\": {} messages were not sent", report.failed)));
            }
        }
        if let Some((fleet, period, _)) = &self.fleet {
            let jitter = fleet.jitter(*period);
            outcome.latencies.insert(Hall::WATCH.to_owned(), Latency::of(&jitter.late));
            let (arrived, lost) = (jitter.polls, jitter.missed);
            let account = Account { expected: arrived + lost, arrived, lost, ..Account::default() };
            outcome.ledgers.insert(Hall::WATCH.to_owned(), account);
        }
        self.until_quiet(if self.storm.is_some() { QUIET_AFTER_STORM } else { QUIET }).await;
        for (measured, second) in (0..).zip(&mut outcome.timeline) {
            // What was late has come by now.
            self.tell_latencies(measured, second);
        }
        outcome.engine = self.engine.take().map_or(Ok(Value::Null), Engine::stop)?;
        self.until_quiet(QUIET_AT_LAST).await;
        for watching in &self.watches {
            let told = left_out(&outcome.engine, watching.through.as_deref());
            let books = watching.books.books();
            let name = &watching.name;
            outcome.latencies.insert(name.clone(), books.lateness().latency());
            let account = books.account(&told);
            if let Some(deadline) = watching.deadline {
                // What never came missed it too.
                let never = account.expected - account.arrived;
                let (came, late) = books.lateness().later_than(deadline.to_std());
                let met = Deadline::of(deadline.to_std(), came + never, late + never);
                outcome.deadlines.insert(name.clone(), met);
            }
            outcome.ledgers.insert(name.clone(), account);
            if let Some(readings) = books.readings(&told) {
                outcome.ledgers.insert(format!("{name} {READINGS}"), readings);
            }
            if books.strange() > 0 {
                outcome.limits.push(Limit {
                    name: format!("{name}, messages that are no answer"),
                    wanted: "at most 0".to_owned(),
                    bound: Some(0.0),
                    found: books.strange().to_string(),
                    held: false,
                });
            }
        }
        if let Some((_, Some(writes))) = &self.plant {
            outcome.latencies.insert(Ovens::WATCH.to_owned(), writes.lateness().latency());
        }
        // A hall that is only read has no setpoints.
        if let Some((fleet, _, Some(writes))) = &self.fleet
            && fleet.write_count() > 0
        {
            outcome.latencies.insert(Hall::SETPOINTS.to_owned(), writes.lateness().latency());
        }
        self.tell_writes_from_due(outcome);
        outcome.stages = StageTime::of(&outcome.engine);
        outcome.first_output = self.first_output.map(|took| took.as_nanos() as f64 / 1e3);
        Ok(())
    }

    /// How late setpoints were from when their polls were due, if the case says how often it polls.
    fn tell_writes_from_due(&self, outcome: &mut Outcome) {
        let (Some((plant, _)), Some(ovens)) = (&self.plant, self.ovens) else { return };
        let Some(poll) = ovens.poll else { return };
        let begins = self.begins.saturating_duration_since(plant.started());
        let from = begins + Duration::from_secs(self.warm_up);
        let until = from + Duration::from_secs(outcome.timeline.len() as u64);
        let lateness = from_due(&plant.answered(), OVENS.len(), poll.to_std(), from, until);
        let deadline = ovens.deadline.unwrap_or(poll).to_std();
        let (due, missed) = lateness.later_than(deadline);
        outcome.deadlines.insert(Ovens::FROM_DUE.to_owned(), Deadline::of(deadline, due, missed));
        outcome.latencies.insert(Ovens::FROM_DUE.to_owned(), lateness.latency());
        for (second, told) in outcome.timeline.iter_mut().enumerate() {
            if let Some(of) = lateness.second(second) {
                told.p50.insert(Ovens::FROM_DUE.to_owned(), of.p50);
                told.p99.insert(Ovens::FROM_DUE.to_owned(), of.p99);
                told.max.insert(Ovens::FROM_DUE.to_owned(), of.max);
            }
        }
    }

    /// Waits until all has come that is awaited, or nothing comes any more.
    async fn until_quiet(&mut self, quiet: Duration) {
        let (mut arrived, mut since) = (0, clock::monotonic());
        loop {
            let (mut now, mut missing) = (0, 0);
            for watching in &self.watches {
                let mut books = watching.books.books();
                books.until(Duration::MAX);
                now += books.arrived();
                missing += books.missing();
            }
            if now != arrived {
                (arrived, since) = (now, clock::monotonic());
            }
            if missing == 0 || since.elapsed() >= quiet {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// How long before the first message is due feeders and watchers begin to connect.
fn lead(case: &Case) -> Span {
    let connections = case.feeds.values().map(|feed| i64::from(feed.mqtt.connections)).sum::<i64>();
    Span(LEAD.micros() + LEAD_EACH.micros() * connections)
}

fn start_plant(ovens: Ovens, seed: u64) -> Result<Plant> {
    Plant::start(PlantOptions {
        port: 0,
        time_scale: ovens.time_scale,
        seed,
        script: Script::every_minute(seed),
        watchdog: ovens.watchdog,
        apart: true,
    })
}

fn start_fleet(hall: Hall, seed: u64) -> Result<Fleet> {
    Fleet::start(&FleetOptions { plcs: hall.plcs, registers: hall.registers, seed, apart: true })
}

/// Waits until the engine does what it is there for: reads from the broker, writes setpoints, polls.
async fn until(engine: &mut Engine, ready: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let latest = clock::monotonic() + START_MAX;
    while !ready().await? {
        engine.check()?;
        if clock::monotonic() >= latest {
            let message = format!("the engine does not work with the plant {} s after its start", START_MAX.as_secs());
            return Err(Error::external(message)
                .hint("the pipeline must read from mqtt://127.0.0.1:${MQTT_PORT}, 127.0.0.1:${KAFKA_PORT} and 127.0.0.1:${PLC_PORT}"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

fn feeder<O: Clone>(address: &str, options: &O, names: Option<Vec<String>>) -> Feeder<O> {
    let feeder = Feeder::new(address, options.clone());
    match names {
        Some(names) => feeder.named(names),
        None => feeder,
    }
}

/// The messages of a feed over the whole run, event times included.
fn schedule(
    case: &Case,
    feed: &Feed,
    began: Timestamp,
    seconds: Seconds,
) -> Result<impl Iterator<Item = Message> + Send + 'static> {
    let messages = feed.schedule(case.seed, case.warm_up + case.seconds, began)?;
    Ok(messages.filter(move |message| match seconds {
        Seconds::All => true,
        Seconds::Even => message.due.as_secs().is_multiple_of(2),
        Seconds::Odd => !message.due.as_secs().is_multiple_of(2),
    }))
}

/// What the engine says it left out, by reason. What a query was to filter is not left out, and windows that are open at the
/// end are not expected.
fn left_out(report: &Value, through: Option<&[String]>) -> BTreeMap<String, u64> {
    let meant = [Reason::Filtered.word(), Reason::Open.word()];
    let mut told = BTreeMap::new();
    let objects = report["objects"].as_array().into_iter().flatten().filter(|object| {
        let name = object["name"].as_str().unwrap_or_default();
        through.is_none_or(|through| through.iter().any(|one| one == name))
    });
    let dropped = objects.filter_map(|object| object["dropped"].as_object()).flatten();
    for (reason, count) in dropped.filter(|(reason, _)| !meant.contains(&reason.as_str())) {
        *told.entry(reason.clone()).or_default() += count.as_u64().unwrap_or(0);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_filters_is_not_left_out() {
        let report = serde_json::json!({"objects": [
            {"name": "plant", "dropped": {"malformed": 3, "overflow": 2}},
            {"name": "averages/window", "dropped": {"late": 1, "open_at_stop": 20}},
            {"name": "hot", "dropped": {"filtered": 500, "malformed": 1}},
        ]});
        let all = BTreeMap::from([("malformed".to_owned(), 4), ("overflow".to_owned(), 2), ("late".to_owned(), 1)]);
        assert_eq!(left_out(&report, None), all);
        let one = ["averages/window".to_owned()];
        assert_eq!(left_out(&report, Some(&one)), BTreeMap::from([("late".to_owned(), 1)]));
        assert!(left_out(&report, Some(&[])).is_empty());
    }
}
