//! Puts what comes out of order into the order of time.
//!
//! Things of the same time keep the order in which they came. Nearly all come in order: those stand in a queue, which costs
//! nothing; only stragglers go through a heap.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use lineside_model::Timestamp;

/// Things that wait for their turn.
#[derive(Debug)]
pub(crate) struct InOrder<T> {
    queue: VecDeque<Waiting<T>>,
    stragglers: BinaryHeap<Reverse<Waiting<T>>>,
    came: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    ts: Timestamp,
    /// How many came before it.
    number: u64,
    what: T,
}

impl<T> Waiting<T> {
    fn turn(&self) -> (Timestamp, u64) {
        (self.ts, self.number)
    }
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Self) -> bool {
        self.turn() == other.turn()
    }
}

impl<T> Eq for Waiting<T> {}

impl<T> PartialOrd for Waiting<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Waiting<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.turn().cmp(&other.turn())
    }
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), stragglers: BinaryHeap::new(), came: 0 }
    }
}

impl<T> InOrder<T> {
    /// Takes one in.
    pub(crate) fn push(&mut self, ts: Timestamp, what: T) {
        let waiting = Waiting { ts, number: self.came, what };
        self.came += 1;
        if self.queue.back().is_none_or(|last| last.ts <= ts) {
            self.queue.push_back(waiting);
        } else {
            self.stragglers.push(Reverse(waiting));
        }
    }

    /// The next one whose time is not after `upto`.
    pub(crate) fn pop(&mut self, upto: Timestamp) -> Option<(Timestamp, T)> {
        let queued = self.queue.front().filter(|next| next.ts <= upto).map(Waiting::turn);
        let straggler = self.stragglers.peek().filter(|next| next.0.ts <= upto).map(|next| next.0.turn());
        let next = match (queued, straggler) {
            (Some(queued), Some(straggler)) if straggler < queued => self.stragglers.pop().map(|Reverse(next)| next),
            (None, Some(_)) => self.stragglers.pop().map(|Reverse(next)| next),
            (Some(_), _) => self.queue.pop_front(),
            (None, None) => None,
        };
        next.map(|next| (next.ts, next.what))
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.len() + self.stragglers.len()
    }

    /// Those that wait, in their order.
    pub(crate) fn waiting(&self) -> Vec<(Timestamp, &T)> {
        let mut all = self.queue.iter().chain(self.stragglers.iter().map(|next| &next.0)).collect::<Vec<_>>();
        all.sort_unstable();
        all.into_iter().map(|next| (next.ts, &next.what)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_leave_in_the_order_of_time_and_equals_as_they_came() {
        let mut order = InOrder::default();
        for (what, ts) in [30, 10, 40, 10, 30, 40, 20].into_iter().enumerate() {
            order.push(Timestamp(ts), what);
        }
        assert_eq!(order.waiting().iter().map(|(_, what)| **what).collect::<Vec<_>>(), [1, 3, 6, 0, 4, 2, 5]);
        let upto = |order: &mut InOrder<usize>, ts| std::iter::from_fn(|| order.pop(Timestamp(ts))).collect::<Vec<_>>();
        assert_eq!(upto(&mut order, 9), []);
        let left = upto(&mut order, 30).into_iter().map(|(_, what)| what).collect::<Vec<_>>();
        assert_eq!(left, [1, 3, 6, 0, 4]);
        order.push(Timestamp(40), 7);
        let left = upto(&mut order, 99).into_iter().map(|(_, what)| what).collect::<Vec<_>>();
        assert_eq!((left, order.len()), (vec![2, 5, 7], 0));
    }
}
