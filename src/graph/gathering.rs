//! What the first worker waits for where batches go to workers in turn: the parts of all workers.
//!
//! Every worker hears of the same watermarks in the same order, and hands over a part for each. A *round* is the parts of all
//! workers for one watermark. A part is taken when its round is whole, so that rows count for the windows that were open when they
//! arrived; barriers and the end are waited for in the same way.

use std::collections::{BTreeMap, VecDeque};

use lineside_model::{Error, Result, Timestamp};
use lineside_operators::HandedOver;

use super::slot::{Role, Slot};
use super::{Barrier, Ending, Watermark};

/// One worker's part in a round.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) watermark: Watermark,
    /// When the newest reading in it was read from the wire.
    pub(super) newest: Timestamp,
    pub(super) part: Option<HandedOver>,
}

/// What came of some workers and not yet of others.
#[derive(Debug)]
pub(super) struct Gathering {
    workers: usize,
    /// The operators that gather, by their place in the worker.
    slots: Vec<usize>,
    /// For each of them and each worker the parts that wait.
    waiting: Vec<Vec<VecDeque<Part>>>,
    /// How many workers have come to a barrier, by its source and number.
    barriers: BTreeMap<(usize, u64), usize>,
    endings: Vec<Ending>,
}

impl Gathering {
    /// For the operators that gather among these, if there are any.
    pub(super) fn of(slots: &[Slot], workers: usize) -> Option<Self> {
        let gathers = |(n, slot): (usize, &Slot)| (slot.role == Role::Gathers).then_some(n);
        let slots = slots.iter().enumerate().filter_map(gathers).collect::<Vec<_>>();
        let waiting = slots.iter().map(|_| (0..workers).map(|_| VecDeque::new()).collect()).collect();
        let gathering = Self { workers, slots, waiting, barriers: BTreeMap::new(), endings: Vec::new() };
        (!gathering.slots.is_empty()).then_some(gathering)
    }

    /// The operators that gather, by their place in the worker.
    pub(super) fn slots(&self) -> &[usize] {
        &self.slots
    }

    /// A part of a worker came.
    pub(super) fn wait(&mut self, operator: usize, worker: usize, part: Part) -> Result<()> {
        let waiting = self.waiting.get_mut(operator).and_then(|workers| workers.get_mut(worker));
        waiting.ok_or_else(|| Error::internal("a part came for an operator that gathers none"))?.push_back(part);
        Ok(())
    }

    /// The next round of an operator if it is whole, the workers in their order. A worker that was restored may hear of a watermark
    /// again that others have behind them.
    pub(super) fn round(&mut self, operator: usize) -> Option<Vec<Part>> {
        let waiting = &mut self.waiting[operator];
        let next = |part: &Part| if let Watermark::At(at) = part.watermark { at } else { Timestamp::MAX };
        let fronts = waiting.iter().map(|parts| parts.front().map(next));
        let least = fronts.collect::<Option<Vec<_>>>()?.into_iter().min();
        let of_round = |parts: &mut VecDeque<Part>| parts.pop_front_if(|part| Some(next(part)) == least);
        Some(waiting.iter_mut().filter_map(of_round).collect())
    }

    /// All parts that wait for others, with the place of the operator that gathers them.
    pub(super) fn take_waiting(&mut self) -> Vec<(usize, Part)> {
        let waiting = self.slots.iter().zip(&mut self.waiting);
        let parts = waiting.flat_map(|(slot, workers)| workers.iter_mut().map(move |parts| (*slot, parts)));
        parts.flat_map(|(slot, parts)| parts.drain(..).map(move |part| (slot, part))).collect()
    }

    /// A worker came to a barrier; whether it was the last.
    pub(super) fn barrier(&mut self, barrier: Barrier) -> bool {
        let key = (barrier.source, barrier.number);
        let come = self.barriers.entry(key).or_default();
        *come += 1;
        let all = *come == self.workers;
        if all {
            self.barriers.remove(&key);
        }
        all
    }

    /// A worker came to its end; that of all if it was the last.
    pub(super) fn end(&mut self, ending: Ending) -> Option<Ending> {
        self.endings.push(ending);
        let stopped = self.endings.contains(&Ending::Stopped);
        self.has_ended().then_some(if stopped { Ending::Stopped } else { Ending::Complete })
    }

    /// Whether all workers have come to their end.
    pub(super) fn has_ended(&self) -> bool {
        self.endings.len() == self.workers
    }

    /// Whether parts of some workers wait for those of others.
    pub(super) fn waits(&self) -> bool {
        self.waiting.iter().flatten().any(|parts| !parts.is_empty())
    }
}
