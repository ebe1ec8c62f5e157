//! Rows to a Kafka topic, keyed by sensor so that the readings of one sensor stay in order; each delivery is confirmed by
//! all in-sync replicas, and none happens twice (idempotent producer).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lineside_model::{Error, Result};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Message};
use tokio::sync::Notify;

use super::{Format, Outlet};
use crate::trace::Row;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct KafkaOutlet {
    producer: ThreadedProducer<Deliveries>,
    deliveries: Arc<Counts>,
    topic: String,
    format: Format,
    payload: Vec<u8>,
    sent: u64,
}

#[derive(Default)]
struct Counts {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    changed: Notify,
    failure: Mutex<Option<Error>>,
}

struct Deliveries(Arc<Counts>);

impl ClientContext for Deliveries {}

impl ProducerContext<NoCustomPartitioner> for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        match result {
            Ok(_) => {
                self.0.acknowledged.fetch_add(1, Ordering::Release);
            }
            Err((error, message)) => {
                let mut failure = self.0.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| {
                    Error::external(format!("topic \"{}\" did not take all rows", message.topic()))
                        .caused_by(error.clone())
                });
                self.0.failed.fetch_add(1, Ordering::Release);
            }
        }
        self.0.changed.notify_one();
    }
}

impl KafkaOutlet {
    pub(super) async fn connect(brokers: &str, topic: String, format: Format) -> Result<Self> {
        let deliveries = Arc::new(Counts::default());
        let producer: ThreadedProducer<Deliveries> = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("message.timeout.ms", "30000")
            .create_with_context(Deliveries(Arc::clone(&deliveries)))
            .map_err(|error| Error::user("cannot set up the Kafka producer").caused_by(error))?;
        let asked = producer.clone();
        tokio::task::spawn_blocking(move || asked.client().fetch_metadata(None, CONNECT_TIMEOUT).map(drop))
            .await
            .map_err(|error| Error::internal("asking the Kafka cluster panicked").caused_by(error))?
            .map_err(|error| Error::external(format!("cannot reach the Kafka cluster {brokers}")).caused_by(error))?;
        Ok(Self { producer, deliveries, topic, format, payload: Vec::new(), sent: 0 })
    }
}

impl Outlet for KafkaOutlet {
    async fn send(&mut self, row: &Row) -> Result<()> {
        self.payload.clear();
        self.format.write(row, &mut self.payload)?;
        loop {
            let record = BaseRecord::to(&self.topic).key(&*row.sensor).payload(&self.payload);
            match self.producer.send(record) {
                Ok(()) => break,
                // The client's queue is full until a delivery is reported, one way or the other.
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.deliveries.changed.notified().await;
                }
                Err((error, _)) => return Err(Error::external("the Kafka producer refused a row").caused_by(error)),
            }
        }
        self.sent += 1;
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        // The client reports each row within message.timeout.ms, so this ends.
        let done =
            |counts: &Counts| counts.acknowledged.load(Ordering::Acquire) + counts.failed.load(Ordering::Acquire);
        while done(&self.deliveries) < self.sent {
            self.deliveries.changed.notified().await;
        }
        self.deliveries.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    fn counts(&self) -> (u64, Option<u64>) {
        (self.sent, Some(self.deliveries.acknowledged.load(Ordering::Acquire)))
    }
}
