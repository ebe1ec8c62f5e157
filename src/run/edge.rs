//! What travels between the tasks of a component: to workers, and from them to sinks.
//!
//! Where batches go to workers in turn, their rows come to a sink from all of them. Batches are numbered, and a sink takes what
//! became of them in the order of their numbers: [`InOrder`].

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::mpsc;

use crate::graph::{Handover, Message};
use crate::plan::Input;

/// A message to a worker.
#[derive(Debug)]
pub(super) enum ToWorker {
    /// From a source.
    Message {
        /// Which of its outputs it comes from.
        input: Input,
        message: Message,
        /// Its place among all messages of the source.
        order: Order,
    },
    /// From a worker of this number, to the one that gathers.
    Handover(usize, Handover),
}

/// The place of a message among those that other workers got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Any.
    Free,
    /// It is the batch of this number, counted from 0.
    Batch(u64),
    /// It comes behind the batches below this number.
    Behind(u64),
}

/// A message to a sink.
#[derive(Debug)]
pub(super) enum ToSink {
    /// One of this place.
    One(Order, Message),
    /// All that became of the batch of this number, perhaps nothing.
    OfBatch(u64, Vec<Message>),
}

/// Puts what workers hand to one sink into the order of the source's batches.
#[derive(Debug)]
pub(super) struct InOrder {
    edge: mpsc::Receiver<ToSink>,
    /// The number of the batch that is waited for.
    next: u64,
    /// What can be taken now.
    ready: VecDeque<Message>,
    /// What became of later batches.
    early: BTreeMap<u64, Vec<Message>>,
    /// What comes behind batches that are waited for.
    behind: Vec<(u64, Message)>,
}

impl InOrder {
    /// From an edge.
    pub(super) fn new(edge: mpsc::Receiver<ToSink>) -> Self {
        Self { edge, next: 0, ready: VecDeque::new(), early: BTreeMap::new(), behind: Vec::new() }
    }

    /// The next message; `None` when all workers are gone.
    pub(super) async fn recv(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            let Some(message) = self.edge.recv().await else {
                return self.left();
            };
            match message {
                ToSink::One(Order::Behind(number), message) if number > self.next => {
                    self.behind.push((number, message));
                }
                ToSink::One(_, message) => return Some(message),
                ToSink::OfBatch(number, messages) => self.take(number, messages),
            }
        }
    }

    /// A worker failed before it handed out its batches: the rows of others are not lost for that. Nothing is told to be
    /// complete behind them.
    fn left(&mut self) -> Option<Message> {
        self.behind.clear();
        let early = std::mem::take(&mut self.early);
        self.ready.extend(early.into_values().flatten());
        self.ready.pop_front()
    }

    fn take(&mut self, number: u64, messages: Vec<Message>) {
        if number != self.next {
            self.early.insert(number, messages);
            return;
        }
        self.ready.extend(messages);
        self.next += 1;
        while let Some(messages) = self.early.remove(&self.next) {
            self.ready.extend(messages);
            self.next += 1;
        }
        let next = self.next;
        self.ready.extend(self.behind.extract_if(.., |(number, _)| *number <= next).map(|(_, message)| message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Barrier;

    fn message(number: u64) -> Message {
        Message::Barrier(Barrier { source: 0, number })
    }

    #[tokio::test]
    async fn what_became_of_batches_comes_in_the_order_of_the_batches() {
        let (to, edge) = mpsc::channel(10);
        let mut sink = InOrder::new(edge);
        let sent = [
            ToSink::OfBatch(1, vec![message(11), message(12)]),
            ToSink::One(Order::Behind(3), message(30)),
            ToSink::One(Order::Free, message(0)),
            ToSink::OfBatch(2, Vec::new()),
            ToSink::One(Order::Behind(3), message(31)),
            ToSink::OfBatch(0, vec![message(1)]),
            ToSink::One(Order::Behind(3), message(32)),
        ];
        for message in sent {
            to.send(message).await.expect("there is room");
        }
        drop(to);
        let mut told = Vec::new();
        while let Some(Message::Barrier(barrier)) = sink.recv().await {
            told.push(barrier.number);
        }
        assert_eq!(told, [0, 1, 11, 12, 30, 31, 32]);
    }

    #[tokio::test]
    async fn rows_behind_a_batch_that_never_comes_are_not_lost() {
        let (to, edge) = mpsc::channel(10);
        let mut sink = InOrder::new(edge);
        for message in [
            ToSink::OfBatch(2, vec![message(2)]),
            ToSink::One(Order::Behind(3), message(30)),
            ToSink::OfBatch(1, vec![message(1)]),
        ] {
            to.send(message).await.expect("there is room");
        }
        drop(to);
        let mut told = Vec::new();
        while let Some(Message::Barrier(barrier)) = sink.recv().await {
            told.push(barrier.number);
        }
        assert_eq!(told, [1, 2]);
    }
}
