use std::net::TcpListener;

use lineside_loadtest::Broker;
use rumqttc::v5;
use rumqttc::{AsyncClient, Event, Packet, QoS};

use crate::{next, subscriber};

#[tokio::test]
async fn messages_cross_between_mqtt_3_and_mqtt_5() {
    let broker = Broker::start(0).expect("it starts");
    let (old, mut old_events) = subscriber(broker.port(), "old", "line/+/temperature").await;

    let (new, mut new_events) = v5::AsyncClient::new(v5::MqttOptions::new("new", "127.0.0.1", broker.port_v5()), 10);
    new.subscribe("answers/#", v5::mqttbytes::QoS::AtLeastOnce).await.expect("the queue has room");
    new.publish("line/press/pressure", v5::mqttbytes::QoS::AtLeastOnce, false, "not for you").await.expect("room");
    new.publish("line/press/temperature", v5::mqttbytes::QoS::AtLeastOnce, false, "81").await.expect("room");
    let driven = tokio::spawn(async move {
        loop {
            if let v5::Event::Incoming(v5::mqttbytes::v5::Packet::Publish(p)) =
                new_events.poll().await.expect("it runs")
            {
                return p;
            }
        }
    });

    let message = next(&mut old_events).await;
    assert_eq!((message.topic.as_str(), &message.payload[..]), ("line/press/temperature", &b"81"[..]));

    old.publish("answers/press", QoS::AtLeastOnce, false, "seen").await.expect("the queue has room");
    let old_driven = tokio::spawn(async move { while old_events.poll().await.is_ok() {} });
    let answer = driven.await.expect("no panic");
    assert_eq!((&answer.topic[..], &answer.payload[..]), (&b"answers/press"[..], &b"seen"[..]));
    old_driven.abort();
}

#[tokio::test]
async fn a_retained_message_waits_for_its_subscriber() {
    let broker = Broker::start(0).expect("it starts");
    let options = rumqttc::MqttOptions::new("first", "127.0.0.1", broker.port());
    let (client, mut events) = AsyncClient::new(options, 10);
    client.publish("recipe/current", QoS::AtLeastOnce, true, "rye").await.expect("the queue has room");
    client.publish("recipe/current", QoS::AtLeastOnce, true, "wheat").await.expect("the queue has room");
    for _ in 0..2 {
        while !matches!(events.poll().await.expect("it runs"), Event::Incoming(Packet::PubAck(_))) {}
    }

    let (_client, mut events) = subscriber(broker.port(), "second", "recipe/#").await;
    let message = next(&mut events).await;
    assert_eq!((&message.payload[..], message.retain), (&b"wheat"[..], true));
}

#[test]
fn a_taken_port_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let error = Broker::start(port).expect_err("the port is taken");
    assert!(error.to_string().starts_with(&format!("cannot start the MQTT broker on 127.0.0.1:{port}")), "{error}");
}

#[test]
fn brokers_started_at_once_do_not_take_each_others_ports() {
    let started = std::thread::scope(|scope| {
        let all = [(); 8].map(|()| scope.spawn(|| Broker::start(0).expect("it starts")));
        all.map(|one| one.join().expect("no panic"))
    });
    let ports = started.iter().flat_map(|b| [b.port(), b.port_v5()]).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(ports.len(), 16);
}
