//! Cuts a stream of bytes into parts of whole records, one a line.
//!
//! The reader knows where it is in the stream to the byte, so that reading resumes exactly. In CSV a quoted field may hold line
//! breaks; a quote that is never closed within [`QUOTED_MAX`] is taken for a slip, and the line ends where it ends. A line
//! longer than [`RECORD_MAX`] is left out and counted.

use std::io::{self, Read};

/// The longest record: more is not a reading.
pub(super) const RECORD_MAX: usize = 16 << 20;
/// The longest record that a quote may stretch over line breaks.
pub(super) const QUOTED_MAX: usize = 64 << 10;
/// How much is read at once: some ten thousand readings, so that handing them to another thread costs little beside reading
/// them, and few enough to stay in the cache of a core.
pub(super) const PART_LEN: usize = 256 << 10;

/// Records of a stream.
pub(super) struct Records {
    input: Box<dyn Read + Send>,
    /// The delimiter, where quotes have a meaning.
    quoted: Option<u8>,
    /// Whether a last line without a line break is a record: not while a file still grows.
    whole: bool,
    /// What was read behind the last whole record.
    rest: Vec<u8>,
    offset: u64,
    ended: bool,
    skipping: bool,
    too_large: u64,
}

/// Whole records, one after the other.
#[derive(Debug)]
pub(super) struct Part {
    /// All records, each with its line break.
    pub(super) bytes: Vec<u8>,
    /// Where the first of them is in the stream.
    pub(super) offset: u64,
    /// How many records before the last of these were too large, and are not here.
    pub(super) too_large: u64,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("offset", &self.offset).field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Records {
    /// Records of `input`, whose first byte is at `offset` of the stream.
    pub(super) fn new(input: Box<dyn Read + Send>, offset: u64, quoted: Option<u8>, whole: bool) -> Self {
        Self { input, quoted, whole, rest: Vec::new(), offset, ended: false, skipping: false, too_large: 0 }
    }

    /// Where the next record starts.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The stream no longer grows: a last line without a line break is a record.
    pub(super) fn finish(&mut self) {
        self.whole = true;
    }

    /// The next records, in the memory of `spare`; `None` if there is none now.
    ///
    /// # Errors
    /// The stream cannot be read.
    pub(super) fn next(&mut self, spare: Vec<u8>) -> io::Result<Option<Part>> {
        let mut bytes = spare;
        bytes.clear();
        bytes.append(&mut self.rest);
        loop {
            let read = match self.read(&mut bytes) {
                Ok(read) => read,
                Err(error) => {
                    self.rest = bytes;
                    return Err(error);
                }
            };
            self.skip(&mut bytes);
            if let Some(end) = self.cut(&bytes) {
                self.rest.extend_from_slice(bytes.get(end..).unwrap_or_default());
                bytes.truncate(end);
                return Ok(Some(self.part(bytes)));
            }
            if bytes.len() >= RECORD_MAX {
                self.offset += bytes.len() as u64;
                bytes.clear();
                self.skipping = true;
                self.too_large += 1;
            } else if !read {
                self.rest = bytes;
                return Ok(if self.too_large > 0 { Some(self.part(Vec::new())) } else { None });
            }
        }
    }

    fn part(&mut self, bytes: Vec<u8>) -> Part {
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        Part { bytes, offset, too_large: std::mem::take(&mut self.too_large) }
    }

    /// Reads more; `false` if there is no more now.
    fn read(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        bytes.reserve(PART_LEN);
        if self.input.by_ref().take(PART_LEN as u64).read_to_end(bytes)? > 0 {
            return Ok(true);
        }
        self.ended = self.whole;
        // The last line gets the line break it lacks. The position is then one past the end, where nothing is.
        if self.ended && !self.skipping && bytes.last().is_some_and(|last| *last != b'\n') {
            bytes.push(b'\n');
        }
        Ok(false)
    }

    /// Leaves out the rest of a record that is too large.
    fn skip(&mut self, bytes: &mut Vec<u8>) {
        if self.skipping {
            let end = memchr::memchr(b'\n', bytes).map(|at| at + 1);
            self.skipping = end.is_none();
            let skipped = end.unwrap_or(bytes.len());
            bytes.drain(..skipped);
            self.offset += skipped as u64;
        }
    }

    /// Where the last whole record ends, if there is one.
    fn cut(&self, bytes: &[u8]) -> Option<usize> {
        match self.quoted {
            Some(delimiter) if memchr::memchr(b'"', bytes).is_some() => {
                let mut end = 0;
                while let Some(len) = csv_record(bytes.get(end..)?, delimiter, self.ended) {
                    end += len;
                }
                Some(end).filter(|end| *end > 0)
            }
            _ => memchr::memrchr(b'\n', bytes).map(|at| at + 1),
        }
    }
}

/// The length of the first CSV record with its line break, if it is all there.
pub(super) fn csv_record(bytes: &[u8], delimiter: u8, last_is_whole: bool) -> Option<usize> {
    let line = memchr::memchr2(b'\n', b'"', bytes)?;
    if bytes[line] == b'\n' {
        return Some(line + 1);
    }
    let first_break = || memchr::memchr(b'\n', bytes).map(|at| at + 1);
    let mut at = line;
    loop {
        // `at` is a quote: it opens a field only where a field starts.
        let opens = at == 0 || bytes[at - 1] == delimiter || bytes[at - 1] == b'\n';
        let mut after = at + 1;
        if opens {
            loop {
                match memchr::memchr(b'"', &bytes[after..]) {
                    Some(close) if bytes.get(after + close + 1) == Some(&b'"') => after += close + 2,
                    Some(close) => {
                        after += close + 1;
                        break;
                    }
                    None if last_is_whole || bytes.len() > QUOTED_MAX => return first_break(),
                    None => return None,
                }
                if after > QUOTED_MAX {
                    return first_break();
                }
            }
        }
        let next = memchr::memchr2(b'\n', b'"', &bytes[after..])?;
        if bytes[after + next] == b'\n' {
            return Some(after + next + 1);
        }
        at = after + next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &'static str, quoted: Option<u8>, whole: bool) -> Vec<String> {
        let mut records = Records::new(Box::new(text.as_bytes()), 0, quoted, whole);
        let mut all = Vec::new();
        while let Some(part) = records.next(Vec::new()).expect("a slice is readable") {
            let mut rest = part.bytes.as_slice();
            while !rest.is_empty() {
                let len = match quoted {
                    Some(delimiter) => csv_record(rest, delimiter, true),
                    None => memchr::memchr(b'\n', rest).map(|at| at + 1),
                };
                let (record, others) = rest.split_at(len.expect("a part has whole records"));
                all.push(String::from_utf8_lossy(record).into_owned());
                rest = others;
            }
        }
        all
    }

    #[test]
    fn each_line_is_a_record_and_the_last_needs_no_line_break() {
        assert_eq!(cut("a\nb\nc", None, true), ["a\n", "b\n", "c\n"]);
        assert_eq!(cut("a\nb\nc", None, false), ["a\n", "b\n"]);
    }

    #[test]
    fn a_quoted_field_may_hold_line_breaks_but_a_stray_quote_spoils_only_its_line() {
        assert_eq!(cut("1,\"a\nb\"\n2,c\n", Some(b','), true), ["1,\"a\nb\"\n", "2,c\n"]);
        assert_eq!(cut("1,\"a \"\"\n\"\n2,c\n", Some(b','), true), ["1,\"a \"\"\n\"\n", "2,c\n"]);
        assert_eq!(cut("1,5\" pipe\n2,c\n", Some(b','), true), ["1,5\" pipe\n", "2,c\n"]);
        assert_eq!(cut("1,\"open\n2,c\n", Some(b','), true), ["1,\"open\n", "2,c\n"]);
    }

    #[test]
    fn a_line_that_is_too_large_is_left_out_and_counted() {
        let text = format!("a\n{}\nb\n", "x".repeat(RECORD_MAX + PART_LEN));
        let after = text.len() as u64;
        let mut records = Records::new(Box::new(io::Cursor::new(text)), 0, None, true);
        let (mut bytes, mut too_large) = (Vec::new(), 0);
        while let Some(part) = records.next(Vec::new()).expect("memory is readable") {
            bytes.extend(part.bytes);
            too_large += part.too_large;
        }
        assert_eq!((bytes.as_slice(), too_large, records.offset()), (&b"a\nb\n"[..], 1, after));
    }
}
