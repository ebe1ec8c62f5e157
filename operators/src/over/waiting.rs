//! Rows that wait for the watermark, and leave in the order of event time; of equal times, in the order of arrival.
//!
//! Rows stay in the batches they came in, of which only places are sorted; batches of which little is left, or that are many and
//! small, are put together again.

use std::collections::{HashMap, VecDeque};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;
use lineside_model::{Result, Timestamp};

use crate::in_order::InOrder;

/// So many batches may be held beyond one for each [`ROWS_MIN`] rows.
pub(super) const BATCHES_SPARE: usize = 64;
/// See [`BATCHES_SPARE`].
pub(super) const ROWS_MIN: usize = 16;
/// So many rows may be held beyond four for each row that waits.
const ROWS_SPARE: usize = 8192;
/// The most rows of a batch that is put together.
const BATCH_ROWS: usize = 8192;

/// A batch with rows that wait.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// The rows as they came.
    pub(super) rows: RecordBatch,
    /// What was made of them on arrival: the numbers of their keys, and arguments cast to the types that functions read.
    pub(super) made: Vec<ArrayRef>,
}

/// Where a row that waits is. The order is that in which rows leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) time: i64,
    batch: usize,
    row: usize,
}

/// Rows that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The batches and how many rows of each wait.
    held: VecDeque<(Held, usize)>,
    /// The number of the first batch.
    first: usize,
    order: InOrder<(usize, usize)>,
    held_rows: usize,
}

impl Waiting {
    /// How many rows wait.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Takes rows with these times.
    pub(super) fn push(&mut self, held: Held, times: &[i64]) -> Result<()> {
        if times.is_empty() {
            return Ok(());
        }
        let batch = self.first + self.held.len();
        self.held_rows += times.len();
        self.held.push_back((held, times.len()));
        for (row, time) in times.iter().enumerate() {
            self.order.push(Timestamp(*time), (batch, row));
        }
        self.compact()
    }

    /// Takes out the places of the next rows up to and including the time `last`: about so many, but all of one time together.
    pub(super) fn pop(&mut self, last: i64, rows_max: usize, places: &mut Vec<Place>) {
        places.clear();
        loop {
            let upto = match places.last() {
                Some(before) if places.len() >= rows_max => before.time,
                _ => last,
            };
            let Some((time, (batch, row))) = self.order.pop(Timestamp(upto)) else { return };
            places.push(Place { time: time.micros(), batch, row });
        }
    }

    /// The rows at these places, which [`Waiting::pop`] gave and which are not yet let go.
    pub(super) fn pick(&self, places: &[Place]) -> Picked<'_> {
        let mut numbers = HashMap::new();
        let mut held = Vec::new();
        let mut last = None;
        let at = places.iter().map(|place| {
            let number = match last {
                Some((batch, number)) if batch == place.batch => number,
                _ => *numbers.entry(place.batch).or_insert_with(|| {
                    held.push(&self.held[place.batch - self.first].0);
                    held.len() - 1
                }),
            };
            last = Some((place.batch, number));
            (number, place.row)
        });
        let at = at.collect();
        Picked { held, at }
    }

    /// Lets go of the rows at these places.
    pub(super) fn release(&mut self, places: &[Place]) {
        for place in places {
            self.held[place.batch - self.first].1 -= 1;
        }
        while let Some((held, 0)) = self.held.front() {
            self.held_rows -= held.rows.num_rows();
            self.held.pop_front();
            self.first += 1;
        }
    }

    /// All rows that wait, in the order of their arrival.
    pub(super) fn all(&self) -> Picked<'_> {
        self.pick(&self.by_arrival())
    }

    /// The first column made of each batch.
    pub(super) fn ids(&self) -> impl Iterator<Item = &ArrayRef> {
        self.held.iter().filter_map(|(held, _)| held.made.first())
    }

    /// The same, to be put right.
    pub(super) fn ids_mut(&mut self) -> impl Iterator<Item = &mut ArrayRef> {
        self.held.iter_mut().filter_map(|(held, _)| held.made.first_mut())
    }

    fn by_arrival(&self) -> Vec<Place> {
        let place = |(time, (batch, row)): (Timestamp, &(usize, usize))| Place {
            time: time.micros(),
            batch: *batch,
            row: *row,
        };
        let mut places = self.order.waiting().into_iter().map(place).collect::<Vec<_>>();
        places.sort_unstable_by_key(|place| (place.batch, place.row));
        places
    }

    /// Puts what is left of the batches together where they take too much room.
    fn compact(&mut self) -> Result<()> {
        let waiting = self.len();
        let small = self.held.len() > BATCHES_SPARE + waiting / ROWS_MIN;
        let empty = self.held_rows > ROWS_SPARE + 4 * waiting;
        if !small && !empty {
            return Ok(());
        }
        let Some(schema) = self.held.front().map(|(held, _)| held.rows.schema()) else { return Ok(()) };
        let places = self.by_arrival();
        let (mut held, mut moved) = (VecDeque::new(), Vec::with_capacity(places.len()));
        let mut times = places.iter().map(|place| place.time);
        self.pick(&places).each(schema.fields().len(), &mut |part, columns| {
            let rows = part.len();
            let columns = RecordBatch::try_new(SchemaRef::clone(&schema), columns)?;
            let batch = Held { rows: columns, made: part.made()? };
            let place = |(row, time)| Place { time, batch: held.len(), row };
            moved.extend(times.by_ref().take(rows).enumerate().map(place));
            held.push_back((batch, rows));
            Ok(())
        })?;
        moved.sort_unstable();
        let mut order = InOrder::default();
        moved.into_iter().for_each(|place: Place| order.push(Timestamp(place.time), (place.batch, place.row)));
        *self = Self { held, first: 0, order, held_rows: waiting };
        Ok(())
    }
}

/// Rows of several batches in an order of their own.
#[derive(Debug)]
pub(super) struct Picked<'a> {
    held: Vec<&'a Held>,
    /// Which batch, and which row of it.
    at: Vec<(usize, usize)>,
}

impl<'a> Picked<'a> {
    /// Rows, each by the number of its batch and its place in it.
    pub(super) fn of(held: Vec<&'a Held>, at: Vec<(usize, usize)>) -> Self {
        Self { held, at }
    }

    /// Hands the rows on in batches, each with the first `width` of its columns. They are as large as they may be: a dictionary has
    /// no more words than its keys can count, so where rows do not fit into one batch they are halved.
    pub(super) fn each(
        &self,
        width: usize,
        take: &mut dyn FnMut(&Part<'_>, Vec<ArrayRef>) -> Result<()>,
    ) -> Result<()> {
        self.at.chunks(BATCH_ROWS).try_for_each(|at| halved(&Part { held: &self.held, at }, width, take))
    }

    /// All rows as one part, whose rows may not fit into one batch; what was made of them does.
    pub(super) fn whole(&self) -> Part<'_> {
        Part { held: &self.held, at: &self.at }
    }
}

fn halved(part: &Part<'_>, width: usize, take: &mut dyn FnMut(&Part<'_>, Vec<ArrayRef>) -> Result<()>) -> Result<()> {
    match part.columns(width) {
        Ok(columns) => take(part, columns),
        Err(_) if part.len() > 1 => {
            let (left, right) = part.at.split_at(part.len() / 2);
            halved(&Part { held: part.held, at: left }, width, take)?;
            halved(&Part { held: part.held, at: right }, width, take)
        }
        Err(error) => Err(error),
    }
}

/// A run of [`Picked`] rows.
#[derive(Debug)]
pub(super) struct Part<'a> {
    held: &'a [&'a Held],
    at: &'a [(usize, usize)],
}

impl Part<'_> {
    /// How many rows.
    pub(super) fn len(&self) -> usize {
        self.at.len()
    }

    /// What was made of the rows.
    pub(super) fn made(&self) -> Result<Vec<ArrayRef>> {
        let columns = self.held.first().map_or(0, |held| held.made.len());
        (0..columns).map(|n| self.gather(|held| &held.made[n])).collect()
    }

    fn columns(&self, width: usize) -> Result<Vec<ArrayRef>> {
        (0..width).map(|n| self.gather(|held| held.rows.column(n))).collect()
    }

    fn gather<'h>(&'h self, column: impl Fn(&'h Held) -> &'h ArrayRef) -> Result<ArrayRef> {
        let (Some((batch, start)), Some((_, end))) = (self.at.first(), self.at.last()) else {
            return Ok(column(self.held[0]).slice(0, 0));
        };
        // Rows in order, as they mostly are, are not copied.
        if end.wrapping_sub(*start) == self.at.len() - 1
            && self.at.iter().zip(*start..).all(|((b, row), expected)| b == batch && *row == expected)
        {
            return Ok(column(self.held[*batch]).slice(*start, self.at.len()));
        }
        let columns = self.held.iter().map(|held| column(held).as_ref()).collect::<Vec<&dyn Array>>();
        Ok(interleave(&columns, self.at)?)
    }
}
