//! Rows to an MQTT 3.1.1 broker. A lost connection ends the run: what was not acknowledged by then has failed, and no row
//! is sent twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lineside_model::{Error, Result};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Outgoing, Packet, QoS};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Format, MqttAddress, Outlet, PlayOptions, Qos};
use crate::clock;
use crate::trace::Row;

/// Messages between the player and the client.
const QUEUE_LEN: usize = 1024;
/// Messages that may be unacknowledged.
const IN_FLIGHT_MAX: u16 = 500;
/// A broker that acknowledges nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct MqttOutlet {
    client: AsyncClient,
    qos: QoS,
    format: Format,
    template: String,
    topics: HashMap<Arc<str>, String>,
    handed: u64,
    wire: Arc<Wire>,
    /// Drives the connection; dropping it closes the socket.
    driver: JoinSet<()>,
}

/// What the driver of the connection saw.
#[derive(Default)]
struct Wire {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    changed: Notify,
    failure: Mutex<Option<Error>>,
}

impl MqttOutlet {
    pub(super) async fn connect(address: &MqttAddress, options: &PlayOptions) -> Result<Self> {
        let id = format!("lineside-player-{:x}", clock::now().micros());
        let mut mqtt = MqttOptions::new(id, &address.host, address.port);
        mqtt.set_inflight(IN_FLIGHT_MAX);
        if let Some((user, password)) = &address.login {
            mqtt.set_credentials(user, password);
        }
        let (client, mut events) = AsyncClient::new(mqtt, QUEUE_LEN);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        // The first event of a connection is the broker's consent.
        events.poll().await.map_err(|error| {
            Error::external(format!("cannot connect to the MQTT broker {}:{}", address.host, address.port))
                .hint("is it running, and does it take this user")
                .caused_by(error)
        })?;
        let wire = Arc::new(Wire::default());
        let mut driver = JoinSet::new();
        driver.spawn(drive(events, Arc::clone(&wire)));
        let template = options.topic.clone().unwrap_or_else(|| match address.prefix.as_str() {
            "" => "{path}".to_owned(),
            prefix => format!("{prefix}/{{path}}"),
        });
        let qos = match options.qos {
            Qos::AtMostOnce => QoS::AtMostOnce,
            Qos::AtLeastOnce => QoS::AtLeastOnce,
        };
        Ok(Self { client, qos, format: options.format, template, topics: HashMap::new(), handed: 0, wire, driver })
    }

    fn failure(&self) -> Result<()> {
        match self.wire.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn acknowledged(&self) -> u64 {
        self.wire.acknowledged.load(Ordering::Acquire)
    }
}

async fn drive(mut events: EventLoop, wire: Arc<Wire>) {
    loop {
        match events.poll().await {
            Ok(Event::Outgoing(Outgoing::Publish(_))) => {
                wire.sent.fetch_add(1, Ordering::Release);
            }
            Ok(Event::Incoming(Packet::PubAck(_))) => {
                wire.acknowledged.fetch_add(1, Ordering::Release);
                wire.changed.notify_one();
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) => break,
            Ok(_) => {}
            Err(error) => {
                let error = Error::external("the connection to the MQTT broker broke").caused_by(error);
                *wire.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                break;
            }
        }
    }
    wire.changed.notify_one();
}

/// A topic for this sensor; characters that no topic may have become `_`.
fn topic(template: &str, sensor: &str) -> String {
    let clean = sensor.replace(['+', '#', '\0'], "_");
    template.replace("{path}", &clean.replace('.', "/")).replace("{sensor}", &clean)
}

impl Outlet for MqttOutlet {
    async fn send(&mut self, row: &Row) -> Result<()> {
        let topic = match self.topics.get(&row.sensor) {
            Some(topic) => topic.clone(),
            None => {
                let topic = topic(&self.template, &row.sensor);
                self.topics.insert(Arc::clone(&row.sensor), topic.clone());
                topic
            }
        };
        let mut payload = Vec::with_capacity(96);
        self.format.write(row, &mut payload)?;
        self.handed += 1;
        if self.client.publish(topic, self.qos, false, payload).await.is_err() {
            self.failure()?;
            return Err(Error::user("the topic is not one that can be published to").hint("a topic has no + and no #"));
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        if self.qos == QoS::AtLeastOnce {
            // The driver wakes this up at each acknowledgement and when it ends.
            while self.acknowledged() < self.handed && !self.client_is_gone() {
                if timeout(PATIENCE, self.wire.changed.notified()).await.is_err() {
                    return Err(Error::external("the MQTT broker does not acknowledge"));
                }
            }
        }
        if self.client.disconnect().await.is_ok() && timeout(PATIENCE, self.driver.join_next()).await.is_err() {
            return Err(Error::external("the MQTT broker does not take the last messages"));
        }
        self.failure()
    }

    fn counts(&self) -> (u64, Option<u64>) {
        let acknowledged = (self.qos == QoS::AtLeastOnce).then(|| self.acknowledged());
        (self.wire.sent.load(Ordering::Acquire), acknowledged)
    }
}

impl MqttOutlet {
    fn client_is_gone(&mut self) -> bool {
        self.driver.try_join_next().is_some() || self.driver.is_empty()
    }
}
