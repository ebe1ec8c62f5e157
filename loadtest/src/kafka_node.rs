//! Kafka between plant and engine in a load test: one node of Apache Kafka in KRaft mode, in a process of its own.
//!
//! Its data are in a temporary folder and go with it. Topics are made before anything is sent, and it says who reads: a run begins only
//! when the engine has its partitions.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lineside_model::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout_at;

use crate::clock;

/// Where `tests/kafka/install.sh` puts it, seen from the root of the repository; and where that was when this was built.
const FOLDERS: [&str; 2] = ["target/kafka/libs", concat!(env!("CARGO_MANIFEST_DIR"), "/../target/kafka/libs")];
/// Names another place.
const FOLDER: &str = "LINESIDE_KAFKA_LIBS";
/// No answer takes this long.
const PATIENCE: Duration = Duration::from_secs(20);
/// Nor does a start, also of Java on a machine that has much else to do.
const START_MAX: Duration = Duration::from_secs(60);
/// How often one looks whether a topic has its leader, or a process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A group whose members have their partitions is in this state.
const STABLE: &str = "Stable";
/// What its log says when it takes connections.
const STARTED: &str = "Kafka Server started";
/// Log lines that are told when it does not start.
const LOG_LINES: usize = 8;

/// A running node; dropping it ends it.
#[derive(Debug)]
pub struct KafkaNode {
    port: u16,
    process: Java,
    _data: TempDir,
}

/// A Java process; dropping it ends it.
#[derive(Debug)]
struct Java(Child);

impl KafkaNode {
    /// Starts a node without data on any free loopback port; it takes connections when this returns, after some seconds.
    ///
    /// # Errors
    /// Kafka or Java is not installed, or does not start within a minute.
    pub async fn start() -> Result<Self> {
        let libs = libs()?;
        let data = tempfile::tempdir().map_err(cannot_start)?;
        let (port, controller) = free_ports().map_err(cannot_start)?;
        let properties = data.path().join("server.properties");
        fs::write(&properties, configuration(port, controller, data.path())).map_err(cannot_start)?;
        let log = data.path().join("log4j2.properties");
        fs::write(&log, LOG).map_err(cannot_start)?;
        let java = |class: &str| {
            let mut java = Command::new("java");
            java.args(["-Xms1g", "-Xmx1g", "-Xshare:auto"])
                .arg(format!("-Dlog4j2.configurationFile={}", log.display()))
                .arg("-cp")
                .arg(format!("{}/*", libs.display()))
                .arg(class)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            java
        };
        let latest = clock::monotonic() + START_MAX;
        let format = ["format", "--cluster-id", "bGluZXNpZGV0ZXN0Zm9vYg", "--config"];
        let mut formatting = java("kafka.tools.StorageTool");
        prepare(formatting.args(format).arg(&properties), latest).await?;
        let spawned = java("kafka.Kafka").arg(&properties).stdout(Stdio::piped()).spawn();
        let mut process = Java(spawned.map_err(cannot_start)?);
        let out = process.0.stdout.take().ok_or_else(|| Error::internal("the log of Kafka is no pipe"))?;
        started(lines(out).map_err(cannot_start)?, latest).await?;
        Ok(Self { port, process, _data: data })
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
        self.process.0.id()
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
            while leaders(&looker, name).await? < partitions {
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
    pub fn looker(&self) -> Result<Arc<BaseConsumer>> {
        self.client("lineside-look")
            .set("group.id", "lineside-look")
            .create()
            .map(Arc::new)
            .map_err(|error| Error::external("Kafka cannot be asked who reads").caused_by(error))
    }

    fn client(&self, name: &str) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.brokers()).set("client.id", name);
        client
    }
}

/// How many readers of groups have their partitions.
///
/// # Errors
/// The question panicked.
pub async fn readers(looker: &Arc<BaseConsumer>) -> Result<usize> {
    ask(looker, |looker| {
        let groups = looker.fetch_group_list(None, PATIENCE).ok();
        let groups = groups.iter().flat_map(|list| list.groups());
        groups.filter(|group| group.state() == STABLE).map(|group| group.members().len()).sum()
    })
    .await
}

/// How many partitions of a topic have their leader.
async fn leaders(looker: &Arc<BaseConsumer>, topic: &str) -> Result<i32> {
    let topic = topic.to_owned();
    ask(looker, move |looker| {
        let found = looker.fetch_metadata(Some(&topic), PATIENCE).ok();
        let partitions = found.iter().flat_map(|found| found.topics()).flat_map(|topic| topic.partitions());
        let led = partitions.filter(|partition| partition.leader() >= 0).count();
        i32::try_from(led).unwrap_or(i32::MAX)
    })
    .await
}

/// Asks on another thread: the client blocks until it has its answer.
async fn ask<T: Send + 'static>(
    looker: &Arc<BaseConsumer>,
    question: impl FnOnce(&BaseConsumer) -> T + Send + 'static,
) -> Result<T> {
    let looker = Arc::clone(looker);
    let asked = tokio::task::spawn_blocking(move || question(&looker)).await;
    asked.map_err(|error| Error::internal("asking Kafka panicked").caused_by(error))
}

impl Java {
    /// Waits until it has ended by itself; nothing if it has not by then.
    async fn end(&mut self, latest: Instant) -> std::io::Result<Option<ExitStatus>> {
        loop {
            let ended = self.0.try_wait()?;
            if ended.is_some() || clock::monotonic() >= latest {
                return Ok(ended);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        // Both fail only for a process that has ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Runs what prepares the folder of a node to its end.
async fn prepare(command: &mut Command, latest: Instant) -> Result<()> {
    let mut process = Java(command.stderr(Stdio::piped()).spawn().map_err(cannot_start)?);
    let said = process.0.stderr.take().ok_or_else(|| Error::internal("what Java says is no pipe"))?;
    let mut said = lines(said).map_err(cannot_start)?;
    let ended = process.end(latest).await.map_err(cannot_start)?;
    if ended.is_some_and(|status| status.success()) {
        return Ok(());
    }
    let how =
        if ended.is_some() { "did not prepare its folder" } else { "does not come to an end preparing its folder" };
    // It is gone by the time that all it said is asked for.
    drop(process);
    let mut told = Vec::new();
    while let Some(line) = said.recv().await {
        told.push(line);
    }
    Err(failed(how, &told))
}

/// Waits until a node says that it has started.
async fn started(mut lines: UnboundedReceiver<String>, latest: Instant) -> Result<()> {
    let mut told = Vec::new();
    loop {
        match timeout_at(latest.into(), lines.recv()).await {
            Ok(Some(line)) if line.contains(STARTED) => return Ok(()),
            Ok(Some(line)) => told.push(line),
            Ok(None) => return Err(failed("ended instead of starting", &told)),
            Err(_) => return Err(failed("neither started nor ended", &told)),
        }
    }
}

/// What a process says, line by line. A thread of its own reads it to the end, whether somebody listens or not: it must be able to
/// write on.
fn lines(out: impl Read + Send + 'static) -> std::io::Result<UnboundedReceiver<String>> {
    let (tell, lines) = unbounded_channel();
    std::thread::Builder::new().name("kafka-log".to_owned()).spawn(move || {
        for line in BufReader::new(out).lines().map_while(std::io::Result::ok) {
            // What is said when it has started is of no interest.
            tell.send(line).ok();
        }
    })?;
    Ok(lines)
}

fn failed(how: &str, told: &[String]) -> Error {
    let last = told[told.len().saturating_sub(LOG_LINES)..].join("\n    ");
    Error::external(format!("Apache Kafka {how}; it said:\n    {last}"))
}

fn cannot_start(error: std::io::Error) -> Error {
    Error::external("cannot start Apache Kafka").hint("it needs Java 17: ./test installs it").caused_by(error)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        clock::monotonic() + Duration::from_millis(1)
    }

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null());
        shell
    }

    #[tokio::test]
    async fn a_node_has_started_when_it_says_so() {
        let log = "INFO starting\nINFO [KafkaRaftServer nodeId=1] Kafka Server started\nINFO more\n";
        let said = lines(log.as_bytes()).expect("a thread");
        started(said, clock::monotonic() + START_MAX).await.expect("it says so");
    }

    #[tokio::test]
    async fn a_node_that_ends_is_told_with_its_last_lines() {
        let log = (0..20).map(|n| format!("line {n}\n")).collect::<String>();
        let said = lines(std::io::Cursor::new(log)).expect("a thread");
        let error = started(said, clock::monotonic() + START_MAX).await.expect_err("it ends").to_string();
        assert!(error.starts_with("Apache Kafka ended instead of starting; it said:\n    line 12\n"), "{error}");
        assert!(error.ends_with("line 19"), "{error}");
    }

    #[tokio::test]
    async fn a_node_that_neither_starts_nor_ends_is_not_waited_for() {
        let (says_nothing, _open) = std::os::unix::net::UnixStream::pair().expect("two ends");
        let said = lines(says_nothing).expect("a thread");
        let error = started(said, soon()).await.expect_err("it says nothing").to_string();
        assert!(error.starts_with("Apache Kafka neither started nor ended"), "{error}");
    }

    #[tokio::test]
    async fn preparing_ends_well_or_tells_why() {
        let latest = clock::monotonic() + START_MAX;
        prepare(&mut shell("exit 0"), latest).await.expect("it ends well");
        let error = prepare(&mut shell("echo no room >&2; exit 1"), latest).await.expect_err("it fails").to_string();
        assert_eq!(error, "Apache Kafka did not prepare its folder; it said:\n    no room");
        let error = prepare(&mut shell("exec tail -f /dev/null"), soon()).await.expect_err("it hangs").to_string();
        assert!(error.starts_with("Apache Kafka does not come to an end preparing its folder"), "{error}");
    }
}
