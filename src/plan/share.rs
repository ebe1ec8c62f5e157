//! Queries that read the same rows share the work: steps that compute the same are run once, and windows over the same rows, cut
//! by the same time and grouped by the same columns, share their slices. What comes out of each query stays what it is.

use super::{Input, NodePlan, OutputOf, Plan};
use lineside_operators::PlannedOperator;
use lineside_operators::window::{WindowQuery, together};

/// The step there is already that does the same with the same input.
pub(super) fn twin(plan: &Plan, inputs: &[Input], operator: &PlannedOperator) -> Option<usize> {
    let identity = operator.identity.as_ref()?;
    let is_twin = |node: &NodePlan| node.inputs == inputs && node.operator.identity.as_ref() == Some(identity);
    plan.nodes.iter().position(is_twin)
}

/// Lets the first of several windowed queries over the same rows work for all of them.
pub(super) fn share_slices(plan: &mut Plan) {
    let mut groups = Vec::<Vec<usize>>::new();
    for (n, node) in plan.nodes.iter().enumerate() {
        let Some(windows) = windows_of(node) else { continue };
        let joins = |first: usize| {
            let first = &plan.nodes[first];
            first.inputs == node.inputs && windows_of(first).is_some_and(|first| first.goes_with(windows))
        };
        match groups.iter_mut().find(|group| joins(group[0])) {
            Some(group) => group.push(n),
            None => groups.push(vec![n]),
        }
    }
    for group in groups.into_iter().filter(|group| group.len() > 1) {
        let queries = group.iter().filter_map(|n| windows_of(&plan.nodes[*n])).collect::<Vec<_>>();
        // What could be planned one by one can be planned together; if not, each works for itself.
        let Ok(build) = together(&queries) else { continue };
        let names = group.iter().map(|n| query_of(&plan.nodes[*n].name).to_owned()).collect::<Vec<_>>();
        for (output, n) in group.iter().enumerate() {
            let others = names.iter().enumerate().filter(|(other, _)| *other != output);
            let others = others.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ");
            let node = &mut plan.nodes[*n];
            node.operator.explain.push(format!("shares slices with query {others}: each row is added once for all"));
            node.output_of = (output > 0).then_some(OutputOf { node: group[0], output });
        }
        plan.nodes[group[0]].operator.build = build;
    }
}

fn windows_of(node: &NodePlan) -> Option<&WindowQuery> {
    node.operator.windows.as_deref().filter(|_| node.output_of.is_none())
}

/// The query that a step belongs to.
pub(super) fn query_of(step: &str) -> &str {
    step.split_once('/').map_or(step, |(query, _)| query)
}
