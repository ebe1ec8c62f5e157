//! An outcome as JSON: everything, with `held` in front so that a script needs to read nothing else, and one line for each second,
//! latency and limit, so that two files can be compared line by line.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::outcome::Outcome;

/// Levels that are broken into lines; what lies deeper stands on one line.
const LEVELS: usize = 2;

#[derive(Serialize)]
struct Page<'a> {
    held: bool,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

/// The outcome as JSON text.
///
/// # Errors
/// None is known: all that an outcome holds can be written. A number that is none (NaN) would become `null`.
pub fn json(outcome: &Outcome) -> serde_json::Result<String> {
    let mut text = Vec::new();
    Page { held: outcome.held(), outcome }.serialize(&mut Serializer::with_formatter(&mut text, Lines::default()))?;
    text.push(b'\n');
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The outcome that such a text holds.
///
/// # Errors
/// If it is not one.
pub fn read_json(text: &str) -> serde_json::Result<Outcome> {
    serde_json::from_str(text)
}

/// Breaks the outer levels into lines and leaves the inner ones on one.
#[derive(Default)]
struct Lines {
    depth: usize,
    filled: bool,
}

impl Lines {
    fn open<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        writer.write_all(bracket)
    }

    fn close<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if self.filled && self.depth < LEVELS {
            self.line(writer)?;
        }
        self.filled = true;
        writer.write_all(bracket)
    }

    fn next<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        match self.depth {
            1..=LEVELS => self.line(writer),
            _ if first => Ok(()),
            _ => writer.write_all(b" "),
        }
    }

    fn line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(b"  "))
    }
}

impl Formatter for Lines {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn what_is_written_reads_back_the_same() {
        let outcome = sample::outcome();
        let text = json(&outcome).unwrap();
        assert_eq!(read_json(&text).unwrap(), outcome);
    }

    #[test]
    fn the_verdict_stands_first_and_each_second_has_a_line() {
        let outcome = sample::outcome();
        let text = json(&outcome).unwrap();
        assert!(text.starts_with("{\n  \"held\": false,\n  \"case\": \"closed-loop\",\n"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("    {\"sent\": ")).count(), outcome.timeline.len());
        assert!(text.ends_with("\n}\n"));
    }

    #[test]
    fn nothing_measured_is_still_an_outcome() {
        let text = json(&Outcome::default()).unwrap();
        assert!(text.contains("  \"timeline\": [],\n"), "{text}");
        assert_eq!(read_json(&text).unwrap(), Outcome::default());
    }
}
