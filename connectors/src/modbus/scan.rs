//! One poll class while it runs: what was read so far in this poll, and which units are given a rest.
//!
//! A unit that did not answer is not asked again in the same poll. If it is silent in the next one too it is left out of one
//! poll, then of three, seven and fifteen, so that one dead unit does not hold up the others. Its tags are reported bad all the while: a value that was not
//! read is never replaced by an older one.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMicrosecondArray};
use lineside_model::{Quality, Timestamp};

use super::map::Tag;
use super::poll::{Block, PollClass};
use super::value::Raw;

/// A silent unit is left out of one poll less than this power of two at most.
const LONGEST_REST: u32 = 4;

/// What is known of one tag in this poll.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) ts: Timestamp,
    pub(crate) value: Option<f64>,
    pub(crate) text: Option<String>,
    pub(crate) quality: Quality,
}

/// A unit as this class knows it.
#[derive(Clone, Copy, Debug, Default)]
struct Unit {
    id: u8,
    misses: u32,
    /// Polls still to leave out.
    rest: u32,
    /// Left out of this poll.
    resting: bool,
}

/// A poll class that runs again and again.
#[derive(Debug)]
pub(crate) struct Scan {
    tags: Arc<[Tag]>,
    planned: Vec<Block>,
    /// As planned, or cut smaller where the device refused a block.
    blocks: Vec<Block>,
    /// The next block to ask for, while a poll is running.
    next: Option<usize>,
    /// Where each tag of the map stands in `readings`.
    slots: Vec<Option<usize>>,
    sensors: ArrayRef,
    readings: Vec<Reading>,
    units: Vec<Unit>,
}

impl Scan {
    /// A class that has not been polled yet.
    pub(crate) fn new(class: &PollClass, tags: &Arc<[Tag]>) -> Self {
        let mut chosen = class.blocks.iter().flat_map(|block| block.tags.iter().copied()).collect::<Vec<_>>();
        chosen.sort_unstable();
        let mut slots = vec![None; tags.len()];
        for (slot, &tag) in chosen.iter().enumerate() {
            slots[tag] = Some(slot);
        }
        let sensors = StringArray::from_iter_values(chosen.iter().map(|&tag| tags[tag].name.as_str()));
        let mut units = class.blocks.iter().map(|block| block.unit).collect::<Vec<_>>();
        units.dedup();
        Self {
            tags: Arc::clone(tags),
            planned: class.blocks.clone(),
            blocks: class.blocks.clone(),
            next: None,
            slots,
            sensors: Arc::new(sensors),
            readings: vec![Reading::bad(Timestamp::default()); chosen.len()],
            units: units.into_iter().map(|id| Unit { id, ..Unit::default() }).collect(),
        }
    }

    /// The connection is new: what was learned of the device on the one before is forgotten.
    pub(crate) fn reset(&mut self) {
        self.blocks.clone_from(&self.planned);
        self.next = None;
        for unit in &mut self.units {
            *unit = Unit { id: unit.id, ..Unit::default() };
        }
    }

    /// Whether a poll is under way.
    pub(crate) fn is_running(&self) -> bool {
        self.next.is_some()
    }

    /// How many units it asks.
    pub(crate) fn unit_count(&self) -> usize {
        self.units.len()
    }

    /// Begins a poll.
    pub(crate) fn start(&mut self) {
        self.next = Some(0);
        for unit in &mut self.units {
            unit.resting = unit.rest > 0;
            unit.rest = unit.rest.saturating_sub(1);
        }
    }

    /// The next block to ask for; those of resting units are passed over and their tags are bad. `None`: the poll is done.
    pub(crate) fn next_block(&mut self, now: Timestamp) -> Option<&Block> {
        let mut at = self.next?;
        while let Some(block) = self.blocks.get(at)
            && self.units.iter().any(|unit| unit.id == block.unit && unit.resting)
        {
            self.bad(at, now);
            at += 1;
        }
        self.next = Some(at);
        self.blocks.get(at)
    }

    /// The block was read. Gives the number of tags that are not finite numbers.
    pub(crate) fn read(&mut self, bytes: &[u8], now: Timestamp) -> u64 {
        let Some(at) = self.step() else { return 0 };
        let Self { blocks, tags, slots, readings, units, .. } = self;
        let Some(block) = blocks.get(at) else { return 0 };
        if let Some(unit) = units.iter_mut().find(|unit| unit.id == block.unit) {
            (unit.misses, unit.rest) = (0, 0);
        }
        let mut not_finite = 0;
        for &tag in &block.tags {
            let Some(reading) = slots[tag].and_then(|slot| readings.get_mut(slot)) else { continue };
            let tag = &tags[tag];
            let raw = if block.table.is_bits() {
                tag.read_bits(block.start, bytes)
            } else {
                tag.read_registers(block.start, bytes)
            };
            *reading = match raw {
                Some(Raw::Number(value)) => Reading { ts: now, value: Some(value), text: None, quality: Quality::Good },
                Some(Raw::Text(text)) => Reading { ts: now, value: None, text: Some(text), quality: Quality::Good },
                Some(Raw::NotFinite) => {
                    not_finite += 1;
                    Reading::bad(now)
                }
                None => Reading::bad(now),
            };
        }
        not_finite
    }

    /// The device refused the block. Where it has several tags it is cut in two, which are asked for at once and from now
    /// on, so that in the end only the tags that the device does not have are bad. Gives whether it was cut.
    pub(crate) fn refused_as_a_whole(&mut self, now: Timestamp) -> bool {
        let cut = self.next.and_then(|at| Some((at, self.blocks.get(at)?.split(&self.tags)?)));
        match cut {
            Some((at, (left, right))) => {
                self.blocks.splice(at..=at, [left, right]);
                true
            }
            None => {
                self.refused(now);
                false
            }
        }
    }

    /// The block was refused; its tags are bad and the poll goes on.
    pub(crate) fn refused(&mut self, now: Timestamp) {
        if let Some(at) = self.step() {
            self.bad(at, now);
        }
    }

    /// The unit did not answer: its tags are bad, and it is given a rest.
    pub(crate) fn silent(&mut self, now: Timestamp) {
        let Some(at) = self.step() else { return };
        self.bad(at, now);
        let id = self.blocks.get(at).map(|block| block.unit);
        if let Some(unit) = self.units.iter_mut().find(|unit| Some(unit.id) == id) {
            unit.rest = (1 << unit.misses.min(LONGEST_REST)) - 1;
            unit.misses = unit.misses.saturating_add(1);
            unit.resting = true;
        }
    }

    /// The poll is over: its names, in the order of the map, and its readings.
    pub(crate) fn finish(&mut self) -> (ArrayRef, &[Reading]) {
        self.next = None;
        (Arc::clone(&self.sensors), &self.readings)
    }

    /// The connection was lost: every tag is bad.
    pub(crate) fn lose(&mut self, now: Timestamp) -> (ArrayRef, &[Reading]) {
        self.readings.fill(Reading::bad(now));
        self.finish()
    }

    fn step(&mut self) -> Option<usize> {
        let at = self.next?;
        self.next = Some(at + 1);
        Some(at)
    }

    fn bad(&mut self, block: usize, now: Timestamp) {
        let Some(block) = self.blocks.get(block) else { return };
        for slot in block.tags.iter().filter_map(|&tag| self.slots[tag]) {
            self.readings[slot] = Reading::bad(now);
        }
    }
}

impl Reading {
    fn bad(ts: Timestamp) -> Self {
        Self { ts, value: None, text: None, quality: Quality::Bad }
    }
}

/// The columns of readings, `text` only where the schema has it.
pub(crate) fn columns(sensors: ArrayRef, readings: &[Reading], with_text: bool) -> Vec<ArrayRef> {
    let times = readings.iter().map(|reading| reading.ts.micros()).collect::<Vec<_>>();
    let ts: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"));
    let mut columns: Vec<ArrayRef> = vec![
        Arc::clone(&ts),
        sensors,
        Arc::new(Float64Array::from(readings.iter().map(|reading| reading.value).collect::<Vec<_>>())),
    ];
    if with_text {
        columns.push(Arc::new(StringArray::from_iter(readings.iter().map(|reading| reading.text.as_deref()))));
    }
    columns.push(Quality::column(readings.iter().map(|reading| reading.quality)));
    columns.push(ts);
    columns
}
