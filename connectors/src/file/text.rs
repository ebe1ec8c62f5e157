//! Reads CSV and JSON lines, many lines at once; a line that cannot be read is data: it is counted, and the rest goes on.
//!
//! A block of lines is parsed column by column. Only if that fails is the block halved until the bad lines stand alone, so that
//! one bad line in a block of thousands costs little, and a clean file nothing.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use lineside_model::{Error, Reason, Result};

use super::bad::BadLines;
use super::columns::{ReadColumn, finite, give};
use super::records::{Block, Records};

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

/// A text file that is being read.
#[derive(Debug)]
pub(super) struct TextFile {
    records: Records,
    syntax: Syntax,
    columns: Arc<[ReadColumn]>,
    schema: SchemaRef,
    /// All columns of a CSV file, and which of them are read.
    csv: Option<(SchemaRef, Vec<usize>)>,
    parser: Option<(usize, Parser)>,
}

#[derive(Debug)]
enum Parser {
    Csv(Box<arrow::csv::reader::Decoder>),
    Json(arrow::json::reader::Decoder),
}

impl TextFile {
    /// Reads `input`, of which `offset` bytes have been read before. `names`: those of a CSV file, in its order.
    ///
    /// # Errors
    /// A column is not in the file.
    pub(super) fn new(
        input: Box<dyn Read + Send>,
        offset: u64,
        whole: bool,
        syntax: Syntax,
        names: Option<&[String]>,
        columns: &Arc<[ReadColumn]>,
        schema: &SchemaRef,
    ) -> Result<Self> {
        let csv = match names {
            None => None,
            Some(names) => {
                let mut read = Vec::new();
                for column in columns.iter() {
                    let at = names.iter().position(|name| name == column.field.name());
                    read.push(at.ok_or_else(|| {
                        Error::user(format!("there is no column \"{}\" in the file", column.field.name())).hint(
                            lineside_model::options::did_you_mean(
                                column.field.name(),
                                names.iter().map(String::as_str),
                            ),
                        )
                    })?);
                }
                let all = names.iter().map(|name| {
                    columns.iter().find(|column| column.field.name() == name).map_or_else(
                        || arrow::datatypes::Field::new(name, arrow::datatypes::DataType::Utf8, true),
                        ReadColumn::in_csv,
                    )
                });
                Some((Arc::new(Schema::new(all.collect::<Vec<_>>())), read))
            }
        };
        Ok(Self {
            records: Records::new(input, offset, syntax.quoted(), whole),
            syntax,
            columns: Arc::clone(columns),
            schema: Arc::clone(schema),
            csv,
            parser: None,
        })
    }

    /// How many bytes have been given as rows, or counted as bad.
    pub(super) fn offset(&self) -> u64 {
        self.records.offset()
    }

    /// Nothing more will be written to the file: a last line without a line break is whole.
    pub(super) fn finish(&mut self) {
        self.records.finish();
    }

    /// The next rows, of `limit` lines at most; `None` if there is none now.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn next(&mut self, limit: usize, bad: &mut BadLines) -> Result<Option<RecordBatch>> {
        let mut parse = Parse {
            syntax: self.syntax,
            columns: &self.columns,
            schema: &self.schema,
            csv: self.csv.as_ref(),
            parser: &mut self.parser,
            limit,
            batches: Vec::new(),
        };
        loop {
            let block = self.records.next(limit).map_err(read_error)?;
            let some = block.is_some();
            if let Some(block) = block {
                parse.block(&block, 0..block.ends.len(), bad)?;
            }
            let too_large = self.records.take_too_large();
            if too_large > 0 {
                bad.count(Reason::TooLarge, too_large, || "a line of more than 16 MiB".to_owned());
            }
            if !some {
                return Ok(None);
            }
            if let Some(rows) = parse.take()? {
                return Ok(Some(rows));
            }
        }
    }
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

/// The parsing of one block.
struct Parse<'a> {
    syntax: Syntax,
    columns: &'a [ReadColumn],
    schema: &'a SchemaRef,
    csv: Option<&'a (SchemaRef, Vec<usize>)>,
    parser: &'a mut Option<(usize, Parser)>,
    limit: usize,
    batches: Vec<RecordBatch>,
}

impl Parse<'_> {
    fn block(&mut self, block: &Block<'_>, lines: Range<usize>, bad: &mut BadLines) -> Result<()> {
        let bytes = block.bytes_of(&lines);
        match self.decode(bytes, lines.len()) {
            Ok(rows) => return self.keep(&rows, bad),
            Err(error) if lines.len() == 1 => return self.single(bytes, &error, bad),
            Err(_) => {}
        }
        let middle = lines.start + lines.len() / 2;
        self.block(block, lines.start..middle, bad)?;
        self.block(block, middle..lines.end, bad)
    }

    /// A record that did not parse. If a quote made it of several lines, each line gets its chance.
    fn single(&mut self, bytes: &[u8], error: &ArrowError, bad: &mut BadLines) -> Result<()> {
        let text = bytes.trim_ascii();
        if text.is_empty() {
            return Ok(());
        }
        if memchr::memchr(b'\n', text).is_some() {
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                match self.decode(line, 1) {
                    Ok(rows) => self.keep(&rows, bad)?,
                    Err(error) => self.single(line.trim_ascii(), &error, bad)?,
                }
            }
            return Ok(());
        }
        let reason = self.reason(text);
        bad.count(reason, 1, || {
            let shown = String::from_utf8_lossy(&text[..text.len().min(120)]).into_owned();
            format!("{error}, in: {shown}")
        });
        Ok(())
    }

    fn reason(&self, line: &[u8]) -> Reason {
        if std::str::from_utf8(line).is_err() {
            return Reason::NotUtf8;
        }
        match self.syntax {
            Syntax::Json => match serde_json::from_slice::<serde_json::Value>(line) {
                Ok(serde_json::Value::Object(_)) => Reason::WrongType,
                Ok(_) | Err(_) => Reason::Malformed,
            },
            Syntax::Csv { delimiter, .. } => {
                let wanted = self.csv.map_or(0, |(all, _)| all.fields().len());
                let found = line.split(|byte| *byte == delimiter).count();
                match found.cmp(&wanted) {
                    std::cmp::Ordering::Less => Reason::MissingField,
                    std::cmp::Ordering::Equal => Reason::WrongType,
                    std::cmp::Ordering::Greater => Reason::Malformed,
                }
            }
        }
    }

    fn keep(&mut self, rows: &RecordBatch, bad: &mut BadLines) -> Result<()> {
        let (rows, lost) = finite(give(self.columns, self.schema, rows)?)?;
        if lost > 0 {
            bad.count(Reason::NotFinite, lost as u64, || "a number that is NaN or infinite".to_owned());
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
            Some((limit, parser)) if limit == self.limit => parser,
            _ => self.parser()?,
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let read = match &mut parser {
                Parser::Csv(decoder) => decoder.decode(rest)?,
                Parser::Json(decoder) => decoder.decode(rest)?,
            };
            if read == 0 {
                return Err(ArrowError::ParseError("more rows than lines".to_owned()));
            }
            rest = &rest[read..];
        }
        let rows = match &mut parser {
            Parser::Csv(decoder) => decoder.flush()?,
            Parser::Json(decoder) => decoder.flush()?,
        };
        let found = rows.as_ref().map_or(0, RecordBatch::num_rows);
        if found != lines {
            let blank = bytes
                .split(|byte| *byte == b'\n')
                .filter(|line| line.trim_ascii().is_empty())
                .count()
                .saturating_sub(1);
            if found + blank != lines {
                return Err(ArrowError::ParseError("an open quote, or more than one object".to_owned()));
            }
        }
        let Some(rows) = rows else {
            return Err(ArrowError::ParseError("an empty line".to_owned()));
        };
        *self.parser = Some((self.limit, parser));
        Ok(rows)
    }

    fn parser(&self) -> Result<Parser, ArrowError> {
        Ok(match (self.syntax, self.csv) {
            (Syntax::Csv { delimiter, .. }, Some((all, read))) => Parser::Csv(Box::new(
                arrow::csv::ReaderBuilder::new(Arc::clone(all))
                    .with_delimiter(delimiter)
                    .with_projection(read.clone())
                    .with_batch_size(self.limit)
                    .build_decoder(),
            )),
            _ => {
                let fields = self.columns.iter().map(ReadColumn::in_json).collect::<Vec<_>>();
                Parser::Json(
                    arrow::json::ReaderBuilder::new(Arc::new(Schema::new(fields)))
                        .with_batch_size(self.limit)
                        .build_decoder()?,
                )
            }
        })
    }
}
