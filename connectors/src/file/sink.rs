//! A file as a sink. Rows are formatted on the lane and written by a blocking thread, so that a slow disk holds up only this sink.
//!
//! For lines, `flush` returns when every row is on the disk. A Parquet file has no meaning before its last byte, so its rows are
//! safe when it is complete: when it is rotated, or at the end. After a full disk the sink goes on where it was; rows that
//! were taken before stay with the sink until the disk has them.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use lineside_model::{Error, Problem, Problems, Result, Span, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Format;
use super::output::{self, ParquetOut, TimeAs, write_lines};
use super::size::Size;
use super::tail::Tail;
use super::target::Names;
use crate::{BuildContext, Outcome, PlanContext, Sink};

/// How many bytes are collected before they are handed to the blocking thread.
const SEND_LEN: usize = 256 << 10;
/// How many bytes may be with the kernel and not yet on the disk.
const HELD_LEN: usize = 8 << 20;

/// Options of a file to write.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SinkOptions {
    /// The file, relative to the pipeline file; while it grows, its name ends in `.partial`.
    path: String,
    /// `csv`, `jsonl` or `parquet`; default: by the name of the file.
    format: Option<Format>,
    /// Adds to the file under its own name, for event logs that people watch; csv and jsonl only; default false: the file is replaced in one step when it is complete.
    #[serde(default)]
    append: bool,
    /// How times are written in csv and jsonl: `rfc3339`, or a number since 1970 in `us`, `ms` or `s`; default `rfc3339`.
    #[serde(default)]
    time: TimeAs,
    /// Begins a new file when this one has so many bytes, such as `64MB`; files are numbered `NAME-0001.csv`; default: never.
    rotate_bytes: Option<Size>,
    /// Begins a new file with the first row after this time, such as `1h`; default: never.
    rotate_every: Option<Span>,
}

/// A file to write, checked.
#[derive(Debug)]
pub(super) struct WritePlan {
    name: String,
    names: Names,
    format: Format,
    time: TimeAs,
    rotate_bytes: Option<Size>,
    rotate_every: Option<Span>,
    schema: SchemaRef,
}

impl WritePlan {
    /// Lines for `explain`.
    pub(super) fn explain(&self) -> Vec<String> {
        let path = self.names.path.display();
        let mut lines = vec![match self.names.append {
            true => format!("appends to {path}"),
            false => format!("writes {path}.partial, renamed when complete"),
        }];
        if let Some(size) = self.rotate_bytes {
            lines.push(format!("a new file after {size}"));
        }
        if let Some(span) = self.rotate_every {
            lines.push(format!("a new file every {span}"));
        }
        lines.push(match self.format {
            Format::Parquet => format!(
                "buffer: a row group of {}; rows are safe when their file is complete",
                Size(output::ROW_GROUP_LEN as u64)
            ),
            Format::Csv | Format::Jsonl => format!("buffer: {}; rows are safe when flushed", Size(HELD_LEN as u64)),
        });
        lines
    }
}

/// Checks the options.
///
/// # Errors
/// Everything that is wrong, at once.
pub(super) fn plan(options: SinkOptions, input: &SchemaRef, context: &PlanContext<'_>) -> Result<WritePlan, Problems> {
    let mut problems = Problems::default();
    let path = context.path(&options.path);
    let format = options.format.or_else(|| Format::of(&options.path));
    if options.path.ends_with(".gz") {
        problems.push(
            Problem::option("path", "files are not written compressed")
                .hint("write parquet, which is compressed inside"),
        );
    }
    if path.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        problems.push(
            Problem::option("path", format!("the folder of \"{}\" is not there", options.path))
                .hint("create the folder"),
        );
    }
    if path.is_dir() {
        problems.push(Problem::option("path", format!("\"{}\" is a folder; name a file", options.path)));
    }
    if options.append && format == Some(Format::Parquet) {
        problems.push(
            Problem::option("append", "a parquet file cannot be appended to")
                .hint("use rotate_every, or write csv or jsonl"),
        );
    }
    if options.time != TimeAs::Rfc3339 && format == Some(Format::Parquet) {
        problems.push(Problem::option("time", "a parquet file has a type for times; leave out time"));
    }
    if options.rotate_bytes.is_some_and(|size| size.0 == 0) {
        problems.push(Problem::option("rotate_bytes", "must be more than 0B"));
    }
    if options.rotate_every.is_some_and(|span| span <= Span::ZERO) {
        problems.push(Problem::option("rotate_every", "must be more than 0s"));
    }
    let Some(format) = format else {
        problems.push(
            Problem::option("path", format!("the name \"{}\" does not tell the format", options.path))
                .hint("add the option format = \"csv\", \"jsonl\" or \"parquet\""),
        );
        return Err(problems);
    };
    if let Some(why) = output::refuses(input, format) {
        problems.push(Problem::option("path", why));
    }
    if format == Format::Parquet && ParquetOut::new(Arc::clone(input)).is_err() {
        problems.push(Problem::option("path", "the rows have a column that a parquet file cannot hold"));
    }
    let rotates = options.rotate_bytes.is_some() || options.rotate_every.is_some();
    problems.or(WritePlan {
        name: options.path,
        names: Names { path, append: options.append, rotates, lines: format != Format::Parquet },
        format,
        time: options.time,
        rotate_bytes: options.rotate_bytes,
        rotate_every: options.rotate_every,
        schema: Arc::clone(input),
    })
}

/// Writes a file.
#[derive(Debug)]
pub(super) struct FileSink {
    plan: Arc<WritePlan>,
    context: BuildContext,
    live: Option<Live>,
    /// How many files are complete.
    completed: usize,
    /// Whether the last call failed: then `close` is only a pause.
    failed: bool,
}

/// The file that grows.
#[derive(Debug)]
struct Live {
    tail: Tail<File>,
    parquet: Option<ParquetOut>,
    /// Whether all of a Parquet file was given to the tail.
    ended: bool,
    rows: u64,
    since: Timestamp,
}

impl FileSink {
    pub(super) fn new(plan: Arc<WritePlan>, context: BuildContext) -> Self {
        Self { plan, context, live: None, completed: 0, failed: false }
    }

    fn error(&self, what: &str, e: io::Error) -> Error {
        let message = format!("cannot {what} file \"{}\"", self.plan.name);
        match e.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Error::user(message).caused_by(e).hint("give the user that runs lineside the right to write there")
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::external(message).caused_by(e).hint("make room on the disk; nothing is lost meanwhile")
            }
            _ => Error::external(message).caused_by(e),
        }
    }

    /// Does something with the file on the blocking thread.
    async fn on_disk(
        &mut self,
        what: &str,
        job: impl FnOnce(&mut Tail<File>) -> io::Result<()> + Send + 'static,
    ) -> Result<()> {
        let Some(mut live) = self.live.take() else {
            return Err(Error::internal("a file sink was used before it was opened"));
        };
        let done = tokio::task::spawn_blocking(move || {
            let result = job(&mut live.tail);
            (live, result)
        });
        let (live, result) =
            done.await.map_err(|e| Error::internal("the thread that writes the file died").caused_by(e))?;
        self.live = Some(live);
        result.map_err(|e| self.error(what, e))
    }

    async fn begin(&mut self) -> Result<()> {
        let plan = Arc::clone(&self.plan);
        let opened = tokio::task::spawn_blocking(move || plan.names.open()).await;
        let tail = opened
            .map_err(|e| Error::internal("the thread that opens the file died").caused_by(e))?
            .map_err(|e| self.error("open", e))?;
        let parquet = match self.plan.format {
            Format::Parquet => Some(ParquetOut::new(Arc::clone(&self.plan.schema))?),
            Format::Csv | Format::Jsonl => None,
        };
        let since = self.context.clock.now();
        let mut live = Live { tail, parquet, ended: false, rows: 0, since };
        if self.plan.format == Format::Csv && live.tail.len() == 0 {
            let none = RecordBatch::new_empty(Arc::clone(&self.plan.schema));
            write_lines(&none, Format::Csv, self.plan.time, true, live.tail.end())?;
        }
        self.live = Some(live);
        Ok(())
    }

    /// Completes the file that grows.
    async fn complete(&mut self) -> Result<()> {
        let Some(live) = &mut self.live else { return Ok(()) };
        if let Some(parquet) = live.parquet.take() {
            parquet.finish(live.tail.end())?;
        }
        live.ended = true;
        let (names, again) = (self.plan.names.clone(), self.completed > 0);
        self.on_disk("complete", move |tail| {
            tail.finish()?;
            names.complete(again)
        })
        .await?;
        self.completed += 1;
        self.live = None;
        Ok(())
    }

    async fn rotate_if_due(&mut self) -> Result<()> {
        let Some(live) = &self.live else { return Ok(()) };
        let len = live.tail.len() + live.parquet.as_ref().map_or(0, |parquet| parquet.unready() as u64);
        let large = self.plan.rotate_bytes.is_some_and(|most| len >= most.0);
        let old = self.plan.rotate_every.is_some_and(|most| self.context.clock.now().since(live.since) >= most);
        if live.ended || (live.rows > 0 && (large || old)) {
            self.complete().await?;
        }
        if self.live.is_none() {
            self.begin().await?;
        }
        Ok(())
    }

    async fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rotate_if_due().await?;
        let Some(live) = &mut self.live else { return Ok(()) };
        // What was taken before is written first. If that fails, these rows are not taken, and come again.
        if live.tail.held() >= HELD_LEN {
            self.on_disk("write", Tail::sync).await?;
        } else if live.tail.unsent() >= SEND_LEN {
            self.on_disk("write", Tail::send).await?;
        }
        let plan = Arc::clone(&self.plan);
        let Some(live) = &mut self.live else { return Ok(()) };
        let before = live.tail.len();
        let taken = match &mut live.parquet {
            Some(parquet) => parquet.write(rows, live.tail.end()),
            None => write_lines(rows, plan.format, plan.time, false, live.tail.end()),
        };
        if let Err(error) = taken {
            live.tail.take_back_to(before);
            return Err(error);
        }
        live.rows += rows.num_rows() as u64;
        if plan.names.append {
            // People watch this file. If it cannot be written now, the next flush tells.
            if let Err(error) = self.on_disk("write", Tail::send).await {
                tracing::debug!(%error, "rows wait for the next flush");
            }
        }
        Ok(())
    }

    /// Notes whether a call failed.
    fn noted<T>(&mut self, result: Result<T>) -> Result<T> {
        self.failed = result.is_err();
        result
    }
}

#[async_trait(?Send)]
impl Sink for FileSink {
    async fn open(&mut self) -> Result<()> {
        self.failed = false;
        if self.live.is_some() {
            // After an error: the file is still open, with all that was taken.
            return Ok(());
        }
        let result = self.begin().await;
        self.noted(result)
    }

    async fn write(&mut self, rows: &RecordBatch, _: Timestamp) -> Result<Outcome> {
        let result = self.take(rows).await;
        self.noted(result)?;
        Ok(Outcome { written: rows.num_rows(), rejected: Vec::new() })
    }

    async fn flush(&mut self) -> Result<()> {
        if self.live.is_none() {
            return Ok(());
        }
        let result = self.on_disk("write", Tail::sync).await;
        self.noted(result)
    }

    async fn close(&mut self) -> Result<()> {
        let empty = self.live.as_ref().is_some_and(|live| live.rows == 0);
        if self.failed {
            return Ok(());
        }
        if empty && (self.plan.names.rotates || self.completed > 0) {
            self.live = None;
            if !self.plan.names.append {
                let live: PathBuf = self.plan.names.live();
                let removed = tokio::task::spawn_blocking(move || std::fs::remove_file(live)).await;
                removed
                    .map_err(|e| Error::internal("the thread that removes the file died").caused_by(e))?
                    .map_err(|e| self.error("remove", e))?;
            }
            return Ok(());
        }
        let result = self.complete().await;
        self.noted(result)
    }
}
