//! Builds the operators of one worker and connects them.

use std::collections::BTreeMap;
use std::sync::Arc;

use lineside_model::Timestamp;

use super::slot::{Late, Output, PortTime, Role, Slot, Target};
use super::{Component, Stage};
use crate::observe::{Board, Kind, Meter};
use crate::plan::{Input, OutputOf, Plan};

/// The operators of a worker, each behind all that it reads from, and where rows of the sources go.
#[derive(Debug)]
pub(super) struct Wiring {
    pub(super) slots: Vec<Slot>,
    pub(super) routes: BTreeMap<Input, Vec<Target>>,
}

impl Wiring {
    /// Of worker `number` of a component.
    pub(super) fn new(plan: &Plan, component: &Component, number: usize, board: &Board) -> Self {
        // Operators are fewer than nodes where one works for several.
        let own = |n: &usize| plan.nodes[*n].output_of.is_none();
        let mut gathering = 0;
        let mut built = Vec::new();
        for &n in component.nodes.iter().filter(|n| own(n)) {
            match component.stage(n) {
                None | Some(Stage::Every) => built.push((n, Role::Whole)),
                Some(Stage::Gathered) => {
                    built.push((n, Role::HandsOver(gathering)));
                    gathering += 1;
                    built.extend((number == 0).then_some((n, Role::Gathers)));
                }
                Some(Stage::First) => built.extend((number == 0).then_some((n, Role::Whole))),
            }
        }
        let targets = Targets::of(plan, component, &built);
        let slot = |(n, role): &(usize, Role)| Slot {
            role: *role,
            operator: (plan.nodes[*n].operator.build)(),
            ports: vec![PortTime::START; if *role == Role::Gathers { 1 } else { plan.nodes[*n].inputs.len() }],
            watermark: Timestamp::MIN,
            idle: false,
            outputs: targets.outputs(plan, component, (*n, *role), board),
            newest: Timestamp::MIN,
        };
        Self { slots: built.iter().map(slot).collect(), routes: targets.routes }
    }
}

/// Who reads what, by the numbers that operators and sinks have in the worker.
struct Targets {
    routes: BTreeMap<Input, Vec<Target>>,
    rows: BTreeMap<usize, Vec<Target>>,
    late: BTreeMap<usize, Vec<Target>>,
}

impl Targets {
    fn of(plan: &Plan, component: &Component, built: &[(usize, Role)]) -> Self {
        let mut found = Self { routes: BTreeMap::new(), rows: BTreeMap::new(), late: BTreeMap::new() };
        for (slot, (n, _)) in built.iter().enumerate().filter(|(_, (_, role))| *role != Role::Gathers) {
            for (port, &input) in plan.nodes[*n].inputs.iter().enumerate() {
                found.connect(input, Target::Node(slot, port));
            }
        }
        for (at, &n) in component.sinks.iter().enumerate() {
            found.connect(plan.sinks[n].input, Target::Sink(at));
        }
        found
    }

    fn connect(&mut self, input: Input, target: Target) {
        let targets = match input {
            Input::Node(n) => self.rows.entry(n).or_default(),
            Input::Late(n) => self.late.entry(n).or_default(),
            Input::Source(_) | Input::DeadLetters(_) | Input::Quarantine(_) => self.routes.entry(input).or_default(),
        };
        targets.push(target);
    }

    /// The outputs of an operator: one for each node that it works for.
    fn outputs(&self, plan: &Plan, component: &Component, (of, role): (usize, Role), board: &Board) -> Vec<Output> {
        let mut outputs = BTreeMap::new();
        for &n in &component.nodes {
            let OutputOf { node, output } = plan.nodes[n].output_of.unwrap_or(OutputOf { node: n, output: 0 });
            if node != of {
                continue;
            }
            let name = &plan.nodes[n].name;
            let meter = board.find(Kind::Operator, name).cloned();
            let meter = meter.unwrap_or_else(|| Arc::new(Meter::new(Kind::Operator, name)));
            let readers = |of: &BTreeMap<usize, Vec<Target>>| match role {
                Role::HandsOver(_) => Vec::new(),
                Role::Whole | Role::Gathers => of.get(&n).cloned().unwrap_or_default(),
            };
            let late = readers(&self.late);
            let late = (!late.is_empty()).then(|| Late { targets: late, schema: plan.schema(Input::Late(n)) });
            outputs.insert(output, Output { late, ..Output::new(readers(&self.rows), meter) });
        }
        outputs.into_values().collect()
    }
}
