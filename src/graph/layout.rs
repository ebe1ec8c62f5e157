//! Which objects of a plan run together, on how many workers, and how rows are shared out between them.
//!
//! Objects that are connected form a component. A component with a field bus in it belongs to the control lane and has one
//! worker. Another one is shared by as many workers as the pipeline asks for: whole batches in turn, where rows are looked at one
//! by one or gathered in windows; else by key, if all keyed operators agree on columns of its one source. The reason is kept for
//! `explain`.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Input, Plan, SourcePlan};

/// What runs together.
#[derive(Debug)]
pub struct Layout {
    /// The components, those of the control lane first.
    pub components: Vec<Component>,
}

/// Objects of a plan that are connected.
#[derive(Debug)]
pub struct Component {
    /// Numbers of its sources.
    pub sources: Vec<usize>,
    /// Numbers of its nodes, each after all that it reads from.
    pub nodes: Vec<usize>,
    /// Numbers of its sinks.
    pub sinks: Vec<usize>,
    /// Whether it runs on the control lane.
    pub control: bool,
    /// Whether all its rows come from field buses, and tables: nothing but the polls decides how much there is to do.
    pub paced: bool,
    /// How many workers share it.
    pub workers: usize,
    /// How they share it.
    pub sharing: Sharing,
    /// Why it has this many workers.
    pub reason: String,
}

/// How rows of a source reach the workers of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// All go to the only worker.
    Whole,
    /// By the hash of these columns of the source: each worker has all rows of its keys.
    ByKey(Vec<String>),
    /// Whole batches go to whichever worker has room. What becomes of their rows is put into order again at sinks, or gathered by
    /// the first worker, which alone has the nodes behind.
    InTurn(BTreeMap<usize, Stage>),
}

/// Where a node runs in a component whose batches go to workers in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// On every worker, row by row.
    Every,
    /// On every worker, and the first gathers what the others hold.
    Gathered,
    /// On the first worker only, behind what it gathers.
    First,
}

impl Component {
    /// Where a node runs, if batches go to workers in turn.
    pub fn stage(&self, node: usize) -> Option<Stage> {
        match &self.sharing {
            Sharing::InTurn(stages) => stages.get(&node).copied(),
            Sharing::Whole | Sharing::ByKey(_) => None,
        }
    }

    /// Whether rows of this input come to a sink from all workers, so that they have to be put into order.
    pub fn is_spread(&self, input: Input) -> bool {
        match (&self.sharing, input) {
            (Sharing::InTurn(_), Input::Source(_)) => true,
            (Sharing::InTurn(_), Input::Node(n)) => self.stage(n) == Some(Stage::Every),
            _ => false,
        }
    }
}

impl Layout {
    /// Finds the components of a plan.
    pub fn of(plan: &Plan) -> Self {
        let (sources, nodes) = (plan.sources.len(), plan.nodes.len());
        let mut parent = (0..sources + nodes + plan.sinks.len()).collect::<Vec<_>>();
        let place = |input: Input| match input {
            Input::Source(n) | Input::DeadLetters(n) | Input::Quarantine(n) => n,
            Input::Node(n) | Input::Late(n) => sources + n,
        };
        for (n, node) in plan.nodes.iter().enumerate() {
            // A table joins nobody: each component reads it for itself, so that control shares nothing with the rest.
            for &input in node.inputs.iter().filter(|input| !plan.is_table(**input)) {
                join(&mut parent, place(input), sources + n);
            }
        }
        for (n, sink) in plan.sinks.iter().enumerate() {
            join(&mut parent, place(sink.input), sources + nodes + n);
        }
        let roots = (0..parent.len()).map(|n| root(&mut parent, n)).collect::<Vec<_>>();
        let is_stream = |n: usize| plan.sources.get(n).is_none_or(|source| source.table.is_none());
        let mut components = (roots.iter().collect::<BTreeSet<_>>().into_iter())
            .filter(|&&of| is_stream(of))
            .map(|&of| {
                let members =
                    |from: usize, count: usize| (0..count).filter(|n| roots[from + n] == of).collect::<Vec<_>>();
                let nodes = members(sources, nodes);
                let tables = tables_of(plan, &nodes);
                let sources_of = members(0, sources).into_iter().chain(tables).collect();
                component(plan, sources_of, nodes, members(sources + plan.nodes.len(), plan.sinks.len()))
            })
            .collect::<Vec<_>>();
        components.sort_by_key(|c| !c.control);
        Self { components }
    }

    /// How many workers each part of a plan has, and why, for `lineside explain`.
    pub fn explain(&self, plan: &Plan) -> String {
        let mut text = "\nworkers\n".to_owned();
        for Component { sources, workers, reason, .. } in &self.components {
            let sources = sources.iter().map(|n| plan.sources[*n].name.as_str()).collect::<Vec<_>>().join(", ");
            let s = if *workers == 1 { "" } else { "s" };
            text += &format!("  {sources} and all that reads it: {workers} worker{s}; {reason}\n");
        }
        text
    }
}

/// The tables that these nodes look rows up in.
fn tables_of(plan: &Plan, nodes: &[usize]) -> BTreeSet<usize> {
    let inputs = nodes.iter().flat_map(|&n| &plan.nodes[n].inputs).filter(|input| plan.is_table(**input));
    inputs.filter_map(|input| if let Input::Source(n) = input { Some(*n) } else { None }).collect()
}

fn root(parent: &mut [usize], mut n: usize) -> usize {
    while parent[n] != n {
        parent[n] = parent[parent[n]];
        n = parent[n];
    }
    n
}

fn join(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parent, a), root(parent, b));
    parent[a.max(b)] = a.min(b);
}

fn component(plan: &Plan, sources: Vec<usize>, nodes: Vec<usize>, sinks: Vec<usize>) -> Component {
    let control = sources.iter().any(|&n| plan.sources[n].planned.control)
        || sinks.iter().any(|&n| plan.sinks[n].planned.control);
    let mut streams = sources.iter().map(|&n| &plan.sources[n]).filter(|source| source.table.is_none());
    let others = streams.find(|source| !source.planned.control);
    let paced = others.is_none();
    let (workers, sharing, reason) = match shared(plan, &sources, &nodes) {
        _ if control => (1, Sharing::Whole, reason_of_control(plan, others)),
        Ok((sharing, reason)) => (plan.workers, sharing, reason),
        Err(reason) => (1, Sharing::Whole, reason),
    };
    Component { sources, nodes, sinks, control, paced, workers, sharing, reason }
}

/// Why control has one worker, and whether it may run in front of everything else; `other` is a source that is no field bus.
fn reason_of_control(plan: &Plan, other: Option<&SourcePlan>) -> String {
    let priority = match other {
        _ if !plan.realtime => String::new(),
        None => ", at real-time priority where the system permits it".to_owned(),
        Some(other) => format!(", at normal priority since \"{}\" could keep it busy", other.name),
    };
    format!("a field bus has one worker{priority}")
}

/// How several workers share a component and how that is told, or why they do not.
fn shared(plan: &Plan, sources: &[usize], nodes: &[usize]) -> Result<(Sharing, String), String> {
    if plan.workers == 1 {
        return Err("the pipeline has one bulk worker".to_owned());
    }
    // A table is given to every worker.
    let streams = sources.iter().copied().filter(|&n| plan.sources[n].table.is_none()).collect::<Vec<_>>();
    let &[source] = streams.as_slice() else { return Err("it has several sources, so it has one worker".to_owned()) };
    if sources.len() == 1
        && !nodes.is_empty()
        && let Some(stages) = stages(plan, source, nodes)
    {
        let gathered = stages.values().any(|stage| *stage == Stage::Gathered);
        let told = if gathered { "the first gathers their windows" } else { "sinks put rows into order again" };
        return Ok((Sharing::InTurn(stages), format!("batches go to workers in turn, {told}")));
    }
    let key = common_key(plan, source, nodes)?;
    let told = format!("rows are shared out by {}", key.join(", "));
    Ok((Sharing::ByKey(key), told))
}

/// Where each node runs if batches go to workers in turn; `None` if one of them needs all rows of a key in order.
fn stages(plan: &Plan, source: usize, nodes: &[usize]) -> Option<BTreeMap<usize, Stage>> {
    let mut stages = BTreeMap::new();
    // The columns of the source that windows which are gathered are grouped by.
    let mut groups = BTreeSet::new();
    // The groups of one window are put out in any order. What reads on must not ask for it: it has one row at a time of a group.
    let takes_any_order = |n: usize, groups: &BTreeSet<String>| {
        let operator = &plan.nodes[n].operator;
        operator.is_row_by_row() || operator.gathers || keys_of(plan, n, source).is_superset(groups)
    };
    for &n in nodes {
        let node = &plan.nodes[n];
        let before = node.inputs.iter().map(|input| match input {
            Input::Source(_) => Some(Stage::Every),
            Input::Node(n) => stages.get(n).copied(),
            Input::DeadLetters(_) | Input::Quarantine(_) | Input::Late(_) => None,
        });
        let before = before.collect::<Option<Vec<_>>>()?;
        let all = |of: fn(&Stage) -> bool| before.iter().all(of);
        let stage = if all(|stage| *stage != Stage::Every) {
            takes_any_order(n, &groups).then_some(Stage::First)?
        } else if all(|stage| *stage == Stage::Every) && node.operator.gathers && !plan.is_read(Input::Late(n)) {
            let keys = node.operator.partition_by.iter().flatten();
            groups.extend(keys.map(|key| trace(plan, node.inputs[0], key, source).unwrap_or_else(|| key.clone())));
            Stage::Gathered
        } else if all(|stage| *stage == Stage::Every) && node.operator.is_row_by_row() {
            Stage::Every
        } else {
            return None;
        };
        stages.insert(n, stage);
    }
    Some(stages)
}

/// The columns of the source by which all inputs of a node are told apart, as far as they come unchanged from it.
fn keys_of(plan: &Plan, node: usize, source: usize) -> BTreeSet<String> {
    let node = &plan.nodes[node];
    let keys = node.operator.partition_by.iter().flatten();
    // Where an operator has several inputs, its key has the same name in all of them.
    keys.filter_map(|column| agreed(node.inputs.iter().map(|&input| trace(plan, input, column, source)))).collect()
}

/// The columns of the only source by which all keyed operators can be shared out, or why there are none.
fn common_key(plan: &Plan, source: usize, nodes: &[usize]) -> Result<Vec<String>, String> {
    let mut common: Option<BTreeSet<String>> = None;
    for &n in nodes {
        let node = &plan.nodes[n];
        let Some(key) = &node.operator.partition_by else {
            return Err(format!("{} needs all rows on one worker", node.name));
        };
        if key.is_empty() {
            continue;
        }
        let traced = keys_of(plan, n, source);
        common = Some(match common {
            None => traced,
            Some(before) => before.intersection(&traced).cloned().collect(),
        });
        if common.as_ref().is_none_or(BTreeSet::is_empty) {
            return Err(format!(
                "{} has no key column in common with the others that comes unchanged from the source",
                node.name
            ));
        }
    }
    match common {
        Some(key) => Ok(key.into_iter().collect()),
        None => Err("nothing is keyed, so one worker keeps the order of rows".to_owned()),
    }
}

/// Follows a column back to the source, through operators that hand it on unchanged. Where inputs are joined every one of
/// them must have it from the same column, or rows of one key could go to different workers.
fn trace(plan: &Plan, input: Input, column: &str, source: usize) -> Option<String> {
    match input {
        Input::Source(n) => (n == source).then(|| column.to_owned()),
        Input::DeadLetters(_) | Input::Quarantine(_) => None,
        Input::Late(n) => {
            // Late rows have the columns of the rows that the node reads, behind three of their own.
            let input = plan.nodes[n].inputs[0];
            plan.schema(input).column_with_name(column)?;
            trace(plan, input, column, source)
        }
        Input::Node(n) => {
            let node = &plan.nodes[n];
            let streams = node.inputs.iter().enumerate().filter(|(_, input)| !plan.is_table(**input));
            agreed(streams.map(|(port, &input)| {
                let (_, from) = node.lineage.get(port)?.iter().find(|(output, _)| output == column)?;
                trace(plan, input, from, source)
            }))
        }
    }
}

/// What all of them are, if they are the same.
fn agreed(mut all: impl Iterator<Item = Option<String>>) -> Option<String> {
    let first = all.next()??;
    all.all(|other| other.as_ref() == Some(&first)).then_some(first)
}
