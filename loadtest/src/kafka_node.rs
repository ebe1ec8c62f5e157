//! Kafka between plant and engine in a load test: one node of Apache Kafka in KRaft mode, in a process of its own.
//!
//! Its data are in a temporary folder and go with it. Topics are made before anything is sent, and it says who reads: a run begins only
//! when the engine has its partitions.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lineside_model::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

use crate::clock;

/// Where `tests/kafka/install.sh` puts it, seen from the root of the repository; and where that was when this was built.
const FOLDERS: [&str; 2] = ["target/kafka/libs", concat!(env!("CARGO_MANIFEST_DIR"), "/../target/kafka/libs")];
/// Names another place.
const FOLDER: &str = "LINESIDE_KAFKA_LIBS";
/// No answer takes this long.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often one looks whether a topic has its leader.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A group whose members have their partitions is in this state.
const STABLE: &str = "Stable";
/// Log lines that are told when it does not start.
const LOG_LINES: usize = 8;

/// A running node; dropping it ends it.
#[derive(Debug)]
pub struct KafkaNode {
    port: u16,
    process: Child,
    _data: TempDir,
}

impl KafkaNode {
    /// Starts a node without data on any free loopback port; it takes connections when this returns, after some seconds.
    ///
    /// # Errors
    /// Kafka or Java is not installed, or does not start.
    pub fn start() -> Result<Self> {
        let libs = libs()?;
        let cannot = |error: std::io::Error| {
            Error::external("cannot start Apache Kafka").hint("it needs Java 17: ./test installs it").caused_by(error)
        };
        let data = tempfile::tempdir().map_err(cannot)?;
        let (port, controller) = free_ports().map_err(cannot)?;
        let properties = data.path().join("server.properties");
        fs::write(&properties, configuration(port, controller, data.path())).map_err(cannot)?;
        let log = data.path().join("log4j2.properties");
        fs::write(&log, LOG).map_err(cannot)?;
        let java = |class: &str| {
            let mut java = Command::new("java");
            java.args(["-Xms1g", "-Xmx1g", "-Xshare:auto"])
                .arg(format!("-Dlog4j2.configurationFile={}", log.display()))
                .arg("-cp")
                .arg(format!("{}/*", libs.display()))
                .arg(class)
                .stdin(Stdio::null());
            java
        };
        let format = ["format", "--cluster-id", "bGluZXNpZGV0ZXN0Zm9vYg", "--config"];
        let formatted = java("kafka.tools.StorageTool").args(format).arg(&properties).output().map_err(cannot)?;
        if !formatted.status.success() {
            let told = String::from_utf8_lossy(&formatted.stderr).into_owned();
            return Err(Error::external(format!("Apache Kafka did not prepare its folder: {}", told.trim())));
        }
        let mut process = java("kafka.Kafka")
            .arg(&properties)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(cannot)?;
        let out = process.stdout.take();
        let node = Self { port, process, _data: data };
        let out = out.ok_or_else(|| Error::internal("the log of Kafka is no pipe"))?;
        let mut lines = BufReader::new(out).lines().map_while(std::io::Result::ok);
        let mut told = Vec::new();
        loop {
            let Some(line) = lines.next() else {
                let last = told[told.len().saturating_sub(LOG_LINES)..].join("\n    ");
                return Err(Error::external(format!("Apache Kafka ended instead of starting; it said:\n    {last}")));
            };
            if line.contains("Kafka Server started") {
                break;
            }
            told.push(line);
        }
        // It must be able to write on; what it says after this is of no interest.
        let rest = std::thread::Builder::new().name("kafka-log".to_owned());
        rest.spawn(move || lines.for_each(drop)).map_err(cannot)?;
        Ok(node)
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, as clients want it.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The identifier of its process.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// Makes topics, each with so many partitions; they can be written to when this returns.
    ///
    /// # Errors
    /// One cannot be made.
    pub async fn make_topics(&self, topics: &BTreeMap<&str, i32>) -> Result<()> {
        let cannot = |what: String| Error::external(format!("Kafka does not make its topics: {what}"));
        let client: AdminClient<DefaultClientContext> =
            self.client("lineside-topics").create().map_err(|error| cannot(error.to_string()))?;
        let wanted =
            topics.iter().map(|(name, partitions)| NewTopic::new(name, *partitions, TopicReplication::Fixed(1)));
        let made = client.create_topics(&wanted.collect::<Vec<_>>(), &AdminOptions::new()).await;
        for topic in made.map_err(|error| cannot(error.to_string()))? {
            topic.map_err(|(name, error)| cannot(format!("\"{name}\": {error}")))?;
        }
        // A new topic has no leader for a moment.
        let latest = clock::monotonic() + PATIENCE;
        let looker = self.looker()?;
        for (&name, &partitions) in topics {
            let led = || {
                let found = looker.fetch_metadata(Some(name), PATIENCE).ok();
                let led = found.iter().flat_map(|found| found.topics()).flat_map(|topic| topic.partitions());
                led.filter(|partition| partition.leader() >= 0).count()
            };
            while i32::try_from(led()).unwrap_or(i32::MAX) < partitions {
                if clock::monotonic() >= latest {
                    return Err(cannot(format!("\"{name}\" has no leader")));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    /// Someone to ask who reads.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn looker(&self) -> Result<BaseConsumer> {
        self.client("lineside-look")
            .set("group.id", "lineside-look")
            .create()
            .map_err(|error| Error::external("Kafka cannot be asked who reads").caused_by(error))
    }

    fn client(&self, name: &str) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.brokers()).set("client.id", name);
        client
    }
}

/// How many readers of groups have their partitions.
pub fn readers(looker: &BaseConsumer) -> usize {
    let groups = looker.fetch_group_list(None, PATIENCE).ok();
    let groups = groups.iter().flat_map(|list| list.groups());
    groups.filter(|group| group.state() == STABLE).map(|group| group.members().len()).sum()
}

impl Drop for KafkaNode {
    fn drop(&mut self) {
        // Both fail only for a process that has ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn libs() -> Result<PathBuf> {
    let named = std::env::var_os(FOLDER).map(PathBuf::from);
    let places = named.into_iter().chain(FOLDERS.map(PathBuf::from)).collect::<Vec<_>>();
    places.iter().find(|folder| folder.is_dir()).cloned().ok_or_else(|| {
        Error::user(format!("Apache Kafka is not in {}", places[0].display()))
            .hint(format!("run ./test or tests/kafka/install.sh, which fetch it, or name its folder in {FOLDER}"))
    })
}

fn free_ports() -> std::io::Result<(u16, u16)> {
    let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}

/// Messages carry the time of their readings, which may be years ago: they are kept all the same.
fn configuration(port: u16, controller: u16, data: &Path) -> String {
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         log.dirs={}\n\
         auto.create.topics.enable=false\n\
         log.retention.ms=-1\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=1\n\
         group.initial.rebalance.delay.ms=0\n",
        data.join("log").display()
    )
}

/// Log lines go to the standard output, where one waits for the one that says it is ready.
const LOG: &str = "rootLogger.level = INFO\n\
    rootLogger.appenderRef.out.ref = OUT\n\
    appender.out.type = Console\n\
    appender.out.name = OUT\n\
    appender.out.layout.type = PatternLayout\n\
    appender.out.layout.pattern = %p %m (%c)%n%throwable\n";
