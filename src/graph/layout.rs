//! Which objects of a plan run together, on how many workers, and by which key rows are shared out.
//!
//! Objects that are connected form a component. A component with a field bus in it belongs to the control lane and has one
//! worker. Another one is shared by as many workers as the pipeline asks for if all its keyed operators agree on columns of
//! its one source; the reason is kept where they do not, for `explain`.

use std::collections::BTreeSet;

use crate::plan::{Input, Plan};

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
    /// How many workers share it.
    pub workers: usize,
    /// Columns of the source by which rows are shared out; empty with one worker.
    pub key: Vec<String>,
    /// Why it has this many workers.
    pub reason: String,
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
    let (workers, key, reason) = match shared_by(plan, control, &sources, &nodes) {
        Ok(key) => (plan.workers, key.clone(), format!("rows are shared out by {}", key.join(", "))),
        Err(reason) => (1, Vec::new(), reason),
    };
    Component { sources, nodes, sinks, control, workers, key, reason }
}

/// The columns of the only source by which all keyed operators can be shared out, or why there are none.
fn shared_by(plan: &Plan, control: bool, sources: &[usize], nodes: &[usize]) -> Result<Vec<String>, String> {
    if plan.workers == 1 {
        return Err("the pipeline has one bulk worker".to_owned());
    }
    if control {
        return Err("a field bus has one worker".to_owned());
    }
    // A table is given to every worker.
    let streams = sources.iter().copied().filter(|&n| plan.sources[n].table.is_none()).collect::<Vec<_>>();
    let &[source] = streams.as_slice() else { return Err("it has several sources, so it has one worker".to_owned()) };
    let mut common: Option<BTreeSet<String>> = None;
    for &n in nodes {
        let node = &plan.nodes[n];
        let Some(key) = &node.operator.partition_by else {
            return Err(format!("{} needs all rows on one worker", node.name));
        };
        if key.is_empty() {
            continue;
        }
        // Where an operator has several inputs, its key has the same name in all of them.
        let traced = (key.iter())
            .filter_map(|column| agreed(node.inputs.iter().map(|&input| trace(plan, input, column, source))))
            .collect::<BTreeSet<_>>();
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
