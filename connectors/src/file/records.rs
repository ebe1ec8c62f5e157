//! Cuts a stream of bytes into records, one a line, in blocks of many.
//!
//! The reader knows where it is in the stream to the byte, so that reading resumes exactly. In CSV a quoted field may hold line
//! breaks; a quote that is never closed within [`QUOTED_MAX`] is taken for a slip, and the line ends where it ends. A line
//! longer than [`RECORD_MAX`] is left out and counted.

use std::io::{self, Read};
use std::ops::Range;

/// The longest record: more is not a reading.
pub(super) const RECORD_MAX: usize = 16 << 20;
/// The longest record that a quote may stretch over line breaks.
const QUOTED_MAX: usize = 64 << 10;
/// How much is read at once.
const READ_LEN: usize = 1 << 20;

/// Records of a stream.
pub(super) struct Records {
    input: Box<dyn Read + Send>,
    /// The delimiter, where quotes have a meaning.
    quoted: Option<u8>,
    /// Whether a last line without a line break is a record: not while a file still grows.
    whole: bool,
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
    offset: u64,
    ended: bool,
    skipping: bool,
    too_large: u64,
    ends: Vec<usize>,
}

/// A block of whole records, one after the other.
#[derive(Debug)]
pub(super) struct Block<'a> {
    /// All records, each with its line break.
    pub(super) bytes: &'a [u8],
    /// Where each record ends.
    pub(super) ends: &'a [usize],
}

impl Block<'_> {
    /// Some of the records.
    pub(super) fn bytes_of(&self, records: &Range<usize>) -> &[u8] {
        let start = if records.start == 0 { 0 } else { self.ends[records.start - 1] };
        let end = if records.end == 0 { 0 } else { self.ends[records.end - 1] };
        &self.bytes[start..end]
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("offset", &self.offset).field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Records {
    /// Records of `input`, whose first byte is at `offset` of the stream.
    pub(super) fn new(input: Box<dyn Read + Send>, offset: u64, quoted: Option<u8>, whole: bool) -> Self {
        Self {
            input,
            quoted,
            whole,
            buffer: Vec::new(),
            start: 0,
            filled: 0,
            offset,
            ended: false,
            skipping: false,
            too_large: 0,
            ends: Vec::new(),
        }
    }

    /// Where the next record starts.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The stream no longer grows: a last line without a line break is a record.
    pub(super) fn finish(&mut self) {
        self.whole = true;
    }

    /// How many records were too large since the last call.
    pub(super) fn take_too_large(&mut self) -> u64 {
        std::mem::take(&mut self.too_large)
    }

    /// The next records, `limit` at most; `None` if there is none now.
    ///
    /// # Errors
    /// The stream cannot be read.
    pub(super) fn next(&mut self, limit: usize) -> io::Result<Option<Block<'_>>> {
        loop {
            self.cut(limit);
            if let Some(&len) = self.ends.last() {
                let start = self.start;
                self.start += len;
                self.offset += len as u64;
                return Ok(Some(Block { bytes: &self.buffer[start..start + len], ends: &self.ends }));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Finds the ends of records in what was read.
    fn cut(&mut self, limit: usize) {
        self.ends.clear();
        if self.skipping {
            let rest = &self.buffer[self.start..self.filled];
            let skipped = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| {
                self.skipping = false;
                at + 1
            });
            self.start += skipped;
            self.offset += skipped as u64;
        }
        let bytes = &self.buffer[self.start..self.filled];
        let last_is_whole = self.ended && self.whole;
        let mut at = 0;
        while self.ends.len() < limit && at < bytes.len() {
            let end = match self.quoted {
                Some(delimiter) => csv_record(&bytes[at..], delimiter, last_is_whole),
                None => memchr::memchr(b'\n', &bytes[at..]).map(|end| end + 1),
            };
            let Some(end) = end else { break };
            at += end;
            self.ends.push(at);
        }
    }

    /// Reads more; `false` if there is no more now.
    fn fill(&mut self) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.filled -= self.start;
            self.start = 0;
        }
        if self.filled >= RECORD_MAX {
            self.offset += self.filled as u64;
            self.filled = 0;
            self.skipping = true;
            self.too_large += 1;
        }
        if self.buffer.len() < self.filled + READ_LEN {
            self.buffer.resize(self.filled + READ_LEN, 0);
        }
        let read = loop {
            match self.input.read(&mut self.buffer[self.filled..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if read > 0 {
            self.filled += read;
            return Ok(true);
        }
        if !self.whole || self.ended {
            return Ok(false);
        }
        self.ended = true;
        if self.filled == 0 || self.skipping {
            return Ok(false);
        }
        // The last line gets the line break it lacks. The position is then one past the end, where nothing is.
        if self.buffer[self.filled - 1] != b'\n' {
            self.buffer[self.filled] = b'\n';
            self.filled += 1;
        }
        Ok(true)
    }
}

/// The length of the first CSV record with its line break, if it is all there.
fn csv_record(bytes: &[u8], delimiter: u8, last_is_whole: bool) -> Option<usize> {
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
        while let Some(block) = records.next(2).expect("a slice is readable") {
            all.extend(
                (0..block.ends.len()).map(|n| String::from_utf8_lossy(block.bytes_of(&(n..n + 1))).into_owned()),
            );
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
}
