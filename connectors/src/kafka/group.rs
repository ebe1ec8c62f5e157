//! A member of a consumer group: which partitions are ours, how far each was taken, and what the group knows of that.
//!
//! A partition that moves to another member takes its progress with it: what was read here and not acknowledged is read again
//! there, and an acknowledgement that comes after the move is no longer ours to commit.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::{ClientContext, Offset};
use tokio::sync::Notify;

use super::client::Client;

/// Topic and partition.
pub(super) type Partition = (String, i32);

/// How far one partition of ours is.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The first offset that was read since the partition became ours.
    first: Option<u64>,
    /// The next offset to read.
    next: u64,
    /// The offset up to which the engine has taken responsibility.
    acked: u64,
    /// The offset that the group has confirmed.
    committed: u64,
}

/// A member of a consumer group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) client: Client,
    ours: Mutex<BTreeMap<Partition, Progress>>,
    /// Told when the group has shared its partitions out.
    pub(super) joined: Notify,
}

impl Member {
    pub(super) fn new(client: Client) -> Self {
        Self { client, ours: Mutex::new(BTreeMap::new()), joined: Notify::new() }
    }

    fn ours(&self) -> MutexGuard<'_, BTreeMap<Partition, Progress>> {
        // Whoever panicked under the lock left whole entries: they are plain numbers.
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a message was read.
    pub(super) fn read(&self, topic: &str, partition: i32, first: u64, next: u64) {
        if let Some(progress) = self.ours().get_mut(&(topic.to_owned(), partition)) {
            progress.first.get_or_insert(first);
            progress.next = next;
        }
    }

    /// What the engine has taken responsibility for in partitions of ours from which nothing was read over this connection: it was
    /// read over an earlier one, and cannot be acknowledged in the way of the rest.
    pub(super) fn owed(&self, acked: &BTreeMap<String, u64>) -> Vec<(Partition, u64)> {
        let ours = self.ours();
        let unread = ours.iter().filter(|(_, progress)| progress.first.is_none());
        let owed = unread.filter_map(|((topic, partition), _)| {
            let acked = acked.get(&format!("{topic}/{partition}"))?;
            Some(((topic.clone(), *partition), *acked))
        });
        owed.collect()
    }

    /// The position after everything that was read from partitions of ours.
    pub(super) fn position(&self) -> BTreeMap<String, u64> {
        self.ours()
            .iter()
            .filter(|(_, progress)| progress.first.is_some())
            .map(|((topic, partition), progress)| (format!("{topic}/{partition}"), progress.next))
            .collect()
    }

    /// Notes what the engine has taken responsibility for, and gives what is to be committed of it.
    pub(super) fn ack(&self, position: &BTreeMap<String, u64>) -> TopicPartitionList {
        for ((topic, partition), progress) in self.ours().iter_mut() {
            let Some(acked) = position.get(&format!("{topic}/{partition}")) else { continue };
            // An offset from before the partition went away and came back says nothing now.
            if progress.first.is_some_and(|first| *acked > first && *acked <= progress.next) {
                progress.acked = progress.acked.max(*acked);
            }
        }
        self.uncommitted()
    }

    /// What was acknowledged and is not confirmed by the group.
    pub(super) fn uncommitted(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), progress) in self.ours().iter() {
            if progress.acked > progress.committed {
                let offset = Offset::Offset(i64::try_from(progress.acked).unwrap_or(i64::MAX));
                // It fails only for an offset that Kafka does not know, and ours came from Kafka.
                if let Err(error) = list.add_partition_offset(topic, *partition, offset) {
                    tracing::debug!(%error, topic, partition, "offset not committed");
                }
            }
        }
        list
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }
}

fn partitions(list: &TopicPartitionList) -> impl Iterator<Item = Partition> {
    list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect::<Vec<_>>().into_iter()
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                self.client.is_up();
                tracing::info!(partitions = ?partitions(list).collect::<Vec<_>>(), "kafka partitions are ours");
                self.ours().extend(partitions(list).map(|partition| (partition, Progress::default())));
                self.joined.notify_one();
            }
            Rebalance::Revoke(list) => {
                tracing::info!(partitions = ?partitions(list).collect::<Vec<_>>(), "kafka partitions are no longer ours");
                let mut ours = self.ours();
                for partition in partitions(list) {
                    ours.remove(&partition);
                }
            }
            Rebalance::Error(error) => drop(self.client.note(error, "rebalance")),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let mut ours = self.ours();
        for element in offsets.elements() {
            let Some(progress) = ours.get_mut(&(element.topic().to_owned(), element.partition())) else { continue };
            if let (Ok(()), Ok(()), Offset::Offset(offset)) = (&result, element.error(), element.offset()) {
                progress.committed = progress.committed.max(u64::try_from(offset).unwrap_or(0));
            }
        }
        if let Err(error) = result {
            // The offsets stay uncommitted here and go with the next acknowledgement.
            tracing::debug!(%error, "kafka did not take offsets; they are committed with the next ones");
        }
    }
}
