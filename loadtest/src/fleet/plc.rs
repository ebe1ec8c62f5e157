//! One PLC of the hall: its registers, and what it has seen of those who poll it. Time is handed in.

use std::collections::VecDeque;
use std::time::Duration;

use hdrhistogram::Histogram;
use lineside_model::Timestamp;
use tokio_modbus::ExceptionCode;

use super::FleetWrite;
use crate::dice::mix;

/// So many of the latest polls and writes are kept.
pub(super) const POLLS_KEPT: usize = 100_000;
pub(super) const WRITES_KEPT: usize = 4096;
/// Registers in one request, by the standard.
const READ_MAX: u16 = 125;
const WRITE_MAX: usize = 123;
/// An input register that has not been read since it was last answered.
const UNREAD: u64 = u64::MAX;
/// Noise is new this often, in nanoseconds.
const CONVERSION: u64 = 100_000_000;

/// Which of the two tables of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registers {
    Input,
    Holding,
}

/// One PLC.
#[derive(Debug)]
pub(super) struct Plc {
    seed: u64,
    number: u16,
    levels: Vec<u16>,
    holdings: Vec<u16>,
    /// When each input register was last read, in nanoseconds since the start, until its holding register is written.
    read_at: Vec<u64>,
    /// The request that begins a poll: the first that ever came.
    begins: Option<(Registers, u16, u16)>,
    /// When polls arrived, in nanoseconds since the start.
    pub(super) polls: VecDeque<u64>,
    pub(super) poll_count: u64,
    pub(super) writes: VecDeque<FleetWrite>,
    pub(super) write_count: u64,
}

impl Plc {
    pub(super) fn new(seed: u64, number: u16, registers: u16) -> Self {
        let seed = mix(mix(seed).wrapping_add(u64::from(number)));
        let levels = (0..registers).map(|address| (mix(seed ^ u64::from(address)) & 0xfff) as u16).collect::<Vec<_>>();
        Self {
            seed,
            number,
            holdings: levels.clone(),
            read_at: vec![UNREAD; levels.len()],
            levels,
            begins: None,
            polls: VecDeque::new(),
            poll_count: 0,
            writes: VecDeque::new(),
            write_count: 0,
        }
    }

    /// Registers as they are so long after the start.
    pub(super) fn read(
        &mut self,
        table: Registers,
        address: u16,
        count: u16,
        since: Duration,
    ) -> Result<Vec<u16>, ExceptionCode> {
        if count == 0 || count > READ_MAX {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let range = usize::from(address)..usize::from(address) + usize::from(count);
        let words = match table {
            Registers::Input => &self.levels,
            Registers::Holding => &self.holdings,
        };
        let words = words.get(range.clone()).ok_or(ExceptionCode::IllegalDataAddress)?;
        let nanos = nanos(since);
        if table == Registers::Input {
            self.read_at[range].fill(nanos);
        }
        let words = match table {
            Registers::Holding => words.to_vec(),
            Registers::Input => {
                let conversion = mix(self.seed.wrapping_add(nanos / CONVERSION));
                let noise = |address: u64| (mix(conversion ^ address) & 0xf) as u16;
                (u64::from(address)..).zip(words).map(|(address, level)| level + noise(address)).collect()
            }
        };
        if *self.begins.get_or_insert((table, address, count)) == (table, address, count) {
            self.poll_count += 1;
            keep(&mut self.polls, nanos, POLLS_KEPT);
        }
        Ok(words)
    }

    /// Writes registers, all or none; `reaction` takes how long after the reading of its input each was written, in µs.
    pub(super) fn write(
        &mut self,
        address: u16,
        words: &[u16],
        (at, since): (Timestamp, Duration),
        reaction: &mut Histogram<u64>,
    ) -> Result<(), ExceptionCode> {
        if words.is_empty() || words.len() > WRITE_MAX {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let range = usize::from(address)..usize::from(address) + words.len();
        let cells = self.holdings.get_mut(range.clone()).ok_or(ExceptionCode::IllegalDataAddress)?;
        cells.copy_from_slice(words);
        self.write_count += words.len() as u64;
        for read_at in self.read_at[range].iter_mut().filter(|read_at| **read_at != UNREAD) {
            let read_at = std::mem::replace(read_at, UNREAD);
            reaction.saturating_record(nanos(since).saturating_sub(read_at) / 1_000);
        }
        let write = FleetWrite { at, plc: usize::from(self.number), address, words: words.to_vec() };
        keep(&mut self.writes, write, WRITES_KEPT);
        Ok(())
    }
}

fn nanos(since: Duration) -> u64 {
    // The greatest is what stands for a register that was not read; it comes after 584 years.
    u64::try_from(since.as_nanos()).unwrap_or(UNREAD)
}

fn keep<T>(queue: &mut VecDeque<T>, new: T, most: usize) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_polls_and_writes_is_bounded() {
        let mut plc = Plc::new(1, 3, 10);
        let mut reaction = super::super::reaction();
        for nanos in 0..POLLS_KEPT as u64 + 5 {
            let since = Duration::from_nanos(nanos);
            plc.read(Registers::Input, 0, 4, since).expect("readable");
            plc.write(2, &[7], (Timestamp(nanos as i64), since), &mut reaction).expect("writable");
        }
        assert_eq!((plc.polls.len(), plc.polls[0], plc.poll_count), (POLLS_KEPT, 5, POLLS_KEPT as u64 + 5));
        assert_eq!((plc.writes.len(), plc.write_count), (WRITES_KEPT, POLLS_KEPT as u64 + 5));
    }

    #[test]
    fn a_write_answers_to_the_reading_of_its_address_once() {
        let mut plc = Plc::new(1, 0, 200);
        let mut reaction = super::super::reaction();
        let at = Duration::from_micros;
        plc.read(Registers::Input, 0, 100, at(1_000)).expect("readable");
        plc.read(Registers::Holding, 0, 100, at(1_100)).expect("readable");
        for (address, words, micros) in [(5, &[1, 2][..], 1_250), (5, &[3][..], 1_900), (150, &[4][..], 2_000)] {
            plc.write(address, words, (Timestamp(0), at(micros)), &mut reaction).expect("writable");
        }
        assert_eq!((plc.write_count, reaction.len(), reaction.min(), reaction.max()), (4, 2, 250, 250));
    }

    #[test]
    fn noise_stands_still_for_100_ms_and_stays_small() {
        let mut plc = Plc::new(1, 0, 100);
        let mut at = |millis| plc.read(Registers::Input, 0, 100, Duration::from_millis(millis)).expect("readable");
        let (first, same, next) = (at(0), at(99), at(100));
        assert_eq!(first, same);
        assert_ne!(first, next);
        assert!(first.iter().zip(&next).all(|(a, b)| a.abs_diff(*b) < 16));
    }
}
