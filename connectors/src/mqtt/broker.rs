//! The broker at the other end, and the connection to it: the one place that knows there are two protocol versions.
//!
//! Both versions are handled alike. In particular no packet size limit is announced to a broker of version 5: it would then
//! drop larger messages on its side, uncounted. Here a message above the limit is read, counted and forgotten, so that it
//! neither vanishes in silence nor breaks the session again and again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lineside_model::{Error, Result, Span};
use rumqttc::{NetworkOptions, Transport, v5};
use rustls::ClientConfig;

use crate::Secret;

/// The largest packet that the protocol knows (MQTT 3.1.1, section 2.2.3).
const PACKET_BYTES_MAX: usize = 268_435_455;

/// How long a broker may take to accept a connection or a subscription, and to take bytes.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Publishes that may be on their way to the broker without its acknowledgement.
pub(super) const IN_FLIGHT_MAX: u16 = 100;

/// Where the broker is, and who we are to it.
#[derive(Clone, Debug)]
pub(super) struct Broker {
    /// The address as the user wrote it, without secrets.
    pub(super) url: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) version_5: bool,
    pub(super) client_id: String,
    pub(super) keep_alive: Span,
    pub(super) login: Option<(String, Secret)>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) will: Option<Will>,
}

/// What the broker says for us when we are gone without a word.
#[derive(Clone, Debug)]
pub(super) struct Will {
    pub(super) topic: String,
    pub(super) payload: String,
    pub(super) qos: u8,
    pub(super) retain: bool,
}

/// What a source and a sink ask of a connection differently.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Whether the broker forgets us when the connection ends.
    pub(super) clean: bool,
    /// How long it remembers us otherwise (version 5).
    pub(super) expiry: Span,
    /// How many unacknowledged messages the broker may send (version 5).
    pub(super) receive_maximum: Option<u16>,
    /// How many requests can wait for the network.
    pub(super) requests: usize,
}

/// A message from the broker.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    /// The packet to acknowledge; `None` at QoS 0.
    pub(super) packet: Option<u16>,
    pub(super) retained: bool,
}

/// What the network told.
#[derive(Debug)]
pub(super) enum Told {
    Message(Message),
    /// The broker's answer to our subscription: for each filter the granted QoS, or why not.
    Subscribed(Vec<Result<u8, String>>),
    /// A publish at this QoS 0 was handed to the socket.
    Sent,
    /// A publish at QoS 1 is the broker's now, or was refused.
    Published(Result<(), String>),
    /// We said goodbye.
    Disconnected,
    /// Pings and the like.
    Nothing,
}

/// Asks things of the network loop.
#[derive(Clone, Debug)]
pub(super) enum Client {
    V4(rumqttc::AsyncClient),
    V5(v5::AsyncClient),
}

/// The network loop's end of a connection. It must be driven by calling `next` all the time.
pub(super) enum Link {
    V4(Box<rumqttc::EventLoop>),
    V5(Box<v5::EventLoop>),
}

impl Broker {
    /// Connects and logs in.
    pub(super) async fn connect(&self, session: &Session) -> Result<(Client, Link)> {
        let (client, mut link) = if self.version_5 { self.version_5(session) } else { self.version_3(session) };
        match tokio::time::timeout(ANSWER_WITHIN, link.next(self)).await {
            Ok(connected) => connected.map(|_| (client, link)),
            Err(_) => Err(Error::external(format!("broker {} did not answer within 10 s", self.url))),
        }
    }

    fn network() -> NetworkOptions {
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(ANSWER_WITHIN.as_secs());
        network
    }

    fn version_3(&self, session: &Session) -> (Client, Link) {
        let mut options = rumqttc::MqttOptions::new(&self.client_id, &self.host, self.port);
        options
            .set_keep_alive(self.keep_alive.to_std())
            .set_clean_session(session.clean)
            .set_manual_acks(true)
            .set_inflight(IN_FLIGHT_MAX)
            .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        if let Some((user, password)) = &self.login {
            options.set_credentials(user, password.reveal());
        }
        if let Some(tls) = &self.tls {
            options.set_transport(Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(Arc::clone(tls))));
        }
        if let Some(will) = &self.will {
            let qos = if will.qos == 0 { rumqttc::QoS::AtMostOnce } else { rumqttc::QoS::AtLeastOnce };
            options.set_last_will(rumqttc::LastWill::new(&will.topic, will.payload.as_str(), qos, will.retain));
        }
        let (client, mut link) = rumqttc::AsyncClient::new(options, session.requests);
        link.set_network_options(Self::network());
        (Client::V4(client), Link::V4(Box::new(link)))
    }

    fn version_5(&self, session: &Session) -> (Client, Link) {
        let mut options = v5::MqttOptions::new(&self.client_id, &self.host, self.port);
        let expiry_s =
            if session.clean { 0 } else { u32::try_from(session.expiry.to_std().as_secs()).unwrap_or(u32::MAX) };
        options
            .set_keep_alive(self.keep_alive.to_std())
            .set_clean_start(session.clean)
            .set_session_expiry_interval(Some(expiry_s))
            .set_receive_maximum(session.receive_maximum)
            .set_max_packet_size(u32::try_from(PACKET_BYTES_MAX).ok())
            .set_connection_timeout(ANSWER_WITHIN.as_secs())
            .set_manual_acks(true)
            .set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX)
            .set_network_options(Self::network());
        if let Some((user, password)) = &self.login {
            options.set_credentials(user, password.reveal());
        }
        if let Some(tls) = &self.tls {
            options.set_transport(Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(Arc::clone(tls))));
        }
        if let Some(will) = &self.will {
            let (topic, payload) = (will.topic.as_str(), will.payload.as_str());
            options.set_last_will(v5::mqttbytes::v5::LastWill::new(topic, payload, qos_5(will.qos), will.retain, None));
        }
        let (client, link) = v5::AsyncClient::new(options, session.requests);
        (Client::V5(client), Link::V5(Box::new(link)))
    }
}

fn qos_5(qos: u8) -> v5::mqttbytes::QoS {
    if qos == 0 { v5::mqttbytes::QoS::AtMostOnce } else { v5::mqttbytes::QoS::AtLeastOnce }
}

fn qos_3(qos: u8) -> rumqttc::QoS {
    if qos == 0 { rumqttc::QoS::AtMostOnce } else { rumqttc::QoS::AtLeastOnce }
}

/// The network loop has ended, so nothing can be asked of it; its own error says why.
#[derive(Debug)]
pub(super) struct Gone;

impl Client {
    /// Asks for topics; the broker's answer comes as [`Told::Subscribed`].
    pub(super) fn subscribe(&self, filters: &[String], qos: u8) -> Result<(), Gone> {
        match self {
            Self::V4(client) => {
                let filters = filters.iter().map(|f| rumqttc::SubscribeFilter::new(f.clone(), qos_3(qos)));
                client.try_subscribe_many(filters).map_err(|_| Gone)
            }
            Self::V5(client) => {
                let filters = filters.iter().map(|f| v5::mqttbytes::v5::Filter::new(f.clone(), qos_5(qos)));
                client.try_subscribe_many(filters).map_err(|_| Gone)
            }
        }
    }

    /// Acknowledges a message: the broker may forget it.
    pub(super) fn acknowledge(&self, packet: u16) -> Result<(), Gone> {
        match self {
            Self::V4(client) => {
                let mut publish = rumqttc::Publish::from_bytes("", rumqttc::QoS::AtLeastOnce, Bytes::new());
                publish.pkid = packet;
                client.try_ack(&publish).map_err(|_| Gone)
            }
            Self::V5(client) => {
                let publish = v5::mqttbytes::v5::Publish {
                    qos: v5::mqttbytes::QoS::AtLeastOnce,
                    pkid: packet,
                    ..Default::default()
                };
                client.try_ack(&publish).map_err(|_| Gone)
            }
        }
    }

    /// Hands a message to the network loop; waits while that has more than it can send.
    pub(super) async fn publish(&self, topic: &str, payload: Bytes, qos: u8, retain: bool) -> Result<(), Gone> {
        match self {
            Self::V4(client) => client.publish_bytes(topic, qos_3(qos), retain, payload).await.map_err(|_| Gone),
            Self::V5(client) => client.publish_bytes(topic, qos_5(qos), retain, payload).await.map_err(|_| Gone),
        }
    }

    /// Says goodbye after everything that was asked before.
    pub(super) fn disconnect(&self) -> Result<(), Gone> {
        match self {
            Self::V4(client) => client.try_disconnect().map_err(|_| Gone),
            Self::V5(client) => client.try_disconnect().map_err(|_| Gone),
        }
    }
}

impl Link {
    /// Waits for what the network tells next. After an error the connection is gone and must not be used again.
    pub(super) async fn next(&mut self, broker: &Broker) -> Result<Told> {
        match self {
            Self::V4(link) => link.poll().await.map(told_3).map_err(|e| super::trouble::of_version_3(broker, e)),
            Self::V5(link) => link.poll().await.map(told_5).map_err(|e| super::trouble::of_version_5(broker, e)),
        }
    }

    /// What had been read before the connection broke and was not told yet.
    pub(super) fn leftover(&mut self) -> Option<Told> {
        match self {
            Self::V4(link) => link.state.events.pop_front().map(told_3),
            Self::V5(link) => link.state.events.pop_front().map(told_5),
        }
    }
}

fn told_3(event: rumqttc::Event) -> Told {
    use rumqttc::{Event, Incoming, Outgoing, QoS, SubscribeReasonCode};
    match event {
        Event::Incoming(Incoming::Publish(publish)) => Told::Message(Message {
            topic: publish.topic,
            payload: publish.payload,
            packet: (publish.qos != QoS::AtMostOnce).then_some(publish.pkid),
            retained: publish.retain,
        }),
        Event::Incoming(Incoming::SubAck(answer)) => Told::Subscribed(
            answer
                .return_codes
                .into_iter()
                .map(|code| match code {
                    SubscribeReasonCode::Success(qos) => Ok(qos as u8),
                    SubscribeReasonCode::Failure => Err("refused".to_owned()),
                })
                .collect(),
        ),
        Event::Incoming(Incoming::PubAck(_)) => Told::Published(Ok(())),
        Event::Outgoing(Outgoing::Publish(0)) => Told::Sent,
        Event::Outgoing(Outgoing::Disconnect) => Told::Disconnected,
        Event::Incoming(_) | Event::Outgoing(_) => Told::Nothing,
    }
}

fn told_5(event: v5::Event) -> Told {
    use rumqttc::Outgoing;
    use v5::mqttbytes::QoS;
    use v5::mqttbytes::v5::{PubAckReason, SubscribeReasonCode};
    use v5::{Event, Incoming};
    match event {
        Event::Incoming(Incoming::Publish(publish)) => Told::Message(Message {
            // A topic that is not UTF-8 breaks the protocol; it fits no template and is counted so.
            topic: String::from_utf8(publish.topic.into()).unwrap_or_default(),
            payload: publish.payload,
            packet: (publish.qos != QoS::AtMostOnce).then_some(publish.pkid),
            retained: publish.retain,
        }),
        Event::Incoming(Incoming::SubAck(answer)) => Told::Subscribed(
            answer
                .return_codes
                .into_iter()
                .map(|code| match code {
                    SubscribeReasonCode::Success(qos) => Ok(qos as u8),
                    refused => Err(format!("{refused:?}")),
                })
                .collect(),
        ),
        Event::Incoming(Incoming::PubAck(ack)) => Told::Published(match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
            refused => Err(format!("{refused:?}")),
        }),
        Event::Outgoing(Outgoing::Publish(0)) => Told::Sent,
        Event::Outgoing(Outgoing::Disconnect) => Told::Disconnected,
        Event::Incoming(_) | Event::Outgoing(_) => Told::Nothing,
    }
}
