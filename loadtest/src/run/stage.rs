//! All that takes part in a run: broker, plant, engine, feeders and those who look on. Dropping it ends them.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use lineside_model::{Result, Span, Timestamp};

use super::ready::until;
use super::schedule::{Seconds, feeder, lead, schedule};
use super::watching::Watching;
use crate::case::{Case, Hall, Ovens, Over, RELAY, Watch};
use crate::clock;
use crate::engine::{Engine, Usage};
use crate::feed::Running;
use crate::fleet::{Fleet, FleetOptions};
use crate::kafka_node::{KafkaNode, readers};
use crate::measure::{Expect, Expected, Lateness};
use crate::mosquitto::Mosquitto;
use crate::outcome::Second;
use crate::plant::{Plant, PlantOptions, Script};
use crate::relay::Relay;
use crate::storm::Storm;
use crate::watch::{Shared, Subscriber, Writes};

/// Clients of the engine have names that begin so.
const ENGINE_CLIENTS: &str = "lineside-";
/// The messages of the relay have topics that begin so, and those that it has forwarded this one.
const TO_RELAY: &str = "to-relay/";
const RELAYED: &str = "relayed";

/// What takes part in a run.
pub(super) struct Stage {
    // In this order they end: those who need others first.
    pub(super) feeds: Vec<(String, Running)>,
    pub(super) watches: Vec<Watching>,
    relay: Option<Relay>,
    pub(super) engine: Option<Engine>,
    pub(super) plant: Option<(Plant, Option<Writes>)>,
    pub(super) ovens: Option<Ovens>,
    pub(super) first_output: Option<Duration>,
    pub(super) fleet: Option<(Fleet, Span, Option<Writes>)>,
    pub(super) storm: Option<Storm>,
    kafka: Option<KafkaNode>,
    broker: Mosquitto,
    pub(super) begins: Instant,
    began: Timestamp,
    pub(super) warm_up: u64,
    arrived_before: u64,
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

    /// How late things were in this second of those that are measured.
    pub(super) fn tell_latencies(&self, measured: u64, told: &mut Second) {
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
