//! Sends numbered messages when they are due, whatever the receiver does: the load that a case puts on the engine.
//!
//! The loop is open. A message has a due time from the start of the feed; if the receiver holds the feeder back, messages
//! leave late and are not left out, so whoever measures from the due time sees the whole delay. A feeder has a thread of its
//! own, wakes up to the microsecond (the kernel's timer, not the runtime's), and hands what is due to the socket in one go.
//!
//! The payload is `{"n":17,"ts":1767225600000000,"sensor":"s3","value":50.25}`; of a bad message it is one that nobody can
//! read: cut off, text in place of the number, or noise of the line, by turns.

mod books;
mod connection;
mod kafka;
mod mqtt;
mod pace;
mod packet;
mod payload;
mod rounds;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lineside_model::{Error, Result};
use tokio::sync::oneshot;

pub use kafka::{Acks, Kafka, KafkaOptions};
pub use mqtt::{Mqtt, MqttOptions};

use books::Books;
use payload::Names;

/// A feeder to a broker: [`Mqtt`] or [`Kafka`].
#[derive(Clone, Debug)]
pub struct Feeder<O> {
    address: String,
    options: O,
    names: Names,
}

impl<O> Feeder<O> {
    /// A feeder to the broker at this address.
    pub fn new(address: impl Into<String>, options: O) -> Self {
        Self { address: address.into(), options, names: Names::default() }
    }

    /// With names of sensors, by their numbers; by default they are `s0`, `s1` and so on.
    #[must_use]
    pub fn named(mut self, names: Vec<String>) -> Self {
        self.names = Names::listed(names);
        self
    }
}

/// How a feed went.
#[derive(Debug, Default)]
pub struct FeedReport {
    /// Messages that left: handed to the kernel, or to the Kafka client.
    pub sent: u64,
    /// Messages that the other end acknowledged; `None` where it does not (QoS 0).
    pub acknowledged: Option<u64>,
    /// Messages of which it is not sure that they arrived: not acknowledged or, where nothing is, not sent.
    pub failed: u64,
    /// How long after it was due the latest message left.
    pub late_max: Duration,
    /// Messages sent in each second since the start.
    pub by_second: Vec<u64>,
    /// The first thing that went wrong.
    pub error: Option<Error>,
}

/// A feed that runs; dropping it stops it.
#[derive(Debug)]
pub struct Running {
    books: Arc<Books>,
    report: oneshot::Receiver<FeedReport>,
}

impl Running {
    /// Runs a feeder on a thread of its own and waits until it has connected.
    async fn spawn<F>(name: &str, start: Instant, feeder: F) -> Result<Self>
    where
        F: AsyncFnOnce(Arc<Books>, oneshot::Sender<Result<()>>) -> FeedReport + Send + 'static,
    {
        let cannot = |error: std::io::Error| Error::internal("cannot start a feeder").caused_by(error);
        let books = Arc::new(Books::starting(start));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let (told, connected) = oneshot::channel();
        let (reported, report) = oneshot::channel();
        let of_the_thread = Arc::clone(&books);
        let run = move || {
            let report = runtime.block_on(feeder(of_the_thread, told));
            // Whoever started the feed may have gone by now.
            drop(reported.send(report));
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(cannot)?;
        connected.await.map_err(|_| Error::internal("the feeder ended before it had connected"))??;
        Ok(Self { books, report })
    }

    /// Messages sent in each second since the start, so far.
    pub fn sent_by_second(&self) -> Vec<u64> {
        self.books.by_second()
    }

    /// Messages sent so far.
    pub fn sent(&self) -> u64 {
        self.books.sent()
    }

    /// Takes no further message; what was taken is still sent.
    pub fn stop(&self) {
        self.books.stop();
    }

    /// Waits until all messages have been sent and acknowledged, or have failed.
    pub async fn finish(mut self) -> FeedReport {
        (&mut self.report).await.unwrap_or_else(|_| FeedReport {
            error: Some(Error::internal("the thread of the feeder panicked")),
            ..FeedReport::default()
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.books.stop();
    }
}
