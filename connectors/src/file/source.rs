//! A file, or files, as a source: rows in batches, read ahead on a blocking thread so that the lane is never held up.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use lineside_model::{Error, Result};
use tokio::task::JoinHandle;

use super::bad::BadLines;
use super::plan::ReadPlan;
use super::reader::{Reader, Rows};
use super::watch::Watch;
use crate::{BuildContext, Position, Pulled, Source};

/// How many batches are read ahead in one go: enough that changing threads costs little beside the reading.
pub(super) const AHEAD: usize = 4;

/// Reads files.
#[derive(Debug)]
pub(super) struct FileSource {
    plan: Arc<ReadPlan>,
    context: BuildContext,
    running: Option<Running>,
}

/// A source that is open. The reader is either here or with the job.
#[derive(Debug)]
struct Running {
    reader: Option<Reader>,
    job: Option<JoinHandle<Done>>,
    ready: VecDeque<Rows>,
    failed: Option<Error>,
    ended: bool,
    /// The position after the last rows that were given.
    given: Option<Position>,
    watch: Option<Watch>,
}

/// What a job on the blocking thread brings back.
#[derive(Debug)]
struct Done {
    reader: Reader,
    read: Vec<Rows>,
    /// Whether there is no more now.
    dry: bool,
    failed: Option<Error>,
}

impl FileSource {
    pub(super) fn new(plan: Arc<ReadPlan>, context: BuildContext) -> Self {
        Self { plan, context, running: None }
    }

    async fn reader(&self, from: Option<Position>) -> Result<Reader> {
        let plan = Arc::clone(&self.plan);
        let bad = BadLines::new(&self.plan.source, Arc::clone(&self.context.meter));
        tokio::task::spawn_blocking(move || Reader::new(plan, from, bad)).await.map_err(thread_died)?
    }
}

fn thread_died(error: tokio::task::JoinError) -> Error {
    Error::internal("the thread that reads the file died").caused_by(error)
}

/// Reads some batches; runs on a blocking thread.
fn read(mut reader: Reader, limit: usize, batches: usize) -> Done {
    let mut read = Vec::with_capacity(batches);
    while read.len() < batches {
        match reader.next(limit) {
            Ok(Some(rows)) => read.push(rows),
            Ok(None) => return Done { reader, read, dry: true, failed: None },
            Err(error) => return Done { reader, read, dry: true, failed: Some(error) },
        }
    }
    Done { reader, read, dry: false, failed: None }
}

impl Running {
    fn start(&mut self, limit: usize, batches: usize) {
        if let (None, false, None, Some(reader)) = (&self.job, self.ended, &self.failed, self.reader.take()) {
            self.job = Some(tokio::task::spawn_blocking(move || read(reader, limit, batches)));
        }
    }
}

#[async_trait(?Send)]
impl Source for FileSource {
    async fn open(&mut self, from: Option<Position>) -> Result<()> {
        // The watch comes first: what is written while the file is opened must not be missed.
        let watch = match self.plan.follow {
            true => Some(Watch::new(&self.plan.folder.join(&self.plan.written))?),
            false => None,
        };
        let path = self.plan.folder.join(&self.plan.written);
        if self.plan.follow && !self.plan.written.contains('*') && !path.exists() {
            tracing::info!(file = %path.display(), "the file is not there yet; waiting for it");
        }
        let reader = self.reader(from.clone()).await?;
        self.running = Some(Running {
            reader: Some(reader),
            job: None,
            ready: VecDeque::new(),
            failed: None,
            ended: false,
            given: from,
            watch,
        });
        Ok(())
    }

    async fn pull(&mut self, limit: usize) -> Result<Pulled> {
        let follow = self.plan.follow;
        loop {
            let Some(running) = &self.running else {
                return Err(Error::internal("a file source was pulled before it was opened"));
            };
            if running.ready.front().is_some_and(|next| next.rows.num_rows() > limit) {
                // It was read ahead for a larger limit: read it again from where we are. A change of the limit is rare.
                let reader = self.reader(running.given.clone()).await?;
                if let Some(running) = &mut self.running {
                    running.reader = Some(reader);
                    running.job = None;
                    running.ready.clear();
                    running.failed = None;
                    running.ended = false;
                }
                continue;
            }
            let Some(running) = &mut self.running else { continue };
            if let Some(Rows { rows, position }) = running.ready.pop_front() {
                if !follow && running.ready.len() < AHEAD {
                    running.start(limit, AHEAD);
                }
                running.given = Some(position.clone());
                return Ok(Pulled::Rows { rows, received_at: self.context.clock.now(), position });
            }
            if let Some(error) = running.failed.take() {
                return Err(error);
            }
            if running.ended {
                return Ok(Pulled::End);
            }
            running.start(limit, AHEAD);
            let Some(job) = &mut running.job else {
                return Err(Error::internal("the reader of the file was lost"));
            };
            let done = job.await;
            running.job = None;
            let done = done.map_err(thread_died)?;
            running.reader = Some(done.reader);
            running.ready.extend(done.read);
            running.failed = done.failed;
            running.ended = done.dry && !follow;
            if let (Some(watch), true, true) = (&running.watch, running.ready.is_empty(), running.failed.is_none()) {
                watch.changed().await?;
            }
        }
    }

    async fn ack(&mut self, _: &Position) -> Result<()> {
        // A file keeps what it has; where to go on is the engine's to remember.
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.running = None;
        Ok(())
    }
}
