//! Turns the lines of CSV and JSON files into rows; a line that cannot be read is data: it is counted, and the rest goes on.
//!
//! A part of a file is read by itself, by any thread, since all that it needs to know is here and does not change.

use std::io;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lineside_model::{Error, Reason, Result};

use super::bad::Bad;
use super::columns::{ReadColumn, finite};
use super::records::{Part, QUOTED_MAX, csv_record};
use super::{json_lines, records};
use crate::codec::{self, Columns, CsvLines};

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Fields between delimiters; `header`: the first line has the names.
    Csv {
        /// The delimiter.
        delimiter: u8,
        /// Whether the first line has the names of the columns.
        header: bool,
    },
    /// A JSON object a line.
    Json,
}

impl Syntax {
    /// Where quotes may stretch a record over lines: the delimiter before which they mean something.
    pub(super) fn quoted(self) -> Option<u8> {
        match self {
            Self::Csv { delimiter, .. } => Some(delimiter),
            Self::Json => None,
        }
    }
}

/// The names in the first line of a CSV file.
///
/// # Errors
/// The line is not CSV.
pub(super) fn header(line: &[u8], delimiter: u8) -> Result<Vec<String>> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let (schema, _) = arrow::csv::reader::Format::default()
        .with_header(true)
        .with_delimiter(delimiter)
        .infer_schema(line, Some(0))
        .map_err(|e| Error::data("the first line has no column names").caused_by(e))?;
    Ok(schema.fields().iter().map(|field| field.name().trim().to_owned()).collect())
}

/// How the lines of one file become rows.
#[derive(Debug)]
pub(super) struct TextFormat {
    syntax: Syntax,
    columns: Arc<[ReadColumn]>,
    schema: SchemaRef,
    /// The columns as fields of a CSV line, and for each value of a line its field.
    fields: Vec<codec::Field>,
    places: Vec<Option<usize>>,
}

/// Rows of a file.
#[derive(Debug)]
pub(super) struct Piece {
    /// The rows, if there are any.
    pub(super) rows: Option<RecordBatch>,
    /// Where the record after them is.
    pub(super) end: u64,
    /// What was left out among them.
    pub(super) bad: Bad,
}

impl TextFormat {
    /// For a file of this syntax. `names`: those of a CSV file, in its order.
    ///
    /// # Errors
    /// A column is not in the file.
    pub(super) fn new(
        syntax: Syntax,
        names: Option<&[String]>,
        columns: &Arc<[ReadColumn]>,
        schema: &SchemaRef,
    ) -> Result<Self> {
        let names = names.unwrap_or_default();
        let (mut fields, mut places) = (Vec::new(), vec![None; names.len()]);
        if syntax != Syntax::Json {
            for (n, column) in columns.iter().enumerate() {
                let name = column.field.name();
                let place = names.iter().zip(&mut places).find(|(known, _)| *known == name).map(|(_, place)| place);
                *place.ok_or_else(|| {
                    Error::user(format!("there is no column \"{name}\" in the file"))
                        .hint(lineside_model::options::did_you_mean(name, names.iter().map(String::as_str)))
                })? = Some(n);
                fields.push(column.in_csv());
            }
        }
        Ok(Self { syntax, columns: Arc::clone(columns), schema: Arc::clone(schema), fields, places })
    }

    /// The rows of a part, in batches of `limit` lines at most.
    ///
    /// # Errors
    /// Only for our bugs.
    pub(super) fn read(&self, part: &Part, limit: usize) -> Result<Vec<Piece>> {
        let mut bad = Bad::default();
        if part.too_large > 0 {
            bad.note(Reason::TooLarge, part.too_large, || {
                format!("a line of more than {} MiB", records::RECORD_MAX >> 20)
            });
        }
        match self.syntax {
            Syntax::Csv { delimiter, .. } => self.read_csv(part, delimiter, limit, bad),
            Syntax::Json => json_lines::read(part, &self.columns, &self.schema, limit, bad),
        }
    }

    fn read_csv(&self, part: &Part, delimiter: u8, limit: usize, mut bad: Bad) -> Result<Vec<Piece>> {
        let mut lines = CsvLines::new(delimiter, self.places.clone());
        let bytes = part.bytes.as_slice();
        let is_text = std::str::from_utf8(bytes).is_ok();
        let columns = || Columns::new(&self.fields, limit.min(bytes.len() / self.places.len().max(1)));
        let mut rows = columns();
        let mut pieces = Vec::new();
        let mut at = 0;
        // Up to here every line is a record of its own: a quote that joined them spoils one of them at most.
        let mut single_until = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let before = rows.rows();
            let line = if at < single_until { first_line(rest) } else { rest };
            let plain =
                if is_text && !matches!(line, [b'\n' | b'\r', ..]) { lines.plain(line, &mut rows) } else { None };
            at += match plain {
                // A quoted value may hold line breaks, but not without end.
                Some(len) if len <= QUOTED_MAX || first_line(line).len() == len => len,
                _ => {
                    rows.truncate(before);
                    let len = csv_record(line, delimiter, true).unwrap_or(line.len());
                    let record = line.get(..len).unwrap_or_default();
                    match self.careful(&mut lines, record, delimiter, &mut rows) {
                        Err(_) if first_line(record.trim_ascii()).len() < record.trim_ascii().len() => {
                            single_until = at + len;
                            continue;
                        }
                        Err((reason, detail)) => bad.note(reason, 1, || {
                            let shown = String::from_utf8_lossy(record.trim_ascii()).into_owned();
                            format!("{detail}, in: {}", shown.chars().take(120).collect::<String>())
                        }),
                        Ok(()) => {}
                    }
                    len
                }
            };
            if rows.rows() >= limit || at >= bytes.len() {
                let read = std::mem::replace(&mut rows, columns()).into_arrays()?;
                let (read, lost) = finite(RecordBatch::try_new(Arc::clone(&self.schema), read)?)?;
                if lost > 0 {
                    bad.note(Reason::NotFinite, lost as u64, || "a number that is NaN or infinite".to_owned());
                }
                pieces.push(Piece {
                    rows: Some(read).filter(|read| read.num_rows() > 0),
                    end: part.offset + at as u64,
                    bad: std::mem::take(&mut bad),
                });
            }
        }
        if !bad.is_empty() {
            pieces.push(Piece { rows: None, end: part.offset + bytes.len() as u64, bad });
        }
        Ok(pieces)
    }

    /// Adds the row of a record, or says why there is none. An empty line is none, and nothing bad.
    fn careful(
        &self,
        lines: &mut CsvLines,
        record: &[u8],
        delimiter: u8,
        rows: &mut Columns<'_>,
    ) -> Result<(), (Reason, String)> {
        let trimmed = record.trim_ascii();
        if trimmed.is_empty() {
            return Ok(());
        }
        let text = std::str::from_utf8(record).map_err(|error| (Reason::NotUtf8, error.to_string()))?;
        let wanted = self.places.len();
        match lines.split(text) {
            Ok(count) if count == wanted => {
                lines.careful(count, &self.fields, rows).map_err(|fault| (fault.reason, fault.detail))
            }
            Ok(_) | Err(_) => {
                let found = trimmed.split(|byte| *byte == delimiter).count();
                let reason = match found.cmp(&wanted) {
                    std::cmp::Ordering::Less => Reason::MissingField,
                    std::cmp::Ordering::Equal => Reason::WrongType,
                    std::cmp::Ordering::Greater => Reason::Malformed,
                };
                Err((reason, format!("{found} values for {wanted} columns")))
            }
        }
    }
}

/// The first line of some text, with its line break.
fn first_line(text: &[u8]) -> &[u8] {
    memchr::memchr(b'\n', text).and_then(|at| text.get(..=at)).unwrap_or(text)
}

/// A file that cannot be read is tried again; one with broken compression is not.
pub(super) fn read_error(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            Error::data("the file is damaged").caused_by(error)
        }
        _ => Error::external("cannot read the file").caused_by(error),
    }
}
