//! A file, or files, as a source: rows in batches, read ahead on blocking threads so that the lane is never held up.
//!
//! The reader goes from job to job: a job takes the next part from it, hands it on, and makes rows of the part while the next
//! job does the same. The rows come out in the order of the jobs, which is that of the file.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use lineside_model::{Error, Result};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::bad::BadLines;
use super::plan::ReadPlan;
use super::reader::{Reader, Rows};
use super::watch::Watch;
use crate::{BuildContext, Position, Pulled, Source};

/// Reads files.
#[derive(Debug)]
pub(super) struct FileSource {
    plan: Arc<ReadPlan>,
    context: BuildContext,
    running: Option<Running>,
}

/// A source that is open.
#[derive(Debug)]
struct Running {
    /// Where the next job gets the reader from.
    reader: Option<oneshot::Receiver<Reader>>,
    jobs: VecDeque<JoinHandle<Done>>,
    ready: VecDeque<Rows>,
    /// The memory of parts that have been read.
    spare: Vec<Vec<u8>>,
    failed: Option<Error>,
    ended: bool,
    /// The position after the last rows that were given.
    given: Option<Position>,
    bad: BadLines,
    watch: Option<Watch>,
}

/// What a job on a blocking thread brings back.
#[derive(Debug)]
struct Done {
    rows: Vec<Rows>,
    memory: Vec<u8>,
    /// Whether there is no more now.
    dry: bool,
    failed: Option<Error>,
}

impl FileSource {
    pub(super) fn new(plan: Arc<ReadPlan>, context: BuildContext) -> Self {
        Self { plan, context, running: None }
    }

    async fn reader(&self, from: Option<Position>) -> Result<oneshot::Receiver<Reader>> {
        let plan = Arc::clone(&self.plan);
        let reader = tokio::task::spawn_blocking(move || Reader::new(plan, from)).await.map_err(thread_died)??;
        let (give, take) = oneshot::channel();
        give.send(reader).map_err(|_| Error::internal("the reader of the file was lost"))?;
        Ok(take)
    }
}

fn thread_died(error: tokio::task::JoinError) -> Error {
    Error::internal("the thread that reads the file died").caused_by(error)
}

/// Reads a part; runs on a blocking thread.
fn read(from: oneshot::Receiver<Reader>, to: oneshot::Sender<Reader>, limit: usize, spare: Vec<u8>) -> Done {
    let done = |dry, failed| Done { rows: Vec::new(), memory: Vec::new(), dry, failed };
    // The job before has failed, or nobody waits for this one any more.
    let Ok(mut reader) = from.blocking_recv() else { return done(true, None) };
    let part = reader.next(limit, spare);
    // Nobody takes it if the source was closed meanwhile.
    drop(to.send(reader));
    match part.and_then(|part| part.map(|part| part.read(limit)).transpose()) {
        Ok(Some((rows, memory))) => Done { rows, memory, dry: false, failed: None },
        Ok(None) => done(true, None),
        Err(error) => done(true, Some(error)),
    }
}

impl Running {
    fn new(reader: oneshot::Receiver<Reader>, given: Option<Position>, bad: BadLines, watch: Option<Watch>) -> Self {
        Self {
            reader: Some(reader),
            jobs: VecDeque::new(),
            ready: VecDeque::new(),
            spare: Vec::new(),
            failed: None,
            ended: false,
            given,
            bad,
            watch,
        }
    }

    /// Starts jobs until so many are under way.
    fn start(&mut self, limit: usize, jobs: usize) {
        while self.jobs.len() < jobs && !self.ended && self.failed.is_none() {
            let Some(from) = self.reader.take() else { return };
            let (to, next) = oneshot::channel();
            self.reader = Some(next);
            let spare = self.spare.pop().unwrap_or_default();
            self.jobs.push_back(tokio::task::spawn_blocking(move || read(from, to, limit, spare)));
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
        let bad = BadLines::new(&self.plan.source, Arc::clone(&self.context.meter));
        self.running = Some(Running::new(reader, from, bad, watch));
        Ok(())
    }

    async fn pull(&mut self, limit: usize) -> Result<Pulled> {
        let ahead = self.plan.ahead();
        loop {
            let Some(running) = &mut self.running else {
                return Err(Error::internal("a file source was pulled before it was opened"));
            };
            let next = running.ready.front().and_then(|next| next.rows.as_ref());
            if next.is_some_and(|rows| rows.num_rows() > limit) {
                // It was read ahead for a larger limit: read it again from where we are. A change of the limit is rare.
                let given = running.given.clone();
                let reader = self.reader(given).await?;
                if let Some(running) = &mut self.running {
                    running.reader = Some(reader);
                    running.jobs.clear();
                    running.ready.clear();
                    running.failed = None;
                    running.ended = false;
                }
                continue;
            }
            if let Some(Rows { rows, position, bad }) = running.ready.pop_front() {
                running.bad.count(bad);
                running.given = Some(position.clone());
                let Some(rows) = rows else { continue };
                return Ok(Pulled::Rows { rows, received_at: self.context.clock.now(), position });
            }
            if let Some(error) = running.failed.take() {
                return Err(error);
            }
            if running.ended {
                return Ok(Pulled::End);
            }
            running.start(limit, ahead.max(1));
            let Some(job) = running.jobs.front_mut() else {
                return Err(Error::internal("the reader of the file was lost"));
            };
            let done = job.await;
            running.jobs.pop_front();
            let done = done.map_err(thread_died)?;
            running.ready.extend(done.rows);
            running.spare.push(done.memory);
            running.failed = done.failed;
            running.ended = done.dry && !self.plan.follow;
            if !done.dry {
                // While these rows are worked on, others are read.
                running.start(limit, ahead);
            } else if let (Some(watch), None) = (&running.watch, &running.failed) {
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
