//! Event time of a source in which every sensor has its own, so that one clock that runs fast makes no honest reading late,
//! and one sensor that is silent or slow holds nobody up for long.
//!
//! The time of a sensor is its newest reading less the disorder. The watermark is the least of those of all sensors that
//! **take part**; a reading is late if it is behind the watermark. Three kinds of sensor do not take part:
//!
//! * one that is *silent*: on a live source, nothing came from it for `idle_after`;
//! * one that is *behind*: its newest reading is more than `idle_after` older than where at least half of the sensors are, and
//!   it was so for a whole round (as many rows as there are sensors), so that a pause of the line excludes nobody;
//! * one that is *new*, or comes back, with a reading behind the watermark. It takes part from the first that is not.
//!
//! The watermark begins, and begins anew after a silence of all, when one sensor has told of `idle_after` of its own time: by
//! then the others have been heard. All of this but the silence is judged by rows and not by batches, so results do not
//! depend on how rows were batched.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use lineside_model::{Reason, Result, Span, Timestamp};
use lineside_operators::window::keys::{self, Keys};

use super::event_time::Piece;
use super::guard::{Aside, times};
use crate::observe::{SensorState, SensorTime};
use crate::plan::bounds::TIME_KEYS_LIMIT;
use crate::plan::{KeyTimePlan, TimePlan};

/// Where sensors are few, so many rows are a round.
const ROUND_LEAST: usize = 8;
/// So many keys beyond the limit are numbered before they are forgotten.
const KEYS_SPARE: usize = 1 << 16;

/// What a source knows of the event times of its sensors.
#[derive(Debug)]
pub(super) struct KeyTime {
    time: usize,
    key: usize,
    key_type: DataType,
    disorder: i64,
    patience: i64,
    live: bool,
    /// How far ahead a sensor may be: of the clock, or of most others where the clock says nothing.
    max_ahead: Option<i64>,
    keys: Box<dyn Keys>,
    ids: Vec<u32>,
    sensors: Vec<Sensor>,
    /// So many of them were heard; the others come later in the batch at hand.
    heard: usize,
    /// Each sensor that takes part, by a time at or before its newest; some that do not any more.
    slowest_first: BinaryHeap<Reverse<(i64, u32)>>,
    holder: Option<u32>,
    /// Where at least half of the sensors are, as of the last round.
    majority: Option<i64>,
    until_round: usize,
    claims: Vec<i64>,
    begun: bool,
    heard_at: Timestamp,
    watermark: i64,
    told: i64,
    beyond_limit: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sensor {
    /// The newest event time that counts.
    newest: i64,
    /// The event time it told last, believed or not.
    claimed: i64,
    /// The first event time since it takes part.
    first: i64,
    /// The clock when it was heard last.
    heard_at: i64,
    takes_part: bool,
    /// Whether it has a place in `slowest_first`.
    listed: bool,
    /// Whether it was behind at the last round.
    was_behind: bool,
}

const UNHEARD: Sensor = Sensor {
    newest: i64::MIN,
    claimed: i64::MIN,
    first: i64::MIN,
    heard_at: i64::MIN,
    takes_part: false,
    listed: false,
    was_behind: false,
};

enum Verdict {
    OnTime,
    Late,
    Ahead(i64),
}

impl KeyTime {
    /// For rows whose time and key columns have these numbers.
    pub(super) fn new(
        (time, key): (usize, usize),
        key_type: DataType,
        plan: &TimePlan,
        per_key: &KeyTimePlan,
    ) -> Result<Self> {
        Ok(Self {
            time,
            key,
            keys: keys::keys(std::slice::from_ref(&key_type))?,
            key_type,
            disorder: plan.disorder.micros(),
            patience: per_key.idle_after.micros(),
            live: per_key.live,
            max_ahead: plan.max_ahead.map(Span::micros),
            ids: Vec::new(),
            sensors: Vec::new(),
            heard: 0,
            slowest_first: BinaryHeap::new(),
            holder: None,
            majority: None,
            until_round: ROUND_LEAST,
            claims: Vec::new(),
            begun: false,
            heard_at: Timestamp::MIN,
            watermark: i64::MIN,
            told: i64::MIN,
            beyond_limit: 0,
        })
    }

    /// Cuts rows into pieces. Rows too far ahead of the other sensors are put aside.
    pub(super) fn cut(
        &mut self,
        rows: &RecordBatch,
        now: Timestamp,
        pieces: &mut Vec<Piece>,
        aside: &mut Vec<Aside>,
    ) -> Result<()> {
        if self.live && now.since(self.heard_at).micros() > self.patience {
            self.begun = false;
            self.sensors.iter_mut().for_each(|sensor| sensor.takes_part = false);
        }
        self.heard_at = now;
        let mut ids = std::mem::take(&mut self.ids);
        ids.clear();
        self.keys.intern(std::slice::from_ref(rows.column(self.key)), rows.num_rows(), &mut ids)?;
        self.sensors.resize(self.keys.len().min(TIME_KEYS_LIMIT), UNHEARD);
        let times = times(rows, self.time)?.values();
        let mut from = 0;
        let (mut ahead, mut ahead_by) = (Vec::new(), Vec::new());
        let part = |from: usize, to: usize, pieces: &mut Vec<Piece>| {
            if to > from {
                pieces.push(Piece::Rows(rows.slice(from, to - from)));
            }
        };
        for (row, (&time, &id)) in times.iter().zip(&ids).enumerate() {
            match self.judge(id, time, now) {
                Verdict::OnTime => {}
                Verdict::Late if self.watermark > self.told => {
                    part(from, row, pieces);
                    from = row;
                    self.tell(pieces);
                }
                Verdict::Late => {}
                Verdict::Ahead(by) => {
                    part(from, row, pieces);
                    from = row + 1;
                    ahead.push(row as u32);
                    ahead_by.push(Some(by));
                }
            }
            self.until_round -= 1;
            if self.until_round == 0 {
                self.round(now);
            }
        }
        part(from, rows.num_rows(), pieces);
        self.ids = ids;
        if !ahead.is_empty() {
            let rows = take_record_batch(rows, &UInt32Array::from(ahead))?;
            aside.push(Aside { rows, reason: Reason::TooFarAhead, ahead: ahead_by });
        }
        self.settle(now);
        self.tell(pieces);
        if self.keys.len() > TIME_KEYS_LIMIT + KEYS_SPARE {
            self.forget()?;
        }
        Ok(())
    }

    /// The watermark moves to `to` at least: all is silent, and the clock goes on.
    pub(super) fn raise(&mut self, to: Timestamp, pieces: &mut Vec<Piece>) {
        self.watermark = self.watermark.max(to.0);
        self.tell(pieces);
    }

    /// Where the watermark is, or would be if it had begun.
    pub(super) fn stands_at(&self) -> Timestamp {
        let taking_part = self.sensors.iter().filter(|sensor| sensor.takes_part).map(|sensor| sensor.newest);
        let least = taking_part.min().map_or(i64::MIN, |newest| newest.saturating_sub(self.disorder));
        Timestamp(self.watermark.max(least))
    }

    /// Whether any row came.
    pub(super) fn has_rows(&self) -> bool {
        self.heard_at > Timestamp::MIN
    }

    /// The watermark that was told last.
    pub(super) fn watermark(&self) -> Timestamp {
        Timestamp(self.told)
    }

    /// How many rows came from sensors beyond [`TIME_KEYS_LIMIT`] since this was asked last.
    pub(super) fn take_beyond_limit(&mut self) -> u64 {
        std::mem::take(&mut self.beyond_limit)
    }

    /// The sensor that holds the watermark, and the first `most` of those that do not take part.
    pub(super) fn told(&self, now: Timestamp, most: usize) -> Result<Vec<SensorTime>> {
        let latest = self.reference(now).zip(self.max_ahead).map_or(i64::MAX, |(at, ahead)| at.saturating_add(ahead));
        let state = |sensor: &Sensor| match sensor {
            _ if self.live && now.0.saturating_sub(sensor.heard_at) > self.patience => Some(SensorState::Silent),
            _ if sensor.claimed > latest => Some(SensorState::Ahead),
            _ if !sensor.takes_part => Some(SensorState::Behind),
            _ => None,
        };
        let excluded = (0u32..).zip(&self.sensors).filter_map(|(id, sensor)| Some((id, state(sensor)?)));
        let holder = self.holder.map(|id| (id, SensorState::Holds));
        let excluded = excluded.filter(|(id, _)| Some(*id) != self.holder).take(most);
        holder.into_iter().chain(excluded).map(|(id, state)| self.tell_of(id, state)).collect()
    }

    fn tell_of(&self, id: u32, state: SensorState) -> Result<SensorTime> {
        let Sensor { newest, claimed, heard_at, .. } = self.sensors[id as usize];
        let column: Vec<ArrayRef> = self.keys.columns(&[id])?;
        let sensor = column.first().filter(|column| column.is_valid(0));
        let sensor = sensor.map(|column| array_value_to_string(column, 0)).transpose()?;
        // Of a sensor whose readings were all put aside, nothing else is known than what it told.
        let unbelieved = state == SensorState::Ahead || newest == i64::MIN;
        let newest = Timestamp(if unbelieved { claimed } else { newest });
        Ok(SensorTime { sensor: sensor.unwrap_or_default(), newest, heard_at: Timestamp(heard_at), state })
    }

    /// The time that sensors may not be too far ahead of.
    fn reference(&self, now: Timestamp) -> Option<i64> {
        if self.live { Some(now.0) } else { self.majority.filter(|_| self.begun) }
    }

    #[inline]
    fn judge(&mut self, id: u32, time: i64, now: Timestamp) -> Verdict {
        let ahead = match (self.max_ahead, self.reference(now)) {
            (Some(most), Some(at)) => Some(time.saturating_sub(at)).filter(|ahead| *ahead > most),
            _ => None,
        };
        let Some(sensor) = self.sensors.get_mut(id as usize) else {
            self.beyond_limit += 1;
            self.settle(now);
            return if time < self.watermark { Verdict::Late } else { Verdict::OnTime };
        };
        self.heard = self.heard.max(id as usize + 1);
        sensor.heard_at = now.0;
        sensor.claimed = time;
        if let Some(by) = ahead {
            return Verdict::Ahead(by);
        }
        // The watermark is at most this sensor's own time, or where it was: such a row cannot be behind it.
        if sensor.takes_part && time >= self.watermark && time >= sensor.newest.saturating_sub(self.disorder) {
            sensor.newest = sensor.newest.max(time);
            self.begun = self.begun || sensor.newest.saturating_sub(sensor.first) >= self.patience;
            return Verdict::OnTime;
        }
        self.settle(now);
        let sensor = &mut self.sensors[id as usize];
        sensor.newest = sensor.newest.max(time);
        if time < self.watermark {
            return Verdict::Late;
        }
        if !sensor.takes_part {
            sensor.takes_part = true;
            sensor.was_behind = false;
            sensor.first = time;
            if !std::mem::replace(&mut sensor.listed, true) {
                self.slowest_first.push(Reverse((sensor.newest, id)));
            }
        }
        Verdict::OnTime
    }

    /// Brings the watermark up to date.
    fn settle(&mut self, now: Timestamp) {
        if !self.begun {
            return;
        }
        self.holder = None;
        while let Some(mut slowest) = self.slowest_first.peek_mut() {
            let Reverse((at, id)) = *slowest;
            let sensor = &mut self.sensors[id as usize];
            if self.live && now.0.saturating_sub(sensor.heard_at) > self.patience {
                sensor.takes_part = false;
            }
            if !sensor.takes_part {
                sensor.listed = false;
                PeekMut::pop(slowest);
            } else if sensor.newest > at {
                *slowest = Reverse((sensor.newest, id));
            } else {
                self.holder = Some(id);
                self.watermark = self.watermark.max(at.saturating_sub(self.disorder));
                break;
            }
        }
    }

    /// Every sensor had its turn: finds where most are, and those that are not with them.
    fn round(&mut self, now: Timestamp) {
        self.settle(now);
        self.claims.clear();
        let sensors = &mut self.sensors[..self.heard];
        for sensor in sensors.iter_mut() {
            if self.live && now.0.saturating_sub(sensor.heard_at) > self.patience {
                sensor.takes_part = false;
            } else {
                self.claims.push(sensor.claimed);
            }
        }
        self.until_round = self.heard.max(ROUND_LEAST);
        let Some(last) = self.claims.len().checked_sub(1) else { return };
        let (_, majority, _) = self.claims.select_nth_unstable(last / 2);
        let behind = majority.saturating_sub(self.patience);
        self.majority = Some(*majority);
        for sensor in sensors {
            let is_behind = sensor.newest < behind;
            if is_behind && sensor.was_behind {
                sensor.takes_part = false;
            }
            sensor.was_behind = is_behind;
        }
    }

    fn tell(&mut self, pieces: &mut Vec<Piece>) {
        if self.watermark > self.told {
            self.told = self.watermark;
            pieces.push(Piece::Watermark(Timestamp(self.told)));
        }
    }

    /// Forgets sensors that do not take part; when they are heard again they are as new ones, which is the same.
    fn forget(&mut self) -> Result<()> {
        let live = (0u32..).zip(&self.sensors).filter(|(_, sensor)| sensor.takes_part).map(|(id, _)| id);
        let live = live.collect::<Vec<_>>();
        self.keys = keys::numbered(std::slice::from_ref(&self.key_type), &self.keys.columns(&live)?, live.len())?;
        self.sensors = live.iter().map(|id| Sensor { listed: true, ..self.sensors[*id as usize] }).collect();
        let listed = (0u32..).zip(&self.sensors).map(|(id, sensor)| Reverse((sensor.newest, id)));
        self.slowest_first = listed.collect();
        self.heard = self.sensors.len();
        self.holder = None;
        Ok(())
    }
}
