//! Rows as lines into a stream, such as stdout: one message a line.

use std::io::Write;

use lineside_model::{Error, Result};

use super::{Format, Outlet};
use crate::trace::Row;

/// So many bytes are written at once at full speed.
const CHUNK_BYTES: usize = 64 * 1024;

pub(super) struct LinesOutlet {
    writer: Box<dyn Write + Send>,
    format: Format,
    buffer: Vec<u8>,
    buffered: u64,
    written: u64,
}

impl LinesOutlet {
    pub(super) fn new(writer: Box<dyn Write + Send>, format: Format) -> Self {
        Self { writer, format, buffer: Vec::with_capacity(CHUNK_BYTES + 1024), buffered: 0, written: 0 }
    }

    fn write_out(&mut self) -> Result<()> {
        let written = self.writer.write_all(&self.buffer).and_then(|()| self.writer.flush());
        written.map_err(|error| Error::external("cannot write lines").caused_by(error))?;
        self.written += std::mem::take(&mut self.buffered);
        self.buffer.clear();
        Ok(())
    }
}

impl Outlet for LinesOutlet {
    async fn send(&mut self, row: &Row) -> Result<()> {
        self.format.write(row, &mut self.buffer)?;
        self.buffer.push(b'\n');
        self.buffered += 1;
        if self.buffer.len() >= CHUNK_BYTES { self.write_out() } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        self.write_out()
    }

    async fn finish(&mut self) -> Result<()> {
        self.write_out()
    }

    fn counts(&self) -> (u64, Option<u64>) {
        (self.written, None)
    }
}
