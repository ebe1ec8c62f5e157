//! The PLC of the line: its three ovens and what its registers hold.
//!
//! One unit, number 1. Oven `n` counts from 0; addresses are protocol addresses and count from 0; 32-bit floats are big
//! endian (ABCD). `B` is `100 × n`.
//!
//! | table | address | type | what | limits of writing |
//! | --- | --- | --- | --- | --- |
//! | input | B+0 | i16, 0.1 °C | temperature, control thermocouple | |
//! | input | B+1 | u16, 0.1 % | heater power put out | |
//! | input | B+2 | u16, bits | 0 enabled, 1 door open, 2 at set-point, 3 over temperature, 4 watchdog tripped | |
//! | input | B+10 | f32, °C | temperature, control thermocouple | |
//! | input | B+20 | f32, °C | temperature, guard thermocouple | |
//! | holding | B+2 | u16, 0.1 % | heater power commanded; reads back as written | 0 to 1000 |
//! | holding | B+10 | f32, °C | set-point, for display; reads back as written | 0 to 400 |
//! | discrete | 10n+0 | bit | door open | |
//! | discrete | 10n+1 | bit | true temperature within 2 °C of the set-point | |
//! | discrete | 10n+2 | bit | guard thermocouple above 350 °C | |
//!
//! A block is 30 registers or 10 bits; cells that are not listed read 0, so that reads may be joined across gaps, and refuse
//! writes. Beyond the blocks there is exception 2; for a value outside its limits, or half of a float, exception 3. A write
//! of many registers is all or nothing.

use std::collections::VecDeque;
use std::time::Duration;

use hdrhistogram::Histogram;
use lineside_model::Timestamp;
use tokio_modbus::ExceptionCode;

use super::oven::{OVENS, Oven, Thermocouple};
use super::script::{Script, Trouble};
use super::{Answered, OvenState, Write};

const BLOCK: u16 = 100;
const BLOCK_LEN: u16 = 30;
const BITS: u16 = 10;
const POWER: u16 = 2;
const SETPOINT: u16 = 10;
const TEMPERATURE: u16 = 10;
const GUARD: u16 = 20;
/// Above this the guard thermocouple reports over-temperature, °C.
const TOO_HOT: f64 = 350.0;
/// So many of the latest writes are kept.
pub(crate) const WRITES_KEPT: usize = 4096;
/// So many of the latest pairs of reading and answer are kept: those of three ovens a hundred times a second over nearly an hour.
pub(crate) const ANSWERED_KEPT: usize = 1 << 20;
/// The longest reaction that the histogram tells apart, µs.
const REACTION_US_MAX: u64 = 60_000_000;

/// The PLC and its ovens; time is handed in, as seconds after the start.
#[derive(Debug)]
pub(crate) struct Line {
    ovens: Vec<Oven>,
    script: Script,
    now_s: f64,
    read_at_s: [Option<f64>; OVENS.len()],
    pub(crate) writes: VecDeque<Write>,
    pub(crate) write_count: u64,
    pub(crate) reaction: Histogram<u64>,
    pub(crate) answered: VecDeque<Answered>,
}

/// A checked write to one cell.
enum Change {
    Power(f64),
    Setpoint(f64),
}

impl Line {
    pub(crate) fn new(time_scale: f64, watchdog_s: f64, seed: u64, script: Script) -> Self {
        let ovens = OVENS.iter().enumerate().map(|(n, build)| Oven::new(n, *build, time_scale, watchdog_s, seed));
        Self {
            ovens: ovens.collect(),
            script,
            now_s: 0.0,
            read_at_s: [None; OVENS.len()],
            writes: VecDeque::new(),
            write_count: 0,
            reaction: Histogram::new_with_max(REACTION_US_MAX, 3)
                .expect("1 minute in µs with 3 digits is a valid range"),
            answered: VecDeque::new(),
        }
    }

    /// Lets time pass until so many seconds after the start.
    pub(crate) fn advance(&mut self, to_s: f64) {
        self.now_s = self.now_s.max(to_s);
        for oven in &mut self.ovens {
            oven.advance(to_s, &self.script);
        }
    }

    pub(crate) fn state(&self) -> Vec<OvenState> {
        self.ovens
            .iter()
            .enumerate()
            .map(|(n, oven)| OvenState {
                temperature: oven.chamber(),
                measured: oven.measured(Thermocouple::Control),
                guard: oven.measured(Thermocouple::Guard),
                power: oven.power(),
                setpoint: oven.setpoint,
                door_open: self.door_open(n),
                measured_stuck: oven.is_stuck(Thermocouple::Control),
                guard_stuck: oven.is_stuck(Thermocouple::Guard),
                tripped: oven.tripped(),
            })
            .collect()
    }

    fn door_open(&self, oven: usize) -> bool {
        self.script.during(oven, Trouble::DoorOpens, self.now_s)
    }

    /// Input registers; remembers who was read when, to tell later how long the answer took.
    pub(crate) fn read_inputs(&mut self, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        let words = cells(address, count, BLOCK, BLOCK_LEN)?.map(|(n, cell)| self.input(n, cell)).collect();
        for n in 0..OVENS.len() {
            let cell = BLOCK * n as u16 + TEMPERATURE;
            if (address..address + count).contains(&cell) {
                self.read_at_s[n] = Some(self.now_s);
            }
        }
        Ok(words)
    }

    pub(crate) fn read_holdings(&self, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        Ok(cells(address, count, BLOCK, BLOCK_LEN)?.map(|(n, cell)| self.holding(n, cell)).collect())
    }

    pub(crate) fn read_discretes(&self, address: u16, count: u16) -> Result<Vec<bool>, ExceptionCode> {
        Ok(cells(address, count, BITS, BITS)?.map(|(n, cell)| self.discrete(n, cell)).collect())
    }

    /// Writes registers, all or none.
    pub(crate) fn write_holdings(&mut self, address: u16, words: &[u16], at: Timestamp) -> Result<(), ExceptionCode> {
        let count = u16::try_from(words.len()).map_err(|_| ExceptionCode::IllegalDataValue)?;
        let mut changes = Vec::new();
        let mut cells = cells(address, count, BLOCK, BLOCK_LEN)?.zip(words);
        while let Some(((n, cell), word)) = cells.next() {
            let change = match cell {
                POWER if *word <= 1000 => Change::Power(f64::from(*word) / 10.0),
                SETPOINT => {
                    let (_, low) = cells.next().ok_or(ExceptionCode::IllegalDataValue)?;
                    let value = f64::from(f32::from_bits(u32::from(*word) << 16 | u32::from(*low)));
                    if !(0.0..=400.0).contains(&value) {
                        return Err(ExceptionCode::IllegalDataValue);
                    }
                    Change::Setpoint(value)
                }
                _ if cell == POWER || cell == SETPOINT + 1 => return Err(ExceptionCode::IllegalDataValue),
                _ => return Err(ExceptionCode::IllegalDataAddress),
            };
            changes.push((n, change));
        }
        for (n, change) in changes {
            match change {
                Change::Power(percent) => self.command(n, percent, at),
                Change::Setpoint(value) => self.ovens[n].setpoint = value,
            }
        }
        Ok(())
    }

    fn command(&mut self, oven: usize, power: f64, at: Timestamp) {
        self.ovens[oven].command(power);
        if let Some(read_at_s) = self.read_at_s[oven].take() {
            self.reaction.saturating_record(((self.now_s - read_at_s) * 1e6) as u64);
            if self.answered.len() == ANSWERED_KEPT {
                self.answered.pop_front();
            }
            let (read, written) = (Duration::from_secs_f64(read_at_s), Duration::from_secs_f64(self.now_s));
            self.answered.push_back(Answered { oven, read, written });
        }
        self.write_count += 1;
        if self.writes.len() == WRITES_KEPT {
            self.writes.pop_front();
        }
        self.writes.push_back(Write { at, oven, power });
    }

    fn input(&self, n: usize, cell: u16) -> u16 {
        let oven = &self.ovens[n];
        match cell {
            0 => (oven.measured(Thermocouple::Control) * 10.0).round() as i16 as u16,
            1 => (oven.power() * 10.0).round() as u16,
            2 => self.status(n),
            TEMPERATURE => high(oven.measured(Thermocouple::Control)),
            11 => low(oven.measured(Thermocouple::Control)),
            GUARD => high(oven.measured(Thermocouple::Guard)),
            21 => low(oven.measured(Thermocouple::Guard)),
            _ => 0,
        }
    }

    fn holding(&self, n: usize, cell: u16) -> u16 {
        match cell {
            POWER => (self.ovens[n].power() * 10.0).round() as u16,
            SETPOINT => high(self.ovens[n].setpoint),
            11 => low(self.ovens[n].setpoint),
            _ => 0,
        }
    }

    fn discrete(&self, n: usize, cell: u16) -> bool {
        match cell {
            0 => self.door_open(n),
            1 => self.ovens[n].at_setpoint(),
            2 => self.ovens[n].measured(Thermocouple::Guard) > TOO_HOT,
            _ => false,
        }
    }

    fn status(&self, n: usize) -> u16 {
        let bits = [true, self.discrete(n, 0), self.discrete(n, 1), self.discrete(n, 2), self.ovens[n].tripped()];
        bits.iter().enumerate().map(|(bit, on)| u16::from(*on) << bit).sum()
    }
}

/// The oven and the place within its block of each cell of a request.
fn cells(address: u16, count: u16, block: u16, len: u16) -> Result<impl Iterator<Item = (usize, u16)>, ExceptionCode> {
    if count == 0 {
        return Err(ExceptionCode::IllegalDataValue);
    }
    let last = address.checked_add(count - 1).ok_or(ExceptionCode::IllegalDataAddress)?;
    let exists = |cell: u16| usize::from(cell / block) < OVENS.len() && cell % block < len;
    // A request that begins and ends in blocks but spans a gap between them is refused as well.
    if !(address..=last).all(exists) {
        return Err(ExceptionCode::IllegalDataAddress);
    }
    Ok((address..=last).map(move |cell| (usize::from(cell / block), cell % block)))
}

fn high(value: f64) -> u16 {
    ((value as f32).to_bits() >> 16) as u16
}

fn low(value: f64) -> u16 {
    (value as f32).to_bits() as u16
}
