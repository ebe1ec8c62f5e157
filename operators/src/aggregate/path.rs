//! Aggregates that follow a signal from reading to reading: time-weighted average, integral, counter, moving average.
//!
//! Such an aggregate is what happens on the way from one reading to the next in the order of event time, added up from the
//! first reading of the window to the last. Readings at the same time follow each other as they arrived. What was before
//! the first reading or comes after the last is not known from the window, so it is not counted, neither up to the window's
//! edges nor across them.
//!
//! A reading that arrives out of order parts a step in two, so a slice keeps its readings (16 bytes each) and puts them in order when
//! it is read. Merged copies of slices are kept as *paths*: two ends and the way between, of a fixed size. Joining two paths
//! takes one step more, so overlapping windows cost no more than others.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::Float64Array;
use arrow::datatypes::Float64Type;
use lineside_model::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Column, Pair, Partial, Picked, Rows, check_slots, from_bytes, same, take_entries, to_bytes};

/// A reading: event time in microseconds, and the value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) time: i64,
    pub(super) value: f64,
}

impl Point {
    /// Seconds from this reading to a later one.
    pub(super) fn seconds_to(self, later: Self) -> f64 {
        later.time.saturating_sub(self.time) as f64 / 1e6
    }
}

/// What is added up on the way of a signal.
pub(super) trait Rule: 'static + Clone + Debug + Send {
    /// What is known of a way.
    type Way: Copy + Debug + Send + Serialize + DeserializeOwned;

    /// The way of a single reading.
    fn nowhere(&self) -> Self::Way;
    /// The way from one reading to the next.
    fn step(&self, from: Point, to: Point) -> Self::Way;
    /// One way and then another.
    fn join(&self, one: Self::Way, next: Self::Way) -> Self::Way;
    /// What comes of it all.
    fn result(&self, path: &Path<Self::Way>) -> Option<f64>;
}

/// The first reading, the last, and the way between.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Path<W> {
    pub(super) first: Point,
    pub(super) last: Point,
    pub(super) way: W,
}

impl<W: Copy> Path<W> {
    fn of<R: Rule<Way = W>>(rule: &R, points: &[Point]) -> Option<Self> {
        let (first, rest) = points.split_first()?;
        Some(rest.iter().fold(Self::at(rule, *first), |path, point| Self {
            last: *point,
            way: rule.join(path.way, rule.step(path.last, *point)),
            ..path
        }))
    }

    fn at<R: Rule<Way = W>>(rule: &R, point: Point) -> Self {
        Self { first: point, last: point, way: rule.nowhere() }
    }

    fn join<R: Rule<Way = W>>(self, rule: &R, next: Self) -> Self {
        let step = rule.step(self.last, next.first);
        Self { first: self.first, last: next.last, way: rule.join(rule.join(self.way, step), next.way) }
    }
}

/// What is kept of one slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Track<W> {
    /// Readings, in the order of arrival.
    Points(Vec<Point>),
    /// What merging left of them.
    Path(Path<W>),
}

impl<W: Copy> Track<W> {
    const EMPTY: Self = Self::Points(Vec::new());

    fn path<R: Rule<Way = W>>(&self, rule: &R) -> Option<Path<W>> {
        match self {
            Self::Path(path) => Some(*path),
            Self::Points(points) if points.is_sorted_by_key(|point| point.time) => Path::of(rule, points),
            Self::Points(points) => {
                let mut sorted = points.clone();
                sorted.sort_by_key(|point| point.time);
                Path::of(rule, &sorted)
            }
        }
    }

    fn take<R: Rule<Way = W>>(&mut self, rule: &R, point: Point) {
        match self {
            Self::Points(points) => points.push(point),
            // What was merged takes further readings in order only: those of count windows, which are put in order first.
            Self::Path(path) => *path = path.join(rule, Path::at(rule, point)),
        }
    }

    /// Takes another stretch of time, whose readings at equal times arrived later. Two stretches never overlap, except in a
    /// damaged snapshot.
    fn merge<R: Rule<Way = W>>(&mut self, rule: &R, other: &Self) {
        let Some(theirs) = other.path(rule) else { return };
        *self = Self::Path(match self.path(rule) {
            None => theirs,
            Some(mine) if theirs.first.time < mine.first.time => theirs.join(rule, mine),
            Some(mine) => mine.join(rule, theirs),
        });
    }
}

/// An aggregate that follows the signal of each slot.
#[derive(Clone, Debug)]
pub(super) struct Follow<R: Rule> {
    rule: R,
    tracks: Vec<Track<R::Way>>,
}

impl<R: Rule> Follow<R> {
    /// Nothing yet.
    pub(super) fn new(rule: R) -> Self {
        Self { rule, tracks: Vec::new() }
    }
}

impl<R: Rule> Partial for Follow<R> {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::new(self.rule.clone()))
    }

    /// A copy is for merging: it has the paths alone.
    fn copy(&self) -> Box<dyn Partial> {
        let path = |track: &Track<R::Way>| track.path(&self.rule).map_or(Track::EMPTY, Track::Path);
        Box::new(Self { rule: self.rule.clone(), tracks: self.tracks.iter().map(path).collect() })
    }

    fn resize(&mut self, slots: usize) {
        self.tracks.resize(slots, Track::EMPTY);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let (rule, tracks) = (&self.rule, self.tracks.as_mut_slice());
        rows.each(rows.numbers::<Float64Type>()?, |slot, time, value| tracks[slot].take(rule, Point { time, value }));
        Ok(())
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        for (track, slot) in same::<Self>(other)?.tracks.iter().zip(map) {
            self.tracks[*slot as usize].merge(&self.rule, track);
        }
        Ok(())
    }

    /// Keeps the readings of both, since one that comes late may part a step of either.
    fn absorb(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        for (track, slot) in same::<Self>(other)?.tracks.iter().zip(map) {
            match (&mut self.tracks[*slot as usize], track) {
                (Track::Points(mine), Track::Points(theirs)) => mine.extend_from_slice(theirs),
                (mine, theirs) => mine.merge(&self.rule, theirs),
            }
        }
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (from, into) = pair.of(&mut self.tracks)?;
            into.merge(&self.rule, from);
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        let tracks = take_entries(&mut self.tracks, slots, &Track::EMPTY);
        Box::new(Self { rule: self.rule.clone(), tracks })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        let result = |slot: usize| self.tracks[slot].path(&self.rule).and_then(|path| self.rule.result(&path));
        column.piece(Arc::new(picked.collect::<_, Float64Array>(result)))
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.tracks)
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        self.tracks = from_bytes(bytes)?;
        check_slots([self.tracks.len()], slots)
    }
}
