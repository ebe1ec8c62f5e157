//! A subscriber that keeps the books over what the engine publishes, and a relay that only forwards: the floor under any
//! answer that goes through the broker twice.

use std::sync::mpsc::channel;
use std::time::Duration;

use lineside_model::{Error, Result};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, Publish, QoS};
use tokio::sync::oneshot;

use super::{Shared, Subscriber};
use crate::clock;

/// Requests between a client and its connection: room for what a relay forwards of one read.
const QUEUE_LEN: usize = 100_000;
/// Packets of more bytes end the connection.
const PACKET_BYTES_MAX: usize = 16 << 20;

impl Subscriber {
    /// Keeps books over all messages of a topic filter; it has subscribed when this returns.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    pub fn watch(port: u16, name: &str, filter: &str, books: Shared) -> Result<Self> {
        Self::start(port, name, filter, move |_: &AsyncClient, message: &Publish| {
            books.arrive(&message.payload, clock::monotonic());
            Ok(())
        })
    }

    /// Forwards the bytes of all messages of a topic filter to another topic, and does nothing else.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    pub fn relay(port: u16, name: &str, filter: &str, to: &str) -> Result<Self> {
        let to = to.to_owned();
        Self::start(port, name, filter, move |client: &AsyncClient, message: &Publish| {
            client
                .try_publish(to.as_str(), QoS::AtMostOnce, false, message.payload.clone())
                .map_err(|error| Error::external("the relay cannot forward").caused_by(error))
        })
    }

    fn start<F>(port: u16, name: &str, filter: &str, mut each: F) -> Result<Self>
    where
        F: FnMut(&AsyncClient, &Publish) -> Result<()> + Send + 'static,
    {
        let cannot = |error: std::io::Error| Error::external("a watcher got no thread").caused_by(error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let (stop, stopped) = oneshot::channel();
        let (told, subscribed) = channel();
        let (client_name, filter) = (name.to_owned(), filter.to_owned());
        let run = async move {
            let seen = async {
                let (client, mut events) = subscribe(port, &client_name, &filter).await?;
                // Whoever started it waits for this word.
                told.send(()).ok();
                loop {
                    match events.poll().await {
                        Ok(Event::Incoming(Packet::Publish(message))) => each(&client, &message)?,
                        Ok(_) => {}
                        Err(error) => {
                            return Err(Error::external("a watcher lost the MQTT broker").caused_by(error));
                        }
                    }
                }
            };
            let ended = tokio::select! {
                seen = seen => seen,
                _ = stopped => Ok(()),
            };
            drop(told);
            ended
        };
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(move || runtime.block_on(run)).map_err(cannot)?;
        if subscribed.recv().is_err() {
            let ended = thread.join().unwrap_or_else(|_| Err(Error::internal("a watcher panicked")));
            return Err(ended.err().unwrap_or_else(|| Error::internal("a watcher ended before it had subscribed")));
        }
        Ok(Self::running(stop, thread))
    }
}

async fn subscribe(port: u16, name: &str, filter: &str) -> Result<(AsyncClient, EventLoop)> {
    let mut options = MqttOptions::new(name, "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(30)).set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    let (client, mut events) = AsyncClient::new(options, QUEUE_LEN);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    let cannot = |what: &str| Error::external(format!("{what} at the MQTT broker 127.0.0.1:{port}"));
    client.subscribe(filter, QoS::AtMostOnce).await.map_err(|error| cannot("nothing is heard").caused_by(error))?;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::SubAck(_))) => return Ok((client, events)),
            Ok(_) => {}
            Err(error) => return Err(cannot("nothing is heard").caused_by(error)),
        }
    }
}
