//! The Modbus sink: writes commands to a device and reads them back.
//!
//! A batch is written when `write` returns: every request was answered and, with `verify`, the registers were read back.
//! If a connection is lost after a write was sent, nobody knows whether it was carried out. The engine opens the connection
//! anew and gives the same batch again; then each value that was under way is read first and written only if the register
//! does not hold it, so that a device does not see one command twice. (A write-only tag cannot be read; it is written
//! again.)

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use lineside_model::{Error, Reason, Result, Timestamp};

use super::command::{Decided, Tally, Write, by_name, decide};
use super::connection::{Connection, Endpoint, Failure};
use super::counters;
use super::frame::{Answer, Request, exception};
use super::map::Tag;
use crate::{BuildContext, Outcome, Sink};

/// How writes are made sure of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Care {
    /// Read back what was written.
    pub(crate) verify: bool,
    /// How far the value read back may be from the one written, in engineering units; `None`: half a step of the register.
    pub(crate) tolerance: Option<f64>,
    /// How often a write that was not answered is tried again on the same connection.
    pub(crate) retries: u32,
    /// Lone registers and coils are written with functions 6 and 5.
    pub(crate) write_single: bool,
}

/// Writes to one device or gateway.
#[derive(Debug)]
pub(crate) struct ModbusSink {
    endpoint: Endpoint,
    tags: Arc<[Tag]>,
    by_name: HashMap<String, usize>,
    care: Care,
    context: BuildContext,
    connection: Option<Connection>,
    /// Writes of a batch that did not end, which may or may not have been carried out.
    doubtful: Vec<Write>,
}

/// What became of a write.
enum Fate {
    Held,
    Refused(u8),
    /// For each tag what was read back, and whether it is what was written.
    Differs(Vec<(usize, Option<f64>, bool)>),
    Unanswered,
}

impl ModbusSink {
    /// A sink that is not yet open.
    pub(crate) fn new(endpoint: Endpoint, tags: &Arc<[Tag]>, care: Care, context: BuildContext) -> Self {
        Self {
            endpoint,
            tags: Arc::clone(tags),
            by_name: by_name(tags),
            care,
            context,
            connection: None,
            doubtful: Vec::new(),
        }
    }

    async fn ask(&mut self, unit: u8, request: Request) -> Result<Answer, Failure> {
        let Some(connection) = &mut self.connection else {
            return Err(Failure::Closed(std::io::ErrorKind::NotConnected.into()));
        };
        connection.send(unit, request);
        self.context.meter.add(counters::REQUESTS, 1);
        let answer = connection.answer().await;
        let late_answers = connection.take_late_answers();
        if late_answers > 0 {
            self.context.meter.add(counters::LATE_ANSWERS, late_answers);
        }
        match &answer {
            Ok(Answer::Exception(code)) => {
                self.context.meter.add(counters::EXCEPTIONS, 1);
                self.context.meter.add(counters::exception(*code), 1);
            }
            Ok(Answer::Data(_) | Answer::Written) => {}
            Err(Failure::Timeout) => self.context.meter.add(counters::TIMEOUTS, 1),
            Err(Failure::OutOfStep(_)) => self.context.meter.add(counters::RESYNCS, 1),
            Err(Failure::Closed(_)) => self.context.meter.add(counters::DISCONNECTS, 1),
        }
        answer
    }

    /// Reads the registers of a write. `None` if the device refuses to show them.
    async fn read_back(&mut self, write: &Write) -> Result<Option<Vec<(usize, Option<f64>, bool)>>, Failure> {
        match self.ask(write.unit, write.read_back()).await? {
            Answer::Data(bytes) => Ok(Some(write.compare(&self.tags, &bytes, self.care.tolerance))),
            Answer::Exception(_) | Answer::Written => Ok(None),
        }
    }

    /// Writes, and reads back if that is wanted. `doubtful`: it may have been carried out before.
    async fn carry_out(&mut self, write: &Write, mut doubtful: bool) -> Result<Fate, Failure> {
        let readable = write.tags.iter().all(|&(n, _)| self.tags[n].readable);
        for _ in 0..=self.care.retries {
            if doubtful && readable {
                match self.read_back(write).await {
                    Ok(Some(found)) if found.iter().all(|(_, _, same)| *same) => {
                        self.context.meter.add(counters::ALREADY_WRITTEN, 1);
                        return Ok(Fate::Held);
                    }
                    Ok(_) => {}
                    Err(Failure::Timeout) => continue,
                    Err(failure) => return Err(failure),
                }
            }
            match self.ask(write.unit, write.request(self.care.write_single)).await {
                Ok(Answer::Exception(code)) => return Ok(Fate::Refused(code)),
                Ok(_) if self.care.verify && readable => return self.verify(write).await,
                Ok(_) => return Ok(Fate::Held),
                Err(Failure::Timeout) => doubtful = true,
                Err(failure) => return Err(failure),
            }
        }
        Ok(Fate::Unanswered)
    }

    /// Reads back, and once more if it is not what was written: some devices take a value over in their next cycle.
    async fn verify(&mut self, write: &Write) -> Result<Fate, Failure> {
        let mut found = Vec::new();
        for _ in 0..2 {
            found = match self.read_back(write).await {
                Ok(Some(found)) => found,
                Ok(None) => write.tags.iter().map(|&(n, _)| (n, None, false)).collect(),
                Err(Failure::Timeout) => return Ok(Fate::Unanswered),
                Err(failure) => return Err(failure),
            };
            if found.iter().all(|(_, _, same)| *same) {
                return Ok(Fate::Held);
            }
        }
        Ok(Fate::Differs(found))
    }

    /// Writes everything. Gives the number of rows written, and the first unit that did not answer at all.
    async fn carry_out_all(
        &mut self,
        mut writes: Vec<Write>,
        rejected: &mut Tally,
    ) -> Result<(usize, Option<u8>), Failure> {
        let again = std::mem::take(&mut self.doubtful);
        let (mut written, mut answered, mut silent) = (0, false, Vec::<(u8, bool)>::new());
        writes.reverse();
        while let Some(write) = writes.pop() {
            let doubtful = again.contains(&write);
            self.doubtful.push(write.clone());
            let fate = if silent.iter().any(|(unit, _)| *unit == write.unit) {
                Fate::Unanswered
            } else {
                let fate = self.carry_out(&write, doubtful).await;
                if fate.is_err() {
                    self.doubtful.extend(again.iter().filter(|write| writes.contains(write)).cloned());
                }
                fate?
            };
            let named = |n: usize| format!("tag \"{}\"", self.tags[n].name);
            answered |= !matches!(fate, Fate::Unanswered);
            match fate {
                Fate::Held => written += write.tags.len(),
                // One tag of several may be at fault: then the others are written all the same.
                Fate::Refused(2 | 3) if write.tags.len() > 1 => {
                    writes.extend(write.singly(&self.tags).into_iter().rev());
                }
                Fate::Refused(code) => {
                    for &(n, value) in &write.tags {
                        let why = format!("{}: {value} was refused: {} (exception {code})", named(n), exception(code));
                        rejected.add(Reason::Refused, why);
                    }
                }
                Fate::Differs(found) => {
                    for (&(n, value), (_, found, same)) in write.tags.iter().zip(found) {
                        let shown = found.map_or("nothing readable".to_owned(), |found| found.to_string());
                        match same {
                            true => written += 1,
                            false => rejected
                                .add(Reason::NotVerified, format!("{}: wrote {value}, read back {shown}", named(n))),
                        }
                    }
                }
                Fate::Unanswered => {
                    silent.push((write.unit, doubtful));
                    for &(n, value) in &write.tags {
                        let why = format!("{}: {value} was not answered by unit {}", named(n), write.unit);
                        rejected.add(Reason::Unanswered, why);
                    }
                }
            }
        }
        // Nobody answered: it may be the connection, so it is opened anew and the batch tried once more. If that does not
        // help either, it is the unit, and its rows are given up so that other units get theirs.
        let lost = silent.first().filter(|(_, doubtful)| !answered && !doubtful).map(|(unit, _)| *unit);
        Ok((written, lost))
    }
}

#[async_trait(?Send)]
impl Sink for ModbusSink {
    async fn open(&mut self) -> Result<()> {
        self.connection = Some(self.endpoint.connect().await?);
        Ok(())
    }

    async fn write(&mut self, rows: &RecordBatch, _origin: Timestamp) -> Result<Outcome> {
        let Decided { writes, mut rejected } = decide(&self.tags, &self.by_name, rows)?;
        let failed = match self.carry_out_all(writes, &mut rejected).await {
            Ok((written, None)) => {
                self.doubtful.clear();
                return Ok(Outcome { written, rejected: rejected.into_rows() });
            }
            Ok((_, Some(unit))) => Error::external(format!("unit {unit} of {} did not answer a write", self.endpoint)),
            Err(failure) => failure.into_error(&self.endpoint),
        };
        self.connection = None;
        Err(failed)
    }

    /// Nothing to do: a write returns when the device has answered.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.connection = None;
        Ok(())
    }
}
