//! How fast the feeders themselves are: what no case can exceed.
//!
//! ```text
//! cargo run --release -p lineside-loadtest --example feeders -- socket              # MQTT QoS 0 to a socket that only reads
//! cargo run --release -p lineside-loadtest --example feeders -- mqtt 127.0.0.1:1883 # to a broker, QoS 0 and 1
//! cargo run --release -p lineside-loadtest --example feeders -- kafka 127.0.0.1:9092 # to the topic "readings"; may be followed
//!                                                                                   # by options of librdkafka: batch.size=65536
//! cargo run --release -p lineside-loadtest --example feeders -- pace              # how late messages leave at some rates
//! cargo run --release -p lineside-loadtest --example feeders -- made              # the messages alone, sent to nobody
//! ```

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use lineside_loadtest::feed::{Acks, FeedReport, Kafka, KafkaOptions, Mqtt, MqttOptions};
use lineside_loadtest::synthetic::{Messages, Options};
use lineside_model::{Error, Result, Span};

const CONNECTIONS: u32 = 10;

/// So many messages, all due at once.
fn messages(count: usize) -> Result<impl Iterator<Item = lineside_loadtest::synthetic::Message> + Send> {
    Ok(Messages::new(&Options { rate: 1e12, ..Options::default() })?.take(count))
}

#[expect(clippy::disallowed_methods, reason = "what is measured is the outer world's time")]
fn now() -> Instant {
    Instant::now()
}

fn tell(what: &str, start: Instant, report: &FeedReport) {
    let seconds = start.elapsed().as_secs_f64();
    let rate = report.sent as f64 / seconds;
    println!("{what}: {} sent, {} failed in {seconds:.2} s: {rate:.0} messages/s", report.sent, report.failed);
    if let Some(error) = &report.error {
        println!("  {error}");
    }
}

async fn mqtt(what: &str, address: &str, qos: u8, count: usize) -> Result<()> {
    let options = MqttOptions { connections: CONNECTIONS, qos, ..MqttOptions::default() };
    let start = now();
    let running = Mqtt::new(address, options).start(messages(count)?, start).await?;
    tell(what, start, &running.finish().await);
    Ok(())
}

/// Takes connections, consents, and reads until the end.
fn sink() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || swallow(stream));
        }
    });
    Ok(address)
}

fn swallow(mut stream: TcpStream) -> std::io::Result<u64> {
    let mut hello = [0; 128];
    let _hello = stream.read(&mut hello)?;
    stream.write_all(&[0x20, 2, 0, 0])?;
    let (mut buffer, mut bytes) = (vec![0; 1 << 20], 0);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(bytes),
            count => bytes += count as u64,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = std::env::args().skip(1).collect::<Vec<_>>();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["made"] => {
            let start = now();
            let sum = messages(10_000_000)?.fold(0, |sum, message| sum ^ message.value.to_bits());
            println!("made: {:.0} messages/s ({sum:x})", 1e7 / start.elapsed().as_secs_f64());
            Ok(())
        }
        ["socket"] => {
            let address = sink().map_err(|error| Error::external("cannot listen").caused_by(error))?;
            for _ in 0..3 {
                mqtt("socket that only reads, QoS 0", &address, 0, 5_000_000).await?;
            }
            Ok(())
        }
        ["pace"] => {
            let address = sink().map_err(|error| Error::external("cannot listen").caused_by(error))?;
            for rate in [1_000.0, 10_000.0, 100_000.0, 500_000.0] {
                let options = Options { rate, lasts: Some(Span::from_secs(5)), ..Options::default() };
                let start = now() + Duration::from_millis(200);
                let feed = Mqtt::new(&address, MqttOptions { connections: CONNECTIONS, ..MqttOptions::default() });
                let report = feed.start(Messages::new(&options)?, start).await?.finish().await;
                println!("{rate} messages/s: {} sent, the latest {:?} late", report.sent, report.late_max);
            }
            Ok(())
        }
        ["mqtt", address] => {
            for qos in [0, 1, 0, 1] {
                mqtt(&format!("{address}, QoS {qos}"), address, qos, 1_000_000).await?;
            }
            Ok(())
        }
        ["kafka", brokers, ref settings @ ..] => {
            let set = |setting: &&str| setting.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
            let set = settings.iter().filter_map(set).collect::<BTreeMap<_, _>>();
            for acks in [Acks::All, Acks::Leader, Acks::All, Acks::Leader] {
                let options = KafkaOptions { acks, options: set.clone(), ..KafkaOptions::default() };
                let start = now();
                let running = Kafka::new(brokers, options).start(messages(5_000_000)?, start).await?;
                tell(&format!("{brokers}, acknowledged by {acks:?}"), start, &running.finish().await);
            }
            Ok(())
        }
        _ => Err(Error::user("say what to measure").hint("made, socket, pace, mqtt HOST:PORT or kafka HOST:PORT")),
    }
}
