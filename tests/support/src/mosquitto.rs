//! Mosquitto, the MQTT broker of Debian, with its data in a temporary folder.
//!
//! It queues without limit, so that nothing is lost that a subscriber was promised. It can be stopped as a reboot does it, which
//! keeps the sessions of its clients, and started again on the same port with the same data.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

/// Where Debian puts it; `/usr/sbin` is not always in the path.
const PROGRAM: &str = "/usr/sbin/mosquitto";

/// An MQTT broker.
#[derive(Debug)]
pub struct Mosquitto {
    data: TempDir,
    port: u16,
    process: Option<Child>,
    said: Arc<Mutex<String>>,
}

impl Mosquitto {
    /// Starts a broker with empty data; it takes connections when this returns.
    ///
    /// # Panics
    /// Mosquitto is not installed, or does not start: the message says what to do.
    pub fn start() -> Self {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
            listener.local_addr().expect("a bound socket has an address").port()
        };
        let mut broker = Self::absent(port);
        broker.start_again();
        broker
    }

    /// A broker that is to have this port, and does not run yet.
    ///
    /// # Panics
    /// There is no room for a temporary folder.
    pub fn absent(port: u16) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let folder = data.path().display();
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nset_tcp_nodelay true\n\
             log_dest stderr\nlog_type all\n\
             persistence true\npersistence_location {folder}/\n\
             max_queued_messages 0\nmax_queued_bytes 0\nmessage_size_limit 0\n"
        );
        fs::write(data.path().join("mosquitto.conf"), config).expect("the temporary folder can be written");
        Self { data, port, process: None, said: Arc::default() }
    }

    /// Starts the broker on the data and port that it had; it takes connections when this returns.
    ///
    /// # Panics
    /// It runs already, or ends instead of starting.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the broker runs already");
        let mut process = Command::new(PROGRAM)
            .arg("-c")
            .arg(self.data.path().join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mosquitto is installed: apt-get install mosquitto");
        let out = process.stderr.take().expect("the standard error is a pipe");
        self.process = Some(process);
        let mut lines = BufReader::new(out).lines();
        let mut starting = String::new();
        loop {
            let Some(Ok(line)) = lines.next() else { panic!("mosquitto ended instead of starting:\n{starting}") };
            if line.ends_with(" running") {
                break;
            }
            starting.push_str(&line);
            starting.push('\n');
        }
        let said = Arc::default();
        self.said = Arc::clone(&said);
        // It must be able to write on. Lines about single messages are of no interest.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok).filter(|line| !line.contains("PUB")) {
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                said.push_str(&line);
                said.push('\n');
            }
        });
    }

    /// Whether a client of this name has subscribed since the broker was started.
    pub fn has_subscriber(&self, client: &str) -> bool {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.contains(&format!("Sending SUBACK to {client}\n"))
    }

    /// Stops the broker as a reboot does it: it writes down the sessions of its clients first.
    ///
    /// # Panics
    /// It does not run, or does not stop.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("the broker runs");
        let told = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
        assert!(told.expect("there is a command kill").success(), "mosquitto was gone before it was stopped");
        process.wait().expect("mosquitto is our child");
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, for the option `url`.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It fails only for a process that has ended by itself.
            drop(process.kill());
            drop(process.wait());
        }
    }
}
