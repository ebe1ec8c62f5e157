//! What SQL can say and a stream cannot do, found in the text before anything is planned, each with the nearest form that runs.
//!
//! All refusals of a query are told at once, each at the words it means.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, DuplicateTreatment, Expr, Function, FunctionArgumentClause, FunctionArguments, GroupByExpr, Ident, Join,
    JoinConstraint, JoinOperator, Query, Select, SetExpr, SetOperator, SetQuantifier, Spanned, Statement, TableFactor,
    Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use lineside_model::{Problem, Problems};

use super::text::SqlText;
use super::{plant_aggregate, series, window_call};

/// The one `SELECT` of the text, if it can run as a stream as far as the text tells.
pub(super) fn one_select(text: &SqlText) -> Result<Statement, Problems> {
    if let Some(place) = text.clause("emit", &["on", "after", "every", "changes", "final", "with"]) {
        return Err(text
            .at(place, "when results are put out is an option of the query, not a clause of it")
            .hint("remove EMIT: a window's rows come out when the watermark closes it")
            .into());
    }
    let mut statements = text.parse()?;
    let statement = match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => statement,
        (None, _) => return Err(text.at_word("", "the query is empty").hint("write one SELECT").into()),
        (Some(second), false) => {
            return Err(text.at(second.span(), "a query is one SELECT").hint("give each its own [query.NAME]").into());
        }
    };
    if !matches!(statement, Statement::Query(_)) {
        let written = statement.to_string();
        let verb = written.split_whitespace().next().unwrap_or_default();
        return Err(text
            .at_word(verb, format!("a query is one SELECT, found {}", verb.to_uppercase()))
            .hint("the name and the options of a query stand in [query.NAME] of the pipeline file")
            .into());
    }
    let mut refusals = Refusals { text, problems: Problems::default() };
    let ControlFlow::Continue(()) = statement.visit(&mut refusals) else { return Err(refusals.problems) };
    refusals.problems.or(statement)
}

/// The tables that a statement reads, with their places; names are as DataFusion reads them.
pub(super) fn tables(statement: &Statement) -> Vec<(String, Span)> {
    let mut found = Tables::default();
    let ControlFlow::Continue(()) = statement.visit(&mut found) else { return Vec::new() };
    found.tables.retain(|(name, _)| !found.defined.contains(name));
    found.tables.append(&mut found.hidden);
    found.tables
}

#[derive(Debug, Default)]
struct Tables {
    tables: Vec<(String, Span)>,
    /// Names that a `WITH` gives.
    defined: BTreeSet<String>,
    /// Tables whose name a `WITH` gives to what it makes of them.
    hidden: Vec<(String, Span)>,
}

impl Tables {
    fn add(&mut self, name: &[Ident]) {
        let joined = name.iter().map(normal).collect::<Vec<_>>().join(".");
        if let Some(first) = name.first() {
            self.tables.push((joined, first.span));
        }
    }
}

impl Visitor for Tables {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for defined in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = normal(&defined.alias.name);
            // `WITH readings AS (SELECT … FROM readings)`: within, the name is still that of the table.
            let mut within = Self::default();
            if defined.query.visit(&mut within).is_continue() {
                self.hidden.extend(within.tables.into_iter().filter(|(table, _)| *table == name));
            }
            self.defined.insert(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, relation: &TableFactor) -> ControlFlow<()> {
        match (window_call::data_of(relation), relation) {
            (Some(Expr::Identifier(name)), _) => self.add(&[name]),
            (Some(Expr::CompoundIdentifier(names)), _) => self.add(&names),
            (None, TableFactor::Table { name, args: None, .. }) => {
                self.add(&name.0.iter().filter_map(|part| part.as_ident().cloned()).collect::<Vec<_>>());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// An unquoted name is lower case, as in Postgres.
fn normal(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    }
}

struct Refusals<'a> {
    text: &'a SqlText,
    problems: Problems,
}

impl Refusals<'_> {
    fn refuse(&mut self, place: Span, word: &str, message: &str, hint: &str) {
        let problem = match place == Span::empty() {
            true => self.text.at_word(word, message),
            false => self.text.at(place, message),
        };
        self.problems.push(Problem::hint(problem, hint));
    }

    fn set(&mut self, body: &SetExpr) {
        match body {
            SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: SetQuantifier::All, left, right } => {
                self.set(left);
                self.set(right);
            }
            SetExpr::SetOperation { op: SetOperator::Union, .. } => {
                let hint = "write UNION ALL, which keeps every row";
                self.refuse(Span::empty(), "union", "UNION would have to remember every row there ever was", hint);
            }
            SetExpr::SetOperation { op, .. } => {
                let word = op.to_string();
                let message = format!("{word} would have to remember every row there ever was");
                self.refuse(Span::empty(), &word, &message, "write the condition in WHERE");
            }
            SetExpr::Values(values) => {
                self.refuse(values.span(), "values", "VALUES never changes", "read a source of a pipeline file");
            }
            SetExpr::Select(_) | SetExpr::Query(_) => {}
            other => self.refuse(other.span(), "table", "a query is one SELECT", "write SELECT … FROM …"),
        }
    }

    /// Joins whose condition can be looked into; whether it bounds the times shows when names are resolved.
    fn join(&mut self, join: &Join) {
        match &join.join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint) => {
                if matches!(constraint, JoinConstraint::None | JoinConstraint::Natural) {
                    self.refuse(join.span(), "join", "a JOIN of streams needs its condition", JOIN_HINT);
                }
            }
            _ => {
                let message = "this JOIN would bring every row of one stream together with every row of another";
                self.refuse(join.span(), "join", message, JOIN_HINT);
            }
        }
    }

    /// Functions of a series stand before `OVER`, and take every row. Without it, some are aggregates.
    fn series(&mut self, function: &Function) {
        let name = function.name.to_string().to_lowercase();
        let Some(kind) = series::find(&name) else { return };
        if function.over.is_none() && !plant_aggregate::names().contains(&name) {
            let message = format!("{name} needs OVER: it goes from row to row in the order of time");
            let hint = format!("write {} OVER (PARTITION BY … ORDER BY …)", kind.usage);
            self.refuse(function.name.span(), &name, &message, &hint);
        } else if function.over.is_some() && function.filter.is_some() {
            let message = format!("{name} takes every row, it cannot leave some out by FILTER");
            self.refuse(function.name.span(), &name, &message, "write CASE WHEN … THEN … END as its argument");
        }
    }

    fn group_by(&mut self, group_by: &GroupByExpr) {
        const HINT: &str = "write one query for each grouping";
        match group_by {
            GroupByExpr::All(_) => {
                self.refuse(
                    Span::empty(),
                    "group",
                    "GROUP BY ALL hides the window",
                    "name the columns, window_start first",
                );
            }
            GroupByExpr::Expressions(columns, modifiers) => {
                let sets = |c: &&Expr| matches!(c, Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_));
                if let Some(set) = columns.iter().find(sets) {
                    self.refuse(set.span(), "group", "several groupings in one query do not run on a stream", HINT);
                } else if !modifiers.is_empty() {
                    let message = "several groupings in one query do not run on a stream";
                    self.refuse(Span::empty(), "group", message, HINT);
                }
            }
        }
    }
}

impl Visitor for Refusals<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(order) = &query.order_by {
            let message = "ORDER BY needs the last row, and a stream has none";
            self.refuse(order.span(), "order", message, "leave it out: a window's rows come out in the order of time");
        }
        if query.limit_clause.is_some() || query.fetch.is_some() {
            let word = if query.fetch.is_some() { "fetch" } else { "limit" };
            let word = if self.text.has_word(word) { word } else { "offset" };
            let message = "a stream goes on: its number of rows cannot be limited";
            self.refuse(Span::empty(), word, message, "say which rows are wanted in WHERE or HAVING");
        }
        if query.with.as_ref().is_some_and(|with| with.recursive) {
            self.refuse(
                Span::empty(),
                "recursive",
                "a recursive query does not end on a stream",
                "write WITH without it",
            );
        }
        if let Some(lock) = query.locks.first() {
            self.refuse(Span::empty(), "for", &format!("a stream has no rows to lock with {lock}"), "leave it out");
        }
        if !query.pipe_operators.is_empty() || query.for_clause.is_some() || query.format_clause.is_some() {
            self.refuse(Span::empty(), "select", "clauses of other SQL dialects do not run", "write a plain SELECT");
        }
        self.set(&query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if select.distinct.as_ref().is_some_and(|distinct| *distinct != Distinct::All) {
            let message = "DISTINCT would have to remember every row there ever was";
            let hint = "GROUP BY window_start, window_end and the columns, from TUMBLE(…)";
            self.refuse(Span::empty(), "distinct", message, hint);
        }
        match select.from.as_slice() {
            [] => {
                let hint = "write FROM and the name of a source or a query";
                self.refuse(
                    select.select_token.0.span,
                    "select",
                    "a query reads a stream, this one reads nothing",
                    hint,
                );
            }
            [only] => {
                for join in &only.joins {
                    self.join(join);
                }
            }
            [_, second, ..] => self.refuse(second.span(), "from", "a JOIN of streams needs its condition", JOIN_HINT),
        }
        let of_others = select.top.is_some() || !select.lateral_views.is_empty() || !select.connect_by.is_empty();
        if select.into.is_some() || of_others {
            self.refuse(Span::empty(), "select", "clauses of other SQL dialects do not run", "write a plain SELECT");
        }
        self.group_by(&select.group_by);
        ControlFlow::Continue(())
    }

    /// What follows the name of a table and would be passed over.
    fn pre_visit_table_factor(&mut self, relation: &TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, sample, version, with_hints, with_ordinality, .. } = relation else {
            return ControlFlow::Continue(());
        };
        if sample.is_some() {
            let message = "which rows a sample takes would be another choice at each run";
            self.refuse(name.span(), "tablesample", message, "write a condition in WHERE, such as n % 10 = 0");
        } else if version.is_some() || !with_hints.is_empty() || *with_ordinality {
            self.refuse(
                name.span(),
                "with",
                "clauses of other SQL dialects do not run",
                "write the table's name alone",
            );
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                self.series(function);
                if let FunctionArguments::List(list) = &function.args {
                    let counts = function.name.to_string().eq_ignore_ascii_case("count");
                    if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) && !counts {
                        let message = "of aggregates only count takes DISTINCT";
                        let hint = "GROUP BY the column as well, and aggregate that query again";
                        self.refuse(function.name.span(), "distinct", message, hint);
                    }
                    if list.clauses.iter().any(|c| matches!(c, FunctionArgumentClause::Limit(_))) {
                        let message = "LIMIT does not run within a function";
                        self.refuse(function.name.span(), "limit", message, "leave it out");
                    }
                }
            }
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                let message = "a subquery in an expression would compare a stream with a stream";
                self.refuse(expr.span(), "select", message, "write the subquery in FROM or WITH");
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

const JOIN_HINT: &str = "write a JOIN b ON a.sensor = b.sensor AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '5' SECOND";
