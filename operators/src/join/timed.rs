//! The operator that joins rows of two streams by their times: each row of the left with those of the right that are within
//! reach of its time and have its key.
//!
//! | in, the last row of the right at or before | out |
//! | --- | --- |
//! | right: pressure 2.1 at 7 s | nothing yet |
//! | left: torque at 8 s | nothing yet: a pressure of 7.5 s may still come |
//! | watermark 8 s | nothing: a row equal to the watermark is on time |
//! | watermark 8.1 s | torque at 8 s with pressure 2.1 |
//! | right: pressure at 7.9 s | counted as late |
//!
//! Rows of both sides wait in the order of time. When the watermark has passed all that a left row could be joined with, it
//! comes out, so what comes out does not depend on which side was faster. Rows of the right that the watermark has passed
//! are kept for each key in the order of time until no left row can reach them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use lineside_model::{Error, Reason, Result, Timestamp};
use serde::{Deserialize, Serialize};

use super::kept::{Kept, KeptState};
use super::output::Output;
use super::{Pick, TIME_LIMIT};
use crate::window::keys::{self, Keys};
use crate::{Emitter, Operator, Port, Snapshot};

const KIND: &str = "join";
const VERSION: u32 = 1;
/// So many keys may be remembered beyond twice the rows that wait.
const KEYS_SPARE: usize = 1024;
/// The number of a key that is null and so equal to none.
const NO_KEY: u32 = u32::MAX;

/// What was planned, shared by all workers.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) left: SideLayout,
    pub(super) right: SideLayout,
    pub(super) key_types: Vec<DataType>,
    /// A right row is within reach if its time less that of the left row is at least this, if there is a bound, …
    pub(super) earliest: Option<i64>,
    /// … and at most this.
    pub(super) latest: i64,
    pub(super) pick: Pick,
    /// Of how many keys the last row is kept, where nothing else bounds that.
    pub(super) keys_limit: usize,
    pub(super) output: SchemaRef,
}

/// What was planned for one side.
#[derive(Debug)]
pub(super) struct SideLayout {
    pub(super) time: usize,
    pub(super) delay: i64,
    pub(super) keys: Vec<usize>,
    /// The columns that come out.
    pub(super) columns: Vec<usize>,
    pub(super) schema: SchemaRef,
    /// Whether a row without partner comes out alone.
    pub(super) alone: bool,
}

/// A row that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Waiting {
    time: i64,
    number: u64,
    key: u32,
}

/// A row of the right that the watermark has passed.
#[derive(Clone, Copy, Debug)]
struct Passed {
    time: i64,
    number: u64,
    matched: bool,
}

/// One side.
#[derive(Debug)]
struct Side {
    kept: Kept,
    waiting: BinaryHeap<Reverse<Waiting>>,
}

/// Joins two streams by time.
#[derive(Debug)]
pub(super) struct TimedJoin {
    layout: Arc<Layout>,
    watermark: Timestamp,
    keys: Box<dyn Keys>,
    left: Side,
    right: Side,
    /// For each key the passed rows of the right, in the order of time and then of arrival.
    passed: Vec<VecDeque<Passed>>,
    /// Rows in `passed`.
    passed_rows: usize,
    /// Keys that have rows in `passed`.
    passed_keys: usize,
    /// The passed rows that a left row may still reach, in the order of time and then of arrival.
    within_reach: VecDeque<Waiting>,
    /// Those of them without key, which are not in `passed`.
    keyless: usize,
    /// Passed rows without partner that are to be told of: put out alone, or counted.
    unmatched: u64,
    ids: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct JoinState {
    watermark: Timestamp,
    keys: Vec<u8>,
    left: SideState,
    right: SideState,
    passed: Vec<(Waiting, bool)>,
}

#[derive(Serialize, Deserialize)]
struct SideState {
    waiting: Vec<Waiting>,
    kept: KeptState,
}

impl TimedJoin {
    pub(super) fn new(layout: Arc<Layout>) -> Result<Self> {
        let side = |side: &SideLayout| Side { kept: Kept::new(Arc::clone(&side.schema)), waiting: BinaryHeap::new() };
        Ok(Self {
            watermark: Timestamp::MIN,
            keys: keys::keys(&layout.key_types)?,
            left: side(&layout.left),
            right: side(&layout.right),
            passed: Vec::new(),
            passed_rows: 0,
            passed_keys: 0,
            within_reach: VecDeque::new(),
            keyless: 0,
            unmatched: 0,
            ids: Vec::new(),
            layout,
        })
    }

    /// Up to which time, this excluded, all rows of a side have come.
    fn complete(&self, side: &SideLayout) -> i64 {
        match self.watermark {
            Timestamp::MAX => i64::MAX,
            watermark => watermark.micros().saturating_sub(side.delay),
        }
    }

    /// Rows of the right that the watermark has passed are put in the order of time, for each key.
    fn pass(&mut self, out: &mut dyn Emitter) {
        let complete = self.complete(&self.layout.right);
        let bounded = self.layout.earliest.is_some();
        let mut refused = 0;
        while let Some(Reverse(next)) = self.right.waiting.peek().copied()
            && next.time < complete
        {
            self.right.waiting.pop();
            if next.key != NO_KEY {
                let key = next.key as usize;
                if self.passed.len() <= key {
                    self.passed.resize_with(key + 1, VecDeque::new);
                }
                if self.passed[key].is_empty() {
                    if !bounded && self.passed_keys >= self.layout.keys_limit {
                        refused += 1;
                        continue;
                    }
                    self.passed_keys += 1;
                }
                self.passed[key].push_back(Passed { time: next.time, number: next.number, matched: false });
                self.passed_rows += 1;
            } else {
                self.keyless += 1;
            }
            self.unmatched += u64::from(self.layout.pick == Pick::Every);
            self.within_reach.push_back(next);
        }
        if refused > 0 {
            out.dropped(Reason::TooManyKeys, refused);
        }
    }

    /// Left rows whose partners are all there come out with them.
    fn join(&mut self, pairs: &mut Output, out: &mut dyn Emitter) -> Result<()> {
        let complete = self.complete(&self.layout.right);
        let mut alone = 0;
        while let Some(Reverse(left)) = self.left.waiting.peek().copied()
            && left.time.saturating_add(self.layout.latest) < complete
        {
            self.left.waiting.pop();
            let partners = match self.passed.get_mut(left.key as usize) {
                Some(passed) if left.key != NO_KEY => reached(&self.layout, passed, left.time),
                _ => 0..0,
            };
            if partners.is_empty() {
                match self.layout.left.alone {
                    true => pairs.push_left(left.number),
                    false => alone += 1,
                }
            } else {
                for right in self.passed[left.key as usize].range_mut(partners) {
                    if !std::mem::replace(&mut right.matched, true) && self.layout.pick == Pick::Every {
                        self.unmatched -= 1;
                    }
                    pairs.push(left.number, right.number);
                    if pairs.is_full() {
                        pairs.flush(&mut self.left.kept, &mut self.right.kept, out)?;
                    }
                }
            }
            if pairs.is_full() {
                pairs.flush(&mut self.left.kept, &mut self.right.kept, out)?;
            }
        }
        if alone > 0 {
            out.dropped(Reason::Unmatched, alone);
        }
        Ok(())
    }

    /// Rows of the right that no left row can reach any more are let go.
    fn let_go(&mut self, pairs: &mut Output, out: &mut dyn Emitter) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        let reach = self.reach();
        let mut alone = 0;
        while let Some(next) = self.within_reach.front().copied()
            && !reach.holds(next.time)
        {
            self.within_reach.pop_front();
            let mut matched = false;
            if next.key == NO_KEY {
                self.keyless -= 1;
            } else {
                let passed = &mut self.passed[next.key as usize];
                if layout.earliest.is_some() {
                    matched = passed.pop_front().is_some_and(|row| row.matched);
                    self.passed_rows -= 1;
                    self.passed_keys -= usize::from(passed.is_empty());
                } else {
                    // The last one before all that may come is for all of that.
                    while passed.front().is_some_and(|row| row.number != next.number) {
                        passed.pop_front();
                        self.passed_rows -= 1;
                    }
                }
            }
            if layout.pick != Pick::Every || matched {
                continue;
            }
            self.unmatched -= 1;
            match layout.right.alone {
                true => pairs.push_right(next.number),
                false => alone += 1,
            }
            if pairs.is_full() {
                pairs.flush(&mut self.left.kept, &mut self.right.kept, out)?;
            }
        }
        if alone > 0 {
            out.dropped(Reason::Unmatched, alone);
        }
        Ok(())
    }

    /// Which passed rows left rows may still reach that wait or are to come.
    fn reach(&self) -> Reach {
        let coming = self.complete(&self.layout.left);
        let waiting = self.complete(&self.layout.right).saturating_sub(self.layout.latest);
        let left = coming.min(waiting);
        match self.layout.earliest {
            _ if self.watermark == Timestamp::MAX => Reach::Nothing,
            Some(earliest) => Reach::From(left.saturating_add(earliest)),
            None => Reach::After(left.saturating_add(self.layout.latest)),
        }
    }

    /// Forgets rows and keys nobody needs any more.
    fn forget(&mut self) -> Result<()> {
        let left = &self.left.waiting;
        self.left.kept.forget(left.len(), |live| live.extend(left.iter().map(|row| row.0.number)))?;
        let (waiting, passed, within) = (&self.right.waiting, &self.passed, &self.within_reach);
        let needed = waiting.len() + self.passed_rows + self.keyless;
        self.right.kept.forget(needed, |live| {
            live.extend(waiting.iter().map(|row| row.0.number));
            live.extend(passed.iter().flatten().map(|row| row.number));
            live.extend(within.iter().filter(|row| row.key == NO_KEY).map(|row| row.number));
        })?;
        let rows = self.left.waiting.len() + self.right.waiting.len() + self.passed_keys;
        if self.keys.len() <= 2 * rows + KEYS_SPARE {
            return Ok(());
        }
        self.forget_keys()
    }

    fn forget_keys(&mut self) -> Result<()> {
        let mut map = vec![NO_KEY; self.keys.len()];
        let waiting = self.left.waiting.iter().chain(&self.right.waiting).map(|row| row.0.key);
        waiting.filter(|key| *key != NO_KEY).for_each(|key| map[key as usize] = 0);
        let held = self.passed.iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        held.for_each(|(key, _)| map[key] = 0);
        let live = (0u32..).zip(&map).filter(|(_, key)| **key == 0).map(|(key, _)| key).collect::<Vec<_>>();
        self.keys = keys::numbered(&self.layout.key_types, &self.keys.columns(&live)?, live.len())?;
        let mut passed = Vec::with_capacity(live.len());
        for (new, old) in (0u32..).zip(&live) {
            map[*old as usize] = new;
            passed.push(self.passed.get_mut(*old as usize).map(std::mem::take).unwrap_or_default());
        }
        self.passed = passed;
        let new = |row: Waiting| match row.key {
            NO_KEY => row,
            key => Waiting { key: map[key as usize], ..row },
        };
        for side in [&mut self.left, &mut self.right] {
            side.waiting = std::mem::take(&mut side.waiting).into_iter().map(|row| Reverse(new(row.0))).collect();
        }
        self.within_reach.iter_mut().for_each(|row| *row = new(*row));
        Ok(())
    }
}

/// Which passed rows are still needed.
enum Reach {
    Nothing,
    /// Those from this time on.
    From(i64),
    /// Those after this time, and for each key the last one before.
    After(i64),
}

impl Reach {
    fn holds(&self, time: i64) -> bool {
        match *self {
            Self::Nothing => false,
            Self::From(from) => time >= from,
            Self::After(after) => time > after,
        }
    }
}

/// Which of the passed rows of its key a left row of this time is joined with. Of rows with the same time that only one is
/// taken of it is the one that came last.
fn reached(layout: &Layout, passed: &VecDeque<Passed>, time: i64) -> Range<usize> {
    let start = layout.earliest.map_or(0, |earliest| passed.partition_point(|row| row.time < time + earliest));
    let end = passed.partition_point(|row| row.time <= time + layout.latest);
    if start >= end {
        return 0..0;
    }
    let one = match layout.pick {
        Pick::Every => return start..end,
        Pick::Last => end - 1,
        Pick::First => last_of_time(passed, start),
        Pick::Nearest => {
            let after = passed.partition_point(|row| row.time <= time).clamp(start, end);
            match (after > start, after < end) {
                (true, true) if passed[after].time - time < time - passed[after - 1].time => {
                    last_of_time(passed, after)
                }
                (true, _) => after - 1,
                (false, _) => last_of_time(passed, after),
            }
        }
    };
    one..one + 1
}

/// The row that came last of those with the time of the row at `place`.
fn last_of_time(passed: &VecDeque<Passed>, place: usize) -> usize {
    let time = passed[place].time;
    passed.partition_point(|row| row.time <= time) - 1
}

impl Operator for TimedJoin {
    fn process(&mut self, port: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        let (planned, side) = if port == 0 { (&layout.left, &mut self.left) } else { (&layout.right, &mut self.right) };
        let times = rows.column(planned.time).as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| Error::internal("the time column has no microseconds"))?;
        let keys = planned.keys.iter().map(|column| ArrayRef::clone(rows.column(*column))).collect::<Vec<_>>();
        let nulls =
            keys.iter().fold(None, |nulls, key| NullBuffer::union(nulls.as_ref(), key.logical_nulls().as_ref()));
        self.ids.clear();
        self.keys.intern(&keys, rows.num_rows(), &mut self.ids)?;
        let on_time = match self.watermark {
            Timestamp::MAX => i64::MAX,
            watermark => watermark.micros().saturating_sub(planned.delay),
        };
        let (mut no_time, mut far, mut late, mut unmatched) = (0, 0, 0, 0);
        let before = side.waiting.len();
        let first = side.kept.next();
        for ((row, number), key) in (0..rows.num_rows()).zip(first..).zip(&self.ids) {
            let time = times.value(row);
            if times.is_null(row) || time < -TIME_LIMIT {
                no_time += 1;
            } else if time > TIME_LIMIT {
                far += 1;
            } else if time < on_time {
                late += 1;
            } else if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                side.waiting.push(Reverse(Waiting { time, number, key: *key }));
            } else if planned.alone {
                side.waiting.push(Reverse(Waiting { time, number, key: NO_KEY }));
            } else {
                unmatched += 1;
            }
        }
        if side.waiting.len() > before {
            side.kept.push(rows.project(&planned.columns)?)?;
        }
        let dropped = [
            (Reason::NoTime, no_time),
            (Reason::TooFarAhead, far),
            (Reason::Late, late),
            (Reason::Unmatched, unmatched),
        ];
        dropped.into_iter().filter(|(_, rows)| *rows > 0).for_each(|(reason, rows)| out.dropped(reason, rows));
        Ok(())
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        let mut pairs = Output::new(Arc::clone(&self.layout.output));
        self.pass(out);
        self.join(&mut pairs, out)?;
        self.let_go(&mut pairs, out)?;
        pairs.flush(&mut self.left.kept, &mut self.right.kept, out)?;
        self.forget()
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let sorted = |side: &Side| {
            let mut rows = side.waiting.iter().map(|row| row.0).collect::<Vec<_>>();
            rows.sort_unstable();
            rows
        };
        let (left, right) = (sorted(&self.left), sorted(&self.right));
        let mut passed = Vec::with_capacity(self.passed_rows);
        for (key, rows) in (0u32..).zip(&self.passed) {
            let row = |row: &Passed| (Waiting { time: row.time, number: row.number, key }, row.matched);
            passed.extend(rows.iter().map(row));
        }
        passed.extend(self.within_reach.iter().filter(|row| row.key == NO_KEY).map(|row| (*row, false)));
        passed.sort_unstable();
        let left_numbers = left.iter().map(|row| row.number).collect();
        let right_numbers = right.iter().chain(passed.iter().map(|(row, _)| row)).map(|row| row.number).collect();
        let state = JoinState {
            watermark: self.watermark,
            keys: keys::save(self.keys.as_ref(), &self.layout.key_types)?,
            left: SideState { kept: self.left.kept.save(left_numbers)?, waiting: left },
            right: SideState { kept: self.right.kept.save(right_numbers)?, waiting: right },
            passed,
        };
        Snapshot::save(KIND, VERSION, &state)
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let state = snapshot.load::<JoinState>(KIND, VERSION)?;
        let mut fresh = Self::new(Arc::clone(&self.layout))?;
        fresh.watermark = state.watermark;
        fresh.keys = keys::load(&state.keys, &self.layout.key_types)?;
        let known = |row: &Waiting| {
            let key = row.key == NO_KEY || (row.key as usize) < fresh.keys.len();
            key && (-TIME_LIMIT..=TIME_LIMIT).contains(&row.time)
        };
        let rows = state.left.waiting.iter().chain(&state.right.waiting).chain(state.passed.iter().map(|(row, _)| row));
        if !rows.clone().all(known) {
            return Err(Error::data("saved state of a join is damaged: a row has no key or no time"));
        }
        fresh.left.kept = Kept::load(Arc::clone(&self.layout.left.schema), &state.left.kept)?;
        fresh.right.kept = Kept::load(Arc::clone(&self.layout.right.schema), &state.right.kept)?;
        fresh.left.waiting = state.left.waiting.into_iter().map(Reverse).collect();
        fresh.right.waiting = state.right.waiting.into_iter().map(Reverse).collect();
        fresh.passed.resize_with(fresh.keys.len(), VecDeque::new);
        let reach = fresh.reach();
        // Where there is a bound, only rows within reach are kept, and a row without key has no partner.
        let kept = |(row, matched): &(Waiting, bool)| {
            (self.layout.earliest.is_none() || reach.holds(row.time)) && !(*matched && row.key == NO_KEY)
        };
        if !state.passed.is_sorted_by_key(|(row, _)| (row.time, row.number)) || !state.passed.iter().all(kept) {
            return Err(Error::data("saved state of a join is damaged: its rows are out of order"));
        }
        for (row, matched) in state.passed {
            if let Some(passed) = fresh.passed.get_mut(row.key as usize) {
                fresh.passed_keys += usize::from(passed.is_empty());
                fresh.passed_rows += 1;
                passed.push_back(Passed { time: row.time, number: row.number, matched });
            } else {
                fresh.keyless += 1;
            }
            if reach.holds(row.time) {
                fresh.unmatched += u64::from(self.layout.pick == Pick::Every && !matched);
                fresh.within_reach.push_back(row);
            }
        }
        *self = fresh;
        Ok(())
    }

    fn open_rows(&self) -> u64 {
        let right = if self.layout.pick == Pick::Every { self.right.waiting.len() as u64 + self.unmatched } else { 0 };
        self.left.waiting.len() as u64 + right
    }
}
