//! The Modbus sink: writes commands to a device and reads them back.
//!
//! A batch is written when `write` returns: every request was answered and, with `verify`, the registers were read back.
//! If a connection is lost after a write was sent, nobody knows whether it was carried out. The engine opens the connection
//! anew and gives the same batch again; then each value that was under way is read first and written only if the register
//! does not hold it, so that a device does not see one command twice. (A write-only tag cannot be read; it is written
//! again.)

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use lineside_model::{Error, Reason, Result, Timestamp};

use super::command::{Decided, Found, Judge, Tally, Write};
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
    judge: Judge,
    care: Care,
    context: BuildContext,
    connection: Option<Connection>,
    /// Writes of a batch that did not end, which may or may not have been carried out.
    doubtful: Vec<Write>,
    /// The newest reading behind the batch, until its first request is out.
    led_by: Option<Timestamp>,
}

/// What became of a write.
enum Fate {
    Held,
    Refused(u8),
    /// What was read back for each tag.
    Differs(Vec<Found>),
    Unanswered,
}

impl ModbusSink {
    /// A sink that is not yet open.
    pub(crate) fn new(endpoint: Endpoint, tags: &Arc<[Tag]>, judge: Judge, care: Care, context: BuildContext) -> Self {
        Self {
            endpoint,
            tags: Arc::clone(tags),
            judge,
            care,
            context,
            connection: None,
            doubtful: Vec::new(),
            led_by: None,
        }
    }

    async fn ask(&mut self, unit: u8, request: Request) -> Result<Answer, Failure> {
        let Some(connection) = &mut self.connection else {
            return Err(Failure::Closed(std::io::ErrorKind::NotConnected.into()));
        };
        connection.send(unit, request);
        let answer = connection.answer().await;
        self.context.meter.add(counters::REQUESTS, 1);
        let sent = connection.sent();
        if let Some(origin) = self.led_by.take()
            && sent.at >= origin
        {
            self.context.meter.time(counters::RESPONSE_TO_WRITE, sent.at.since(origin));
            self.context.meter.time(counters::WRITE_CALL, sent.at.since(sent.from));
        }
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

    /// Reads the registers of a write and compares. `None` if the device refuses to show them.
    async fn read_back(&mut self, write: &Write, tolerance: Option<f64>) -> Result<Option<Vec<Found>>, Failure> {
        match self.ask(write.unit, write.read_back()).await? {
            Answer::Data(bytes) => Ok(Some(write.compare(&self.tags, &bytes, tolerance))),
            Answer::Exception(_) | Answer::Written => Ok(None),
        }
    }

    /// Writes, and reads back if that is wanted. `doubtful`: it may have been carried out before.
    async fn carry_out(&mut self, write: &Write, mut doubtful: bool) -> Result<Fate, Failure> {
        let readable = write.tags.iter().all(|&(n, _)| self.tags[n].readable);
        for _ in 0..=self.care.retries {
            if doubtful && readable {
                // Without the tolerance: a setpoint near the one before must not pass for written.
                match self.read_back(write, None).await {
                    Ok(Some(found)) if found.iter().all(|found| found.same) => {
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
            found = match self.read_back(write, self.care.tolerance).await {
                Ok(Some(found)) => found,
                Ok(None) => vec![Found { value: None, same: false }; write.tags.len()],
                Err(Failure::Timeout) => return Ok(Fate::Unanswered),
                Err(failure) => return Err(failure),
            };
            if found.iter().all(|found| found.same) {
                return Ok(Fate::Held);
            }
        }
        Ok(Fate::Differs(found))
    }

    /// Writes everything. Gives the number of rows written, or an error if the connection should be opened anew.
    async fn carry_out_all(&mut self, writes: Vec<Write>, rejected: &mut Tally) -> Result<usize> {
        let before = std::mem::take(&mut self.doubtful);
        self.doubtful.extend(writes.iter().filter(|write| before.contains(write)).cloned());
        let (mut written, mut answered) = (0, false);
        let mut silent = Vec::<(u8, bool)>::new();
        let mut left = writes;
        left.reverse();
        while let Some(write) = left.pop() {
            let doubtful = before.contains(&write);
            let fate = if silent.iter().any(|(unit, _)| *unit == write.unit) {
                Fate::Unanswered
            } else {
                self.doubtful.push(write.clone());
                self.carry_out(&write, doubtful).await.map_err(|failure| failure.into_error(&self.endpoint))?
            };
            match &fate {
                Fate::Unanswered => silent.push((write.unit, doubtful)),
                Fate::Held | Fate::Refused(_) | Fate::Differs(_) => answered = true,
            }
            // One tag of several may be at fault: then the others are written all the same.
            if matches!(fate, Fate::Refused(2 | 3)) && write.tags.len() > 1 {
                left.extend(write.singly(&self.tags).into_iter().rev());
            } else {
                written += self.tell(&write, &fate, rejected);
            }
        }
        // Nobody answered: it may be the connection, so it is opened anew and the batch tried once more. If that does not
        // help either, it is the unit, and its rows are given up so that other units get theirs.
        match silent.first() {
            Some((unit, false)) if !answered => {
                Err(Error::external(format!("unit {unit} of {} did not answer a write", self.endpoint)))
            }
            _ => Ok(written),
        }
    }

    /// Tells of each row of a write that was not written, and why. Gives the number that were.
    fn tell(&self, write: &Write, fate: &Fate, rejected: &mut Tally) -> usize {
        let mut written = 0;
        for (at, &(n, value)) in write.tags.iter().enumerate() {
            let name = self.tags.get(n).map_or("", |tag| tag.name.as_str());
            match fate {
                Fate::Held => written += 1,
                Fate::Refused(code) => {
                    let why = format!("tag \"{name}\": {value} was refused: {} (exception {code})", exception(*code));
                    rejected.add(Reason::Refused, why);
                }
                Fate::Differs(found) => match found.get(at) {
                    Some(found) if found.same => written += 1,
                    found => {
                        let found = found.and_then(|found| found.value);
                        let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
                        let why = format!("tag \"{name}\": wrote {value}, read back {found}");
                        rejected.add(Reason::NotVerified, why);
                    }
                },
                Fate::Unanswered => {
                    let why = format!("tag \"{name}\": {value} was not answered by unit {}", write.unit);
                    rejected.add(Reason::Unanswered, why);
                }
            }
        }
        written
    }
}

#[async_trait(?Send)]
impl Sink for ModbusSink {
    async fn open(&mut self) -> Result<()> {
        self.connection = Some(self.endpoint.connect(&self.context.clock).await?);
        Ok(())
    }

    async fn write(&mut self, rows: &RecordBatch, origin: Timestamp) -> Result<Outcome> {
        let Decided { writes, mut rejected } = self.judge.decide(rows)?;
        // A batch that is written once more says nothing of the way here.
        self.led_by = self.doubtful.is_empty().then_some(origin);
        match self.carry_out_all(writes, &mut rejected).await {
            Ok(written) => {
                self.doubtful.clear();
                Ok(Outcome { written, rejected: rejected.into_rows() })
            }
            Err(error) => {
                self.connection = None;
                Err(error)
            }
        }
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
