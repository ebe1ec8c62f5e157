//! What windows read of a table where something is computed first: queries over the same rows are given the columns of all of them
//! by one step. So their windows read the same rows and can share slices, whichever of the columns each of them needs.
//!
//! ```text
//! seconds   avg(value)   ts, sensor, if_usable(value, quality)  ┐
//! hours     max(amps)    ts, sensor, if_usable(amps, quality)   ├─► one step computes both columns
//! counts    count(*)     ts, sensor                             ┘
//! ```
//!
//! Queries are planned one by one, so what the others read is known when all have been planned once; those that can share are
//! then planned anew with what was [`united`]. Only columns that are there, or are looked at for their quality, take
//! part: an expression that fails drops its row, and must not drop it for a query that does not ask for it.

use datafusion::logical_expr::Expr;

use super::StepInput;
use super::aggregate_call::Arguments;
use super::quality::is_trusted_column;
use super::relation::Relation;

/// What the windows of a query read of a table.
#[derive(Clone, Debug)]
pub struct Prepared {
    table: String,
    filter: Option<Expr>,
    time: Expr,
    /// In an order that does not depend on the query, each once.
    keys: Vec<Expr>,
    columns: Arguments,
    /// Whether all columns are there as they are, and all rows are read.
    plain: bool,
}

impl Prepared {
    /// What windows read of this relation, if others may be given more: `time` and `keys` are places among the arguments.
    pub(super) fn of(
        relation: &Relation,
        arguments: &Arguments,
        time: usize,
        keys: impl Iterator<Item = usize>,
    ) -> Option<Self> {
        let StepInput::Table(table) = &relation.input else { return None };
        let expr = |place: usize| arguments.0[place].0.clone();
        let is_plain = |expr: &Expr| relation.plain(expr).is_some();
        if !arguments.0.iter().all(|(expr, _)| is_plain(expr) || is_trusted_column(expr)) {
            return None;
        }
        let mut keys = keys.map(expr).collect::<Vec<_>>();
        keys.sort_by_cached_key(ToString::to_string);
        keys.dedup();
        Some(Self {
            table: table.clone(),
            filter: relation.filter.clone(),
            time: expr(time),
            keys,
            columns: arguments.clone(),
            plain: relation.filter.is_none() && arguments.0.iter().all(|(expr, _)| is_plain(expr)),
        })
    }

    /// Whether windows over both could share slices if they read the same columns.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        let rows = |read: &Self| (read.table.clone(), read.filter.clone(), read.time.clone(), read.keys.clone());
        rows(self) == rows(other)
    }

    /// All columns, each once.
    pub(super) fn columns(&self) -> &Arguments {
        &self.columns
    }
}

/// What queries that go together read, if they do not read the same already.
pub fn united(read: &[Prepared]) -> Vec<Prepared> {
    let mut found = Vec::<(Prepared, bool)>::new();
    for one in read {
        match found.iter_mut().find(|(all, _)| all.goes_with(one)) {
            None => found.push((one.clone(), false)),
            Some((all, differ)) => {
                *differ |= all.columns != one.columns;
                all.plain &= one.plain;
                for (expr, name) in &one.columns.0 {
                    all.columns.add(expr.clone(), name);
                }
            }
        }
    }
    found.into_iter().filter(|(all, differ)| *differ && !all.plain).map(|(all, _)| all).collect()
}
