//! Reads a table to its end and hands it over whole, again whenever it is due.
//!
//! A source like any other to the task that drives it, so that failures are retried as everywhere. What fails after the first
//! time is always tried again, since the rows of before are still good; and a table without rows is taken for one that is just being written.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use lineside_connectors::{Position, Pulled, Source};
use lineside_model::{Clock, Error, Result, Span, Timestamp};

use crate::plan::bounds::TABLE_ROWS_MOST;
use crate::plan::{SourcePlan, TablePlan};

/// A table.
#[derive(Debug)]
pub(super) struct TableSource {
    name: String,
    source: Box<dyn Source>,
    refresh: Option<Span>,
    /// The columns of its rows, the time of loading behind them.
    schema: SchemaRef,
    clock: Arc<dyn Clock>,
    /// What was read so far.
    parts: Vec<RecordBatch>,
    reading: bool,
    loaded_at: Option<Timestamp>,
}

impl TableSource {
    pub(super) fn new(plan: &SourcePlan, table: TablePlan, source: Box<dyn Source>, clock: &Arc<dyn Clock>) -> Self {
        Self {
            name: plan.name.clone(),
            source,
            refresh: table.refresh,
            schema: SchemaRef::clone(&plan.schema),
            clock: Arc::clone(clock),
            parts: Vec::new(),
            reading: false,
            loaded_at: None,
        }
    }

    /// Reads on; the table when it is whole.
    async fn read(&mut self, limit: usize) -> Result<Option<RecordBatch>> {
        match self.source.pull(limit).await? {
            Pulled::Idle => Ok(None),
            Pulled::Frames(..) => Err(Error::internal("a table gave messages")),
            Pulled::Rows { rows, .. } => {
                self.parts.push(rows);
                if self.parts.iter().map(RecordBatch::num_rows).sum::<usize>() > TABLE_ROWS_MOST {
                    return Err(Error::user(format!("table \"{}\" has more than {TABLE_ROWS_MOST} rows", self.name))
                        .hint("read it as a source and join it by time"));
                }
                Ok(None)
            }
            Pulled::End => {
                self.reading = false;
                let parts = std::mem::take(&mut self.parts);
                if parts.iter().all(|rows| rows.num_rows() == 0) {
                    return Err(Error::external(format!("table \"{}\" has no rows", self.name)));
                }
                let own = Schema::new(self.schema.fields().iter().rev().skip(1).rev().cloned().collect::<Vec<_>>());
                let rows = concat_batches(&Arc::new(own), &parts)?;
                let now = self.clock.now();
                self.loaded_at = Some(now);
                let loaded = TimestampMicrosecondArray::from(vec![now.micros(); rows.num_rows()]).with_timezone("UTC");
                let mut columns = rows.columns().to_vec();
                columns.push(Arc::new(loaded) as ArrayRef);
                Ok(Some(RecordBatch::try_new(SchemaRef::clone(&self.schema), columns)?))
            }
        }
    }

    async fn next(&mut self, limit: usize) -> Result<Pulled> {
        if !self.reading {
            let (Some(every), Some(loaded_at)) = (self.refresh, self.loaded_at) else { return Ok(Pulled::End) };
            let due = (loaded_at + every).since(self.clock.now());
            tokio::time::sleep(due.to_std()).await;
            self.source.close().await?;
            self.open(None).await?;
        }
        let rows = self.read(limit).await?;
        Ok(rows.map_or(Pulled::Idle, |rows| {
            let received_at = self.loaded_at.unwrap_or_default();
            Pulled::Rows { rows, received_at, position: Position::None }
        }))
    }

    /// The rows of before are good until there are new ones.
    fn retried(&self, error: Error) -> Error {
        match self.loaded_at {
            Some(_) if !error.is_retryable() => {
                Error::external(format!("table \"{}\" was not read again", self.name)).caused_by(error)
            }
            _ => error,
        }
    }
}

#[async_trait(?Send)]
impl Source for TableSource {
    async fn open(&mut self, _from: Option<Position>) -> Result<()> {
        self.parts.clear();
        self.source.open(None).await.map_err(|error| self.retried(error))?;
        self.reading = true;
        Ok(())
    }

    async fn pull(&mut self, limit: usize) -> Result<Pulled> {
        self.next(limit).await.map_err(|error| self.retried(error))
    }

    async fn ack(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.reading = false;
        self.source.close().await
    }
}
