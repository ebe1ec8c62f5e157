//! Which sensor has to be looked at next, and when.
//!
//! A deadline moves with nearly every reading ("five seconds after the last one"), so it is not moved in the heap: a sensor
//! keeps one entry that may be too early. When it comes up the caller looks at the state and arms it anew. The cost per
//! reading is a comparison, and one pass through the heap per sensor and waiting time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use lineside_model::Timestamp;

/// Earliest-first deadlines of things that are numbered from 0.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// The entry of the heap that counts, by number; others of the same number were overtaken by an earlier one.
    armed: Vec<Option<Timestamp>>,
}

impl Timers {
    /// Says that number `n` is due at `due`, or not at all.
    pub(crate) fn arm(&mut self, n: usize, due: Option<Timestamp>) {
        if self.armed.len() <= n {
            self.armed.resize(n + 1, None);
        }
        if let Some(due) = due
            && self.armed[n].is_none_or(|armed| due < armed)
        {
            self.armed[n] = Some(due);
            self.heap.push(Reverse((due, n)));
        }
    }

    /// A time at or before the next deadline.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes out a number that may be due by `now`, with the time it was armed for; earliest first, equal times in the order
    /// of numbers. The caller looks whether it is really due then, and arms it again.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<(usize, Timestamp)> {
        while self.next()? <= now {
            let Reverse((due, n)) = self.heap.pop()?;
            if self.armed[n] == Some(due) {
                self.armed[n] = None;
                return Some((n, due));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_an_overtaken_entry_never() {
        let mut timers = Timers::default();
        timers.arm(0, Some(Timestamp(30)));
        timers.arm(1, Some(Timestamp(20)));
        timers.arm(0, Some(Timestamp(10)));
        timers.arm(2, None);
        assert_eq!(timers.next(), Some(Timestamp(10)));
        assert_eq!(timers.pop(Timestamp(9)), None);
        let order = std::iter::from_fn(|| timers.pop(Timestamp(99))).collect::<Vec<_>>();
        assert_eq!(order, [(0, Timestamp(10)), (1, Timestamp(20))]);
        assert_eq!(timers.next(), None);
    }
}
