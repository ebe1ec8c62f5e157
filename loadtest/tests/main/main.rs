//! The world around the engine, tested over the wire as the engine meets it.

mod broker;
mod feed;
mod fleet;
mod kafka;
mod oven_line;
mod plant;
mod player;
mod synthetic;
mod trace;
mod watch;

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS};

/// An MQTT 3.1.1 client that has subscribed to `filter`.
async fn subscriber(port: u16, id: &str, filter: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, "127.0.0.1", port);
    options.set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe(filter, QoS::AtLeastOnce).await.expect("the queue has room");
    loop {
        if let Event::Incoming(Packet::SubAck(_)) = events.poll().await.expect("the broker runs") {
            return (client, events);
        }
    }
}

/// The next message that arrives.
async fn next(events: &mut EventLoop) -> Publish {
    loop {
        if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.expect("the broker runs") {
            return publish;
        }
    }
}
