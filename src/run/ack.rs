//! Which barriers of a source are under way, and up to where it may acknowledge.
//!
//! A barrier is answered once by every sink below the source, on every worker. Answers of different sinks come in any order;
//! positions are released in the order of the barriers. A connection that is lost in between changes nothing of that: what was
//! read over it is durable when the barrier is answered.

use std::collections::VecDeque;

use lineside_connectors::Position;

/// Barriers under way.
#[derive(Debug)]
pub(super) struct Acks {
    next: u64,
    answers: usize,
    waiting: VecDeque<(u64, usize, Position)>,
}

impl Acks {
    /// For a source with so many sinks below it, counted once a worker.
    pub(super) fn new(answers: usize) -> Self {
        Self { next: 0, answers, waiting: VecDeque::new() }
    }

    /// A new barrier behind `position`; its number.
    pub(super) fn begin(&mut self, position: Position) -> u64 {
        self.next += 1;
        self.waiting.push_back((self.next, self.answers, position));
        self.next
    }

    /// One sink has answered.
    pub(super) fn answered(&mut self, number: u64) {
        if let Some((_, left, _)) = self.waiting.iter_mut().find(|(n, ..)| *n == number) {
            *left = left.saturating_sub(1);
        }
    }

    /// The newest position that everything before is durable for.
    pub(super) fn release(&mut self) -> Option<Position> {
        let mut released = None;
        while self.waiting.front().is_some_and(|(_, left, _)| *left == 0) {
            released = self.waiting.pop_front().map(|(.., position)| position);
        }
        released
    }

    /// How many barriers are under way.
    pub(super) fn under_way(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no barrier is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_released_when_every_sink_has_answered_and_all_before_it_are() {
        let mut acks = Acks::new(2);
        let (a, b) = (acks.begin(Position::Sequence(1)), acks.begin(Position::Sequence(2)));
        acks.answered(b);
        acks.answered(b);
        assert_eq!(acks.release(), None);
        acks.answered(a);
        assert_eq!(acks.release(), None);
        acks.answered(a);
        assert_eq!(acks.release(), Some(Position::Sequence(2)));
        assert!(acks.is_quiet());
    }
}
