//! The other ends: Debian's mosquitto, rumqttd in this process, and a plain client.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::BytesMut;
use rumqttc::{AsyncClient, Event, EventLoop, Incoming, MqttOptions, Packet, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Debian's mosquitto on a free port, stopped when dropped.
pub(super) struct Mosquitto {
    child: Child,
    pub(super) port: u16,
    folder: tempfile::TempDir,
    more: String,
}

impl Mosquitto {
    pub(super) fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, free_port(), more)
    }

    pub(super) fn start_in(folder: tempfile::TempDir, port: u16, more: &str) -> Self {
        let path = folder.path().display();
        let config = format!(
            "listener {port} 127.0.0.1\nuser root\nlog_dest stderr\nlog_type all\nset_tcp_nodelay true\n\
             persistence true\npersistence_location {path}/\nmessage_size_limit 0\n{}{more}\n",
            if more.contains("allow_anonymous") { "" } else { "allow_anonymous true\n" }
        );
        std::fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
        let mut child = Command::new("/usr/sbin/mosquitto")
            .arg("-c")
            .arg(folder.path().join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("these tests need /usr/sbin/mosquitto: install Debian's package \"mosquitto\"");
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains(" running") {
            assert!(log.read_line(&mut said).unwrap() > 0, "mosquitto did not start: {said}");
        }
        // The rest of the log is read away, so that the broker never waits for us.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, port, folder, more: more.to_owned() }
    }

    pub(super) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Stops it as a reboot would: it writes down its sessions.
    pub(super) fn stop(mut self) -> (tempfile::TempDir, u16, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
        (std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap()), self.port, std::mem::take(&mut self.more))
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A plain client, as a sensor or a dashboard would be.
pub(super) struct Peer {
    pub(super) client: AsyncClient,
    link: EventLoop,
}

impl Peer {
    pub(super) async fn connect(port: u16, id: &str) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_max_packet_size(64 << 20, 64 << 20);
        let (client, link) = AsyncClient::new(options, 100);
        let mut peer = Self { client, link };
        peer.until(|event| matches!(event, Event::Incoming(Incoming::ConnAck(_)))).await;
        peer
    }

    pub(super) async fn until(&mut self, mut done: impl FnMut(&Event) -> bool) -> Event {
        loop {
            let event = self.link.poll().await.unwrap();
            if done(&event) {
                return event;
            }
        }
    }

    /// Publishes and waits until the broker has them.
    pub(super) async fn publish(&mut self, messages: &[(&str, &str)], qos: QoS, retain: bool) {
        for (topic, payload) in messages {
            self.client.publish(*topic, qos, retain, *payload).await.unwrap();
            match qos {
                QoS::AtMostOnce => {
                    self.until(|event| matches!(event, Event::Outgoing(rumqttc::Outgoing::Publish(_)))).await
                }
                _ => self.until(|event| matches!(event, Event::Incoming(Incoming::PubAck(_)))).await,
            };
        }
    }

    pub(super) async fn subscribe(&mut self, topic: &str) {
        self.client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
        self.until(|event| matches!(event, Event::Incoming(Incoming::SubAck(_)))).await;
    }

    pub(super) async fn next(&mut self) -> (String, String, bool) {
        match self.until(|event| matches!(event, Event::Incoming(Incoming::Publish(_)))).await {
            Event::Incoming(Incoming::Publish(p)) => {
                (p.topic, String::from_utf8(p.payload.to_vec()).unwrap(), p.retain)
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A rumqttd that nobody was connected to before: it takes the goodbye of a client twice, and the second one hits whoever
/// has got the client's place in the meantime.
pub(super) fn rumqttd(version: &str) -> u16 {
    let port = free_port();
    let server = rumqttd::ServerSettings {
        name: version.to_owned(),
        listen: SocketAddr::from(([127, 0, 0, 1], port)),
        tls: None,
        next_connection_delay_ms: 0,
        connections: rumqttd::ConnectionSettings {
            connection_timeout_ms: 5_000,
            max_payload_size: 1 << 20,
            max_inflight_count: 100,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    let servers = Some(HashMap::from([(version.to_owned(), server)]));
    let (v4, v5) = if version == "5" { (None, servers) } else { (servers, None) };
    let config = rumqttd::Config {
        router: rumqttd::RouterConfig {
            max_connections: 10,
            max_outgoing_packet_count: 200,
            max_segment_size: 1 << 20,
            max_segment_count: 10,
            ..Default::default()
        },
        v4,
        v5,
        ..Default::default()
    };
    std::thread::spawn(move || rumqttd::Broker::new(config).start().expect("the broker runs until the tests end"));
    while !listens(port) {
        std::thread::yield_now();
    }
    port
}

/// Whether there is a listener; a connection to oneself, which Linux makes on a free port now and then, is none.
pub(super) fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok_and(|s| s.local_addr().unwrap() != s.peer_addr().unwrap())
}

/// An authority and a certificate of it for this machine, as files.
pub(super) fn certificates(folder: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.distinguished_name.push(DnType::CommonName, "plant authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    std::fs::write(folder.join("ca.pem"), ca_cert.pem()).unwrap();
    for (name, host) in [("server", "broker.plant.local"), ("client", "gateway.plant.local")] {
        let key = KeyPair::generate().unwrap();
        let mut cert = CertificateParams::new(vec![host.to_owned()]).unwrap();
        cert.distinguished_name.push(DnType::CommonName, host);
        let cert = cert.signed_by(&key, &issuer).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), cert.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// A broker of our own making: logs one client in, hears messages until it has enough, and hangs up. It may never acknowledge.
pub(super) async fn hear(
    listener: &tokio::net::TcpListener,
    enough: impl Fn(&[String]) -> bool,
    acknowledge: bool,
) -> Vec<String> {
    let (mut socket, _) = listener.accept().await.unwrap();
    let (mut bytes, mut heard) = (BytesMut::new(), Vec::new());
    while !enough(&heard) {
        assert!(socket.read_buf(&mut bytes).await.unwrap() > 0, "the client left");
        while let Ok(packet) = Packet::read(&mut bytes, 1 << 20) {
            match packet {
                Packet::Connect(_) => socket.write_all(&[0x20, 2, 0, 0]).await.unwrap(),
                Packet::Publish(publish) => {
                    heard.push(String::from_utf8(publish.payload.to_vec()).unwrap());
                    let [high, low] = publish.pkid.to_be_bytes();
                    if acknowledge {
                        socket.write_all(&[0x40, 2, high, low]).await.unwrap();
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
    heard
}

/// A broker of our own making for a source: logs one client in, with its session remembered or not, takes its subscription, and
/// sends messages: packet id, whether it says that it sent this before, payload. Dropping what it gives hangs up.
pub(super) async fn send(
    listener: &tokio::net::TcpListener,
    remembered: bool,
    messages: &[(u8, bool, &str)],
) -> tokio::net::TcpStream {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut bytes = BytesMut::new();
    loop {
        assert!(socket.read_buf(&mut bytes).await.unwrap() > 0, "the client left");
        match Packet::read(&mut bytes, 1 << 20) {
            Ok(Packet::Connect(_)) => socket.write_all(&[0x20, 2, remembered.into(), 0]).await.unwrap(),
            Ok(Packet::Subscribe(asked)) => {
                let [high, low] = asked.pkid.to_be_bytes();
                socket.write_all(&[0x90, 3, high, low, 1]).await.unwrap();
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    for (packet, again, payload) in messages {
        let rest = [&[0, 3], &b"p/a"[..], &[0, *packet], payload.as_bytes()].concat();
        let head = [if *again { 0x3a } else { 0x32 }, u8::try_from(rest.len()).unwrap()];
        socket.write_all(&[&head[..], &rest].concat()).await.unwrap();
    }
    socket
}

/// The packet ids of so many acknowledgements.
pub(super) async fn acknowledged(socket: &mut tokio::net::TcpStream, count: usize) -> Vec<u16> {
    let (mut bytes, mut packets) = (BytesMut::new(), Vec::new());
    while packets.len() < count {
        assert!(socket.read_buf(&mut bytes).await.unwrap() > 0, "the client left");
        while let Ok(packet) = Packet::read(&mut bytes, 1 << 20) {
            match packet {
                Packet::PubAck(ack) => packets.push(ack.pkid),
                other => panic!("{other:?}"),
            }
        }
    }
    packets
}
