//! The single-threaded state machine that owns a copy of a component's operators.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use lineside_model::{Error, Reason, Result, Timestamp};
use lineside_operators::{Emitter, Operator, Snapshot};

use super::gathering::{Gathering, Part};
use super::slot::{Output, Role, Slot, Target};
use super::wiring::Wiring;
use super::{Barrier, Batch, Component, Ending, Handover, Message, Watermark};
use crate::observe::{Board, State};
use crate::plan::{Input, Plan};

/// What a worker hands on.
#[derive(Debug, Default)]
pub struct Outbox {
    /// To sinks, by their place in the component.
    pub to_sinks: Vec<(usize, Message)>,
    /// To the worker that gathers.
    pub handed_over: Vec<Handover>,
}

/// The operators of one component for one worker's share of the rows. Given a message, it pushes it through by function calls until
/// nothing follows; it never waits, reads no clock and does no I/O.
#[derive(Debug)]
pub struct Worker {
    nodes: Vec<Slot>,
    /// Where the rows of each input go, by input.
    routes: BTreeMap<Input, Vec<Target>>,
    /// Sinks that rows of each source reach on this worker: who has to flush before it acknowledges.
    below: BTreeMap<usize, Vec<usize>>,
    /// Sinks that only what is gathered reaches.
    below_gathered: Vec<usize>,
    ending: BTreeMap<Input, Option<Ending>>,
    sinks: usize,
    /// Whether it hands over to the worker that gathers, which may be itself.
    hands_over: bool,
    /// What the worker that gathers waits for.
    gathering: Option<Gathering>,
}

impl Worker {
    /// Builds the operators of worker `number` of a component.
    pub fn new(plan: &Plan, component: &Component, number: usize, board: &Board) -> Self {
        let Wiring { slots: nodes, routes } = Wiring::new(plan, component, number, board);
        nodes.iter().for_each(|slot| slot.set_state(State::Running));
        let mut worker = Self {
            below: BTreeMap::new(),
            below_gathered: Vec::new(),
            ending: routes.keys().map(|input| (*input, None)).collect(),
            sinks: component.sinks.len(),
            hands_over: nodes.iter().any(|slot| matches!(slot.role, Role::HandsOver(_))),
            gathering: Gathering::of(&nodes, component.workers),
            nodes,
            routes,
        };
        for &source in &component.sources {
            let routes = Input::of_source(source).into_iter().filter_map(|input| worker.routes.get(&input));
            worker.below.insert(source, worker.sinks_from(routes.flatten().copied().collect()));
        }
        let gathered = worker.gathering.iter().flat_map(Gathering::slots);
        worker.below_gathered = worker.sinks_from(gathered.flat_map(|n| worker.nodes[*n].targets()).copied().collect());
        worker
    }

    /// The sinks, by place in the component, that rows, dead letters or the quarantine of a source can reach, here or by way of this
    /// worker's gathering.
    pub fn sinks_below(&self, source: usize) -> Vec<usize> {
        let own = self.below.get(&source).into_iter().flatten();
        own.chain(&self.below_gathered).copied().collect()
    }

    fn sinks_from(&self, mut open: Vec<Target>) -> Vec<usize> {
        let mut found = Vec::new();
        let mut seen = vec![false; self.nodes.len()];
        while let Some(target) = open.pop() {
            match target {
                Target::Sink(n) => found.push(n),
                Target::Node(n, _) if !std::mem::replace(&mut seen[n], true) => open.extend(self.nodes[n].targets()),
                Target::Node(..) => {}
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether anything reads this input.
    pub fn reads(&self, input: Input) -> bool {
        self.routes.contains_key(&input)
    }

    /// Takes one message of an input and pushes it through.
    ///
    /// # Errors
    /// Only for our bugs: an operator that fails.
    pub fn take(&mut self, input: Input, message: Message, out: &mut Outbox) -> Result<()> {
        match message {
            Message::Data(batch) => {
                let (route, mut flow) = self.flow(input, batch.origin, out);
                flow.hand_on(route, batch.rows)?;
            }
            Message::Watermark(watermark) => self.take_watermark(input, watermark, out)?,
            Message::Barrier(barrier) => {
                out.bar(self.below.get(&barrier.source).map_or(&[], Vec::as_slice), barrier);
                if self.hands_over {
                    out.handed_over.push(Handover::Barrier(barrier));
                }
                self.note_open_rows();
            }
            Message::End(ending) => self.end(input, ending, out)?,
        }
        if self.gathering.is_none() {
            return Ok(());
        }
        // What the worker that gathers hands over, it hands to itself.
        std::mem::take(&mut out.handed_over).into_iter().try_for_each(|handover| self.gather(0, handover, out))
    }

    /// Takes what a worker, by its number, has handed over to this one, which gathers, and pushes through what follows.
    ///
    /// # Errors
    /// As [`Worker::take`].
    pub fn gather(&mut self, worker: usize, handover: Handover, out: &mut Outbox) -> Result<()> {
        let nobody = || Error::internal("something was handed over to a worker that does not gather");
        let gathering = self.gathering.as_mut().ok_or_else(nobody)?;
        match handover {
            Handover::Part { operator, watermark, newest, part } => {
                gathering.wait(operator, worker, Part { watermark, newest, part })?;
                let slot = gathering.slots()[operator];
                while let Some(round) = self.gathering.as_mut().and_then(|waiting| waiting.round(operator)) {
                    self.close_round(slot, round, out)?;
                }
            }
            Handover::Barrier(barrier) => {
                if gathering.barrier(barrier) {
                    out.bar(&self.below_gathered, barrier);
                    self.note_open_rows();
                }
            }
            Handover::End(ending) => {
                if let Some(ending) = gathering.end(ending) {
                    self.finish(ending, out);
                }
            }
        }
        Ok(())
    }

    /// All workers have handed over what they have up to a watermark.
    fn close_round(&mut self, slot: usize, round: Vec<Part>, out: &mut Outbox) -> Result<()> {
        let Some(watermark) = round.first().map(|part| part.watermark) else { return Ok(()) };
        let gathers = &mut self.nodes[slot];
        for Part { newest, part, .. } in round {
            gathers.newest = gathers.newest.max(newest);
            part.map_or(Ok(()), |part| gathers.operator.take_over(part))?;
        }
        let mut flow = Flow { base: 0, nodes: &mut self.nodes, out, origin: Timestamp::MIN };
        flow.hand_on_time(&[Target::Node(slot, 0)], watermark)
    }

    /// The clock reached `now`: wakes the operators that asked for it.
    ///
    /// # Errors
    /// As [`Worker::take`].
    pub fn tick(&mut self, now: Timestamp, out: &mut Outbox) -> Result<()> {
        for n in 0..self.nodes.len() {
            if self.nodes[n].operator.wake_at().is_some_and(|at| at <= now) {
                let mut flow = Flow { base: 0, nodes: &mut self.nodes, out, origin: now };
                flow.run(n, |operator, emitter| operator.tick(now, emitter))?;
            }
        }
        Ok(())
    }

    /// When the next operator wants to be woken.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.nodes.iter().filter_map(|slot| slot.operator.wake_at()).min()
    }

    /// Whether all inputs have ended, and all that it gathers.
    pub fn has_ended(&self) -> bool {
        self.inputs_have_ended() && self.gathering.as_ref().is_none_or(Gathering::has_ended)
    }

    fn inputs_have_ended(&self) -> bool {
        self.ending.values().all(Option::is_some)
    }

    /// Whether it has parts of some workers for which those of others have not come: it cannot be saved then.
    pub fn waits_for_others(&self) -> bool {
        self.gathering.as_ref().is_some_and(Gathering::waits)
    }

    /// The state of all operators, in the order of the component.
    ///
    /// # Errors
    /// If it [waits for others](Self::waits_for_others), which is our bug.
    pub fn snapshot(&self) -> Result<Vec<Snapshot>> {
        if self.waits_for_others() {
            return Err(Error::internal("a worker was to be saved between two watermarks of other workers"));
        }
        self.nodes.iter().map(|slot| slot.operator.snapshot()).collect()
    }

    /// Takes over the state of all operators.
    ///
    /// # Errors
    /// If a snapshot is of another operator.
    pub fn restore(&mut self, snapshots: &[Snapshot]) -> Result<()> {
        if snapshots.len() != self.nodes.len() {
            return Err(Error::user(format!(
                "saved state has {} operators, the pipeline {}",
                snapshots.len(),
                self.nodes.len()
            )));
        }
        self.nodes.iter_mut().zip(snapshots).try_for_each(|(slot, snapshot)| slot.operator.restore(snapshot))
    }

    fn flow<'a>(&'a mut self, input: Input, origin: Timestamp, out: &'a mut Outbox) -> (&'a [Target], Flow<'a>) {
        let route = self.routes.get(&input).map_or(&[][..], Vec::as_slice);
        (route, Flow { base: 0, nodes: &mut self.nodes, out, origin })
    }

    fn take_watermark(&mut self, input: Input, watermark: Watermark, out: &mut Outbox) -> Result<()> {
        let (route, mut flow) = self.flow(input, Timestamp::MIN, out);
        flow.hand_on_time(route, watermark)
    }

    fn end(&mut self, input: Input, ending: Ending, out: &mut Outbox) -> Result<()> {
        if ending == Ending::Complete {
            self.take_watermark(input, Watermark::At(Timestamp::MAX), out)?;
        }
        if let Some(ended) = self.ending.get_mut(&input) {
            *ended = Some(ending);
        }
        if self.inputs_have_ended() {
            let stopped = self.ending.values().any(|e| *e == Some(Ending::Stopped));
            let ending = if stopped { Ending::Stopped } else { Ending::Complete };
            if self.hands_over {
                out.handed_over.push(Handover::End(ending));
            }
            // The worker that gathers goes on until the others have come to their ends.
            if self.gathering.is_none() {
                self.finish(ending, out);
            }
        }
        Ok(())
    }

    /// What it waits for never comes: comes to its end as if it were stopped.
    ///
    /// # Errors
    /// As [`Worker::take`].
    pub fn give_up(&mut self, out: &mut Outbox) -> Result<()> {
        for (slot, part) in self.gathering.iter_mut().flat_map(Gathering::take_waiting) {
            // So that its rows are in the books.
            part.part.map_or(Ok(()), |part| self.nodes[slot].operator.take_over(part))?;
        }
        self.finish(Ending::Stopped, out);
        Ok(())
    }

    /// There is no more.
    fn finish(&mut self, ending: Ending, out: &mut Outbox) {
        self.note_open_rows();
        if ending == Ending::Stopped {
            self.give_up_open_rows();
        }
        self.nodes.iter().for_each(|slot| slot.set_state(State::Ended));
        out.to_sinks.extend((0..self.sinks).map(|sink| (sink, Message::End(ending))));
    }

    /// Tells the meters how many rows are in open windows.
    fn note_open_rows(&mut self) {
        for slot in &mut self.nodes {
            for (n, output) in slot.outputs.iter_mut().enumerate() {
                output.tell_open(slot.operator.open_rows_of(n));
            }
        }
    }

    /// Windows that are open at a stop are not complete: their rows are counted.
    fn give_up_open_rows(&mut self) {
        for output in self.nodes.iter_mut().flat_map(|slot| &mut slot.outputs) {
            output.meter.drop_rows(Reason::Open, usize::try_from(output.told_open).unwrap_or(usize::MAX));
            output.tell_open(0);
        }
    }
}

impl Outbox {
    /// Puts a barrier behind what sinks get.
    fn bar(&mut self, sinks: &[usize], barrier: Barrier) {
        self.to_sinks.extend(sinks.iter().map(|sink| (*sink, Message::Barrier(barrier))));
    }
}

/// The operators from `base` on: those that rows can still reach. A target always has a higher number than its origin, so the
/// operator that is running and those behind it can be borrowed at the same time.
struct Flow<'a> {
    base: usize,
    nodes: &'a mut [Slot],
    out: &'a mut Outbox,
    /// When the newest reading that leads to what is handed on was read from the wire.
    origin: Timestamp,
}

impl Flow<'_> {
    fn hand_on(&mut self, targets: &[Target], rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let Some((last, others)) = targets.split_last() else { return Ok(()) };
        for target in others {
            self.hand_to(*target, rows.clone())?;
        }
        self.hand_to(*last, rows)
    }

    fn hand_to(&mut self, target: Target, rows: RecordBatch) -> Result<()> {
        match target {
            Target::Sink(n) => {
                self.out.to_sinks.push((n, Message::Data(Batch { rows, origin: self.origin, handed_on: 0 })));
                Ok(())
            }
            Target::Node(n, port) => {
                let slot = &mut self.nodes[n - self.base];
                slot.newest = slot.newest.max(self.origin);
                slot.outputs.iter().for_each(|output| output.meter.rows_in(rows.num_rows()));
                self.run(n, |operator, out| operator.process(port, rows, out))
            }
        }
    }

    fn hand_on_time(&mut self, targets: &[Target], watermark: Watermark) -> Result<()> {
        for &target in targets {
            if let Target::Node(n, port) = target
                && let Some(forward) = self.nodes[n - self.base].hear(port, watermark)
            {
                if let Role::HandsOver(operator) = self.nodes[n - self.base].role {
                    self.hand_over(n, operator, forward)?;
                    continue;
                }
                if let Watermark::At(at) = forward {
                    self.origin = self.nodes[n - self.base].newest;
                    self.run(n, |operator, out| operator.advance(at, out))?;
                }
                let targets = self.nodes[n - self.base].targets().copied().collect::<Vec<_>>();
                self.hand_on_time(&targets, forward)?;
            }
        }
        Ok(())
    }

    /// What an operator has up to a watermark goes to the one that gathers.
    fn hand_over(&mut self, n: usize, operator: usize, watermark: Watermark) -> Result<()> {
        let slot = &mut self.nodes[n - self.base];
        let part = match watermark {
            Watermark::At(at) => slot.operator.hand_over(at)?,
            Watermark::Idle => None,
        };
        slot.note_windows();
        self.out.handed_over.push(Handover::Part { operator, watermark, newest: slot.newest, part });
        Ok(())
    }

    fn run(&mut self, n: usize, act: impl FnOnce(&mut dyn Operator, &mut dyn Emitter) -> Result<()>) -> Result<()> {
        let (before, behind) = self.nodes.split_at_mut(n - self.base + 1);
        let Some(slot) = before.last_mut() else { return Ok(()) };
        let mut below = Below {
            flow: Flow { base: n + 1, nodes: behind, out: &mut *self.out, origin: self.origin },
            outputs: &slot.outputs,
            watermark: slot.watermark,
        };
        let name = slot.outputs.first().map_or("", |output| output.meter.name.as_str());
        act(slot.operator.as_mut(), &mut below).map_err(|e| e.of(format_args!("operator \"{name}\"")))?;
        slot.note_windows();
        Ok(())
    }
}

/// What a running operator emits into.
struct Below<'a, 'b> {
    flow: Flow<'b>,
    outputs: &'a [Output],
    watermark: Timestamp,
}

impl Emitter for Below<'_, '_> {
    fn emit(&mut self, rows: RecordBatch) -> Result<()> {
        self.emit_to(0, rows)
    }

    fn dropped(&mut self, reason: Reason, rows: usize) {
        self.dropped_from(0, reason, rows);
    }

    fn emit_to(&mut self, output: usize, rows: RecordBatch) -> Result<()> {
        let found = self.outputs.get(output);
        let output = found.ok_or_else(|| Error::internal(format!("nobody planned an output {output}")))?;
        output.meter.rows_out(rows.num_rows());
        self.flow.hand_on(&output.targets, rows)
    }

    fn dropped_from(&mut self, output: usize, reason: Reason, rows: usize) {
        if let Some(output) = self.outputs.get(output) {
            output.meter.drop_rows(reason, rows);
        }
    }

    fn wants_late(&self, output: usize) -> bool {
        self.outputs.get(output).is_some_and(|output| output.late.is_some())
    }

    fn late(&mut self, output: usize, rows: RecordBatch, time: usize) -> Result<()> {
        match self.outputs.get(output).and_then(|output| output.late.as_ref()) {
            Some(late) => self.flow.hand_on(&late.targets, late.explained(&rows, time, self.watermark)?),
            None => Ok(()),
        }
    }
}
