//! Reads JSON lines, many at once.
//!
//! A block of lines is parsed column by column. Only if that fails is the block halved until the bad lines stand alone, so that
//! one bad line in a block of thousands costs little, and a clean file nothing.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;
use lineside_model::{Reason, Result};

use super::bad::Bad;
use super::columns::{Given, ReadColumn, give};
use super::records::Part;
use super::text::Piece;

/// The rows of a part, in batches of `limit` lines at most.
///
/// # Errors
/// Only for our bugs.
pub(super) fn read(
    part: &Part,
    columns: &[ReadColumn],
    schema: &SchemaRef,
    limit: usize,
    bad: Bad,
) -> Result<Vec<Piece>> {
    let ends = memchr::memchr_iter(b'\n', &part.bytes).map(|at| at + 1).collect::<Vec<_>>();
    let mut parse =
        Parse { bytes: &part.bytes, ends: &ends, columns, schema, limit, parser: None, batches: Vec::new(), bad };
    let mut pieces = Vec::new();
    for first in (0..ends.len()).step_by(limit.max(1)) {
        let lines = first..ends.len().min(first + limit);
        parse.block(lines.clone())?;
        pieces.push(Piece {
            rows: parse.take()?,
            end: part.offset + parse.start(lines.end) as u64,
            bad: std::mem::take(&mut parse.bad),
        });
    }
    if !parse.bad.is_empty() {
        pieces.push(Piece { rows: None, end: part.offset + part.bytes.len() as u64, bad: parse.bad });
    }
    Ok(pieces)
}

/// The parsing of a part.
struct Parse<'a> {
    bytes: &'a [u8],
    /// Where each line ends.
    ends: &'a [usize],
    columns: &'a [ReadColumn],
    schema: &'a SchemaRef,
    limit: usize,
    parser: Option<Decoder>,
    batches: Vec<RecordBatch>,
    bad: Bad,
}

impl<'a> Parse<'a> {
    fn start(&self, line: usize) -> usize {
        line.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0)
    }

    fn block(&mut self, lines: Range<usize>) -> Result<()> {
        let all: &'a [u8] = self.bytes;
        let bytes = all.get(self.start(lines.start)..self.start(lines.end)).unwrap_or_default();
        match self.decode(bytes, lines.len()) {
            Ok(rows) => return self.keep(&rows),
            Err(error) if lines.len() == 1 => {
                self.single(bytes.trim_ascii(), &error);
                return Ok(());
            }
            Err(_) => {}
        }
        let middle = lines.start + lines.len() / 2;
        self.block(lines.start..middle)?;
        self.block(middle..lines.end)
    }

    /// A line that did not parse. An empty one is nothing bad.
    fn single(&mut self, line: &[u8], error: &ArrowError) {
        if line.is_empty() {
            return;
        }
        let reason = match (std::str::from_utf8(line), serde_json::from_slice::<serde_json::Value>(line)) {
            (Err(_), _) => Reason::NotUtf8,
            (_, Ok(serde_json::Value::Object(_))) => Reason::WrongType,
            _ => Reason::Malformed,
        };
        self.bad.note(reason, 1, || {
            let shown = String::from_utf8_lossy(line).chars().take(120).collect::<String>();
            format!("{error}, in: {shown}")
        });
    }

    fn keep(&mut self, rows: &RecordBatch) -> Result<()> {
        let Given { rows, wrong, not_finite } = give(self.columns, self.schema, rows)?;
        if wrong > 0 {
            self.bad.note(Reason::WrongType, wrong as u64, || "a value that is none of its column's type".to_owned());
        }
        if not_finite > 0 {
            self.bad.note(Reason::NotFinite, not_finite as u64, || "a number that is NaN or infinite".to_owned());
        }
        if rows.num_rows() > 0 {
            self.batches.push(rows);
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Option<RecordBatch>> {
        Ok(match self.batches.len() {
            0 => None,
            1 => self.batches.pop(),
            _ => Some(concat_batches(self.schema, &std::mem::take(&mut self.batches))?),
        })
    }

    /// Parses lines; an error if there is anything wrong with any of them, or if they do not give one row each.
    fn decode(&mut self, bytes: &[u8], lines: usize) -> Result<RecordBatch, ArrowError> {
        // After an error a parser is in the middle of something, so it is only put back when all went well.
        let mut parser = match self.parser.take() {
            Some(parser) => parser,
            None => {
                let fields = self.columns.iter().map(ReadColumn::in_json).collect::<Vec<_>>();
                ReaderBuilder::new(Arc::new(Schema::new(fields))).with_batch_size(self.limit).build_decoder()?
            }
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let read = parser.decode(rest)?;
            if read == 0 {
                return Err(ArrowError::ParseError("more objects than lines".to_owned()));
            }
            rest = rest.get(read..).unwrap_or_default();
        }
        let rows = parser.flush()?;
        let found = rows.as_ref().map_or(0, RecordBatch::num_rows);
        if found != lines {
            let blank = bytes.split(|byte| *byte == b'\n').filter(|line| line.trim_ascii().is_empty()).count();
            if found + blank.saturating_sub(1) != lines {
                return Err(ArrowError::ParseError("an object over several lines, or several on one".to_owned()));
            }
        }
        let Some(rows) = rows else {
            return Err(ArrowError::ParseError("an empty line".to_owned()));
        };
        self.parser = Some(parser);
        Ok(rows)
    }
}
