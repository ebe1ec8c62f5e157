//! `row_number()`, `rank()` and `dense_rank()` within windows: `OVER (PARTITION BY window_start, window_end ORDER BY mean DESC)`.
//!
//! A condition such as `rank <= 5` on the result, in `WHERE` of the query around or in `QUALIFY`, is told to the operator, which then
//! keeps no more rows than those.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{self, BinaryExpr, Expr, Operator};
use lineside_model::Problem;
use lineside_operators::over::rank::{self, RankFunction, RankOrder, RankSpec};

use super::StepInput;
use super::lower::Lowering;
use super::over::OverCall;
use super::relation::{Relation, column, unused};

/// The ranks of a step, as they can be limited.
#[derive(Debug)]
pub(super) struct RankStep {
    step: usize,
    spec: RankSpec,
    input: SchemaRef,
}

/// Whether calls are ranks within windows: their partition has an event time.
pub(super) fn is_rank(calls: &[OverCall], relation: &Relation) -> bool {
    calls.iter().all(|call| {
        RankFunction::from_name(call.fun.name()).is_some()
            && call.params.partition_by.iter().any(|key| relation.time(key).is_some())
    })
}

impl Lowering<'_> {
    /// The ranks of one partition and order.
    pub(super) fn rank(
        &mut self,
        node: &logical_expr::Window,
        relation: Relation,
        calls: &[OverCall],
    ) -> Result<Relation, Problem> {
        let Some(first) = calls.first() else { return Ok(relation) };
        let (parts, order) = (&first.params.partition_by, &first.params.order_by);
        let wanted = parts.iter().chain(order.iter().map(|sort| &sort.expr)).cloned().collect::<Vec<_>>();
        let (input, before, places) = self.computed(node.input.schema(), relation, &wanted)?;
        let passed_on = before.passed_on;
        let (partition, ordered) = places.split_at(parts.len());
        let name_of = |place: usize| input.schema.field(place).name().clone();
        let time = |place: &usize| {
            let time = input.times.iter().find(|time| time.name == name_of(*place))?;
            Some((*place, time.delay))
        };
        let by = order.iter().zip(ordered).map(|(sort, place)| RankOrder {
            column: *place,
            descending: !sort.asc,
            nulls_first: sort.nulls_first,
        });
        let mut taken = (0..passed_on).map(name_of).collect::<Vec<_>>();
        let mut ranks = Vec::with_capacity(calls.len());
        for call in calls {
            let name = unused(call.fun.name(), |name| taken.iter().any(|t| t == name));
            taken.push(name.clone());
            ranks.extend(RankFunction::from_name(call.fun.name()).map(|function| (function, name)));
        }
        let spec = RankSpec {
            times: partition.iter().filter_map(time).collect(),
            partition: partition.to_vec(),
            order: by.collect(),
            passed_on,
            ranks,
            best: None,
        };
        let schema = Arc::clone(&input.schema);
        let mut operator = rank::plan(&spec, &schema).map_err(|problems| {
            let what = problems.0.into_iter().next().unwrap_or_else(|| Problem::whole("the rank cannot be planned"));
            Problem { hint: what.hint, ..self.text.at_word(&first.word, what.message) }
        })?;
        let sorted = order.iter().zip(ordered);
        let sorted = sorted.map(|(sort, place)| name_of(*place) + if sort.asc { "" } else { " DESC" });
        let sorted = sorted.collect::<Vec<_>>().join(", ");
        let names = |places: &[usize]| places.iter().map(|place| name_of(*place)).collect::<Vec<_>>().join(", ");
        let told = match sorted.is_empty() {
            true => format!("partition by {}: {}", names(partition), taken[passed_on..].join(", ")),
            false => format!("partition by {} order by {sorted}: {}", names(partition), taken[passed_on..].join(", ")),
        };
        operator.explain.insert(0, told);
        operator.tells_late = self.is_first_to_tell_late();
        let lineage = taken[..passed_on].iter().map(|name| (name.clone(), name.clone())).collect();
        let mut added = self.push("rank", vec![input.input], operator, vec![lineage]);
        self.ranks.push(RankStep { step: self.steps.len() - 1, spec, input: schema });
        added.columns = before.columns.into_iter().chain(taken[passed_on..].iter().map(|name| column(name))).collect();
        Ok(added)
    }

    /// Tells the ranks that a relation reads how many of them its condition lets through.
    pub(super) fn limit_ranks(&mut self, relation: &Relation, condition: &Expr) -> Result<(), Problem> {
        let StepInput::Step(step) = relation.input else { return Ok(()) };
        let Some(ranks) = self.ranks.iter_mut().find(|ranks| ranks.step == step) else { return Ok(()) };
        for part in split_conjunction(condition) {
            let Some((name, most)) = at_most(part) else { continue };
            let Some(rank) = ranks.spec.ranks.iter().position(|(_, rank)| *rank == name) else { continue };
            if ranks.spec.best.is_some_and(|(known, best)| known != rank || best <= most) {
                continue;
            }
            ranks.spec.best = Some((rank, most));
            let mut limited = rank::plan(&ranks.spec, &ranks.input).map_err(|problems| {
                problems.0.into_iter().next().unwrap_or_else(|| Problem::whole("the rank cannot be planned"))
            })?;
            let known = &mut self.steps[step].operator;
            limited.explain.splice(0..0, known.explain.first().cloned());
            limited.tells_late = known.tells_late;
            *known = limited;
        }
        Ok(())
    }
}

/// The column that a condition holds down, and the greatest value it lets through.
fn at_most(condition: &Expr) -> Option<(String, u64)> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (column, op, value) = match number(right) {
                Some(value) => (name(left)?, *op, value),
                None => (name(right)?, op.swap()?, number(left)?),
            };
            let most = match op {
                Operator::LtEq | Operator::Eq => value.floor(),
                Operator::Lt => value.ceil() - 1.0,
                _ => return None,
            };
            Some((column, most.max(0.0) as u64))
        }
        Expr::Between(between) if !between.negated => {
            Some((name(&between.expr)?, number(&between.high)?.floor().max(0.0) as u64))
        }
        _ => None,
    }
}

fn name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Column(column) => Some(column.name.clone()),
        // As texts, '10' is before '2'.
        Expr::Cast(cast) if cast.field.data_type().is_numeric() => name(&cast.expr),
        _ => None,
    }
}

fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(found)) => found,
            _ => None,
        },
        Expr::Cast(cast) => number(&cast.expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{cast, lit};

    #[test]
    fn conditions_that_hold_a_rank_down_are_understood() {
        let n = || column("n");
        let most = |condition: Expr| at_most(&condition).map(|(_, most)| most);
        assert_eq!(most(n().lt_eq(lit(5))), Some(5));
        assert_eq!(most(n().lt(lit(5))), Some(4));
        assert_eq!(most(n().eq(lit(1))), Some(1));
        assert_eq!(most(lit(3).gt_eq(n())), Some(3));
        assert_eq!(most(cast(n(), DataType::Int64).lt(lit(2.5))), Some(2));
        assert_eq!(most(n().between(lit(2), lit(4))), Some(4));
        assert_eq!(most(n().lt(lit(-1))), Some(0));
        assert_eq!(most(n().gt(lit(5))), None);
        assert_eq!(most(n().lt_eq(column("m"))), None);
        assert_eq!(most(cast(n(), DataType::Utf8).lt_eq(lit("2"))), None);
    }
}
