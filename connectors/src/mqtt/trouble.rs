//! What went wrong with a broker, in the user's words: who can mend it, and whether to try again.

use lineside_model::Error;
use rumqttc::{ConnectReturnCode, ConnectionError, StateError, v5};

use super::broker::Broker;

/// The error of a connection of version 3.1.1.
pub(super) fn of_version_3(broker: &Broker, error: ConnectionError) -> Error {
    match error {
        ConnectionError::ConnectionRefused(code) => match code {
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => credentials(broker),
            ConnectReturnCode::BadClientId => client_id(broker),
            ConnectReturnCode::RefusedProtocolVersion => version(broker),
            ConnectReturnCode::ServiceUnavailable | ConnectReturnCode::Success => refused(broker, code),
        },
        ConnectionError::MqttState(StateError::ConnectionAborted) => closed(broker),
        ConnectionError::MqttState(StateError::AwaitPingResp) => silent(broker),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => timeout(broker),
        ConnectionError::Tls(error) => tls(broker, error),
        other => failed(broker, other),
    }
}

/// The error of a connection of version 5.
pub(super) fn of_version_5(broker: &Broker, error: v5::ConnectionError) -> Error {
    use v5::mqttbytes::v5::{ConnectReturnCode as Code, DisconnectReasonCode};
    match error {
        v5::ConnectionError::ConnectionRefused(code) => match code {
            Code::BadUserNamePassword | Code::NotAuthorized | Code::Banned | Code::BadAuthenticationMethod => {
                credentials(broker)
            }
            Code::BadClientId | Code::ClientIdentifierNotValid => client_id(broker),
            Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => version(broker),
            other => refused(broker, other),
        },
        v5::ConnectionError::MqttState(v5::StateError::ServerDisconnect { reason_code, reason_string }) => {
            if reason_code == DisconnectReasonCode::SessionTakenOver {
                let message = format!(
                    "broker {} gave our session to another client with client_id \"{}\"",
                    broker.url, broker.client_id
                );
                return Error::external(message).hint(CLASH);
            }
            let text = reason_string.map(|text| format!(" ({text})")).unwrap_or_default();
            Error::external(format!("broker {} ended the connection: {reason_code:?}{text}", broker.url))
        }
        v5::ConnectionError::MqttState(v5::StateError::ConnectionAborted) => closed(broker),
        v5::ConnectionError::MqttState(v5::StateError::AwaitPingResp) => silent(broker),
        v5::ConnectionError::Timeout(_) => timeout(broker),
        v5::ConnectionError::Tls(error) => tls(broker, error),
        other => failed(broker, other),
    }
}

const CLASH: &str = "give every client of a broker its own client_id; a second copy of this pipeline may be running";

fn credentials(broker: &Broker) -> Error {
    Error::user(format!("broker {} refused us: bad user name or password, or not authorized", broker.url))
        .hint("check username and password, and what the broker allows this user")
}

fn client_id(broker: &Broker) -> Error {
    Error::user(format!("broker {} refused client_id \"{}\"", broker.url, broker.client_id))
        .hint("set a client_id of 1 to 23 letters and digits, which every broker takes")
}

fn version(broker: &Broker) -> Error {
    let other = if broker.version_5 { "3.1.1" } else { "5" };
    Error::user(format!("broker {} does not speak this version of MQTT", broker.url))
        .hint(format!("set version = \"{other}\""))
}

fn refused(broker: &Broker, code: impl std::fmt::Debug) -> Error {
    Error::external(format!("broker {} refused the connection: {code:?}", broker.url))
}

/// An old broker has no other word for "somebody else came with your client id" than to hang up.
fn closed(broker: &Broker) -> Error {
    Error::external(format!("broker {} closed the connection", broker.url))
        .hint(format!("if it does so again at once, another client uses client_id \"{}\" too", broker.client_id))
}

fn silent(broker: &Broker) -> Error {
    Error::external(format!("broker {} did not answer a ping within {}", broker.url, broker.keep_alive))
}

fn timeout(broker: &Broker) -> Error {
    Error::external(format!("broker {} did not take or send anything for 10 s", broker.url))
}

fn tls(broker: &Broker, error: rumqttc::TlsError) -> Error {
    Error::external(format!("no encrypted connection to broker {}", broker.url))
        .caused_by(error)
        .hint("the broker's certificate must be signed by an authority in tls.ca and carry the host's name")
}

fn failed(broker: &Broker, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    // The client repeats each cause in the text of what it caused: the innermost one says it all.
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    Error::external(format!("connection to broker {} failed: {innermost}", broker.url))
}
