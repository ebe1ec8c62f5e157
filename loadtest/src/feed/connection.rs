//! One connection to an MQTT broker: what waits for the socket, what is in flight, and exact counts of both.

use std::io;
use std::time::{Duration, Instant};

use lineside_model::{Error, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::packet;
use super::rounds::Left;

/// A broker that takes or acknowledges nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that may wait for the socket; with more, the feeder waits.
const WAITING_MAX: usize = 256 << 10;

/// What has happened to the messages of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Handed over to be sent.
    pub(super) handed: u64,
    /// Taken by the kernel as a whole.
    pub(super) sent: u64,
    /// Acknowledged by the broker.
    pub(super) acknowledged: u64,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// What waits for the socket, and how much of it is gone already.
    waiting: Vec<u8>,
    gone: usize,
    /// When the first message in `waiting` was due.
    oldest: Option<Instant>,
    /// Messages that may be unacknowledged; none is acknowledged without it.
    in_flight_max: Option<u16>,
    packet: u16,
    /// An acknowledgement that has come in part.
    part: Vec<u8>,
    counts: Counts,
    broken: bool,
    failure: Option<Error>,
}

impl Connection {
    /// Connects and asks for a session.
    pub(super) async fn open(address: &str, client: &str, in_flight_max: Option<u16>) -> Result<Self> {
        let cannot = |error: io::Error| {
            Error::external(format!("cannot connect to the MQTT broker {address}"))
                .hint("is it running")
                .caused_by(error)
        };
        let mut stream = TcpStream::connect(address).await.map_err(cannot)?;
        stream.set_nodelay(true).map_err(cannot)?;
        let mut hello = Vec::new();
        packet::connect(client, &mut hello);
        stream.write_all(&hello).await.map_err(cannot)?;
        Ok(Self {
            stream,
            waiting: Vec::new(),
            gone: 0,
            oldest: None,
            in_flight_max,
            packet: 0,
            part: Vec::new(),
            counts: Counts::default(),
            broken: false,
            failure: None,
        })
    }

    /// Waits for the broker's consent.
    pub(super) async fn consented(&mut self) -> Result<()> {
        let mut answer = [0; packet::CONNACK_LEN];
        match timeout(PATIENCE, self.stream.read_exact(&mut answer)).await {
            Ok(Ok(_)) if answer[..2] == [0x20, 2] && answer[3] == 0 => Ok(()),
            Ok(Ok(_)) => Err(Error::user(format!("the MQTT broker refused the connection with code {}", answer[3]))),
            Ok(Err(error)) => Err(Error::external("the MQTT broker hung up at once").caused_by(error)),
            Err(_) => Err(Error::external("the MQTT broker does not answer")),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// What went wrong, told once.
    pub(super) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Puts a message behind those that wait for the socket. On a broken connection it has failed.
    pub(super) fn push(&mut self, topic: &str, payload: &[u8], due: Instant) {
        self.counts.handed += 1;
        if self.broken {
            return;
        }
        let number = self.in_flight_max.map(|_| {
            self.packet = self.packet.checked_add(1).unwrap_or(1);
            self.packet
        });
        self.oldest.get_or_insert(due);
        packet::publish(topic, number, payload, &mut self.waiting);
    }

    /// Hands the socket what it takes now.
    pub(super) fn flush(&mut self, left: &mut Left) {
        while self.gone < self.waiting.len() {
            match self.stream.try_write(&self.waiting[self.gone..]) {
                Ok(bytes) => self.gone += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.fail("broke", Some(error), left),
            }
        }
        if let Some(oldest) = self.oldest.take() {
            left.leave(self.counts.handed - self.counts.sent, oldest);
            self.counts.sent = self.counts.handed;
            self.waiting.clear();
            self.gone = 0;
        }
    }

    /// Waits until there is room for a message.
    pub(super) async fn make_room(&mut self, left: &mut Left) {
        let most = self.in_flight_max.map_or(u64::MAX, u64::from);
        if self.in_flight() >= most || self.waiting.len() >= WAITING_MAX {
            // All that waits is sent, not only some: the buffer begins anew, and the counts stay simple.
            self.wait_while(left, |this| !this.is_idle() || this.in_flight() >= most).await;
        }
    }

    /// Whether nothing waits for the socket.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Waits until nothing waits for the socket; may be dropped at any time.
    pub(super) async fn all_sent(&mut self, left: &mut Left) {
        self.wait_while(left, |this| !this.is_idle()).await;
    }

    /// Waits until everything is sent and acknowledged, and takes leave.
    pub(super) async fn finish(&mut self, left: &mut Left) {
        let acknowledged = self.in_flight_max.is_some();
        let undone = |this: &Self| !this.is_idle() || (acknowledged && this.in_flight() > 0);
        self.wait_while(left, undone).await;
        if self.broken {
            return;
        }
        let mut leave = async || {
            self.stream.write_all(&packet::DISCONNECT).await?;
            self.stream.shutdown().await?;
            // Who closes a socket with something unread resets it, and what was sent may be lost.
            tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await
        };
        match timeout(PATIENCE, leave()).await {
            // All that matters is acknowledged by now, or the broker was told to hang up.
            Ok(_) => {}
            Err(_) => self.fail("did not end: the broker does not hang up", None, left),
        }
    }

    fn in_flight(&self) -> u64 {
        match self.in_flight_max {
            Some(_) => self.counts.handed - self.counts.acknowledged,
            None => 0,
        }
    }

    async fn wait_while(&mut self, left: &mut Left, undone: impl Fn(&Self) -> bool) {
        loop {
            self.flush(left);
            self.receive(left);
            if self.broken || !undone(self) {
                return;
            }
            let interest = if self.is_idle() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            match timeout(PATIENCE, self.stream.ready(interest)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => self.fail("broke", Some(error), left),
                Err(_) => self.fail("stalled: the broker takes nothing any more", None, left),
            }
        }
    }

    /// Takes what the broker has sent: acknowledgements.
    pub(super) fn receive(&mut self, left: &mut Left) {
        let mut bytes = [0; 4096];
        while !self.broken {
            match self.stream.try_read(&mut bytes) {
                Ok(0) => self.fail("was closed by the broker", None, left),
                Ok(count) => {
                    self.part.extend_from_slice(&bytes[..count]);
                    let mut packets = self.part.chunks_exact(packet::PUBACK_LEN);
                    let known = packets.by_ref().filter(|packet| packet[..2] == packet::PUBACK).count();
                    let whole = self.part.len() / packet::PUBACK_LEN;
                    self.part.drain(..whole * packet::PUBACK_LEN);
                    self.counts.acknowledged += known as u64;
                    if known < whole {
                        self.fail("brought something else than acknowledgements", None, left);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => self.fail("broke", Some(error), left),
            }
        }
    }

    fn fail(&mut self, how: &str, error: Option<io::Error>, left: &mut Left) {
        let message = Error::external(format!("a connection to the MQTT broker {how}"));
        self.failure.get_or_insert(match error {
            Some(error) => message.caused_by(error),
            None => message,
        });
        let sent = packet::whole(&self.waiting[..self.gone]);
        left.messages += sent;
        self.counts.sent += sent;
        self.broken = true;
        (self.waiting, self.gone, self.oldest) = (Vec::new(), 0, None);
    }
}
