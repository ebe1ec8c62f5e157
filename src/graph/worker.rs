//! The single-threaded state machine that owns a copy of a component's operators.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use lineside_model::{Error, Reason, Result, Timestamp};
use lineside_operators::{Emitter, Operator, Port, Snapshot};

use super::{Batch, Component, Ending, Message, Watermark};
use crate::observe::{Board, Kind, Meter, OpenWindow, State};
use crate::plan::{Input, OutputOf, Plan};

/// Takes what a worker hands to sinks, by the sink's place in the component.
pub trait Outbox {
    /// Takes one message for a sink.
    fn push(&mut self, sink: usize, message: Message);
}

impl Outbox for Vec<(usize, Message)> {
    fn push(&mut self, sink: usize, message: Message) {
        Self::push(self, (sink, message));
    }
}

/// The operators of one component for one share of its keys. Given a message, it pushes it through by function calls until
/// nothing follows; it never waits, reads no clock and does no I/O.
#[derive(Debug)]
pub struct Worker {
    nodes: Vec<Slot>,
    /// Where the rows of each input go, by input.
    routes: BTreeMap<Input, Vec<Target>>,
    /// Sinks below each source: who has to flush before it acknowledges.
    below: BTreeMap<usize, Vec<usize>>,
    ending: BTreeMap<Input, Option<Ending>>,
    sinks: usize,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Node(usize, Port),
    Sink(usize),
}

/// One operator, what it has heard of time, and where its rows go.
#[derive(Debug)]
struct Slot {
    operator: Box<dyn Operator>,
    ports: Vec<PortTime>,
    watermark: Timestamp,
    idle: bool,
    /// That of its own node, then those of the nodes it works for besides.
    outputs: Vec<Output>,
    /// When the newest reading that reached it was read from the wire: the origin of what a watermark makes it emit.
    newest: Timestamp,
}

/// One node's share in an operator: where the rows go, and its books, kept as if the node had an operator of its own.
#[derive(Debug)]
struct Output {
    targets: Vec<Target>,
    /// Where rows go that come too late, if anybody reads them.
    late: Option<Late>,
    /// Open rows that the meter was told of.
    told_open: u64,
    /// The oldest open window that the meter was told of, and this worker's number there.
    told_window: Option<OpenWindow>,
    worker: usize,
    meter: Arc<Meter>,
}

/// The table of rows that come too late for one node.
#[derive(Debug)]
struct Late {
    targets: Vec<Target>,
    schema: SchemaRef,
}

#[derive(Clone, Copy, Debug)]
struct PortTime {
    watermark: Timestamp,
    idle: bool,
}

impl Worker {
    /// Builds the operators of a component.
    pub fn new(plan: &Plan, component: &Component, board: &Board) -> Self {
        let local = |of: &[usize], n: usize| of.iter().position(|&m| m == n);
        let mut routes = BTreeMap::<Input, Vec<Target>>::new();
        // Targets are numbered by the operators that are built, which are fewer than the nodes where one works for several.
        let own = |n: &usize| plan.nodes[*n].output_of.is_none();
        let built = component.nodes.iter().copied().filter(own).collect::<Vec<_>>();
        let mut targets = vec![Vec::new(); component.nodes.len()];
        let mut late = targets.clone();
        let mut connect = |input: Input, target: Target| match input {
            Input::Node(n) => {
                if let Some(at) = local(&component.nodes, n) {
                    targets[at].push(target);
                }
            }
            Input::Late(n) => {
                if let Some(at) = local(&component.nodes, n) {
                    late[at].push(target);
                }
            }
            Input::Source(_) | Input::DeadLetters(_) | Input::Quarantine(_) => {
                routes.entry(input).or_default().push(target)
            }
        };
        for (slot, &n) in built.iter().enumerate() {
            for (port, &input) in plan.nodes[n].inputs.iter().enumerate() {
                connect(input, Target::Node(slot, port));
            }
        }
        for (at, &n) in component.sinks.iter().enumerate() {
            connect(plan.sinks[n].input, Target::Sink(at));
        }
        let mut outputs = built.iter().map(|_| BTreeMap::new()).collect::<Vec<_>>();
        for ((&n, targets), late) in component.nodes.iter().zip(targets).zip(late) {
            let OutputOf { node, output } = plan.nodes[n].output_of.unwrap_or(OutputOf { node: n, output: 0 });
            let name = &plan.nodes[n].name;
            let meter = board.find(Kind::Operator, name).cloned();
            let meter = meter.unwrap_or_else(|| Arc::new(Meter::new(Kind::Operator, name)));
            if let Some(slot) = local(&built, node) {
                let late = (!late.is_empty()).then(|| Late { targets: late, schema: plan.schema(Input::Late(n)) });
                outputs[slot].insert(output, Output { late, ..Output::new(targets, meter) });
            }
        }
        let nodes = (built.iter().zip(outputs))
            .map(|(&n, outputs)| Slot {
                operator: (plan.nodes[n].operator.build)(),
                ports: vec![PortTime { watermark: Timestamp::MIN, idle: false }; plan.nodes[n].inputs.len()],
                watermark: Timestamp::MIN,
                idle: false,
                outputs: outputs.into_values().collect(),
                newest: Timestamp::MIN,
            })
            .collect::<Vec<_>>();
        let ending = routes.keys().map(|input| (*input, None)).collect();
        nodes.iter().for_each(|slot| slot.set_state(State::Running));
        let mut worker = Self { nodes, routes, below: BTreeMap::new(), ending, sinks: component.sinks.len() };
        for &source in &component.sources {
            let below = worker.sinks_below(source);
            worker.below.insert(source, below);
        }
        worker
    }

    /// The sinks, by place in the component, that rows, dead letters or the quarantine of a source can reach.
    pub fn sinks_below(&self, source: usize) -> Vec<usize> {
        let mut found = Vec::new();
        let mut seen = vec![false; self.nodes.len()];
        let mut open = Input::of_source(source)
            .iter()
            .flat_map(|input| self.routes.get(input).into_iter().flatten().copied())
            .collect::<Vec<_>>();
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
    pub fn take(&mut self, input: Input, message: Message, out: &mut dyn Outbox) -> Result<()> {
        match message {
            Message::Data(batch) => {
                let (route, mut flow) = self.flow(input, batch.origin, out);
                flow.hand_on(route, batch.rows)
            }
            Message::Watermark(watermark) => self.take_watermark(input, watermark, out),
            Message::Barrier(barrier) => {
                for &sink in self.below.get(&barrier.source).into_iter().flatten() {
                    out.push(sink, Message::Barrier(barrier));
                }
                self.note_open_rows();
                Ok(())
            }
            Message::End(ending) => self.end(input, ending, out),
        }
    }

    /// The clock reached `now`: wakes the operators that asked for it.
    ///
    /// # Errors
    /// As [`Worker::take`].
    pub fn tick(&mut self, now: Timestamp, out: &mut dyn Outbox) -> Result<()> {
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

    /// Whether all inputs have ended.
    pub fn has_ended(&self) -> bool {
        self.ending.values().all(Option::is_some)
    }

    /// The state of all operators, in the order of the component.
    ///
    /// # Errors
    /// Only for our bugs.
    pub fn snapshot(&self) -> Result<Vec<Snapshot>> {
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

    fn flow<'a>(&'a mut self, input: Input, origin: Timestamp, out: &'a mut dyn Outbox) -> (&'a [Target], Flow<'a>) {
        let route = self.routes.get(&input).map_or(&[][..], Vec::as_slice);
        (route, Flow { base: 0, nodes: &mut self.nodes, out, origin })
    }

    fn take_watermark(&mut self, input: Input, watermark: Watermark, out: &mut dyn Outbox) -> Result<()> {
        let (route, mut flow) = self.flow(input, Timestamp::MIN, out);
        flow.hand_on_time(route, watermark)
    }

    fn end(&mut self, input: Input, ending: Ending, out: &mut dyn Outbox) -> Result<()> {
        if ending == Ending::Complete {
            self.take_watermark(input, Watermark::At(Timestamp::MAX), out)?;
        }
        if let Some(ended) = self.ending.get_mut(&input) {
            *ended = Some(ending);
        }
        if self.has_ended() {
            self.note_open_rows();
            let stopped = self.ending.values().any(|e| *e == Some(Ending::Stopped));
            if stopped {
                self.give_up_open_rows();
            }
            self.nodes.iter().for_each(|slot| slot.set_state(State::Ended));
            for sink in 0..self.sinks {
                out.push(sink, Message::End(if stopped { Ending::Stopped } else { Ending::Complete }));
            }
        }
        Ok(())
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

/// The operators from `base` on: those that rows can still reach. A target always has a higher number than its origin, so the
/// operator that is running and those behind it can be borrowed at the same time.
struct Flow<'a> {
    base: usize,
    nodes: &'a mut [Slot],
    out: &'a mut dyn Outbox,
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
                self.out.push(n, Message::Data(Batch { rows, origin: self.origin }));
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

impl Output {
    fn new(targets: Vec<Target>, meter: Arc<Meter>) -> Self {
        Self { targets, late: None, told_open: 0, told_window: None, worker: meter.held.join(), meter }
    }

    fn tell_open(&mut self, rows: u64) {
        self.meter.move_open_rows(self.told_open, rows);
        self.told_open = rows;
    }
}

impl Slot {
    /// Who reads any of its outputs.
    fn targets(&self) -> impl Iterator<Item = &Target> {
        self.outputs
            .iter()
            .flat_map(|output| output.targets.iter().chain(output.late.iter().flat_map(|late| &late.targets)))
    }

    fn set_state(&self, state: State) {
        self.outputs.iter().for_each(|output| output.meter.set_state(state));
    }

    /// Tells the meters which window is the oldest that is open, if that is another one now.
    fn note_windows(&mut self) {
        for (n, output) in self.outputs.iter_mut().enumerate() {
            let window = self.operator.oldest_open_of(n).map(|(start, end)| OpenWindow { start, end });
            if window != output.told_window {
                output.told_window = window;
                output.meter.held.set_window(output.worker, window);
            }
        }
    }

    /// A port heard of time. The operator's own watermark is the least of all ports that are not idle; what changes of it, if
    /// anything, is to be acted on and handed on.
    fn hear(&mut self, port: Port, watermark: Watermark) -> Option<Watermark> {
        match watermark {
            Watermark::Idle => self.ports[port].idle = true,
            Watermark::At(at) => {
                self.ports[port] = PortTime { watermark: at.max(self.ports[port].watermark), idle: false }
            }
        }
        // A port that has ended holds back nobody, and speaks for all only when all have ended.
        let live = || self.ports.iter().filter(|p| p.watermark < Timestamp::MAX);
        let ended = live().next().is_none();
        let was_idle = self.idle;
        let idle = !ended && live().all(|p| p.idle);
        let least = if ended { Some(Timestamp::MAX) } else { live().filter(|p| !p.idle).map(|p| p.watermark).min() };
        self.idle = idle;
        let slowest = self.ports.iter().enumerate().filter(|(_, p)| p.watermark < Timestamp::MAX && !p.idle);
        if let Some((port, _)) = slowest.min_by_key(|(_, p)| p.watermark) {
            self.outputs.iter().for_each(|output| output.meter.held.set_held_by(port));
        }
        match least {
            Some(least) if least > self.watermark => {
                self.watermark = least;
                self.outputs.iter().for_each(|output| output.meter.set_watermark(least));
                Some(Watermark::At(least))
            }
            Some(_) if was_idle => Some(Watermark::At(self.watermark)),
            None if !was_idle => Some(Watermark::Idle),
            _ => None,
        }
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

impl Late {
    /// Late rows with the watermark they met, the reason, and how far behind it they are.
    fn explained(&self, rows: &RecordBatch, time: usize, watermark: Timestamp) -> Result<RecordBatch> {
        let times = rows.column(time).as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| Error::internal("late rows have no event time"))?;
        let met = TimestampMicrosecondArray::from(vec![watermark.0; rows.num_rows()]).with_timezone("UTC");
        let by = times.iter().map(|time| time.map(|time| watermark.0.saturating_sub(time)));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(met),
            Arc::new(StringArray::from(vec![Reason::Late.word(); rows.num_rows()])),
            Arc::new(by.collect::<Int64Array>()),
        ];
        columns.extend(rows.columns().iter().cloned());
        Ok(RecordBatch::try_new(SchemaRef::clone(&self.schema), columns)?)
    }
}
