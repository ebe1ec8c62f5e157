//! Windows whose rows come out more often than once: early, while the window is open, or corrected, after it was put out.
//!
//! With an *allowed lateness* a window is put out when the watermark reaches its end, and kept for so long afterwards. A row that
//! comes late, but within it, changes the groups it belongs to; they are put out again, whole, with the next watermark. With
//! *early* rows the groups of open windows that have changed are put out by the clock or after each batch. A row of the same
//! window and key replaces the one before; the last one is the final one.
//!
//! | in, windows of 10 s, lateness of 5 s | out |
//! | --- | --- |
//! | reading at 7 s, watermark 10 s | the window `[0 s, 10 s)` with one reading |
//! | reading at 8 s, watermark 12 s | the same window with two readings |
//! | watermark 15 s | nothing; the window cannot change any more |
//! | reading at 9 s | counted as late |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lineside_model::{Error, Problem, Problems, Reason, Result, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::aggregate::WindowAggregate;
use super::layout::Layout;
use super::output::Output;
use super::runs::Place;
use super::slice::{Part, Whole};
use super::sliding::{Merged, stacked};
use super::view::{View, ViewState};
use super::{WindowQuery, WindowSpec, plan};
use crate::operator::BuildOperator;
use crate::{Emitter, Operator, PlannedOperator, Port, Snapshot};

const KIND: &str = "early_window";
const VERSION: u32 = 1;

/// When rows of a window come out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Emission {
    /// How long after its end a window can be corrected.
    pub allowed_lateness: Span,
    /// Whether rows come out before its end.
    pub early: Early,
}

/// Rows of windows that are open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Early {
    /// None.
    #[default]
    Never,
    /// Groups that have changed, whenever the clock has gone on by so much.
    Every(Span),
    /// Groups that have changed, after each batch of rows.
    Changes,
}

/// As [`plan`], for windows whose rows may come out more often than once. Since they do, no column of theirs is an event time.
///
/// # Errors
/// As [`plan`].
pub fn plan_emitting(spec: WindowSpec, input: &SchemaRef, emission: Emission) -> Result<PlannedOperator, Problems> {
    let operator = plan(spec, input)?;
    let Some(query) = operator.windows.clone().filter(|_| emission != Emission::default()) else { return Ok(operator) };
    let build = build(&query, emission).map_err(|error| Problem::whole(error.to_string()))?;
    let mut explain = operator.explain;
    match emission.early {
        Early::Never => {}
        Early::Every(span) => {
            explain.push(format!("groups of open windows that have changed are put out every {span}"))
        }
        Early::Changes => {
            explain.push("groups of open windows that have changed are put out after each batch".to_owned())
        }
    }
    if emission.allowed_lateness > Span::ZERO {
        explain.push(format!(
            "windows are kept for {} after their end; groups that change by then are put out again",
            emission.allowed_lateness
        ));
    }
    explain
        .push("a row replaces the one before of the same window and key, so no window can be cut over them".to_owned());
    Ok(PlannedOperator { explain, times: Vec::new(), windows: None, gathers: false, build, ..operator })
}

fn build(query: &Arc<WindowQuery>, emission: Emission) -> Result<BuildOperator> {
    let layout = Layout::of(&[query.as_ref()]).ok_or_else(|| Error::internal("a window of no query was planned"))?;
    let delay = layout.time_delay;
    let kept = Span(delay.micros().saturating_add(emission.allowed_lateness.micros()));
    let layout = Arc::new(Layout { time_delay: kept, ..layout });
    // Once here, so that what could not be built is told now and not by a worker.
    EarlyAggregate::new(Arc::clone(&layout), delay, emission)?;
    Ok(Box::new(move || {
        let operator = EarlyAggregate::new(Arc::clone(&layout), delay, emission);
        Box::new(operator.expect("it was built once when it was planned"))
    }))
}

/// One query's windows, put out early or again.
#[derive(Debug)]
struct EarlyAggregate {
    /// Holds the windows until they can change no more.
    inner: WindowAggregate,
    layout: Arc<Layout>,
    emission: Emission,
    /// How far the time column may lag behind the watermark.
    delay: Span,
    /// How far windows were put out by the watermark.
    told: View,
    /// The groups, by number, that have changed since they were put out, for each slice.
    changed: BTreeMap<i64, Vec<bool>>,
    /// When the clock is waited for next.
    due: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct EarlyState {
    inner: Snapshot,
    told: ViewState,
    changed: Vec<(i64, Vec<bool>)>,
}

impl EarlyAggregate {
    fn new(layout: Arc<Layout>, delay: Span, emission: Emission) -> Result<Self> {
        let inner = WindowAggregate::new(Arc::clone(&layout))?;
        Ok(Self { inner, layout, emission, delay, told: View::new(), changed: BTreeMap::new(), due: None })
    }

    fn corrects(&self) -> bool {
        self.emission.allowed_lateness > Span::ZERO
    }

    /// Remembers which groups the rows that were just taken have changed.
    fn mark(&mut self) {
        let windows = &self.layout.views[0].windows;
        let (runs, ids) = self.inner.latest();
        for (place, rows) in runs.iter() {
            let Place::Slice { slice, cell } = place else { continue };
            if self.inner.view().refuses(cell, windows).is_some() {
                continue;
            }
            self.told.sliding.touched(slice);
            if self.emission.early == Early::Never && windows.first(cell) >= self.told.next() {
                continue;
            }
            let changed = self.changed.entry(slice).or_default();
            changed.resize(changed.len().max(self.inner.keys()), false);
            ids[rows].iter().for_each(|id| changed[*id as usize] = true);
        }
    }

    /// Puts out the groups that have changed: of all open windows, or of those only that were put out before.
    fn put_out_changed(&mut self, out: &mut dyn Emitter) -> Result<()> {
        let planned = &self.layout.views[0];
        let windows = &planned.windows;
        let upto = if self.emission.early == Early::Never { self.told.next() } else { i64::MAX };
        let of_slice = |slice: &i64| windows.first(*slice).max(self.inner.view().next())..=windows.last(*slice);
        let open = self.changed.keys().flat_map(of_slice).filter(|window| *window < upto).collect::<BTreeSet<_>>();
        let stacked = stacked(self.inner.empty(), &planned.wanted);
        let (like, wanted, results) = (self.inner.empty(), &planned.wanted, &planned.results);
        let merged = Merged { windows, like, wanted, stacked: &stacked, results };
        let mut rows = Output::of_view(0, planned, self.inner.interned(), out);
        for window in open {
            let bounds = windows.bounds(window);
            let changed = self.changed.range(bounds.clone()).map(|(_, changed)| changed).collect::<Vec<_>>();
            let has_changed = |id: u32| changed.iter().any(|changed| changed.get(id as usize) == Some(&true));
            let slices = self.inner.slices().range(bounds).map(|(_, slice)| slice);
            let merge = merged.fold(slices, Part::Whole)?;
            let whole = merge.whole();
            let rising = whole.rising.only(|key, _| has_changed(key));
            rows.push(window, &Whole { rising, ..whole }, planned)?;
        }
        rows.flush()?;
        self.changed.clear();
        Ok(())
    }
}

impl Operator for EarlyAggregate {
    fn process(&mut self, port: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        self.inner.process(port, rows, out)?;
        self.mark();
        if self.emission.early == Early::Changes { self.put_out_changed(out) } else { Ok(()) }
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        let left = if self.corrects() {
            let windows = &self.layout.views[0].windows;
            let lag = |by: Span| if watermark == Timestamp::MAX { watermark } else { watermark - by };
            let (open, kept) = (windows.first_open(lag(self.delay)), windows.first_open(lag(self.layout.time_delay)));
            if self.emission.early == Early::Never || kept > self.inner.view().next() {
                self.put_out_changed(out)?;
            }
            if open > self.told.next() {
                self.inner.put_out(&mut self.told, 0, open, out)?;
            }
            self.inner.close_all(watermark, &mut Silent(out))?
        } else {
            self.inner.close_all(watermark, out)?
        };
        let horizon = self.inner.view().horizon();
        self.changed.retain(|slice, _| *slice >= horizon);
        if let Some(live) = self.inner.forget(left)? {
            // The merges have the old numbers, and so have the marks.
            self.told.renumbered();
            for changed in self.changed.values_mut() {
                *changed = live.iter().map(|old| changed.get(*old as usize) == Some(&true)).collect();
            }
        }
        Ok(())
    }

    fn tick(&mut self, now: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        let Early::Every(every) = self.emission.early else { return Ok(()) };
        if self.due.is_none_or(|due| due <= now) {
            let every = every.micros().max(1);
            self.due = Some(Timestamp((now.micros().div_euclid(every) + 1).saturating_mul(every)));
            self.put_out_changed(out)?;
        }
        Ok(())
    }

    fn wake_at(&self) -> Option<Timestamp> {
        let waits = matches!(self.emission.early, Early::Every(_)) && !self.changed.is_empty();
        waits.then(|| self.due.unwrap_or(Timestamp::MIN))
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let changed = self.changed.iter().map(|(slice, changed)| (*slice, changed.clone())).collect();
        Snapshot::save(KIND, VERSION, &EarlyState { inner: self.inner.snapshot()?, told: self.told.save()?, changed })
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let state = snapshot.load::<EarlyState>(KIND, VERSION)?;
        let mut fresh = Self::new(Arc::clone(&self.layout), self.delay, self.emission)?;
        fresh.inner.restore(&state.inner)?;
        let windows = &self.layout.views[0].windows;
        fresh.told = View::load(&state.told, windows, fresh.inner.empty(), fresh.inner.keys())?;
        fresh.changed = state.changed.into_iter().collect();
        *self = fresh;
        Ok(())
    }

    fn oldest_open(&self) -> Option<(Timestamp, Timestamp)> {
        if !self.corrects() {
            return self.inner.oldest_open();
        }
        let windows = &self.layout.views[0].windows;
        let bounds = windows.bounds(self.told.next_with_rows(self.inner.slices(), windows)?);
        Some((Timestamp(bounds.start), Timestamp(bounds.end)))
    }

    fn open_rows(&self) -> u64 {
        self.inner.open_rows()
    }
}

/// Swallows rows of windows that were put out before.
struct Silent<'a>(&'a mut dyn Emitter);

impl Emitter for Silent<'_> {
    fn emit(&mut self, _: RecordBatch) -> Result<()> {
        Ok(())
    }

    fn emit_to(&mut self, _: usize, _: RecordBatch) -> Result<()> {
        Ok(())
    }

    fn dropped(&mut self, reason: Reason, rows: usize) {
        self.0.dropped(reason, rows);
    }
}
