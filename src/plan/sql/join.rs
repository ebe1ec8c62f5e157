//! `JOIN`: two relations become the two inputs of a join by time, or the join is refused with the bound it lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, JoinConstraint, JoinType, Result as PlanResult};
use datafusion::logical_expr::{self, Expr, LogicalPlan};
use lineside_model::{Problem, Span};
use lineside_operators::join::{self, JoinSide, JoinSpec, KEYS_LIMIT, Pick};

use super::expression::sql_of;
use super::join_condition::{Bound, Condition, Side, Sides, place};
use super::lower::{Lowering, names_of};
use super::relation::{Relation, column, unused};

/// What a side of a join puts into it.
struct Prepared {
    input: Relation,
    /// The columns of the relation that come out, each with its place among those read.
    columns: Vec<(usize, usize)>,
    keys: Vec<usize>,
    time: usize,
}

/// What a join takes of a side.
struct Taken<'a> {
    /// The names of its columns, and which of them come out.
    names: &'a [String],
    wanted: Vec<usize>,
    keys: Vec<Expr>,
    time: usize,
    /// What must hold for a row of it.
    only: Vec<Expr>,
}

/// How far apart times may be, of the columns that are compared.
struct Reach {
    times: (usize, usize),
    earliest: Option<Span>,
    latest: Span,
}

impl Lowering<'_> {
    pub(super) fn join(&mut self, node: &logical_expr::Join) -> Result<Relation, Problem> {
        if self.is_lookup(&node.right) {
            return self.lookup(node);
        }
        let left = self.side_of(&node.left)?;
        let right = self.side_of(&node.right)?;
        let sides = Sides { schema: &node.schema, left: &left, right: &right };
        let mut condition = sides.condition(&node.on, node.filter.as_ref(), self.text)?;
        let (left_alone, right_alone) = match node.join_type {
            JoinType::Inner => (false, false),
            JoinType::Left => (true, false),
            JoinType::Right => (false, true),
            JoinType::Full => (true, true),
            other => return Err(self.at_join(node, &format!("{other} JOIN does not run on streams")).hint(FORMS)),
        };
        if condition.pick.is_some() && right_alone {
            let kind = node.join_type.to_string().to_uppercase();
            let message = format!("ASOF {kind} JOIN does not run: it looks for one row for each of the left");
            return Err(self.at_join(node, &message).hint("exchange the tables and write ASOF LEFT JOIN"));
        }
        if right_alone && node.join_constraint == JoinConstraint::Using {
            let kind = node.join_type.to_string().to_uppercase();
            let message =
                format!("which side a column of USING is of is not clear where a {kind} JOIN has no left row");
            let hint = "write ON a.sensor = b.sensor, and SELECT coalesce(a.sensor, b.sensor)";
            return Err(self.text.at_word("using", message).hint(hint));
        }
        let reach = self.reach(node, &sides, &mut condition)?;
        self.refuse_others(node, &condition, left_alone, right_alone)?;
        let (left_names, right_names) = (names_of(node.left.schema()), names_of(node.right.schema()));
        let (left_keys, right_keys): (Vec<_>, Vec<_>) = condition.keys.into_iter().unzip();
        let resolved = |side: &Relation, exprs: Vec<Expr>, names: &DFSchema| {
            exprs.iter().map(|expr| self.resolve(side, expr, names)).collect::<Result<Vec<_>, _>>()
        };
        let left_keys = resolved(&left, left_keys, node.left.schema())?;
        let right_keys = resolved(&right, right_keys, node.right.schema())?;
        let left_only = resolved(&left, condition.left_only, node.left.schema())?;
        let right_only = resolved(&right, condition.right_only, node.right.schema())?;
        // What is looked at behind the join comes out of it.
        let others = !condition.others.is_empty();
        let (left_wanted, right_wanted) =
            (self.wanted(node, node.left.schema(), others)?, self.wanted(node, node.right.schema(), others)?);
        let time = reach.times;
        let taken = Taken { names: &left_names, wanted: left_wanted, keys: left_keys, time: time.0, only: left_only };
        let left = self.prepared(left, taken)?;
        let taken =
            Taken { names: &right_names, wanted: right_wanted, keys: right_keys, time: time.1, only: right_only };
        let right = self.prepared(right, taken)?;
        let names = names_of(&node.schema);
        let (left_names, right_names) = names.split_at(left_names.len());
        let spec = JoinSpec {
            left: join_side(&left, left_names, qualifier(&node.left, "left"), left_alone),
            right: join_side(&right, right_names, qualifier(&node.right, "right"), right_alone),
            earliest: reach.earliest,
            latest: reach.latest,
            pick: condition.pick.unwrap_or(Pick::Every),
            keys_limit: KEYS_LIMIT,
        };
        let operator = join::plan(&spec).map_err(|problems| {
            let what = problems.0.into_iter().next().unwrap_or_else(|| Problem::whole("the join cannot be planned"));
            Problem { hint: what.hint, ..self.at_join(node, &what.message) }
        })?;
        let lineage = lineage(&spec, left_alone || right_alone);
        let inputs = vec![left.input.input, right.input.input];
        let mut joined = self.push("join", inputs, operator, lineage);
        joined.columns = names.iter().map(|name| column(name)).collect();
        for other in &condition.others {
            let other = self.resolve(&joined, other, &node.schema)?;
            joined.filter = Some(match joined.filter.take() {
                Some(first) => first.and(other),
                None => other,
            });
        }
        Ok(joined)
    }

    /// A side of a join; a row that is in several windows comes several times.
    pub(super) fn side_of(&mut self, plan: &LogicalPlan) -> Result<Relation, Problem> {
        let relation = self.relation(plan)?;
        match relation.is_windowed() {
            true => self.step("prepare", relation, &names_of(plan.schema())),
            false => Ok(relation),
        }
    }

    /// How far apart the times may be. Of several pairs of times that are equal, such as both edges of a window, the one
    /// that lags most is taken, the others are keys.
    fn reach(&self, node: &logical_expr::Join, sides: &Sides<'_>, condition: &mut Condition) -> Result<Reach, Problem> {
        let delay = |bound: &Bound| {
            let (left, right) = bound.times;
            (delay_of(sides.left, left), delay_of(sides.right, right))
        };
        let equal = |bound: &Bound| bound.earliest == Some(0) && bound.latest == Some(0);
        let all_equal = !condition.bounds.is_empty() && condition.bounds.iter().all(equal);
        let chosen = match all_equal {
            true => condition.bounds.iter().max_by_key(|bound| delay(bound)),
            false => condition.bounds.iter().find(|bound| !equal(bound)),
        };
        let Some(times) = chosen.map(|bound| bound.times) else { return Err(self.boundless(node, sides, condition)) };
        let (mut earliest, mut latest) = (None::<i128>, None::<i128>);
        for bound in std::mem::take(&mut condition.bounds) {
            if bound.times == times {
                earliest = earliest.into_iter().chain(bound.earliest).max();
                latest = latest.into_iter().chain(bound.latest).min();
            } else if equal(&bound)
                && let Expr::BinaryExpr(both) = &bound.expr
            {
                let turned = matches!(both.left.as_ref(), Expr::Column(c)
                    if node.schema.index_of_column(c).is_ok_and(|c| sides.side(c).0 == Side::Right));
                let (left, right) = (both.left.as_ref().clone(), both.right.as_ref().clone());
                condition.keys.push(if turned { (right, left) } else { (left, right) });
            } else {
                condition.others.push(bound.expr);
            }
        }
        let span = |micros: i128| i64::try_from(micros).map_or(Span(i64::MAX), Span);
        let looks_back = condition.pick == Some(Pick::Last);
        match (earliest, latest) {
            (Some(earliest), Some(latest)) => Ok(Reach { times, earliest: Some(span(earliest)), latest: span(latest) }),
            (None, Some(latest)) if looks_back => Ok(Reach { times, earliest: None, latest: span(latest) }),
            _ => Err(self.boundless(node, sides, condition)),
        }
    }

    /// Without a bound of time rows would have to be kept for ever.
    fn boundless(&self, node: &logical_expr::Join, sides: &Sides<'_>, condition: &Condition) -> Problem {
        let (left, right) = (sides.time_of(Side::Left), sides.time_of(Side::Right));
        let (message, hint) = match condition.pick {
            Some(Pick::Nearest) => (
                "without a bound a row could wait for ever for a nearer one".to_owned(),
                format!("say how near: NEAREST({left}, {right}, INTERVAL '5' SECOND)"),
            ),
            Some(_) => (
                "without a bound a row could wait for ever for one that comes after it".to_owned(),
                format!("say how far: MATCH_CONDITION ({left} <= {right} AND {right} - {left} <= INTERVAL '5' SECOND)"),
            ),
            None => (
                "a JOIN of streams without a bound of time would have to keep every row for ever".to_owned(),
                format!("add AND {right} BETWEEN {left} - INTERVAL '5' SECOND AND {left} + INTERVAL '5' SECOND"),
            ),
        };
        match (left.as_str(), right.as_str()) {
            ("…", _) => self.at_join(node, &message).hint("its left side has no event time: pass one on unchanged"),
            (_, "…") => self.at_join(node, &message).hint("its right side has no event time: pass one on unchanged"),
            _ => self.at_join(node, &message).hint(hint),
        }
    }

    /// Conditions that cannot be put in front of the join or behind it.
    fn refuse_others(
        &self,
        node: &logical_expr::Join,
        condition: &Condition,
        left_alone: bool,
        right_alone: bool,
    ) -> Result<(), Problem> {
        let one_row = condition.pick.is_some();
        let of_left = condition.left_only.iter().filter(|_| left_alone);
        let of_right = condition.right_only.iter().filter(|_| right_alone);
        let of_both = condition.others.iter().filter(|_| left_alone || right_alone || one_row);
        let Some(other) = of_left.chain(of_right).chain(of_both).next() else { return Ok(()) };
        let kind =
            if one_row { "an ASOF".to_owned() } else { format!("a {}", node.join_type.to_string().to_uppercase()) };
        let message = format!("\"{}\" is no condition that {kind} JOIN can look partners up by", sql_of(other));
        let hint = "write it in WHERE, or behind a JOIN that puts out no rows alone";
        Err(self.text.at_span(place(other), "on", message).hint(hint))
    }

    pub(super) fn at_join(&self, node: &logical_expr::Join, message: &str) -> Problem {
        let on = node.on.iter().find_map(|(left, _)| place(left));
        let filter = node.filter.as_ref().and_then(place);
        self.text.at_span(filter.or(on), "join", message)
    }

    /// Which columns of a side are used above the join; with `own` also those that its condition uses.
    pub(super) fn wanted(&self, node: &logical_expr::Join, side: &DFSchema, own: bool) -> Result<Vec<usize>, Problem> {
        let told = |e| self.text.planning(&e);
        let plan = LogicalPlan::Join(node.clone());
        let (below, own) =
            (uses(&plan).map_err(told)?, if own { names_in(&plan).map_err(told)? } else { BTreeSet::new() });
        let used = |name: &String| own.contains(name) || self.used.get(name) > below.get(name);
        let fields = side.fields().iter().enumerate();
        Ok(fields.filter(|(_, field)| used(field.name())).map(|(n, _)| n).collect())
    }

    /// The columns a join reads: those of the side as they are if that will do, otherwise a step that computes them.
    fn prepared(&mut self, mut side: Relation, taken: Taken<'_>) -> Result<Prepared, Problem> {
        let Taken { names, wanted, keys, time, only } = taken;
        side.filter = side.filter.into_iter().chain(only).reduce(Expr::and);
        let plain = |expr: &Expr| side.plain(expr);
        let columns = wanted.iter().map(|n| Some((*n, plain(&side.columns[*n])?))).collect::<Option<Vec<_>>>();
        let plain_keys = keys.iter().map(plain).collect::<Option<Vec<_>>>();
        if let (None, Some(columns), Some(keys)) = (&side.filter, columns, plain_keys) {
            return Ok(Prepared { input: side, columns, keys, time });
        }
        let mut computed = Vec::<(Expr, String)>::new();
        let mut add = |expr: Expr, name: &str| match computed.iter().position(|(known, _)| *known == expr) {
            Some(place) => place,
            None => {
                let name = unused(name, |name| computed.iter().any(|(_, taken)| taken == name));
                computed.push((expr, name));
                computed.len() - 1
            }
        };
        let columns = wanted.iter().map(|n| (*n, add(side.columns[*n].clone(), &names[*n]))).collect();
        let time_name = side.schema.field(time).name();
        let time = add(column(time_name), time_name);
        let keys = keys.iter().map(|key| match key {
            Expr::Column(named) => add(key.clone(), &named.name),
            _ => add(key.clone(), "key"),
        });
        let keys = keys.collect();
        let (exprs, names): (Vec<_>, Vec<_>) = computed.into_iter().unzip();
        side.columns = exprs;
        let input = self.step("prepare", side, &names)?;
        Ok(Prepared { input, columns, keys, time })
    }
}

const FORMS: &str = "the joins there are: JOIN, LEFT JOIN, RIGHT JOIN, FULL JOIN, ASOF JOIN, ASOF LEFT JOIN";

/// How many nodes of a plan use a column of each name.
pub(super) fn uses(plan: &LogicalPlan) -> PlanResult<BTreeMap<String, usize>> {
    let mut uses = BTreeMap::new();
    plan.apply(|node| {
        names_in(node)?.into_iter().for_each(|name| *uses.entry(name).or_default() += 1);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(uses)
}

/// The names of the columns that a node of a plan itself uses.
fn names_in(node: &LogicalPlan) -> PlanResult<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    node.apply_expressions(|expr| {
        expr.apply(|part| {
            if let Expr::Column(column) = part {
                names.insert(column.name.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(names)
}

/// How far an event time among the columns read may be behind the watermark.
fn delay_of(relation: &Relation, time: usize) -> Span {
    let name = relation.schema.field(time).name();
    relation.times.iter().find(|t| t.name == *name).map_or(Span::ZERO, |t| t.delay)
}

fn join_side(side: &Prepared, names: &[String], name: String, alone: bool) -> JoinSide {
    let schema = SchemaRef::clone(&side.input.schema);
    JoinSide {
        name,
        time: side.time,
        delay: delay_of(&side.input, side.time),
        keys: side.keys.clone(),
        columns: side.columns.iter().map(|(n, place)| (*place, names[*n].clone())).collect(),
        alone,
        schema,
    }
}

/// What a side is called: its table or alias, if it has one for all columns.
pub(super) fn qualifier(plan: &Arc<LogicalPlan>, or: &str) -> String {
    let mut names = plan.schema().iter().map(|(qualifier, _)| qualifier.map(|table| table.table().to_owned()));
    match names.next().flatten() {
        Some(first) if names.all(|name| name.as_deref() == Some(first.as_str())) => first,
        _ => or.to_owned(),
    }
}

/// Columns that are those of an input; keys are those of both. Columns that may be null for want of a partner are none.
fn lineage(spec: &JoinSpec, outer: bool) -> Vec<Vec<(String, String)>> {
    if outer && (spec.right.alone || spec.left.keys.is_empty()) {
        return vec![Vec::new(), Vec::new()];
    }
    let name = |side: &JoinSide, column: usize| side.schema.field(column).name().clone();
    let mut lineage = vec![Vec::new(), Vec::new()];
    let sides = [(&spec.left, &spec.right), (&spec.right, &spec.left)];
    for (n, (side, other)) in sides.into_iter().enumerate() {
        if other.alone {
            continue;
        }
        for (column, output) in &side.columns {
            lineage[n].push((output.clone(), name(side, *column)));
            if let Some(key) = side.keys.iter().position(|key| key == column) {
                lineage[1 - n].push((output.clone(), name(other, other.keys[key])));
            }
        }
    }
    lineage
}
