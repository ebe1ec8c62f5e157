//! The operator that aggregates over windows whose edges depend on the rows of each key.
//!
//! | in, sessions with a gap of 10 s | out |
//! | --- | --- |
//! | readings at 3 s and at 0 s | nothing yet |
//! | watermark 5 s | nothing: the two are one session, which may go on |
//! | reading at 2 s | nothing: behind the watermark, it joins the session that is open |
//! | watermark 14 s | the session `[0 s, 13 s)` with three readings |
//!
//! Rows wait until the watermark has passed them (`order`), so that a kind of window sees the rows of a key in the order of time.
//! It says into which slot a row goes and which windows are over (`book`); the aggregates then take all rows at once.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use lineside_model::schema::as_type;
use lineside_model::{Error, Reason, Result, Span, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::book::Book;
use super::order::{Stretch, Waiting};
use crate::aggregate::{Partial, Shared};
use crate::timers::Timers;
use crate::window::assign::TIME_LIMIT;
use crate::window::keys::{self, Keys};
use crate::window::late::tell_rows;
use crate::{Emitter, Operator, Port, Snapshot};

const VERSION: u32 = 2;
/// So many keys may be remembered beyond twice those of open windows and waiting rows.
const KEYS_SPARE: usize = 1024;

/// One row, as windows look at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The number of its key.
    pub(super) key: u32,
    pub(super) time: i64,
    /// Whether the start condition holds.
    pub(super) start: bool,
    /// Whether the stop condition holds.
    pub(super) stop: bool,
    /// Whether it takes part in aggregates. One that does not still shapes the windows.
    pub(super) kept: bool,
}

/// A kind of window: how the rows of one key become windows.
pub(super) trait KeyWindows: Copy + Send + Debug + 'static {
    /// What is open of one key. The default is nothing.
    type State: Default + Debug + Send + Serialize + DeserializeOwned;

    /// What its saved state is called.
    const KIND: &'static str;

    /// Takes the next row of a key in the order of time: closes what it ends, and says into which slot it goes, if any.
    fn row(&self, state: &mut Self::State, row: Row, book: &mut Book) -> Option<u32>;

    /// Takes a row behind the watermark, if a window is still open for it.
    fn late(&self, _state: &mut Self::State, _row: Row, _watermark: i64, _book: &mut Book) -> Option<u32> {
        None
    }

    /// The watermark that closes what is open, whatever rows come.
    fn due(&self, state: &Self::State) -> Option<i64>;

    /// Start and end of what the watermark closes, if no further rows come.
    fn bounds(&self, state: &Self::State) -> Option<(i64, i64)>;

    /// Start and end of a window of a single row.
    fn bounds_of(&self, time: i64) -> (i64, i64) {
        (time, time)
    }

    /// Closes what is open: the watermark is there.
    fn expire(&self, state: &mut Self::State, key: u32, book: &mut Book);

    /// The slots in use.
    fn slots(state: &mut Self::State) -> impl Iterator<Item = &mut u32>;

    /// Rows that have not come out.
    fn rows(state: &Self::State) -> u64;

    /// Whether a window is open.
    fn is_open(state: &Self::State) -> bool;
}

/// What was planned, shared by all workers.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) time: usize,
    pub(super) time_delay: Span,
    pub(super) keys: Vec<usize>,
    pub(super) key_types: Vec<DataType>,
    /// How many keys there may be at a time.
    pub(super) max_groups: usize,
    /// The columns that are needed of a row, and the type they are cast to.
    pub(super) columns: Vec<(usize, DataType)>,
    /// What is kept for the aggregates, and which of `columns` it reads.
    pub(super) shared: Shared,
    /// Which of `columns` is the start condition, the stop condition, and says whether a row takes part in aggregates.
    pub(super) start: Option<usize>,
    pub(super) stop: Option<usize>,
    pub(super) kept: Option<usize>,
    pub(super) output: SchemaRef,
}

impl Layout {
    fn types(&self) -> Vec<DataType> {
        self.columns.iter().map(|(_, data_type)| data_type.clone()).collect()
    }
}

/// Aggregates over windows of each key.
#[derive(Debug)]
pub(super) struct KeyedAggregate<W: KeyWindows> {
    windows: W,
    layout: Arc<Layout>,
    keys: Box<dyn Keys>,
    waiting: Waiting,
    watermark: i64,
    /// By the number of the key.
    states: Vec<W::State>,
    timers: Timers,
    /// Start and end of the open window that the watermark closes first.
    oldest: Option<(i64, i64)>,
    partials: Vec<Box<dyn Partial>>,
    book: Book,
}

#[derive(Serialize, Deserialize)]
struct KeyedState<S> {
    watermark: i64,
    keys: Vec<u8>,
    waiting: Vec<u8>,
    slots: u32,
    partials: Vec<Vec<u8>>,
    /// Those of keys with an open window.
    states: Vec<(u32, S)>,
}

impl<W: KeyWindows> KeyedAggregate<W> {
    pub(super) fn new(windows: W, layout: Arc<Layout>) -> Result<Self> {
        let partials = layout.shared.build(&layout.columns)?;
        Ok(Self {
            windows,
            keys: keys::keys(&layout.key_types)?,
            waiting: Waiting::default(),
            watermark: i64::MIN,
            states: Vec::new(),
            timers: Timers::default(),
            oldest: None,
            book: Book::new(&partials),
            partials,
            layout,
        })
    }

    /// Puts rows into windows: `slot_of` says into which. Those for which it knows none leave for the reason `outside`; which they
    /// are is given back if they are late.
    fn place(
        &mut self,
        rows: Stretch,
        slot_of: impl Fn(&W, &mut W::State, Row, &mut Book) -> Option<u32>,
        outside: Reason,
        out: &mut dyn Emitter,
    ) -> Result<Vec<u32>> {
        let condition = |at: Option<usize>| at.and_then(|at| rows.columns[at].as_boolean_opt());
        let (start, stop, kept) =
            (condition(self.layout.start), condition(self.layout.stop), condition(self.layout.kept));
        let holds = |condition: Option<&BooleanArray>, row| condition.is_some_and(|c| c.is_valid(row) && c.value(row));
        if self.states.len() < self.keys.len() {
            self.states.resize_with(self.keys.len(), W::State::default);
        }
        let mut places = Vec::with_capacity(rows.times.len());
        let mut slots = Vec::with_capacity(rows.times.len());
        let (mut nowhere, mut filtered, mut late) = (0, 0, Vec::new());
        for (n, (key, time)) in rows.ids.iter().zip(&rows.times).enumerate() {
            let row = Row {
                key: *key,
                time: *time,
                start: holds(start, n),
                stop: holds(stop, n),
                kept: kept.is_none() || holds(kept, n),
            };
            let state = &mut self.states[*key as usize];
            self.book.rows = self.book.rows.saturating_add(u64::from(row.kept));
            match slot_of(&self.windows, state, row, &mut self.book) {
                Some(slot) if row.kept => {
                    places.push(n as u32);
                    slots.push(slot);
                }
                Some(_) => filtered += 1,
                None => {
                    self.book.rows = self.book.rows.saturating_sub(u64::from(row.kept));
                    nowhere += 1;
                    if outside == Reason::Late {
                        late.push(n as u32);
                    }
                }
            }
            if let Some(due) = self.windows.due(state) {
                self.timers.arm(*key as usize, Some(Timestamp(due)));
            }
        }
        for (reason, rows) in [(Reason::Filtered, filtered), (outside, nowhere)] {
            if rows > 0 {
                out.dropped(reason, rows);
            }
        }
        let rows = if places.len() == rows.times.len() { rows } else { rows.taken(&places)? };
        self.book.update(&mut self.partials, &rows, &slots, &self.layout.shared)?;
        Ok(late)
    }

    /// Forgets keys without open windows and waiting rows, and moves slots together, once most are not in use.
    ///
    /// Keys are looked through also where there is hardly room for others and some may just have been `left` by a window.
    fn forget(&mut self, left: bool) -> Result<()> {
        let (known, max) = (self.keys.len(), self.layout.max_groups);
        let many = known > 2 * (self.book.used() + self.waiting.rows()) + KEYS_SPARE.min(max / 2);
        if many || left && keys::is_near(known, max) {
            self.forget_keys(many)?;
        }
        if self.book.is_sparse() {
            let mut slots = self.states.iter_mut().flat_map(W::slots).collect::<Vec<_>>();
            slots.sort();
            let used = slots.iter().map(|slot| **slot).collect::<Vec<_>>();
            (0u32..).zip(&mut slots).for_each(|(new, slot)| **slot = new);
            for partial in &mut self.partials {
                *partial = partial.take(&used);
            }
            self.book.shrink(used.len());
        }
        Ok(())
    }

    /// Forgets keys without open windows and waiting rows: in any case if they are `many`, otherwise if that pays.
    fn forget_keys(&mut self, many: bool) -> Result<()> {
        let mut used = self.states.iter().map(W::is_open).collect::<Vec<_>>();
        used.resize(self.keys.len(), false);
        self.waiting.ids().for_each(|id| used[id as usize] = true);
        let live = (0u32..).zip(used).filter(|(_, used)| *used).map(|(id, _)| id).collect::<Vec<_>>();
        if !many && !keys::pays(live.len(), self.keys.len()) {
            return Ok(());
        }
        let mut map = vec![0; self.keys.len()];
        self.states.resize_with(self.keys.len(), W::State::default);
        self.keys = keys::numbered(&self.layout.key_types, &self.keys.columns(&live)?, live.len())?;
        for (new, old) in (0u32..).zip(&live) {
            map[*old as usize] = new;
            self.states.swap(new as usize, *old as usize);
        }
        self.states.truncate(live.len());
        self.waiting.renumber(&map);
        self.arm_all();
        Ok(())
    }

    /// Finds the window that the watermark closes first. An entry of the heap may be too early, but not for long: it is put right.
    fn find_oldest(&mut self) {
        self.oldest = None;
        while let Some((key, armed)) = self.timers.pop(Timestamp::MAX) {
            let due = self.windows.due(&self.states[key]).map(Timestamp);
            self.timers.arm(key, due);
            if due == Some(armed) {
                self.oldest = self.windows.bounds(&self.states[key]);
                return;
            }
        }
    }

    fn arm_all(&mut self) {
        self.timers = Timers::default();
        for (key, state) in self.states.iter().enumerate() {
            self.timers.arm(key, self.windows.due(state).map(Timestamp));
        }
    }
}

impl<W: KeyWindows> Operator for KeyedAggregate<W> {
    fn process(&mut self, _: Port, rows: arrow::array::RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        let mut ids = Vec::with_capacity(rows.num_rows());
        let keyed_by = (layout.keys.as_slice(), layout.key_types.as_slice());
        let (rows, refused) = keys::number_rows(&mut self.keys, keyed_by, rows, layout.max_groups, &mut ids)?;
        if refused > 0 {
            out.dropped(Reason::TooManyKeys, refused);
        }
        let times = rows.column(layout.time).as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| Error::internal("the time column has no microseconds"))?;
        let as_kept = |(column, data_type): &(usize, DataType)| as_type(rows.column(*column), data_type);
        let columns = layout.columns.iter().map(as_kept).collect::<std::result::Result<Vec<_>, _>>()?;
        let all = Stretch { ids, times: times.values().to_vec(), columns };
        let on_time = self.watermark.max(-TIME_LIMIT)..=TIME_LIMIT;
        if times.null_count() == 0 && all.times.iter().all(|time| on_time.contains(time)) {
            return self.waiting.push(all);
        }
        let (mut waiting, mut late, mut without, mut ahead) = (Vec::new(), Vec::new(), 0, 0);
        for (row, time) in (0u32..).zip(times) {
            match time {
                Some(time) if on_time.contains(&time) => waiting.push(row),
                Some(time) if time > TIME_LIMIT => ahead += 1,
                Some(time) if time >= -TIME_LIMIT => late.push(row),
                _ => without += 1,
            }
        }
        for (reason, rows) in [(Reason::NoTime, without), (Reason::TooFarAhead, ahead)] {
            if rows > 0 {
                out.dropped(reason, rows);
            }
        }
        if !late.is_empty() {
            let watermark = self.watermark;
            let join = move |windows: &W, state: &mut W::State, row: Row, book: &mut Book| {
                windows.late(state, row, watermark, book)
            };
            let outside = self.place(all.taken(&late)?, join, Reason::Late, out)?;
            tell_rows(outside.iter().map(|n| late[*n as usize]).collect(), &rows, layout.time, out)?;
        }
        self.waiting.push(all.taken(&waiting)?)
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        let watermark = if watermark == Timestamp::MAX { watermark } else { watermark - self.layout.time_delay };
        self.watermark = self.watermark.max(watermark.micros());
        let passed = self.waiting.pass(self.watermark)?;
        let mut left = passed.is_some();
        if let Some(rows) = passed {
            self.place(rows, W::row, Reason::Filtered, out)?;
        }
        while let Some((key, _)) = self.timers.pop(Timestamp(self.watermark)) {
            let state = &mut self.states[key];
            if self.windows.due(state).is_some_and(|due| due <= self.watermark) {
                self.windows.expire(state, key as u32, &mut self.book);
                left = true;
            }
            self.timers.arm(key, self.windows.due(state).map(Timestamp));
        }
        self.book.settle(&mut self.partials, &self.layout, self.keys.as_ref(), out)?;
        self.forget(left)?;
        self.find_oldest();
        Ok(())
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let open = (0u32..).zip(&self.states).filter(|(_, state)| W::is_open(state));
        let state = KeyedState {
            watermark: self.watermark,
            keys: keys::save(self.keys.as_ref(), &self.layout.key_types)?,
            waiting: self.waiting.save(&self.layout.types())?,
            slots: self.book.slots(),
            partials: self.partials.iter().map(|partial| partial.save()).collect::<Result<_>>()?,
            states: open.collect(),
        };
        Snapshot::save(W::KIND, VERSION, &state)
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let state = snapshot.load::<KeyedState<W::State>>(W::KIND, VERSION)?;
        let damaged = || Error::data("saved state of a window is damaged: its keys do not fit");
        let mut fresh = Self::new(self.windows, Arc::clone(&self.layout))?;
        fresh.watermark = state.watermark;
        fresh.keys = keys::load(&state.keys, &self.layout.key_types)?;
        fresh.waiting = Waiting::load(&state.waiting, &self.layout.types(), fresh.keys.len())?;
        fresh.states.resize_with(fresh.keys.len(), W::State::default);
        for (key, open) in state.states {
            *fresh.states.get_mut(key as usize).ok_or_else(damaged)? = open;
        }
        let used = fresh.states.iter_mut().flat_map(W::slots).map(|slot| *slot);
        fresh.book = Book::with(&fresh.partials, state.slots, used)?;
        fresh.book.rows = fresh.states.iter().map(W::rows).fold(0, u64::saturating_add);
        if fresh.partials.len() != state.partials.len() {
            return Err(damaged());
        }
        for (partial, bytes) in fresh.partials.iter_mut().zip(&state.partials) {
            partial.load(bytes, state.slots as usize)?;
        }
        fresh.arm_all();
        fresh.find_oldest();
        *self = fresh;
        Ok(())
    }

    fn oldest_open(&self) -> Option<(Timestamp, Timestamp)> {
        let waiting = self.waiting.earliest().map(|time| self.windows.bounds_of(time));
        let (start, end) = self.oldest.into_iter().chain(waiting).min_by_key(|(start, end)| (*end, *start))?;
        Some((Timestamp(start), Timestamp(end)))
    }

    fn open_rows(&self) -> u64 {
        self.book.rows.saturating_add(self.waiting.rows() as u64)
    }
}
