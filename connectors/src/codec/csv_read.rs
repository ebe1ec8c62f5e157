//! Reads delimited values into columns: for messages, and for the lines of files.
//!
//! Most lines are plain, and one pass over their bytes finds the values and adds them to the columns. A line with anything
//! unusual in it (doubled quotes, a number with an exponent, a value too few, a wrong one) adds nothing there and is read
//! again with care, which also says what is wrong with it.

use std::borrow::Cow;
use std::num::IntErrorKind;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use lineside_model::{Reason, Result};

use super::columns::{Cell, Columns, Fault, Scalar, cell, short};
use super::field::{Field, FieldType};

/// Reads lines of delimited values.
#[derive(Debug)]
pub(crate) struct CsvLines {
    delimiter: u8,
    /// For each value of a line the field that it is for, if any.
    places: Vec<Option<usize>>,
    /// Whether numbers cannot contain the delimiter, so that reading one finds its end.
    numbers_end: bool,
    /// Made when the first line needs it.
    reader: Option<Box<Reader>>,
    /// The values of one line without their quotes, and where each ends; kept between lines.
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl CsvLines {
    /// For lines whose values are for these fields, in their order.
    pub(crate) fn new(delimiter: u8, places: Vec<Option<usize>>) -> Self {
        Self {
            delimiter,
            places,
            numbers_end: !delimiter.is_ascii_alphanumeric() && !matches!(delimiter, b'.' | b'+' | b'-' | b'\r' | b'\n'),
            reader: None,
            text: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Adds the plain line that `bytes`, which are UTF-8, begin with, and gives its length with its line end. `None`: nothing
    /// was added, the line needs [`CsvLines::careful`].
    #[inline]
    pub(crate) fn plain(&self, bytes: &[u8], columns: &mut Columns<'_>) -> Option<usize> {
        let row = columns.rows();
        let end = if self.numbers_end { self.row(bytes, columns) } else { None };
        match end {
            Some(_) => columns.row_is_whole(),
            None => columns.truncate(row),
        }
        end
    }

    fn row(&self, bytes: &[u8], columns: &mut Columns<'_>) -> Option<usize> {
        let mut at = 0;
        for (n, place) in self.places.iter().enumerate() {
            if n > 0 {
                if bytes.get(at) != Some(&self.delimiter) {
                    return None;
                }
                at += 1;
            }
            let rest = bytes.get(at..)?;
            at += match place {
                Some(field) => match columns.number(*field, rest) {
                    Some(len) => len,
                    None => {
                        let (text, len) = self.text_at(rest)?;
                        columns.text(*field, text)?;
                        len
                    }
                },
                None => self.text_at(rest)?.1,
            };
        }
        match bytes.get(at..)? {
            [] => Some(at),
            [b'\n', ..] => Some(at + 1),
            [b'\r', b'\n', ..] => Some(at + 2),
            _ => None,
        }
    }

    /// The value that `bytes` begin with, without its quotes, and its length with them; `None` if a look is not enough.
    #[inline]
    fn text_at<'b>(&self, bytes: &'b [u8]) -> Option<(&'b [u8], usize)> {
        if bytes.first() == Some(&b'"') {
            let inside = bytes.get(1..)?;
            let len = memchr::memchr(b'"', inside)?;
            return Some((inside.get(..len)?, len + 2));
        }
        let len = memchr::memchr3(self.delimiter, b'\n', b'\r', bytes).unwrap_or(bytes.len());
        Some((bytes.get(..len)?, len))
    }

    /// Takes one line apart; how many values it has.
    ///
    /// # Errors
    /// It is more than one line.
    pub(crate) fn split(&mut self, line: &str) -> Result<usize, Fault> {
        let Self { delimiter, reader, text, ends, .. } = self;
        let reader = reader.get_or_insert_with(|| Box::new(ReaderBuilder::new().delimiter(*delimiter).build()));
        // Values never are longer than the line, nor more than its bytes and one.
        if text.len() < line.len() + 1 {
            text.resize(line.len() + 1, 0);
        }
        let most = line.len() + 2;
        if ends.len() < most.min(64) {
            ends.resize(64, 0);
        }
        reader.reset();
        let mut rest = line.as_bytes();
        let (mut written, mut count) = (0, 0);
        loop {
            let (result, read, out, found) = reader.read_record(rest, &mut text[written..], &mut ends[count..]);
            rest = rest.get(read..).unwrap_or_default();
            written += out;
            count += found;
            match result {
                ReadRecordResult::Record | ReadRecordResult::End => break,
                // The input is whole: the next call has none and so says where the record ends.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => text.resize(text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => ends.resize(ends.len() * 2, 0),
            }
        }
        if rest.trim_ascii().is_empty() {
            Ok(count)
        } else {
            Err(Fault::new(Reason::Malformed, format!("more than one line: {}", short(line))))
        }
    }

    /// The `count` values of the line that was taken apart.
    pub(crate) fn values(&self, count: usize) -> impl Iterator<Item = &str> {
        let mut from = 0;
        self.ends.iter().take(count).map(move |end| {
            let value = self.text.get(std::mem::replace(&mut from, *end)..*end);
            // Cut at delimiters, which are ASCII, so this is UTF-8 again.
            value.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
        })
    }

    /// Adds the row that was taken apart into `count` values; those behind them are missing.
    ///
    /// # Errors
    /// A value is not of the type of its field, or one is missing that must be there.
    pub(crate) fn careful(&self, count: usize, fields: &[Field], columns: &mut Columns<'_>) -> Result<(), Fault> {
        let mut cells = Vec::with_capacity(fields.len());
        cells.resize_with(fields.len(), Cell::default);
        for (place, value) in self.places.iter().zip(self.values(count)) {
            if let Some((field, cell)) = place.and_then(|n| Some((fields.get(n)?, cells.get_mut(n)?))) {
                *cell = value_of(field, value)?;
            }
        }
        columns.push(&mut cells)
    }
}

fn value_of<'a>(field: &Field, text: &'a str) -> Result<Cell<'a>, Fault> {
    let text = if field.kind == FieldType::Text { text } else { text.trim_ascii() };
    if text.is_empty() {
        return Ok(Cell::Missing);
    }
    let wrong = || Fault::wrong_type(field, format_args!("\"{}\"", short(text)));
    let scalar = match field.kind {
        FieldType::Text | FieldType::Quality => Scalar::Text(Cow::Borrowed(text)),
        FieldType::Timestamp if field.unit.is_text() => Scalar::Text(Cow::Borrowed(text)),
        FieldType::Bool => Scalar::Bool(bool_of(text.as_bytes()).ok_or_else(wrong)?),
        FieldType::Float => Scalar::Float(text.parse().map_err(|_| wrong())?),
        FieldType::Int | FieldType::Timestamp => match text.parse::<i64>() {
            Ok(v) => Scalar::Int(v),
            Err(e) if matches!(e.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow) => {
                return Err(Fault::not_finite(field));
            }
            Err(_) => Scalar::Float(text.parse().map_err(|_| wrong())?),
        },
    };
    cell(field, scalar)
}

/// True or false, in letters of any case, since programs write either.
pub(super) fn bool_of(text: &[u8]) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case(b"true") => Some(true),
        _ if text.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}
