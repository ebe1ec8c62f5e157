//! Apache Kafka: one node in KRaft mode with its data in a temporary folder.
//!
//! `tests/kafka/install.sh` fetches it once. A broker can be stopped and started again on the same port with the same data.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A Kafka broker.
#[derive(Debug)]
pub struct Kafka {
    data: TempDir,
    libs: PathBuf,
    port: u16,
    process: Option<Child>,
}

/// Where the jars are: `LINESIDE_KAFKA_LIBS`, or `target/kafka/libs` of the repository.
fn libs() -> PathBuf {
    std::env::var_os("LINESIDE_KAFKA_LIBS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kafka/libs"), PathBuf::from)
}

fn free_ports() -> (u16, u16) {
    let listen = || TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = |listener: &TcpListener| listener.local_addr().expect("a bound socket has an address").port();
    let (one, other) = (listen(), listen());
    (port(&one), port(&other))
}

impl Kafka {
    /// Starts a broker with empty data; ready when it returns. New topics have `partitions` partitions.
    ///
    /// # Panics
    /// Kafka is not installed, or does not start: the message says what to do.
    pub fn start(partitions: u32) -> Self {
        let libs = libs();
        assert!(
            libs.is_dir(),
            "Apache Kafka is not in {}: run tests/kafka/install.sh (it needs Java 17 and Maven)",
            libs.display()
        );
        let data = tempfile::tempdir().expect("a temporary folder");
        let (port, controller) = free_ports();
        // Messages carry the time of their readings, which may be years ago: they are kept all the same.
        let properties = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\n\
             num.partitions={partitions}\n\
             auto.create.topics.enable=false\n\
             log.retention.ms=-1\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=1\n\
             group.initial.rebalance.delay.ms=0\n",
            data.path().join("log").display()
        );
        fs::write(data.path().join("server.properties"), properties).expect("the temporary folder can be written");
        // Log lines go to the standard output, where we wait for the one that says the broker is ready.
        let log = "rootLogger.level = INFO\n\
                   rootLogger.appenderRef.out.ref = OUT\n\
                   appender.out.type = Console\n\
                   appender.out.name = OUT\n\
                   appender.out.layout.type = PatternLayout\n\
                   appender.out.layout.pattern = %p %m (%c)%n%throwable\n";
        fs::write(data.path().join("log4j2.properties"), log).expect("the temporary folder can be written");
        let mut kafka = Self { data, libs, port, process: None };
        let formatted = kafka
            .java("kafka.tools.StorageTool")
            .args(["format", "--cluster-id", "bGluZXNpZGV0ZXN0Zm9vYg", "--config"])
            .arg(kafka.data.path().join("server.properties"))
            .output()
            .expect("java is installed: tests/kafka/install.sh needs it, too");
        assert!(
            formatted.status.success(),
            "kafka did not format its data: {}{}",
            String::from_utf8_lossy(&formatted.stdout),
            String::from_utf8_lossy(&formatted.stderr)
        );
        kafka.start_again();
        kafka
    }

    fn java(&self, class: &str) -> Command {
        let mut java = Command::new("java");
        java.arg("-Xmx512m")
            .arg("-Xshare:auto")
            .arg("-XX:TieredStopAtLevel=1")
            .arg(format!("-Dlog4j2.configurationFile={}", self.data.path().join("log4j2.properties").display()))
            .arg("-cp")
            .arg(format!("{}/*", self.libs.display()))
            .arg(class)
            .stdin(Stdio::null());
        java
    }

    /// Starts the broker on the data and port that it had; ready when it returns.
    ///
    /// # Panics
    /// It runs already, or ends instead of starting.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the broker runs already");
        let mut process = self
            .java("kafka.Kafka")
            .arg(self.data.path().join("server.properties"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("java is installed");
        let out = process.stdout.take().expect("the standard output is a pipe");
        self.process = Some(process);
        let mut lines = BufReader::new(out).lines();
        let mut said = Vec::new();
        loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("kafka ended instead of starting; it said:\n{}", said.join("\n"));
            };
            if line.contains("Kafka Server started") {
                break;
            }
            said.push(line);
        }
        // It must be able to write on; what it says after this is of no interest.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    }

    /// Stops the broker at once, as a power cut does.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It fails only for a process that has ended by itself.
            drop(process.kill());
            drop(process.wait());
        }
    }

    /// Its address, for the option `brokers`.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.stop();
    }
}
