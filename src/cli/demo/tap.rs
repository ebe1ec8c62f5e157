//! A sink of the demo's own: hands rows to a function within the process, so that the screen shows what the engine computed.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use lineside_connectors::{Outcome, PlannedSink, Sink};
use lineside_model::{Result, Timestamp};

type Take = Arc<dyn Fn(&RecordBatch) + Send + Sync>;

/// A sink that calls a function.
struct Tap(Take);

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

/// A planned sink that hands rows to `take`.
pub(super) fn tap(take: impl Fn(&RecordBatch) + Send + Sync + 'static) -> PlannedSink {
    let take: Take = Arc::new(take);
    PlannedSink {
        control: false,
        shared: true,
        explain: vec!["the demo's screen".to_owned()],
        tags: Vec::new(),
        build: Box::new(move |_| Box::new(Tap(Arc::clone(&take)))),
    }
}

#[async_trait(?Send)]
impl Sink for Tap {
    async fn open(&mut self) -> Result<()> {
        Ok(())
    }

    async fn write(&mut self, rows: &RecordBatch, _origin: Timestamp) -> Result<Outcome> {
        (self.0)(rows);
        Ok(Outcome { written: rows.num_rows(), rejected: Vec::new() })
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
