//! The messages of a made-up plant, in the order in which they are due.
//!
//! Readings are taken at even intervals, the sensors in turn. One that is held up waits in a heap until its time has come,
//! so the heap is never longer than the readings of the longest delay.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use lineside_model::{Result, Span, Timestamp};

use super::rush::{count, taken};
use super::{Kind, Message, Options};

/// A burst that nobody asked for is of this many seconds.
const BURST_S: f64 = 100e-6;

/// The messages of a made-up plant, in the order in which they are due.
#[derive(Clone, Debug)]
pub struct Messages {
    options: Options,
    first: Timestamp,
    burst: u64,
    /// How many readings are taken in all.
    end: u64,
    /// The reading that is taken next, counted over all sensors and gaps.
    next: u64,
    /// Readings that are held up, by when they are due.
    held_up: BinaryHeap<Reverse<(Duration, u64)>>,
    /// What is sent once more.
    again: Option<Message>,
    number: u64,
}

impl Messages {
    /// The messages of a plant whose first reading is of 1970; see [`Messages::starting`].
    ///
    /// # Errors
    /// An option is out of its range.
    pub fn new(options: &Options) -> Result<Self> {
        options.check()?;
        let fastest = options.rate * options.rush.map_or(1.0, |rush| rush.times.max(1.0));
        let together = options.burst.map_or_else(|| (fastest * BURST_S).round().max(1.0) as u64, u64::from);
        let end = options.lasts.map_or(u64::MAX, |lasts| count(lasts, options.rate, options.rush));
        Ok(Self {
            options: options.clone(),
            first: Timestamp(0),
            burst: together,
            end,
            next: 0,
            held_up: BinaryHeap::new(),
            again: None,
            number: 0,
        })
    }

    /// With event times that begin here: when the feed is to start.
    #[must_use]
    pub fn starting(mut self, at: Timestamp) -> Self {
        self.first = at;
        self
    }

    /// When a reading is taken, since the start.
    fn taken(&self, index: u64) -> Span {
        Span::from_micros(taken(index, self.options.rate, self.options.rush) as i64)
    }

    /// When a reading leaves if nothing holds it up: with the last one of its burst.
    fn due(&self, index: u64) -> Duration {
        let last = (index / self.burst + 1).saturating_mul(self.burst) - 1;
        self.taken(last.min(self.end - 1)).to_std()
    }

    fn sensor(&self, index: u64) -> u32 {
        (index % u64::from(self.options.sensors)) as u32
    }

    fn message(&mut self, index: u64, due: Duration) -> Message {
        let Options { seed, sensors, signal, trouble, .. } = &self.options;
        let (sensor, at) = (self.sensor(index), self.taken(index));
        let value = signal.value(*seed, sensor, *sensors, at, index);
        let number = self.number;
        self.number += 1;
        let mut message = Message { number, due, sensor, ts: self.first + at, value, kind: Kind::Good };
        match trouble.kind(*seed, index) {
            Kind::Good => {}
            Kind::Bad => message.kind = Kind::Bad,
            Kind::Duplicate => self.again = Some(Message { kind: Kind::Duplicate, ..message }),
        }
        message
    }
}

impl Iterator for Messages {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        if let Some(again) = self.again.take() {
            return Some(again);
        }
        while self.next < self.end {
            let (index, due) = (self.next, self.due(self.next));
            if let Some(&Reverse((waited_until, waited))) = self.held_up.peek()
                && (waited_until, waited) < (due, index)
            {
                self.held_up.pop();
                return Some(self.message(waited, waited_until));
            }
            self.next += 1;
            let (at, seed) = (self.taken(index), self.options.seed);
            if self.options.trouble.silent(seed, self.sensor(index), at) {
                continue;
            }
            match self.options.trouble.delay(seed, index) {
                None => return Some(self.message(index, due)),
                Some(delay) => self.held_up.push(Reverse((due.max(at.to_std() + delay), index))),
            }
        }
        let Reverse((due, index)) = self.held_up.pop()?;
        Some(self.message(index, due))
    }
}
