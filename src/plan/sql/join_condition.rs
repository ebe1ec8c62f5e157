//! What the condition of a join says: which columns are equal, how far apart the times may be, and what else must hold.
//!
//! A comparison of the event times of both sides, with intervals added or subtracted on either side of it, is a bound of
//! `right time − left time` in microseconds: `a.ts >= b.ts` says at most 0, `b.ts - a.ts < INTERVAL '1' SECOND` at most
//! 999,999. `BETWEEN` is two of them.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Span};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, utils::split_conjunction};
use lineside_model::Problem;
use lineside_operators::join::Pick;

use super::asof::{MATCH, NEAREST};
use super::interval::micros_of;
use super::relation::Relation;
use super::text::SqlText;

/// A side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Left,
    Right,
}

/// The two inputs of a join, whose condition is written over the columns of both.
pub(super) struct Sides<'a> {
    pub(super) schema: &'a DFSchema,
    pub(super) left: &'a Relation,
    pub(super) right: &'a Relation,
}

/// What a condition says.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// Expressions of the left and of the right that are equal.
    pub(super) keys: Vec<(Expr, Expr)>,
    /// How far apart event times of the two may be.
    pub(super) bounds: Vec<Bound>,
    /// Which row is taken, in an `ASOF JOIN`.
    pub(super) pick: Option<Pick>,
    /// Conditions on one side alone.
    pub(super) left_only: Vec<Expr>,
    pub(super) right_only: Vec<Expr>,
    /// All others.
    pub(super) others: Vec<Expr>,
}

/// A bound of the time of the right less that of the left, in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// The columns read that are compared, of the left and of the right.
    pub(super) times: (usize, usize),
    pub(super) earliest: Option<i128>,
    pub(super) latest: Option<i128>,
    /// The comparison itself.
    pub(super) expr: Expr,
}

impl Sides<'_> {
    /// Reads the condition of a join.
    pub(super) fn condition(
        &self,
        on: &[(Expr, Expr)],
        filter: Option<&Expr>,
        text: &SqlText,
    ) -> Result<Condition, Problem> {
        let mut condition = Condition::default();
        for (left, right) in on {
            self.add(&Expr::eq(left.clone(), right.clone()), &mut condition);
        }
        for part in filter.map(split_conjunction).unwrap_or_default() {
            match function(part, MATCH) {
                Some(arguments) if condition.pick.is_none() => {
                    for part in arguments.first().map(split_conjunction).unwrap_or_default() {
                        self.add_match(part, &mut condition, text)?;
                    }
                }
                _ => self.add(part, &mut condition),
            }
        }
        Ok(condition)
    }

    /// A part of `MATCH_CONDITION`: it says something of the times. The first says which row is taken.
    fn add_match(&self, part: &Expr, condition: &mut Condition, text: &SqlText) -> Result<(), Problem> {
        let bound = self.bound(part);
        let pick = match &bound {
            Some(_) if function(part, NEAREST).is_some() => Pick::Nearest,
            Some(Bound { latest: Some(_), .. }) => Pick::Last,
            _ => Pick::First,
        };
        let Some(bound) = bound else {
            let message = "MATCH_CONDITION compares the event times of both sides";
            let hint = format!(
                "write MATCH_CONDITION ({} >= {}), and other conditions behind ON",
                self.time_of(Side::Left),
                self.time_of(Side::Right)
            );
            return Err(text.at_span(place(part), "match_condition", message).hint(hint));
        };
        condition.bounds.push(bound);
        condition.pick.get_or_insert(pick);
        Ok(())
    }

    fn add(&self, part: &Expr, condition: &mut Condition) {
        if let Expr::Between(between) = part
            && !between.negated
        {
            let (of, low, high) = (between.expr.clone(), between.low.clone(), between.high.clone());
            self.add(&of.clone().gt_eq(*low), condition);
            return self.add(&of.lt_eq(*high), condition);
        }
        if let Some(bound) = self.bound(part) {
            return condition.bounds.push(bound);
        }
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = part {
            let key = match (self.only(left), self.only(right)) {
                (Some(Side::Left), Some(Side::Right)) => Some((left, right)),
                (Some(Side::Right), Some(Side::Left)) => Some((right, left)),
                _ => None,
            };
            if let Some((left, right)) = key {
                return condition.keys.push((left.as_ref().clone(), right.as_ref().clone()));
            }
        }
        let parts = match self.only(part) {
            Some(Side::Left) => &mut condition.left_only,
            Some(Side::Right) => &mut condition.right_only,
            None => &mut condition.others,
        };
        parts.push(part.clone());
    }

    /// The side that all columns of an expression are of; none if it has columns of both, or no column.
    fn only(&self, expr: &Expr) -> Option<Side> {
        let mut sides = BTreeSet::new();
        let visited = expr.apply(|part| {
            if let Expr::Column(column) = part {
                sides.insert(self.side(self.schema.index_of_column(column)?).0);
            }
            Ok(TreeNodeRecursion::Continue)
        });
        let mut sides = sides.into_iter();
        match (visited, sides.next(), sides.next()) {
            (Ok(_), Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// Which side a column of the join is of, and its place there.
    pub(super) fn side(&self, column: usize) -> (Side, usize) {
        match column.checked_sub(self.left.columns.len()) {
            None => (Side::Left, column),
            Some(place) => (Side::Right, place),
        }
    }

    fn bound(&self, expr: &Expr) -> Option<Bound> {
        if let Some(arguments) = function(expr, NEAREST) {
            let apart = self.linear(arguments.first()?)?.less(self.linear(arguments.get(1)?)?);
            let tolerance = match arguments.get(2) {
                Some(tolerance) => Some(self.linear(tolerance).filter(|t| t.times.is_empty())?.micros),
                None => None,
            };
            let times = apart.pair().filter(|_| apart.micros == 0)?.0;
            return Some(Bound { times, earliest: tolerance.map(|t| -t), latest: tolerance, expr: expr.clone() });
        }
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
        let apart = self.linear(left)?.less(self.linear(right)?);
        let (times, turned) = apart.pair()?;
        // `right − left + micros op 0`, or with both sides of the comparison exchanged.
        let (op, micros) = if turned { (op.swap()?, -apart.micros) } else { (*op, apart.micros) };
        let (earliest, latest) = match op {
            Operator::Eq => (Some(-micros), Some(-micros)),
            Operator::LtEq => (None, Some(-micros)),
            Operator::Lt => (None, Some(-micros - 1)),
            Operator::GtEq => (Some(-micros), None),
            Operator::Gt => (Some(1 - micros), None),
            _ => return None,
        };
        Some(Bound { times, earliest, latest, expr: expr.clone() })
    }

    /// `expr` as a sum of event times and a length of time.
    fn linear(&self, expr: &Expr) -> Option<Linear> {
        match expr {
            Expr::Column(column) => {
                let (side, place) = self.side(self.schema.index_of_column(column).ok()?);
                let relation = if side == Side::Left { self.left } else { self.right };
                let (time, _) = relation.time(relation.columns.get(place)?)?;
                Some(Linear { times: vec![(side, time, 1)], micros: 0 })
            }
            Expr::Literal(value, _) => Some(Linear { times: Vec::new(), micros: micros_of(value).ok()? }),
            Expr::Cast(cast) if keeps_time(cast.field.data_type()) => self.linear(&cast.expr),
            Expr::Alias(alias) => self.linear(&alias.expr),
            Expr::Negative(inner) => Some(Linear::default().less(self.linear(inner)?)),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
                Some(self.linear(left)?.less(self.linear(right)?))
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
                Some(self.linear(left)?.less(Linear::default().less(self.linear(right)?)))
            }
            _ => None,
        }
    }

    /// An event time of a side, as it can be written.
    pub(super) fn time_of(&self, side: Side) -> String {
        let relation = if side == Side::Left { self.left } else { self.right };
        let from = if side == Side::Left { 0 } else { self.left.columns.len() };
        let found = relation.columns.iter().position(|column| relation.time(column).is_some());
        found.map_or_else(|| "…".to_owned(), |place| self.name_of(from + place))
    }

    /// A column of the join, as it can be written.
    pub(super) fn name_of(&self, column: usize) -> String {
        let (qualifier, field) = self.schema.qualified_field(column);
        qualifier.map_or_else(|| field.name().clone(), |table| format!("{}.{}", table.table(), field.name()))
    }
}

/// A sum of event times, each with its factor, and a length of time.
#[derive(Clone, Debug, Default)]
struct Linear {
    times: Vec<(Side, usize, i32)>,
    micros: i128,
}

impl Linear {
    fn less(mut self, other: Self) -> Self {
        for (side, time, factor) in other.times {
            match self.times.iter_mut().find(|(s, t, _)| (*s, *t) == (side, time)) {
                Some(known) => known.2 -= factor,
                None => self.times.push((side, time, -factor)),
            }
        }
        self.times.retain(|(_, _, factor)| *factor != 0);
        self.times.sort_unstable();
        Self { micros: self.micros - other.micros, ..self }
    }

    /// The times where it is `right − left` and a length of time; and whether it is `left − right` instead.
    fn pair(&self) -> Option<((usize, usize), bool)> {
        match self.times.as_slice() {
            [(Side::Left, left, -1), (Side::Right, right, 1)] => Some(((*left, *right), false)),
            [(Side::Left, left, 1), (Side::Right, right, -1)] => Some(((*left, *right), true)),
            _ => None,
        }
    }
}

/// Whether a `CAST` to this type changes no time: those to whole seconds do, and those to the wall clock of another zone.
fn keeps_time(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, zone) => {
            zone.as_deref().is_none_or(|zone| ["UTC", "+00:00"].contains(&zone))
        }
        DataType::Duration(unit) => matches!(unit, TimeUnit::Microsecond | TimeUnit::Nanosecond),
        DataType::Interval(_) => true,
        _ => false,
    }
}

/// The arguments of a call of `name`, where `expr` is one.
fn function<'e>(expr: &'e Expr, name: &str) -> Option<&'e [Expr]> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == name => Some(&call.args),
        _ => None,
    }
}

/// Where the first column of an expression is written.
pub(super) fn place(expr: &Expr) -> Option<Span> {
    let mut found = None;
    let visited = expr.apply(|part| match part {
        Expr::Column(column) if found.is_none() => {
            found = column.spans.first();
            Ok(TreeNodeRecursion::Stop)
        }
        _ => Ok(TreeNodeRecursion::Continue),
    });
    visited.ok().and(found)
}
