//! From DataFusion's plan to the steps that run: each node of the plan is taken into a [`Relation`], and where that can grow no
//! further (an aggregate, a union, the end) it becomes a step.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use lineside_model::{Problem, Span};
use lineside_operators::window::plan_rows;
use lineside_operators::{Operator, PlannedOperator, TimeColumn};

use super::expression::{Expressions, Program};
use super::join::uses;
use super::keyed::KeyedNode;
use super::prepared::Prepared;
use super::quality::names_quality;
use super::rank::RankStep;
use super::relation::{Relation, Window, column, edge, is_there, unused, with_edges};
use super::text::SqlText;
use super::window::{WINDOW_END, WINDOW_START, WindowNode};
use super::{QueryPlan, Step, StepInput, Table, Wish, event_times};
use crate::config::options::QualityOption;

/// How many windows one row may be in when it is not aggregated: each repeats the row.
const WINDOWS_PER_ROW_MAX: i64 = 1_000;

/// Turns a plan into steps.
pub(super) struct Lowering<'a> {
    pub(super) text: &'a SqlText,
    pub(super) tables: &'a [Table],
    pub(super) steps: Vec<Step>,
    /// Ranks within windows, which a condition that follows may limit.
    pub(super) ranks: Vec<RankStep>,
    /// How many nodes of the plan use a column of this name: a join keeps those that are used above it.
    pub(super) used: BTreeMap<String, usize>,
    /// Whether what is lowered is looked up in, and may be a table that is no stream.
    pub(super) looks_up: bool,
    /// What is wished of the steps beside the rows of the query.
    pub(super) wish: Wish,
    /// What windows read of tables, and what they are to be given for those of other queries.
    pub(super) prepared: Vec<Prepared>,
    pub(super) united: &'a [Prepared],
}

impl<'a> Lowering<'a> {
    pub(super) fn new(text: &'a SqlText, tables: &'a [Table], wish: Wish, united: &'a [Prepared]) -> Self {
        Self {
            text,
            tables,
            steps: Vec::new(),
            ranks: Vec::new(),
            used: BTreeMap::new(),
            looks_up: false,
            wish,
            prepared: Vec::new(),
            united,
        }
    }

    /// Lowers a whole query. Its output has the columns of the plan.
    pub(super) fn query(mut self, plan: &LogicalPlan) -> Result<QueryPlan, Problem> {
        self.refuse_clocks(plan)?;
        if names_quality(plan).map_err(|e| self.text.planning(&e))? {
            self.wish.quality = QualityOption::All;
        }
        self.used = uses(plan).map_err(|e| self.text.planning(&e))?;
        let relation = self.relation(plan)?;
        let names = names_of(plan.schema());
        let output = match (&relation.input, relation.is_whole(&names)) {
            (StepInput::Step(_), true) => relation.input,
            _ => self.step("select", relation, &names)?.input,
        };
        let times = match &output {
            StepInput::Step(n) => self.steps[*n].operator.times.as_slice(),
            StepInput::Table(_) => &[],
        };
        let explain = vec![event_times(times)];
        Ok(QueryPlan { steps: self.steps, output, explain, prepared: self.prepared })
    }

    /// What a node of the plan puts out.
    pub(super) fn relation(&mut self, plan: &LogicalPlan) -> Result<Relation, Problem> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let name = scan.table_name.table();
                let table = self.tables.iter().find(|table| table.name == name);
                let table = table.ok_or_else(|| self.text.at_word(name, format!("there is no table \"{name}\"")))?;
                if table.fixed && !self.looks_up {
                    let message = format!("table \"{name}\" is no stream: its rows are all there from the beginning");
                    let hint = format!("read a stream and look rows up: FROM … JOIN {name} ON …");
                    return Err(self.text.at_word(name, message).hint(hint));
                }
                let input = StepInput::Table(table.name.clone());
                Ok(Relation::of(input, Arc::clone(&table.schema), table.times.clone()))
            }
            LogicalPlan::SubqueryAlias(alias) => self.relation(&alias.input),
            LogicalPlan::Projection(projection) => {
                let mut relation = self.relation(&projection.input)?;
                let names = projection.input.schema();
                let twice = relation.computes_twice(&projection.expr, names).map_err(|e| self.text.planning(&e))?;
                if twice && !relation.is_windowed() {
                    relation = self.step("prepare", relation, &names_of(names))?;
                }
                let resolved = projection.expr.iter().map(|expr| self.resolve(&relation, expr, names));
                relation.columns = resolved.collect::<Result<_, _>>()?;
                Ok(relation)
            }
            LogicalPlan::Filter(filter) => {
                let mut relation = self.relation(&filter.input)?;
                let predicate = self.resolve(&relation, &filter.predicate, filter.input.schema())?;
                self.limit_ranks(&relation, &predicate)?;
                relation.filter = Some(match relation.filter.take() {
                    Some(first) => first.and(predicate),
                    None => predicate,
                });
                Ok(relation)
            }
            LogicalPlan::Extension(extension) => {
                let node = extension.node.as_any();
                match (node.downcast_ref::<WindowNode>(), node.downcast_ref::<KeyedNode>()) {
                    (Some(node), _) => self.window(node),
                    (_, Some(node)) => self.keyed(node),
                    (None, None) => Err(self.refused(plan)),
                }
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Window(window) => self.over(window),
            LogicalPlan::Union(_) => self.union(plan),
            _ => Err(self.refused(plan)),
        }
    }

    pub(super) fn resolve(&self, relation: &Relation, expr: &Expr, names: &DFSchema) -> Result<Expr, Problem> {
        relation.resolve(expr, names).map_err(|e| self.text.planning(&e))
    }

    fn window(&mut self, node: &WindowNode) -> Result<Relation, Problem> {
        let mut relation = self.relation(&node.input)?;
        if relation.is_windowed() {
            relation = self.step("prepare", relation, &names_of(node.input.schema()))?;
        }
        let time = self.event_time(&relation, &node.time, node.input.schema())?;
        let edges = node.kind.fields();
        let edges = edges.iter().map(|field| edge(field.name()));
        relation.columns = node.kept.iter().map(|n| relation.columns[*n].clone()).chain(edges).collect();
        relation.window = Some(Window { kind: node.kind.clone(), time });
        Ok(relation)
    }

    /// The event time among the columns read that windows go by.
    pub(super) fn event_time(&self, relation: &Relation, time: &Expr, names: &DFSchema) -> Result<usize, Problem> {
        let found = self.resolve(relation, time, names)?;
        let Some((place, _)) = relation.time(&found) else {
            let (span, name) = match time {
                Expr::Column(column) => (column.spans.first(), column.name.as_str()),
                _ => (None, ""),
            };
            let known = names_of(names)
                .into_iter()
                .zip(&relation.columns)
                .filter(|(_, expr)| relation.time(expr).is_some())
                .map(|(name, _)| name)
                .collect::<Vec<_>>();
            let hint = match known.as_slice() {
                [] => "it has none: pass one on unchanged from a source or from a windowed query".to_owned(),
                known => format!("the event times there are: {}", known.join(", ")),
            };
            let message = format!("column \"{name}\" is not an event time, so windows cannot be cut by it");
            return Err(self.text.at_span(span, name, message).hint(hint));
        };
        Ok(place)
    }

    fn union(&mut self, plan: &LogicalPlan) -> Result<Relation, Problem> {
        let names = names_of(plan.schema());
        let mut branches = Vec::new();
        branches_of(plan, &mut branches);
        let relations = branches.iter().map(|branch| self.relation(branch)).collect::<Result<Vec<_>, _>>()?;
        self.expressions("union", relations, &names)
    }

    /// Computes a relation as a step of its own, its columns under these names. Those that a join has left out, since nobody
    /// uses them, are still not there.
    pub(super) fn step(&mut self, label: &str, mut relation: Relation, names: &[String]) -> Result<Relation, Problem> {
        let (schema, columns) = (Arc::clone(&relation.schema), std::mem::take(&mut relation.columns));
        let there = columns.into_iter().zip(names).filter(|(expr, _)| is_there(expr, &schema));
        let (columns, kept): (Vec<_>, Vec<_>) = there.map(|(expr, name)| (expr, name.clone())).unzip();
        relation.columns = columns;
        let mut step = self.expressions(label, vec![relation], &kept)?;
        step.columns = names.iter().map(|name| column(name)).collect();
        Ok(step)
    }

    /// One step over one or several relations with the same columns.
    fn expressions(&mut self, label: &str, inputs: Vec<Relation>, names: &[String]) -> Result<Relation, Problem> {
        let mut ports = Vec::with_capacity(inputs.len());
        let mut programs = Vec::with_capacity(inputs.len());
        let mut times = None::<Vec<TimeColumn>>;
        let mut lineage = Vec::with_capacity(inputs.len());
        let mut explain = Vec::new();
        let mut identity = String::new();
        for relation in inputs {
            let relation = self.assigned(relation)?;
            let columns = relation.columns.iter().cloned().zip(names.iter().cloned()).collect::<Vec<_>>();
            let program = Program::compile(&relation.schema, relation.filter.as_ref(), &columns)
                .map_err(|e| self.text.planning(&e))?;
            // Not as SQL, which does not tell an integer from a wider one.
            identity.push_str(&format!("{:?} {columns:?}\n", relation.filter));
            explain.extend(program.predicate_sql.iter().map(|sql| format!("where {sql}")));
            explain.push(format!("select {}", program.columns_sql.join(", ")));
            let found = relation.times_of(&columns);
            times = Some(match times {
                None => found,
                Some(before) => in_both(&before, &found),
            });
            lineage.push(relation.lineage_of(&columns));
            ports.push(relation.input);
            programs.push(program);
        }
        let output = Arc::new(self.common_schema(&programs)?);
        programs.iter_mut().for_each(|program| program.schema = Arc::clone(&output));
        let programs = Arc::<[Program]>::from(programs);
        let build = move || -> Box<dyn Operator> { Box::new(Expressions { programs: Arc::clone(&programs) }) };
        let operator = PlannedOperator {
            partition_by: Some(Vec::new()),
            explain,
            times: times.unwrap_or_default(),
            identity: Some(identity),
            ..PlannedOperator::new(output, build)
        };
        Ok(self.push(label, ports, operator, lineage))
    }

    /// A relation whose windows are columns: every row is put into its windows by a step.
    fn assigned(&mut self, relation: Relation) -> Result<Relation, Problem> {
        if let Some(keyed) = &relation.keyed {
            return Err(self.not_row_by_row(keyed));
        }
        let Some(Window { kind, time }) = relation.window else { return Ok(relation) };
        if kind.overlap() > WINDOWS_PER_ROW_MAX {
            let message = format!("each row would be repeated for more than {WINDOWS_PER_ROW_MAX} windows");
            let problem = self.text.at_any(["hop", "cumulate"], &message);
            return Err(problem.hint("take a longer slide or step, or aggregate by the window"));
        }
        let taken = |name: &str| relation.schema.column_with_name(name).is_some();
        let edges = kind.fields().into_iter().map(|field| {
            let name = unused(field.name(), taken);
            (field.name().clone(), field.with_name(name))
        });
        let edges = edges.collect::<Vec<_>>();
        let names = edges.iter().map(|(edge, field)| (edge.clone(), field.name().clone())).collect::<Vec<_>>();
        let mut fields = relation.schema.fields().iter().cloned().collect::<Vec<_>>();
        fields.extend(edges.into_iter().map(|(_, field)| Arc::new(field)));
        let name = relation.schema.field(time).name();
        let delay = relation.times.iter().find(|t| t.name == *name).map_or(Span::ZERO, |t| t.delay);
        let start_delay = Span(delay.micros().saturating_add(kind.longest().micros()));
        let mut times = relation.times.clone();
        for (edge, delay) in [(WINDOW_END, delay), (WINDOW_START, start_delay)] {
            let name = names.iter().find(|(name, _)| name == edge).map(|(_, name)| name.clone());
            times.extend(name.map(|name| TimeColumn { name, delay }));
        }
        let lineage = relation.schema.fields().iter().map(|f| (f.name().clone(), f.name().clone())).collect();
        let operator = PlannedOperator { times, ..plan_rows(&kind, time, Arc::new(Schema::new(fields))) };
        let operator = operator.explained(format!("{kind} over {name}, each row in all of its own"));
        let assigned = self.push("assign", vec![relation.input], operator, vec![lineage]);
        let edged = |expr: Expr| with_edges(expr, &names).map_err(|e| self.text.planning(&e));
        Ok(Relation {
            filter: relation.filter.map(edged).transpose()?,
            columns: relation.columns.into_iter().map(edged).collect::<Result<_, _>>()?,
            ..assigned
        })
    }

    /// Adds a step; the relation is what it puts out.
    pub(super) fn push(
        &mut self,
        label: &str,
        inputs: Vec<StepInput>,
        operator: PlannedOperator,
        lineage: Vec<Vec<(String, String)>>,
    ) -> Relation {
        let label = unused(label, |label| self.steps.iter().any(|step| step.label == label));
        let (schema, times) = (Arc::clone(&operator.output), operator.times.clone());
        self.steps.push(Step { label, inputs, operator, lineage });
        Relation::of(StepInput::Step(self.steps.len() - 1), schema, times)
    }

    /// A column may be null if it may be so in one of the inputs.
    fn common_schema(&self, programs: &[Program]) -> Result<Schema, Problem> {
        let mut fields = Vec::<Field>::new();
        for program in programs {
            for (n, field) in program.schema.fields().iter().enumerate() {
                match fields.get_mut(n) {
                    None => fields.push(field.as_ref().clone()),
                    Some(common) if common.data_type() == field.data_type() => {
                        *common = common.clone().with_nullable(common.is_nullable() || field.is_nullable());
                    }
                    Some(common) => {
                        let (name, one, other) = (common.name(), common.data_type(), field.data_type());
                        let message =
                            format!("column \"{name}\" is {one} in one part of UNION ALL and {other} in another");
                        return Err(self.text.at_word("union", message).hint("CAST one of them"));
                    }
                }
            }
        }
        Ok(Schema::new(fields))
    }

    /// `now()` and its like: what they give depends on when a row is looked at.
    fn refuse_clocks(&self, plan: &LogicalPlan) -> Result<(), Problem> {
        let mut found = None;
        let visited = plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|part| {
                    if let Expr::ScalarFunction(call) = part
                        && call.func.signature().volatility != Volatility::Immutable
                    {
                        found = Some(Arc::clone(&call.func));
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        });
        visited.map_err(|e| self.text.planning(&e))?;
        let Some(function) = found else { return Ok(()) };
        let words = function.aliases().iter().map(String::as_str).chain([function.name()]);
        Err(match function.signature().volatility {
            Volatility::Volatile => {
                let message =
                    format!("{}() gives another answer each time, so a stream could not be replayed", function.name());
                self.text.at_any(words, &message).hint("compute it from columns")
            }
            Volatility::Stable | Volatility::Immutable => {
                self.text.at_any(words, "a stream has no fixed now").hint("use the event time column")
            }
        })
    }

    fn refused(&self, plan: &LogicalPlan) -> Problem {
        let node = plan.display().to_string();
        let word = node.split([':', ' ']).next().unwrap_or_default().to_lowercase();
        let hint = "a query filters, computes columns, aggregates by TUMBLE or HOP windows, joins by time and brings streams together with UNION ALL";
        self.text.at_word(&word, format!("{word} does not run on a stream")).hint(hint)
    }
}

/// The inputs of a union and of unions in it.
fn branches_of<'p>(plan: &'p LogicalPlan, found: &mut Vec<&'p LogicalPlan>) {
    match plan {
        LogicalPlan::Union(union) => union.inputs.iter().for_each(|input| branches_of(input, found)),
        other => found.push(other),
    }
}

/// Columns that are event times in both inputs of a union; the slower one sets the delay.
fn in_both(one: &[TimeColumn], other: &[TimeColumn]) -> Vec<TimeColumn> {
    let both = |time: &TimeColumn| {
        let found = other.iter().find(|found| found.name == time.name)?;
        Some(TimeColumn { name: time.name.clone(), delay: time.delay.max(found.delay) })
    };
    one.iter().filter_map(both).collect()
}

/// The names of a node's columns; equal ones are told apart by a number.
pub(super) fn names_of(schema: &DFSchema) -> Vec<String> {
    let mut names = Vec::<String>::with_capacity(schema.fields().len());
    for field in schema.fields() {
        names.push(unused(field.name(), |name| names.iter().any(|taken| taken == name)));
    }
    names
}
