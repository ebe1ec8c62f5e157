//! A connection to a broker, as the network task and its owner see it: the same for both versions of the protocol.

use bytes::Bytes;
use lineside_model::Result;
use rumqttc::v5;

use super::broker::{ANSWER_WITHIN, Broker};
use super::trouble;

/// A message from the broker.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    /// The packet to acknowledge; `None` at QoS 0.
    pub(super) packet: Option<u16>,
    pub(super) retained: bool,
    /// The broker says that it has sent this before.
    pub(super) again: bool,
}

/// What the network told.
#[derive(Debug)]
pub(super) enum Told {
    Message(Message),
    /// The broker's answer to our subscription: for each filter the granted QoS, or why not.
    Subscribed(Vec<Result<u8, String>>),
    /// A publish at QoS 0 was handed to the socket.
    Sent,
    /// A publish at QoS 1 is the broker's now, or was refused.
    Published(Result<(), String>),
    /// We said goodbye.
    Disconnected,
    /// We are logged in; whether the broker remembers our session.
    Connected {
        remembered: bool,
    },
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
            Self::V4(link) => link.poll().await.map(told_3).map_err(|e| trouble::of_version_3(broker, e)),
            Self::V5(link) => {
                // A ping is an event too, so that only a peer that takes no bytes any more is silent for longer than this.
                let longest = link.options.keep_alive().saturating_add(ANSWER_WITHIN);
                let told = tokio::time::timeout(longest, link.poll()).await.unwrap_or_else(|e| Err(e.into()));
                told.map(told_5).map_err(|e| trouble::of_version_5(broker, e))
            }
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
            again: publish.dup,
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
        Event::Incoming(Incoming::ConnAck(answer)) => Told::Connected { remembered: answer.session_present },
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
            again: publish.dup,
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
        Event::Incoming(Incoming::ConnAck(answer)) => Told::Connected { remembered: answer.session_present },
        Event::Outgoing(Outgoing::Publish(0)) => Told::Sent,
        Event::Outgoing(Outgoing::Disconnect) => Told::Disconnected,
        Event::Incoming(_) | Event::Outgoing(_) => Told::Nothing,
    }
}

pub(super) fn qos_5(qos: u8) -> v5::mqttbytes::QoS {
    if qos == 0 { v5::mqttbytes::QoS::AtMostOnce } else { v5::mqttbytes::QoS::AtLeastOnce }
}

pub(super) fn qos_3(qos: u8) -> rumqttc::QoS {
    if qos == 0 { rumqttc::QoS::AtMostOnce } else { rumqttc::QoS::AtLeastOnce }
}
