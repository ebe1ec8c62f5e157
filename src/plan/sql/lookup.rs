//! `JOIN` with a table: each row of a stream is looked up in rows that are all there.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::logical_expr::{self, Expr, LogicalPlan};
use lineside_model::Problem;
use lineside_operators::join::lookup::{self, LookupSpec, WAITING_LIMIT};

use super::StepInput;
use super::expression::sql_of;
use super::join::qualifier;
use super::join_condition::{Sides, place};
use super::lower::{Lowering, names_of};
use super::relation::{Relation, column, renamed, unused};

impl Lowering<'_> {
    /// Whether the right side of a join is a table, perhaps under another name or with fewer columns.
    pub(super) fn is_lookup(&self, plan: &LogicalPlan) -> bool {
        match plan {
            LogicalPlan::TableScan(scan) => {
                self.tables.iter().any(|table| table.fixed && table.name == scan.table_name.table())
            }
            LogicalPlan::SubqueryAlias(alias) => self.is_lookup(&alias.input),
            LogicalPlan::Projection(projection) => self.is_lookup(&projection.input),
            LogicalPlan::Filter(filter) => self.is_lookup(&filter.input),
            _ => false,
        }
    }

    pub(super) fn lookup(&mut self, node: &logical_expr::Join) -> Result<Relation, Problem> {
        let stream = self.side_of(&node.left)?;
        self.looks_up = true;
        let table = self.relation(&node.right);
        self.looks_up = false;
        let table = table?;
        let alone = match node.join_type {
            JoinType::Inner => false,
            JoinType::Left => true,
            other => {
                let message = format!("a {} JOIN with a table does not run", other.to_string().to_uppercase());
                return Err(self.at_join(node, &message).hint("write JOIN or LEFT JOIN, the table behind it"));
            }
        };
        let sides = Sides { schema: &node.schema, left: &stream, right: &table };
        let condition = sides.condition(&node.on, node.filter.as_ref(), self.text)?;
        if condition.pick.is_some() {
            let message = "a table is looked up as it is now, not as it was at a time";
            return Err(self.at_join(node, message).hint("leave out ASOF and MATCH_CONDITION"));
        }
        // What else is asked of the rows; times that are compared are a condition like any other here.
        let bounds = condition.bounds.into_iter().map(|bound| bound.expr);
        let sides = condition.left_only.into_iter().chain(condition.right_only);
        let others = sides.chain(condition.others).chain(bounds).collect::<Vec<_>>();
        if alone && let Some(other) = others.first() {
            let message = format!("\"{}\" is no condition that a LEFT JOIN can look rows up by", sql_of(other));
            return Err(self.text.at_span(place(other), "on", message).hint("write it in WHERE, or write JOIN"));
        }
        let plain = table.filter.is_none() && table.columns.iter().all(|column| table.plain(column).is_some());
        if alone && !plain {
            let message = "a LEFT JOIN reads the columns of a table as they are";
            return Err(self
                .at_join(node, message)
                .hint("compute columns and conditions behind the join, or write JOIN"));
        }
        if condition.keys.is_empty() {
            let message = "rows are looked up in a table by a column of it that is equal";
            return Err(self.at_join(node, message).hint("write JOIN … ON a.product = b.product"));
        }
        // The keys of the stream are computed with it; those of the table are columns of it.
        let names = names_of(node.left.schema());
        let mut stream_keys = Vec::new();
        let mut keys = Vec::new();
        for (of_stream, of_table) in &condition.keys {
            stream_keys.push(self.resolve(&stream, of_stream, node.left.schema())?);
            let resolved = self.resolve(&table, of_table, node.right.schema())?;
            let Some(key) = table.plain(&resolved) else {
                let message =
                    format!("\"{}\" is computed: rows are looked up by a column of the table", sql_of(of_table));
                return Err(self.text.at_span(place(of_table), "on", message).hint("CAST or compute the other side"));
            };
            keys.push(key);
        }
        let own = !others.is_empty();
        let wanted = self.wanted(node, node.left.schema(), own)?;
        let (stream, stream_columns, stream_keys) = self.with_keys(stream, &names, &wanted, stream_keys)?;
        let shown = self.wanted(node, node.right.schema(), own)?;
        let StepInput::Table(name) = &table.input else { return Err(self.at_join(node, "the table is computed")) };
        let joined_names = names_of(&node.schema);
        let (stream_names, _) = joined_names.split_at(names.len());
        let mut taken = stream_names.to_vec();
        let used = |n: &usize| !plain || shown.iter().any(|column| table.plain(&table.columns[*column]) == Some(*n));
        let table_columns = (0..table.schema.fields().len()).filter(used).map(|n| {
            let name = unused(table.schema.field(n).name(), |name| taken.iter().any(|t| t == name));
            taken.push(name.clone());
            (n, name)
        });
        let table_columns = table_columns.collect::<Vec<_>>();
        let spec = LookupSpec {
            stream: Arc::clone(&stream.schema),
            times: stream.times.clone(),
            table: Arc::clone(&table.schema),
            name: qualifier(&node.right, name),
            keys: stream_keys.into_iter().zip(keys).collect(),
            stream_columns: wanted
                .iter()
                .zip(stream_columns)
                .map(|(n, place)| (place, stream_names[*n].clone()))
                .collect(),
            table_columns: table_columns.clone(),
            alone,
            waiting_limit: WAITING_LIMIT,
        };
        let of_stream = spec.stream_columns.iter();
        let lineage = of_stream.map(|(n, name)| (name.clone(), spec.stream.field(*n).name().clone())).collect();
        let operator = lookup::plan(spec).map_err(|problems| {
            let what = problems.0.into_iter().next().unwrap_or_else(|| Problem::whole("the lookup cannot be planned"));
            Problem { hint: what.hint, ..self.at_join(node, &what.message) }
        })?;
        let mut joined =
            self.push("lookup", vec![stream.input, table.input.clone()], operator, vec![lineage, Vec::new()]);
        // What the table's side computes is computed behind the lookup, over its columns under their new names.
        let new_name = |name: &str| {
            let place = table.schema.index_of(name).ok()?;
            table_columns.iter().find(|(n, _)| *n == place).map(|(_, name)| name.clone())
        };
        let renamed = |expr: &Expr| renamed(expr.clone(), &new_name).map_err(|e| self.text.planning(&e));
        let of_stream = stream_names.iter().map(|name| Ok(column(name)));
        joined.columns = of_stream.chain(table.columns.iter().map(renamed)).collect::<Result<_, Problem>>()?;
        let mut conditions = table.filter.iter().map(renamed).collect::<Result<Vec<_>, _>>()?;
        for other in &others {
            conditions.push(self.resolve(&joined, other, &node.schema)?);
        }
        joined.filter = conditions.into_iter().reduce(Expr::and);
        Ok(joined)
    }

    /// The stream with its keys among its columns, and where the wanted columns and the keys are.
    fn with_keys(
        &mut self,
        mut stream: Relation,
        names: &[String],
        wanted: &[usize],
        keys: Vec<Expr>,
    ) -> Result<(Relation, Vec<usize>, Vec<usize>), Problem> {
        let columns = wanted.iter().map(|n| stream.columns[*n].clone()).collect::<Vec<_>>();
        let plain = |exprs: &[Expr]| exprs.iter().map(|expr| stream.plain(expr)).collect::<Option<Vec<_>>>();
        if let (None, Some(columns), Some(keys)) = (&stream.filter, plain(&columns), plain(&keys)) {
            return Ok((stream, columns, keys));
        }
        let mut names = wanted.iter().map(|n| names[*n].clone()).collect::<Vec<_>>();
        stream.columns = columns;
        let mut places = Vec::with_capacity(keys.len());
        for key in keys {
            let known = stream.columns.iter().position(|column| *column == key);
            places.push(known.unwrap_or(stream.columns.len()));
            if known.is_none() {
                names.push(unused("key", |name| names.iter().any(|taken| taken == name)));
                stream.columns.push(key);
            }
        }
        let stream = self.step("prepare", stream, &names)?;
        Ok((stream, (0..wanted.len()).collect(), places))
    }
}
