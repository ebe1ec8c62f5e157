//! The broker at the other end: where it is, who we are to it, and how a connection is set up.
//!
//! Both versions are handled alike. In particular no packet size limit is announced to a broker of version 5: it would then
//! drop larger messages on its side, uncounted. Here a message above the limit is read, counted and forgotten, so that it
//! neither vanishes in silence nor breaks the session again and again.

use std::sync::Arc;
use std::time::Duration;

use lineside_model::{Error, Result, Span};
use rumqttc::{NetworkOptions, Transport, v5};
use rustls::ClientConfig;

use super::link::{Client, Link, Told, qos_3, qos_5};
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

impl Broker {
    /// Connects and logs in. The last value says whether the broker remembers our session.
    pub(super) async fn connect(&self, session: &Session) -> Result<(Client, Link, bool)> {
        let (client, mut link) = if self.version_5 { self.version_5(session) } else { self.version_3(session) };
        match tokio::time::timeout(ANSWER_WITHIN, link.next(self)).await {
            Ok(connected) => connected.map(|told| (client, link, matches!(told, Told::Connected { remembered: true }))),
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
            let (topic, payload) = (will.topic.as_str(), will.payload.as_str());
            options.set_last_will(rumqttc::LastWill::new(topic, payload, qos_3(will.qos), will.retain));
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
