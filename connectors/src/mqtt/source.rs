//! The MQTT source: messages as the broker sends them, each acknowledged only when the engine has taken responsibility.
//!
//! A task of its own drives the network, so that pings are answered and messages are read while operators work. What it reads
//! waits in a bounded [`Inbox`]. At QoS 1 the broker keeps a copy of every message until [`Source::ack`]; after a lost
//! connection it sends the unacknowledged ones again, so delivery is at least once. Acknowledgements go out in the order of
//! the messages, as the protocol demands.
//!
//! What is sent again and is still in the engine's hands is not handed on twice: within a session the broker must repeat a
//! message under its packet id, and before anything new; until we have acknowledged it, that id is no other's. It is
//! acknowledged as soon as the engine is done with the first copy. What the next connection does not repeat is waited for no
//! longer: the broker has let it expire or given it to another reader, and its id may stand for a new message of the same
//! content. Some do come twice: those whose acknowledgement was on its way when the connection broke, those whose repetition
//! the next cut came before, and, after a restart, those that were not acknowledged.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use lineside_model::{Clock, Error, Reason, Result};
use tokio::task::JoinHandle;

use super::broker::{ANSWER_WITHIN, Broker, Session};
use super::inbox::{Arrived, Inbox};
use super::link::{Client, Link, Message, Told};
use super::template::TopicTemplates;
use crate::codec::{Cell, Columns, Field};
use crate::{BuildContext, Frames, Meter, Position, Pulled, Source};

/// Messages read in a row before the network task lets others run: a burst must not hold up what was read first.
const BURST: usize = 256;

/// What was planned for a source.
#[derive(Debug)]
pub(super) struct SourceParts {
    pub(super) broker: Broker,
    pub(super) session: Session,
    pub(super) qos: u8,
    pub(super) topics: TopicTemplates,
    /// The metadata columns: those of the topics, then topic, qos and retained.
    pub(super) columns: Vec<Field>,
    pub(super) messages_max: usize,
    pub(super) bytes_max: usize,
    pub(super) payload_max: usize,
}

/// Reads from a broker.
#[derive(Debug)]
pub(super) struct MqttSource {
    parts: Arc<SourceParts>,
    clock: Arc<dyn Clock>,
    meter: Arc<dyn Meter>,
    connection: Option<Connection>,
    /// QoS 1 messages that the broker still waits for, oldest first.
    unacknowledged: VecDeque<Unacknowledged>,
    /// The same of the latest connection when it ended, by packet: the next one begins with them. At most one a packet id.
    held: HashMap<u16, Unacknowledged>,
    /// The engine is done with all up to this sequence.
    done: u64,
    /// Whether this source was connected before, so that the broker should remember it.
    known: bool,
    /// Counts over all connections, so that a late acknowledgement of an earlier one cannot hit a message of this one.
    sequence: u64,
}

#[derive(Debug)]
struct Connection {
    client: Client,
    inbox: Arc<Inbox>,
    task: NetworkTask,
    /// What the engine has in hand and the broker has to send again before it sends anything new.
    repeats: HashMap<u16, Unacknowledged>,
}

#[derive(Debug)]
struct Unacknowledged {
    sequence: u64,
    packet: u16,
    /// What it says: a broker that breaks the rules of packet ids must not cost us a message.
    digest: u64,
    /// Whether the engine has it; if not, it was dropped here and is only waiting for its turn.
    delivered: bool,
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(super) struct NetworkTask(pub(super) JoinHandle<()>);

impl Drop for NetworkTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl NetworkTask {
    /// Gives the goodbye a moment to be sent; the task is stopped in any case.
    pub(super) async fn finish(mut self) {
        if tokio::time::timeout(ANSWER_WITHIN / 5, &mut self.0).await.is_err() {
            tracing::debug!("the broker did not take our goodbye in time");
        }
    }
}

impl MqttSource {
    pub(super) fn new(parts: Arc<SourceParts>, context: &BuildContext) -> Self {
        Self {
            parts,
            clock: Arc::clone(&context.clock),
            meter: Arc::clone(&context.meter),
            connection: None,
            unacknowledged: VecDeque::new(),
            held: HashMap::new(),
            done: 0,
            known: false,
            sequence: 0,
        }
    }

    /// Turns messages into frames; `None` if none of them fits.
    fn frames(&mut self, arrived: Vec<Arrived>) -> Result<Option<Frames>> {
        let parts = Arc::clone(&self.parts);
        let mut columns = Columns::new(&parts.columns, arrived.len());
        let mut cells = parts.columns.iter().map(|_| Cell::default()).collect::<Vec<_>>();
        let mut fates = Vec::with_capacity(arrived.len());
        let (mut unknown, mut too_large, mut already_taken) = (0, 0, 0);
        let captured = parts.topics.columns.len();
        for Arrived { message, too_large: large, .. } in &arrived {
            let held = self.take_held(message);
            let new = held.is_none();
            let known = new && !large;
            let known = known && parts.topics.read(&message.topic, cells.get_mut(..captured).unwrap_or_default());
            if known {
                if let Some([topic, qos, retained]) = cells.get_mut(captured..) {
                    *topic = Cell::Text(message.topic.as_str().into());
                    *qos = Cell::Int(i64::from(message.packet.is_some()));
                    *retained = Cell::Bool(message.retained);
                }
                columns.push(&mut cells).map_err(|fault| Error::internal(format!("metadata: {}", fault.detail)))?;
            } else if !new {
                already_taken += 1;
            } else if *large {
                too_large += 1;
            } else {
                unknown += 1;
            }
            fates.push((known, held));
        }
        drop(cells);
        let metadata = columns.into_arrays()?;
        let mut frames = Frames { payloads: Vec::with_capacity(arrived.len()), received_at: Vec::new(), metadata };
        for (Arrived { message, at, .. }, (delivered, held)) in arrived.into_iter().zip(fates) {
            if let Some(held) = held {
                self.unacknowledged.push_back(held);
                continue;
            }
            self.sequence += 1;
            if let Some(packet) = message.packet {
                let (sequence, digest) = (self.sequence, digest(&message));
                self.unacknowledged.push_back(Unacknowledged { sequence, packet, digest, delivered });
            }
            if delivered {
                frames.payloads.push(message.payload);
                frames.received_at.push(at);
            }
        }
        for (reason, count) in [(Reason::UnknownTopic, unknown), (Reason::TooLarge, too_large)] {
            if count > 0 {
                self.meter.dropped(reason, count);
            }
        }
        if already_taken > 0 {
            self.meter.add("already_taken", already_taken);
        }
        self.acknowledge();
        Ok((!frames.payloads.is_empty()).then_some(frames))
    }

    /// If a message is one that we hold from the connection before, what we know of it.
    fn take_held(&mut self, message: &Message) -> Option<Unacknowledged> {
        let (packet, connection) = (message.packet?, self.connection.as_mut()?);
        if !message.again {
            // The new ones begin: what has not come again by now never will, and its id may be used for others.
            connection.repeats.clear();
            return None;
        }
        // Under the id of one that we hold, another message means that the broker has given that one up.
        connection.repeats.remove(&packet).filter(|held| held.digest == digest(message))
    }

    /// Acknowledges in order what is done with, and what was dropped right behind it.
    fn acknowledge(&mut self) {
        let Some(connection) = &self.connection else { return };
        while let Some(first) = self.unacknowledged.front()
            && (first.sequence <= self.done || !first.delivered)
        {
            // If the loop is gone the broker sends the message again, and `pull` says why it is gone.
            if connection.client.acknowledge(first.packet).is_err() {
                return;
            }
            self.unacknowledged.pop_front();
        }
    }
}

fn digest(message: &Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&message.topic, &message.payload).hash(&mut hasher);
    hasher.finish()
}

#[async_trait(?Send)]
impl Source for MqttSource {
    async fn open(&mut self, _from: Option<Position>) -> Result<()> {
        self.close().await?;
        let parts = Arc::clone(&self.parts);
        let (client, mut link, remembered) = parts.broker.connect(&parts.session).await?;
        if self.known && !remembered && !parts.session.clean {
            tracing::warn!(broker = %parts.broker.url, "the broker has forgotten our session: messages since then are lost");
            self.meter.add("sessions_lost", 1);
        }
        // Good for this connection only: over one that is cut at once the broker may have used their ids for new messages that
        // never got here, and sends those again over the next.
        let held = std::mem::take(&mut self.held);
        let repeats = if remembered { held } else { HashMap::new() };
        let inbox = Arc::new(Inbox::new(parts.messages_max, parts.bytes_max, parts.payload_max));
        let network = Network {
            parts: Arc::clone(&parts),
            inbox: Arc::clone(&inbox),
            clock: Arc::clone(&self.clock),
            meter: Arc::clone(&self.meter),
        };
        // Always, also where the broker remembers us: the topics may be others than last time.
        let subscribed = match client.subscribe(&parts.topics.filters, parts.qos) {
            Ok(()) => tokio::time::timeout(ANSWER_WITHIN, network.subscribed(&mut link)).await,
            Err(_) => return Err(Error::internal("the subscription does not fit into the queue of requests")),
        };
        subscribed.unwrap_or_else(|_| {
            Err(Error::external(format!("broker {} did not answer the subscription within 10 s", parts.broker.url)))
        })?;
        let task = NetworkTask(tokio::spawn(network.run(link)));
        self.connection = Some(Connection { client, inbox, task, repeats });
        self.known = true;
        Ok(())
    }

    async fn pull(&mut self, limit: usize) -> Result<Pulled> {
        loop {
            let Some(connection) = &self.connection else {
                return Err(Error::external("the connection to the broker is not open"));
            };
            let arrived = connection.inbox.take(limit).await?;
            if let Some(frames) = self.frames(arrived)? {
                let position = if self.parts.qos == 0 { Position::None } else { Position::Sequence(self.sequence) };
                return Ok(Pulled::Frames(frames, position));
            }
        }
    }

    async fn ack(&mut self, position: &Position) -> Result<()> {
        if let Position::Sequence(upto) = position {
            self.done = self.done.max(*upto);
            self.acknowledge();
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        if self.connection.is_some() {
            self.held = self.unacknowledged.drain(..).map(|one| (one.packet, one)).collect();
        }
        if let Some(Connection { client, task, .. }) = self.connection.take()
            && client.disconnect().is_ok()
        {
            task.finish().await;
        }
        Ok(())
    }
}

/// The network's side of a source.
struct Network {
    parts: Arc<SourceParts>,
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    meter: Arc<dyn Meter>,
}

impl Network {
    /// Reads until the broker has answered the subscription; messages of a remembered session may come before.
    async fn subscribed(&self, link: &mut Link) -> Result<()> {
        loop {
            match link.next(&self.parts.broker).await? {
                Told::Subscribed(answers) => return self.check(answers),
                told => self.take(told),
            }
        }
    }

    fn check(&self, answers: Vec<Result<u8, String>>) -> Result<()> {
        for (filter, answer) in self.parts.topics.filters.iter().zip(answers) {
            let broker = &self.parts.broker.url;
            match answer {
                Ok(granted) if granted < self.parts.qos => {
                    return Err(Error::user(format!(
                        "broker {broker} gives only qos {granted} for topic \"{filter}\""
                    ))
                    .hint("set qos = 0, which can lose messages, or allow qos 1 at the broker"));
                }
                Ok(_) => {}
                Err(reason) => {
                    return Err(Error::user(format!("broker {broker} refused topic \"{filter}\": {reason}"))
                        .hint("check what the broker allows this user to read"));
                }
            }
        }
        Ok(())
    }

    fn take(&self, told: Told) {
        if let Told::Message(message) = told
            && !self.inbox.put(message, self.clock.now())
        {
            self.meter.dropped(Reason::Overflow, 1);
        }
    }

    async fn run(self, mut link: Link) {
        // Whatever ends this task, a panic in a library too, the source must hear of it.
        let ended = Ended(Arc::clone(&self.inbox));
        let mut burst = 0;
        loop {
            match link.next(&self.parts.broker).await {
                Ok(Told::Disconnected) => break,
                Ok(told) => {
                    burst = if matches!(told, Told::Message(_)) { burst + 1 } else { burst };
                    self.take(told);
                    if burst >= BURST {
                        burst = 0;
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) => {
                    while let Some(told) = link.leftover() {
                        self.take(told);
                    }
                    self.inbox.end(error);
                    break;
                }
            }
        }
        drop(ended);
    }
}

/// Tells the source that the network task is over.
struct Ended(Arc<Inbox>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end(Error::external("the connection to the broker is closed"));
    }
}
