//! `GROUP BY window_start, window_end, …`: keys and arguments are computed by a step before the window, output columns after.

use datafusion::logical_expr::{self, Expr, ExprSchemable, cast};
use lineside_model::{Problem, Span};
use lineside_operators::window::keyed::{self, KeyedSpec};
use lineside_operators::window::{self, AggregateSpec, Emission, WindowKind, WindowSpec, result_type};

use super::StepInput;
use super::aggregate_call::{Aggregated, Arguments};
use super::keyed_lower::KeyedWindows;
use super::lower::{Lowering, names_of};
use super::prepared::Prepared;
use super::quality::Trust;
use super::relation::{Relation, column, edge_of, is_there, unused, uses_edges};
use super::window::{SHIFT, WINDOW_END, WINDOW_START};
use super::window_call::words;

/// What a column of `GROUP BY` is.
pub(super) enum Group {
    Edge(&'static str),
    /// A column of [`Arguments`].
    Key(usize),
}

/// The windows it is about.
enum Windows {
    Kind(WindowKind),
    Keyed(KeyedWindows),
}

/// An aggregate of the plan, taken apart.
struct Grouped<'p> {
    plan: &'p logical_expr::Aggregate,
    windows: Windows,
    /// The event time among the [`Arguments`].
    time: usize,
    groups: Vec<Group>,
    aggregates: Vec<Aggregated>,
    trust: Option<Trust>,
}

impl Lowering<'_> {
    pub(super) fn aggregate(&mut self, node: &logical_expr::Aggregate) -> Result<Relation, Problem> {
        let mut relation = self.relation(&node.input)?;
        let Some(time) = relation.window_time() else { return Err(self.endless(node, &relation)) };
        let names = names_of(&node.schema);
        let mut arguments = Arguments::default();
        let time = relation.schema.field(time).name();
        let time = arguments.add(column(time), time);
        // `GROUP BY sensor, sensor` is one column of the plan.
        let mut grouped_by = Vec::<&Expr>::with_capacity(node.group_expr.len());
        for expr in &node.group_expr {
            if !grouped_by.contains(&expr) {
                grouped_by.push(expr);
            }
        }
        let groups = self.groups(node, &grouped_by, &relation, &names, &mut arguments)?;
        let keys = grouped_by.iter().map(|expr| self.resolve(&relation, expr, node.input.schema()));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let trust = Trust::of(&relation, node.input.schema(), &keys, self.wish.quality);
        let mut aggregates = Vec::with_capacity(node.aggr_expr.len());
        for expr in &node.aggr_expr {
            aggregates.push(self.aggregated(expr, node, &relation, trust.as_ref(), &mut arguments)?);
        }
        for expr in arguments.0.iter().map(|(expr, _)| expr).chain(&relation.filter) {
            if uses_edges(expr).map_err(|e| self.text.planning(&e))? {
                let message = "window_start and window_end are known once the rows are grouped by them, not before";
                return Err(self.text.at_any([WINDOW_START, WINDOW_END], message).hint("use them in SELECT or HAVING"));
            }
        }
        let windows = match (relation.window.take(), relation.keyed.take()) {
            (_, Some(keyed)) => Windows::Keyed(self.keyed_windows(keyed, &mut relation, &groups, &mut arguments)?),
            (Some(window), None) => Windows::Kind(window.kind),
            (None, None) => return Err(self.endless(node, &relation)),
        };
        if self.wish.whole_rows {
            for (expr, name) in relation.columns.iter().zip(names_of(node.input.schema())) {
                let is_there = is_there(expr, &relation.schema);
                if is_there && !uses_edges(expr).map_err(|e| self.text.planning(&e))? {
                    arguments.add(expr.clone(), &name);
                }
            }
        }
        // Windows that may share slices with those of other queries, see `Prepared`.
        let alone = self.wish.whole_rows || self.wish.emission != Emission::default();
        let prepared = match windows {
            Windows::Kind(_) if !alone => {
                let keys = groups.iter().filter_map(|g| if let Group::Key(place) = g { Some(*place) } else { None });
                Prepared::of(&relation, &arguments, time, keys)
            }
            Windows::Kind(_) | Windows::Keyed(_) => None,
        };
        let (input, places) = self.arguments(relation, &arguments, prepared)?;
        self.window_step(&Grouped { plan: node, windows, time, groups, aggregates, trust }, input, &places)
    }

    /// The columns of `GROUP BY`, one of which must be the window.
    fn groups(
        &self,
        node: &logical_expr::Aggregate,
        grouped_by: &[&Expr],
        relation: &Relation,
        names: &[String],
        arguments: &mut Arguments,
    ) -> Result<Vec<Group>, Problem> {
        let mut groups = Vec::with_capacity(grouped_by.len());
        for (expr, name) in grouped_by.iter().zip(names) {
            let expr = self.resolve(relation, expr, node.input.schema())?;
            groups.push(match edge_of(&expr) {
                Some(edge) => Group::Edge(edge),
                None => Group::Key(arguments.add(expr, name)),
            });
        }
        if groups.iter().any(|group| matches!(group, Group::Edge(edge) if *edge != SHIFT)) {
            return Ok(groups);
        }
        let message = "the rows are not grouped by their window, so no group would ever be complete";
        let problem = match self.text.has_word("group") {
            true => self.text.at_word("group", message),
            false => self.text.at_any(words(), message),
        };
        Err(problem.hint("GROUP BY window_start, window_end and the other columns"))
    }

    /// An aggregate over a relation that has no windows.
    fn endless(&self, node: &logical_expr::Aggregate, relation: &Relation) -> Problem {
        let word = node.aggr_expr.first().and_then(|expr| match expr.clone().unalias() {
            Expr::AggregateFunction(call) => Some(call.func),
            _ => None,
        });
        let message = "an aggregate over a stream without windows would never be complete";
        let problem = match &word {
            Some(function) => {
                let words = [function.name()].into_iter().chain(function.aliases().iter().map(String::as_str));
                self.text.at_any(words, message)
            }
            None => self.text.at_word("group", message),
        };
        let input = match &relation.input {
            StepInput::Table(name) => name.as_str(),
            StepInput::Step(_) => "…",
        };
        let times = || relation.times.iter().map(|time| time.name.as_str());
        let time = times().find(|name| *name == WINDOW_START).or_else(|| times().next()).unwrap_or("…");
        problem.hint(format!(
            "read FROM TUMBLE({input}, {time}, INTERVAL '1' MINUTE) and GROUP BY window_start, window_end"
        ))
    }

    /// The columns the window reads: those of the input as they are if that will do, otherwise a step that computes them, and with
    /// them what other queries read that go with this one.
    fn arguments(
        &mut self,
        mut relation: Relation,
        arguments: &Arguments,
        prepared: Option<Prepared>,
    ) -> Result<(Relation, Vec<usize>), Problem> {
        relation.window = None;
        let united = prepared.as_ref().and_then(|own| self.united.iter().find(|all| all.goes_with(own)));
        self.prepared.extend(prepared);
        if let Some(all) = united.map(Prepared::columns) {
            let places = arguments.0.iter().map(|(expr, _)| all.place(expr)).collect::<Option<Vec<_>>>();
            if let Some(places) = places {
                return Ok((self.prepare(relation, all)?, places));
            }
        }
        let plain = arguments.0.iter().map(|(expr, _)| relation.plain(expr)).collect::<Option<Vec<_>>>();
        let clash = |place: &usize| [WINDOW_START, WINDOW_END].contains(&relation.schema.field(*place).name().as_str());
        match plain {
            Some(places) if relation.filter.is_none() && !places.iter().any(clash) => Ok((relation, places)),
            _ => Ok((self.prepare(relation, arguments)?, (0..arguments.0.len()).collect())),
        }
    }

    fn prepare(&mut self, mut relation: Relation, columns: &Arguments) -> Result<Relation, Problem> {
        relation.columns = columns.0.iter().map(|(expr, _)| expr.clone()).collect();
        let names = columns.0.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>();
        self.step("prepare", relation, &names)
    }

    /// The window operator over `input`, where the columns of [`Arguments`] are at these `places`.
    fn window_step(&mut self, grouped: &Grouped<'_>, input: Relation, places: &[usize]) -> Result<Relation, Problem> {
        let Grouped { plan, windows, time, groups, aggregates, trust } = grouped;
        let name_of = |place: usize| input.schema.field(places[place]).name().clone();
        let mut keys = groups
            .iter()
            .filter_map(|g| if let Group::Key(place) = g { Some(*place) } else { None })
            .collect::<Vec<_>>();
        keys.sort_unstable();
        keys.dedup();
        let mut taken = keys.iter().map(|key| name_of(*key)).collect::<Vec<_>>();
        let mut specs = Vec::with_capacity(aggregates.len());
        for aggregated in aggregates {
            let column = aggregated.argument.map(|place| places[place]);
            let input_type = column.map(|place| input.schema.field(place).data_type());
            result_type(&aggregated.function, input_type).map_err(|problem| Problem {
                hint: problem.hint,
                ..self.text.at_word(&aggregated.word, problem.message)
            })?;
            let name = unused(&aggregated.name, |name| taken.iter().any(|t| t == name));
            taken.push(name.clone());
            specs.push(AggregateSpec { function: aggregated.function.clone(), column, name });
        }
        let time_name = name_of(*time);
        let delay = input.times.iter().find(|t| t.name == time_name).map_or(Span::ZERO, |t| t.delay);
        let (time, keyed_by) = (places[*time], keys.iter().map(|key| places[*key]).collect());
        let named = matches!(windows, Windows::Kind(kind) if kind.has_names()).then_some(SHIFT);
        let (over, names) = ([WINDOW_START, WINDOW_END].into_iter().chain(named), &taken[..keys.len()]);
        let grouped = over.chain(names.iter().map(String::as_str)).collect::<Vec<_>>().join(", ");
        let explain = format!("group by {grouped} over {time_name}: {}", taken[keys.len()..].join(", "));
        let max_groups = self.wish.max_groups;
        let planned = match windows {
            Windows::Kind(kind) => {
                let kind = kind.clone();
                let spec = WindowSpec { kind, time, time_delay: delay, keys: keyed_by, aggregates: specs, max_groups };
                window::plan_emitting(spec, &input.schema, self.wish.emission)
            }
            Windows::Keyed(_) if self.wish.emission != Emission::default() => {
                let message = "rows come out early or corrected only of windows that follow from time alone";
                return Err(
                    Problem::whole(message).hint("leave out emit and allowed_lateness, or use TUMBLE, HOP or CUMULATE")
                );
            }
            Windows::Keyed(windows) => {
                let spec = KeyedSpec {
                    kind: windows.kind(places),
                    time,
                    time_delay: delay,
                    keys: keyed_by,
                    kept: windows.kept.map(|kept| places[kept]),
                    aggregates: specs,
                    max_groups,
                };
                keyed::plan(&spec, &input.schema)
            }
        };
        let mut operator = planned.map_err(|problems| {
            let what = problems.0.into_iter().next().unwrap_or_else(|| Problem::whole("the window cannot be planned"));
            Problem { hint: what.hint, ..self.text.at_any(words(), &what.message) }
        })?;
        operator.explain.insert(0, explain);
        let careful = aggregates.iter().filter(|a| a.trusted).map(|a| a.name.clone()).collect::<Vec<_>>();
        if let (Some(trust), false) = (trust, careful.is_empty()) {
            operator.explain.push(trust.told(&careful));
        }
        let lineage = keys.iter().map(|key| (name_of(*key), name_of(*key))).collect();
        let columns = groups.iter().map(|group| match group {
            Group::Edge(name) => column(name),
            Group::Key(place) => column(&name_of(*place)),
        });
        let columns = columns.chain(taken[keys.len()..].iter().map(|name| column(name))).collect::<Vec<_>>();
        let mut relation = self.push("window", vec![input.input], operator, vec![lineage]);
        let types = relation.df_schema().map_err(|e| self.text.planning(&e))?;
        relation.columns = columns
            .into_iter()
            .zip(plan.schema.fields())
            .map(|(expr, planned)| match expr.get_type(&types) {
                Ok(found) if found != *planned.data_type() => cast(expr, planned.data_type().clone()),
                _ => expr,
            })
            .collect();
        Ok(relation)
    }
}
