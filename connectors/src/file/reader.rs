//! Reads the files of a source one after the other, or one that grows, in parts; all calls block, so they run on a blocking thread.
//!
//! Finding the parts is quick and happens in order; making rows of a part takes longer and needs nothing but the part, so that
//! several threads do that at once.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use flate2::read::MultiGzDecoder;
use lineside_model::{Error, Result};

use super::bad::Bad;
use super::parquet::ParquetFile;
use super::paths;
use super::plan::{ReadFormat, ReadPlan};
use super::records::{self, Records};
use super::text::{Piece, Syntax, TextFormat, header, read_error};
use crate::Position;

/// Rows, and the position after them.
#[derive(Debug)]
pub(super) struct Rows {
    /// `None`: all that was here was left out.
    pub(super) rows: Option<RecordBatch>,
    pub(super) position: Position,
    pub(super) bad: Bad,
}

/// A part of a file that is still to be made rows of.
#[derive(Debug)]
pub(super) struct Part {
    key: String,
    offsets: BTreeMap<String, u64>,
    contents: PartContents,
}

#[derive(Debug)]
enum PartContents {
    Text(Arc<TextFormat>, records::Part),
    /// Read already: its pages come one after the other, and decoding them is most of the work.
    Rows(Vec<Piece>),
}

impl Part {
    /// The rows, in batches of `limit` at most, and the memory that the part was in.
    ///
    /// # Errors
    /// The file is damaged.
    pub(super) fn read(self, limit: usize) -> Result<(Vec<Rows>, Vec<u8>)> {
        let Self { key, mut offsets, contents } = self;
        let (pieces, memory) = match contents {
            PartContents::Text(format, part) => (format.read(&part, limit), part.bytes),
            PartContents::Rows(pieces) => (Ok(pieces), Vec::new()),
        };
        let rows = pieces.map_err(|e| e.of(format!("file \"{key}\"")))?.into_iter().map(|Piece { rows, end, bad }| {
            offsets.insert(key.clone(), end);
            Rows { rows, position: Position::Offsets(offsets.clone()), bad }
        });
        Ok((rows.collect(), memory))
    }
}

/// Reads the files of a source.
#[derive(Debug)]
pub(super) struct Reader {
    plan: Arc<ReadPlan>,
    waiting: VecDeque<PathBuf>,
    open: Option<OpenFile>,
    offsets: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    key: String,
    inode: u64,
    /// Whether the file was rotated and is read for the last time.
    last_look: bool,
    contents: Contents,
}

#[derive(Debug)]
enum Contents {
    Text(Arc<TextFormat>, Box<Records>),
    Parquet(ParquetFile),
}

/// The name in a position under which the identity of a followed file is kept.
fn inode_key(key: &str) -> String {
    format!("{key}#inode")
}

impl Reader {
    /// Finds the files and resumes where `from` says.
    ///
    /// # Errors
    /// There is no such file.
    pub(super) fn new(plan: Arc<ReadPlan>, from: Option<Position>) -> Result<Self> {
        let offsets = match from {
            Some(Position::Offsets(offsets)) => offsets,
            _ => BTreeMap::new(),
        };
        let files = paths::files(&plan.folder, &plan.written).map_err(|e| cannot_open(&plan.written, e))?;
        if files.is_empty() {
            return Err(Error::user(format!("there is no file \"{}\"", plan.written)));
        }
        let mut reader = Self { plan, waiting: files.into(), open: None, offsets };
        // The first file is opened now, so that a wrong path is told at once.
        reader.open_next()?;
        Ok(reader)
    }

    /// The next part, which will be read in batches of `limit`, in the memory of `spare` if that is of use; `None` if there is none now.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn next(&mut self, limit: usize, mut spare: Vec<u8>) -> Result<Option<Part>> {
        loop {
            if self.open.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let Some(open) = &mut self.open else { return Ok(None) };
            let contents = open
                .contents
                .next(limit, std::mem::take(&mut spare))
                .map_err(|e| e.of(format!("file \"{}\"", open.key)))?;
            let key = open.key.clone();
            let before = self.offsets.clone();
            self.offsets.insert(key.clone(), open.contents.position());
            match contents {
                Some(contents) => return Ok(Some(Part { key, offsets: before, contents })),
                None if !self.plan.follow => self.open = None,
                None => {
                    if !self.turn_over()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Whether there is more to read because the followed file was rotated or cut.
    fn turn_over(&mut self) -> Result<bool> {
        let Some(open) = &mut self.open else { return Ok(false) };
        let Ok(now) = std::fs::metadata(&open.path) else { return Ok(false) };
        let rotated = now.ino() != open.inode;
        if !rotated && now.len() >= open.contents.position() {
            return Ok(false);
        }
        if rotated && !open.last_look {
            // What was written between our last look and the rotation is still to be read, to the last line.
            open.last_look = true;
            open.contents.finish();
            return Ok(true);
        }
        tracing::info!(file = open.key, "a followed file was rotated or cut; reading it from its start");
        self.offsets.remove(&open.key);
        self.offsets.remove(&inode_key(&open.key));
        self.waiting.push_front(open.path.clone());
        self.open = None;
        Ok(true)
    }

    /// Opens the next file; `false` if there is none, or if it is followed and not there yet.
    fn open_next(&mut self) -> Result<bool> {
        let Some(path) = self.waiting.front() else { return Ok(false) };
        let key = paths::key(&self.plan.folder, path);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if self.plan.follow && e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(cannot_open(&key, e)),
        };
        let about = file.metadata().map_err(|e| cannot_open(&key, e))?;
        if about.is_dir() {
            return Err(Error::user(format!("\"{key}\" is a folder; name a file, or files such as \"{key}/*.csv\"")));
        }
        let mut offset = self.offsets.get(&key).copied().unwrap_or(0);
        if self.plan.follow {
            let known = self.offsets.get(&inode_key(&key)).is_none_or(|inode| *inode == about.ino());
            if !known || about.len() < offset {
                tracing::warn!(
                    file = key,
                    "a followed file was replaced while nobody read it; reading the new one from its start"
                );
                offset = 0;
            }
            self.offsets.insert(inode_key(&key), about.ino());
        }
        let contents = Contents::open(&self.plan, file, path, offset).map_err(|e| e.of(format!("file \"{key}\"")))?;
        let Some(contents) = contents else { return Ok(false) };
        let Some(path) = self.waiting.pop_front() else { return Ok(false) };
        self.open = Some(OpenFile { path, key, inode: about.ino(), last_look: false, contents });
        Ok(true)
    }
}

impl Contents {
    /// `None` if the first line of a followed file is not written yet.
    fn open(plan: &ReadPlan, mut file: File, path: &Path, offset: u64) -> Result<Option<Self>> {
        let syntax = match plan.format {
            ReadFormat::Parquet => {
                return Ok(Some(Self::Parquet(ParquetFile::new(file, offset, &plan.columns, &plan.schema))));
            }
            ReadFormat::Text(syntax) => syntax,
        };
        let mut input = text_input(file.try_clone().map_err(read_error)?, path);
        let mut line = Vec::new();
        let names = match syntax {
            Syntax::Json => None,
            Syntax::Csv { header: false, .. } => plan.names.clone(),
            Syntax::Csv { delimiter, header: true } => {
                input.read_until(b'\n', &mut line).map_err(read_error)?;
                if plan.follow && line.last() != Some(&b'\n') {
                    return Ok(None);
                }
                if line.is_empty() {
                    Some(plan.columns.iter().map(|column| column.field.name().clone()).collect())
                } else {
                    Some(header(&line, delimiter)?)
                }
            }
        };
        let first = line.len() as u64;
        let start = offset.max(first);
        let input: Box<dyn Read + Send> = if is_gz(path) {
            std::io::copy(&mut input.by_ref().take(start - first), &mut std::io::sink()).map_err(read_error)?;
            Box::new(input)
        } else {
            file.seek(SeekFrom::Start(start)).map_err(read_error)?;
            Box::new(file)
        };
        let format = TextFormat::new(syntax, names.as_deref(), &plan.columns, &plan.schema)?;
        let records = Records::new(input, start, syntax.quoted(), !plan.follow);
        Ok(Some(Self::Text(Arc::new(format), Box::new(records))))
    }

    fn next(&mut self, limit: usize, spare: Vec<u8>) -> Result<Option<PartContents>> {
        Ok(match self {
            Self::Text(format, records) => {
                let part = records.next(spare).map_err(read_error)?;
                part.map(|part| PartContents::Text(Arc::clone(format), part))
            }
            Self::Parquet(file) => {
                let rows = file.next(limit)?;
                (!rows.is_empty()).then_some(PartContents::Rows(rows))
            }
        })
    }

    /// Nothing more will be written to the file: a last line without a line break is whole.
    fn finish(&mut self) {
        match self {
            Self::Text(_, records) => records.finish(),
            Self::Parquet(_) => {}
        }
    }

    fn position(&self) -> u64 {
        match self {
            Self::Text(_, records) => records.offset(),
            Self::Parquet(file) => file.rows(),
        }
    }
}

/// Whether a file is compressed.
pub(super) fn is_gz(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

/// The text of a file, decompressed.
pub(super) fn text_input(file: File, path: &Path) -> BufReader<Box<dyn Read + Send>> {
    BufReader::new(if is_gz(path) { Box::new(MultiGzDecoder::new(BufReader::new(file))) } else { Box::new(file) })
}

pub(super) fn cannot_open(name: &str, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::user(format!("there is no file \"{name}\"")),
        std::io::ErrorKind::PermissionDenied => Error::user(format!("file \"{name}\" may not be read"))
            .hint("give the user that runs lineside the right to read it"),
        _ => Error::external(format!("cannot open file \"{name}\"")).caused_by(error),
    }
}
