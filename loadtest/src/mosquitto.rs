//! The broker between plant and engine in a load test: mosquitto, in a process of its own, as a plant would have it.
//!
//! It keeps nothing on disk, queues without limit and sends without delay, so that what is lost or late is so on our side. It says who has subscribed:
//! a run begins only when the engine listens, since a broker drops what nobody has asked for.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use lineside_model::{Error, Result};
use tempfile::TempDir;

/// Where Debian puts it, which is not always in the path, and its plain name.
const PROGRAMS: [&str; 2] = ["/usr/sbin/mosquitto", "mosquitto"];

/// A running broker; dropping it ends it.
#[derive(Debug)]
pub struct Mosquitto {
    port: u16,
    process: Child,
    subscribers: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl Mosquitto {
    /// Starts a broker on any free loopback port; it takes connections when this returns.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start() -> Result<Self> {
        let cannot = |error: std::io::Error| {
            Error::external("cannot start the MQTT broker mosquitto")
                .hint("install it: apt-get install mosquitto")
                .caused_by(error)
        };
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).map_err(cannot)?.port();
        let folder = tempfile::tempdir().map_err(cannot)?;
        let file = folder.path().join("mosquitto.conf");
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\n\
             log_dest stderr\nlog_type error\nlog_type notice\nlog_type information\nlog_type subscribe\n\
             max_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 0\n"
        );
        std::fs::write(&file, config).map_err(cannot)?;
        let start = |program: &&str| {
            let mut command = Command::new(program);
            command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
        };
        let mut process = match start(&PROGRAMS[0]) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => start(&PROGRAMS[1]).map_err(cannot)?,
            started => started.map_err(cannot)?,
        };
        let log = process.stderr.take().ok_or_else(|| Error::internal("the log of mosquitto is no pipe"))?;
        let subscribers = Arc::<Mutex<Vec<String>>>::default();
        let broker = Self { port, process, subscribers: Arc::clone(&subscribers), _folder: folder };
        let mut lines = BufReader::new(log).lines().map_while(std::io::Result::ok);
        let mut told = String::new();
        loop {
            let Some(line) = lines.next() else {
                return Err(Error::external(format!("the MQTT broker mosquitto ended instead of starting: {told}")));
            };
            if line.ends_with(" running") {
                break;
            }
            told = line;
        }
        std::thread::Builder::new()
            .name("mosquitto-log".to_owned())
            .spawn(move || {
                // It must be able to write on, so this reads to the end.
                for client in lines.filter_map(|line| subscriber(&line)) {
                    subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(client);
                }
            })
            .map_err(cannot)?;
        Ok(broker)
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The identifier of its process.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// How many times clients whose name begins so have subscribed since it was started.
    pub fn subscriptions(&self, client: &str) -> usize {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.iter().filter(|name| name.starts_with(client)).count()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // Both fail only for a process that has ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Who has subscribed, from a line of the log: time, client, QoS, topic.
fn subscriber(line: &str) -> Option<String> {
    let (_, said) = line.split_once(": ")?;
    let mut words = said.split(' ');
    let (client, qos, topic) = (words.next()?, words.next()?, words.next()?);
    let is_subscription = words.next().is_none() && matches!(qos, "0" | "1" | "2") && !topic.is_empty();
    is_subscription.then(|| client.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_told_from_other_lines() {
        assert_eq!(subscriber("1763752000: lineside-case-plant 0 plant/+").as_deref(), Some("lineside-case-plant"));
        assert_eq!(subscriber("1763752000: mosquitto version 2.0.11 running"), None);
        assert_eq!(subscriber("1763752000: No will message specified."), None);
    }
}
