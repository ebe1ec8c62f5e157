//! Messages to an MQTT 3.1.1 broker over any number of connections, from one thread.
//!
//! All that is due goes into the sockets with one write for each connection. The messages of a sensor go over one
//! connection, so they stay in order. A lost connection is not opened again: what was on its way has failed, and what
//! would have gone over it fails as well, while the other connections go on.

use std::sync::Arc;
use std::time::Instant;

use lineside_model::{Error, Result};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::books::Books;
use super::connection::Connection;
use super::payload::{self, Table};
use super::rounds::{self, Left, Outlet};
use super::{FeedReport, Feeder, Running};
use crate::clock;
use crate::synthetic::Message;

/// Numbers of packets end at 65,535, and none may be in use twice.
const IN_FLIGHT_MAX: u16 = 60_000;
/// So many sensors in turn use the same connection. What is due together is mostly of neighbours: it leaves with fewer writes.
const NEIGHBOURS: u32 = 8;
/// A topic has to fit into two bytes of length; a name of a sensor may be long.
const TOPIC_MAX: usize = 32_768;

/// How messages go to an MQTT broker.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttOptions {
    /// Connections; a sensor always uses the same one, and 8 neighbours share one, as behind a gateway. Default 10.
    pub connections: u32,
    /// 0: sent and forgotten; 1: acknowledged by the broker. Default 0.
    pub qos: u8,
    /// The topic, where `{sensor}` is the name of the sensor. Default `plant/{sensor}`.
    pub topic: String,
    /// Messages that may be unacknowledged on one connection at QoS 1; with so many, the feeder waits. Default 10,000.
    pub in_flight_max: u16,
}

impl Default for MqttOptions {
    fn default() -> Self {
        Self { connections: 10, qos: 0, topic: "plant/{sensor}".to_owned(), in_flight_max: 10_000 }
    }
}

impl MqttOptions {
    fn check(&self) -> Result<()> {
        if self.connections == 0 {
            return Err(Error::user("option \"connections\" expects at least 1, found 0"));
        }
        if self.qos > 1 {
            return Err(Error::user(format!("option \"qos\" expects 0 or 1, found {}", self.qos)));
        }
        if self.in_flight_max == 0 || self.in_flight_max > IN_FLIGHT_MAX {
            return Err(Error::user(format!(
                "option \"in_flight_max\" expects 1 to {IN_FLIGHT_MAX}, found {}",
                self.in_flight_max
            )));
        }
        if self.topic.is_empty() || self.topic.len() > TOPIC_MAX || self.topic.contains(['+', '#', '\0']) {
            return Err(Error::user(format!("\"{}\" is not a topic one can publish to", self.topic))
                .hint("a topic has no + and no #"));
        }
        Ok(())
    }
}

/// A feeder to the MQTT broker at `host:port`.
pub type Mqtt = Feeder<MqttOptions>;

impl Feeder<MqttOptions> {
    /// Connects, and from `start` on sends each message when it is due. Connecting takes time: let the start be a little
    /// in the future, or the first messages are late.
    ///
    /// # Errors
    /// An option is wrong, or the broker cannot be reached. What goes wrong later is in the report.
    pub async fn start(
        self,
        messages: impl Iterator<Item = Message> + Send + 'static,
        start: Instant,
    ) -> Result<Running> {
        self.options.check()?;
        Running::spawn("feed-mqtt", start, async |books, connected| self.run(messages, &books, connected).await).await
    }

    async fn run(
        self,
        messages: impl Iterator<Item = Message>,
        books: &Arc<Books>,
        connected: oneshot::Sender<Result<()>>,
    ) -> FeedReport {
        let connections = match self.connect().await {
            Ok(connections) => {
                drop(connected.send(Ok(())));
                connections
            }
            Err(error) => {
                drop(connected.send(Err(error)));
                return FeedReport::default();
            }
        };
        let mut outlet = Outlets {
            connections,
            behind: Vec::new(),
            topic: self.options.topic,
            table: Table::new(self.names),
            payload: Vec::new(),
            left: Left::default(),
        };
        let mut error = rounds::run(messages, books, &mut outlet).await.err();
        let Outlets { mut connections, mut left, .. } = outlet;
        for connection in &mut connections {
            connection.finish(&mut left).await;
        }
        books.enter(left.messages, clock::monotonic());
        let mut report = FeedReport { late_max: left.late_max, by_second: books.by_second(), ..FeedReport::default() };
        let mut acknowledged = 0;
        for connection in &mut connections {
            let counts = connection.counts();
            report.sent += counts.sent;
            acknowledged += counts.acknowledged;
            report.failed += counts.handed - if self.options.qos == 0 { counts.sent } else { counts.acknowledged };
            error = error.or(connection.take_failure());
        }
        report.acknowledged = (self.options.qos > 0).then_some(acknowledged);
        report.error = error;
        report
    }

    async fn connect(&self) -> Result<Vec<Connection>> {
        let in_flight_max = (self.options.qos > 0).then_some(self.options.in_flight_max);
        let since = clock::now().micros();
        let mut connections = Vec::new();
        for number in 0..self.options.connections {
            let client = format!("lineside-feed-{}-{since:x}-{number}", std::process::id());
            connections.push(Connection::open(&self.address, &client, in_flight_max).await?);
        }
        for connection in &mut connections {
            connection.consented().await?;
        }
        Ok(connections)
    }
}

/// All connections, and what is made once for each sensor: its topic and the middle of its payload.
struct Outlets {
    connections: Vec<Connection>,
    /// Connections with something that waits for the socket.
    behind: Vec<usize>,
    topic: String,
    table: Table<(String, Vec<u8>)>,
    payload: Vec<u8>,
    left: Left,
}

impl Outlet for Outlets {
    async fn take(&mut self, message: &Message, due: Instant) -> Result<()> {
        let place = (message.sensor / NEIGHBOURS) as usize % self.connections.len();
        let template = &self.topic;
        let make = |name: &str| (template.replace("{sensor}", &clean(name)), payload::middle(name));
        let (topic, middle) = self.table.of(message.sensor, make);
        self.payload.clear();
        payload::write(message, middle, &mut self.payload)
            .map_err(|error| Error::internal("cannot write a message into memory").caused_by(error))?;
        let connection = &mut self.connections[place];
        connection.make_room(&mut self.left).await;
        if connection.is_idle() {
            self.behind.push(place);
        }
        connection.push(topic, &self.payload, due);
        Ok(())
    }

    fn let_go(&mut self) -> bool {
        let (connections, left) = (&mut self.connections, &mut self.left);
        self.behind.retain(|place| {
            connections[*place].flush(left);
            connections[*place].receive(left);
            !connections[*place].is_idle()
        });
        !self.behind.is_empty()
    }

    async fn drain(&mut self) {
        for place in &self.behind {
            self.connections[*place].all_sent(&mut self.left).await;
        }
    }

    fn left(&mut self) -> &mut Left {
        &mut self.left
    }
}

/// The name of a sensor as a level of a topic.
fn clean(name: &str) -> String {
    let mut clean = name.replace(['+', '#', '\0'], "_");
    clean.truncate(clean.floor_char_boundary(TOPIC_MAX / 2));
    clean
}
