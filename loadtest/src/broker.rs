//! An MQTT broker within the process, for the demo and for tests: nothing to install, nothing left behind.
//!
//! It is rumqttd on two loopback ports, one for MQTT 3.1.1 and one for MQTT 5, over the same topics. It runs on threads of
//! its own and has no way to be stopped, so it ends with the process: a test starts its own, a program starts one.
//! It keeps at most 100 MB for each subscription filter; a subscriber that is further behind misses messages.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use lineside_model::{Error, Result};
use rumqttd::{Config, ConnectionSettings, RouterConfig, ServerSettings};
use tokio::net::TcpSocket;

/// How often, and each time how long, one waits for the broker to listen.
const ATTEMPTS: u32 = 1_000;
const ATTEMPT: Duration = Duration::from_millis(5);

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    port: u16,
    port_v5: u16,
}

impl Broker {
    /// Starts a broker that takes MQTT 3.1.1 on this loopback port (0: any free one) and MQTT 5 on any free one, and
    /// waits until it takes connections.
    ///
    /// # Errors
    /// The port is taken, or the broker does not come up.
    pub fn start(port: u16) -> Result<Self> {
        let cannot = |error: io::Error| {
            Error::external(format!("cannot start the MQTT broker on 127.0.0.1:{port}"))
                .hint("choose another port, or 0 for any free one")
                .caused_by(error)
        };
        let reserved = [reserve(port).map_err(cannot)?, reserve(0).map_err(cannot)?];
        let [v4, v5] = [reserved[0].local_addr().map_err(cannot)?, reserved[1].local_addr().map_err(cannot)?];

        let mut broker = rumqttd::Broker::new(config(v4, v5));
        let (ended, end) = channel();
        std::thread::Builder::new()
            .name("mqtt-broker".to_owned())
            .spawn(move || {
                let result = broker.start().map_err(|error| error.to_string());
                // Whoever started the broker may have gone by now; then nobody wants to know.
                drop(ended.send(result));
            })
            .map_err(cannot)?;
        for address in [v4, v5] {
            wait_until_it_listens(address, &end)?;
        }
        drop(reserved);
        Ok(Self { port: v4.port(), port_v5: v5.port() })
    }

    /// The port for MQTT 3.1.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port for MQTT 5.
    pub fn port_v5(&self) -> u16 {
        self.port_v5
    }
}

/// Holds a port until rumqttd, which binds by itself and only logs a failure, listens on it: bound and not listening, it
/// keeps others away from a free port and lets those in who ask for this very one.
fn reserve(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(socket)
}

fn wait_until_it_listens(address: SocketAddr, end: &Receiver<Result<(), String>>) -> Result<()> {
    for _ in 0..ATTEMPTS {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        match end.recv_timeout(ATTEMPT) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Err(error)) => return Err(Error::external("the MQTT broker did not start").caused_by(error)),
            Ok(Ok(())) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Err(Error::external(format!("the MQTT broker does not listen on {address}")))
}

fn config(v4: SocketAddr, v5: SocketAddr) -> Config {
    let server = |name: &str, listen| ServerSettings {
        name: name.to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 0,
        connections: ConnectionSettings {
            connection_timeout_ms: 10_000,
            max_payload_size: 16 << 20,
            max_inflight_count: 500,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    Config {
        router: RouterConfig {
            max_connections: 1_000,
            max_outgoing_packet_count: 200,
            max_segment_size: 10 << 20,
            max_segment_count: 10,
            ..RouterConfig::default()
        },
        v4: Some(HashMap::from([("v4".to_owned(), server("mqtt-v4", v4))])),
        v5: Some(HashMap::from([("v5".to_owned(), server("mqtt-v5", v5))])),
        ..Config::default()
    }
}
