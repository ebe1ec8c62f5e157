//! `GROUP BY window_start, window_end, …`: keys and arguments are computed by a step before the window, output columns after.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{AggregateFunction as Call, AggregateFunctionParams, NullTreatment, Sort};
use datafusion::logical_expr::{self, Expr, cast, lit, when};
use lineside_model::{Problem, Span};
use lineside_operators::window::{self, AggregateFunction, AggregateSpec, WindowKind, WindowSpec, result_type};

use super::lower::{Lowering, names_of};
use super::relation::{Relation, Window, column, edges, unused, uses_edges};
use super::window::{Cut, WINDOW_END, WINDOW_START};

const SUPPORTED: &str = "count, sum, avg, min, max, stddev, stddev_pop, first_value, last_value, median, percentile_cont, \
                         approx_median, approx_percentile_cont";

/// What is computed of a window's rows.
struct Aggregated {
    function: AggregateFunction,
    /// The name in the text, for error messages.
    word: String,
    /// Over which column of [`Arguments`]; `None`: over rows.
    argument: Option<usize>,
    name: String,
}

/// The columns that the window operator reads, each once.
#[derive(Default)]
struct Arguments(Vec<(Expr, String)>);

impl Arguments {
    fn add(&mut self, expr: Expr, name: &str) -> usize {
        match self.0.iter().position(|(known, _)| *known == expr) {
            Some(place) => place,
            None => {
                let taken =
                    |name: &str| [WINDOW_START, WINDOW_END].contains(&name) || self.0.iter().any(|(_, n)| n == name);
                let name = unused(name, taken);
                self.0.push((expr, name));
                self.0.len() - 1
            }
        }
    }
}

/// What a column of `GROUP BY` is.
enum Group {
    Edge(&'static str),
    /// A column of [`Arguments`].
    Key(usize),
}

impl Lowering<'_> {
    pub(super) fn aggregate(&mut self, node: &logical_expr::Aggregate) -> Result<Relation, Problem> {
        let relation = self.relation(&node.input)?;
        let Some(window) = relation.window else { return Err(self.endless(node, &relation)) };
        let names = names_of(&node.schema);
        let mut arguments = Arguments::default();
        let time = relation.schema.field(window.time).name();
        let time = arguments.add(column(time), time);
        let groups = self.groups(node, &relation, &names, &mut arguments)?;
        let mut aggregates = Vec::with_capacity(node.aggr_expr.len());
        for (expr, name) in node.aggr_expr.iter().zip(&names[groups.len()..]) {
            aggregates.push(self.aggregated(expr, name, node, &relation, &mut arguments)?);
        }
        for expr in arguments.0.iter().map(|(expr, _)| expr).chain(&relation.filter) {
            if uses_edges(expr).map_err(|e| self.text.planning(&e))? {
                let message = "window_start and window_end are known once the rows are grouped by them, not before";
                return Err(self.text.at_any([WINDOW_START, WINDOW_END], message).hint("use them in SELECT or HAVING"));
            }
        }
        let (input, places) = self.arguments(relation, &arguments)?;
        self.window_step(node, window, input, &places, time, &groups, &aggregates)
    }

    /// The columns of `GROUP BY`, one of which must be the window.
    fn groups(
        &self,
        node: &logical_expr::Aggregate,
        relation: &Relation,
        names: &[String],
        arguments: &mut Arguments,
    ) -> Result<Vec<Group>, Problem> {
        let edges = edges();
        let mut groups = Vec::with_capacity(node.group_expr.len());
        for (expr, name) in node.group_expr.iter().zip(names) {
            let expr = self.resolve(relation, expr, node.input.schema())?;
            groups.push(match edges.iter().position(|edge| *edge == expr) {
                Some(n) => Group::Edge([WINDOW_START, WINDOW_END][n]),
                None => Group::Key(arguments.add(expr, name)),
            });
        }
        if groups.iter().any(|group| matches!(group, Group::Edge(_))) {
            return Ok(groups);
        }
        let message = "the rows are not grouped by their window, so no group would ever be complete";
        let problem = match self.text.has_word("group") {
            true => self.text.at_word("group", message),
            false => self.text.at_any(["tumble", "hop"], message),
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
            super::StepInput::Table(name) => name.as_str(),
            super::StepInput::Step(_) => "…",
        };
        let times = || relation.times.iter().map(|time| time.name.as_str());
        let time = times().find(|name| *name == WINDOW_START).or_else(|| times().next()).unwrap_or("…");
        problem.hint(format!(
            "read FROM TUMBLE({input}, {time}, INTERVAL '1' MINUTE) and GROUP BY window_start, window_end"
        ))
    }

    /// The columns the window reads: those of the input as they are if that will do, otherwise a step that computes them.
    fn arguments(&mut self, mut relation: Relation, arguments: &Arguments) -> Result<(Relation, Vec<usize>), Problem> {
        relation.window = None;
        let plain = arguments.0.iter().map(|(expr, _)| relation.plain(expr)).collect::<Option<Vec<_>>>();
        let clash = |place: &usize| [WINDOW_START, WINDOW_END].contains(&relation.schema.field(*place).name().as_str());
        match plain {
            Some(places) if relation.filter.is_none() && !places.iter().any(clash) => Ok((relation, places)),
            _ => {
                relation.columns = arguments.0.iter().map(|(expr, _)| expr.clone()).collect();
                let names = arguments.0.iter().map(|(_, name)| name.clone()).collect();
                Ok((self.step("prepare", relation, names)?, (0..arguments.0.len()).collect()))
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one aggregate, each from another place")]
    fn window_step(
        &mut self,
        node: &logical_expr::Aggregate,
        window: Window,
        input: Relation,
        places: &[usize],
        time: usize,
        groups: &[Group],
        aggregates: &[Aggregated],
    ) -> Result<Relation, Problem> {
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
            specs.push(AggregateSpec { function: aggregated.function, column, name });
        }
        let time_name = name_of(time);
        let delay = input.times.iter().find(|t| t.name == time_name).map_or(Span::ZERO, |t| t.delay);
        let spec = WindowSpec {
            kind: kind(window.cut),
            time: places[time],
            time_delay: delay,
            keys: keys.iter().map(|key| places[*key]).collect(),
            aggregates: specs,
        };
        let operator = window::plan(spec, &input.schema).map_err(|problems| {
            let what = problems.0.into_iter().next().unwrap_or_else(|| Problem::whole("the window cannot be planned"));
            Problem { hint: what.hint, ..self.text.at_any(["tumble", "hop"], &what.message) }
        })?;
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
            .zip(node.schema.fields())
            .map(|(expr, planned)| match logical_expr::ExprSchemable::get_type(&expr, &types) {
                Ok(found) if found != *planned.data_type() => cast(expr, planned.data_type().clone()),
                _ => expr,
            })
            .collect();
        Ok(relation)
    }

    fn aggregated(
        &self,
        expr: &Expr,
        name: &str,
        node: &logical_expr::Aggregate,
        relation: &Relation,
        arguments: &mut Arguments,
    ) -> Result<Aggregated, Problem> {
        let Expr::AggregateFunction(Call { func, params }) = expr.clone().unalias() else {
            return Err(self.text.at_word("group", "this aggregate does not run on a stream"));
        };
        let words = [func.name()].into_iter().chain(func.aliases().iter().map(String::as_str));
        let word = words.clone().find(|word| self.text.has_word(word)).unwrap_or(func.name()).to_owned();
        let resolve = |expr: &Expr| self.resolve(relation, expr, node.input.schema());
        let AggregateFunctionParams { args, filter, order_by, null_treatment, .. } = params;
        let args = args.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
        let filter = filter.as_deref().map(resolve).transpose()?;
        let sorts =
            order_by.iter().map(|sort| Ok((resolve(&sort.expr)?, sort))).collect::<Result<Vec<_>, Problem>>()?;
        let function = self.function(func.name(), &word, &args, &sorts, relation)?;
        if null_treatment == Some(NullTreatment::RespectNulls) {
            return Err(self.text.at_word("respect", "aggregates leave out nulls").hint("leave out RESPECT NULLS"));
        }
        let whole_rows = function == AggregateFunction::Count && args.iter().all(is_value);
        let argument = match (whole_rows, filter, args.into_iter().next()) {
            (true, None, _) => None,
            (true, Some(filter), _) => Some(case(filter, lit(1_i64))?),
            (false, Some(filter), Some(arg)) => Some(case(filter, arg)?),
            (false, None, arg) => arg,
            (false, Some(_), None) => None,
        };
        let argument = argument.map(|expr| {
            let name = match relation.plain(&expr) {
                Some(place) => relation.schema.field(place).name().clone(),
                None => "argument".to_owned(),
            };
            arguments.add(expr, &name)
        });
        Ok(Aggregated { function, word, argument, name: name.to_owned() })
    }

    /// Our aggregate of this name.
    fn function(
        &self,
        name: &str,
        word: &str,
        args: &[Expr],
        sorts: &[(Expr, &Sort)],
        relation: &Relation,
    ) -> Result<AggregateFunction, Problem> {
        let ascending = sorts.first().is_none_or(|(_, sort)| sort.asc);
        let found = match name {
            "count" => AggregateFunction::Count,
            "sum" => AggregateFunction::Sum,
            "avg" => AggregateFunction::Avg,
            "min" => AggregateFunction::Min,
            "max" => AggregateFunction::Max,
            "stddev" => AggregateFunction::StddevSample,
            "stddev_pop" => AggregateFunction::StddevPopulation,
            "first_value" | "last_value" => {
                let time = relation.window.map(|window| column(relation.schema.field(window.time).name()));
                if sorts.iter().any(|(expr, _)| Some(expr) != time.as_ref()) {
                    let message = format!("{word} goes by the event time of the window, not by another order");
                    return Err(self.text.at_word(word, message).hint("leave out its ORDER BY"));
                }
                match (name == "first_value") == ascending {
                    true => AggregateFunction::FirstValue,
                    false => AggregateFunction::LastValue,
                }
            }
            "median" => AggregateFunction::Percentile { fraction: 0.5, exact: true },
            "approx_median" => AggregateFunction::Percentile { fraction: 0.5, exact: false },
            "percentile_cont" | "approx_percentile_cont" => {
                let exact = name == "percentile_cont";
                let fraction = args.get(1).and_then(number).filter(|fraction| (0.0..=1.0).contains(fraction));
                let fraction = fraction.ok_or_else(|| {
                    let message = format!("{word} needs a fraction that is a number from 0 to 1");
                    self.text.at_word(word, message).hint(format!("write {word}(0.95) WITHIN GROUP (ORDER BY value)"))
                })?;
                if args.len() > 2 {
                    let message = format!("the size of the digest behind {word} is fixed");
                    return Err(self.text.at_word(word, message).hint("leave out the number of centroids"));
                }
                AggregateFunction::Percentile { fraction: if ascending { fraction } else { 1.0 - fraction }, exact }
            }
            _ => {
                let message = format!("aggregate {word} is not built for streams");
                return Err(self.text.at_word(word, message).hint(format!("there are: {SUPPORTED}")));
            }
        };
        let one_column = !matches!(found, AggregateFunction::Percentile { .. });
        if one_column && args.len() > 1 {
            return Err(self.text.at_word(word, format!("{word} takes one column")));
        }
        Ok(found)
    }
}

fn kind(cut: Cut) -> WindowKind {
    let Cut { size, slide, offset } = cut;
    match size == slide {
        true => WindowKind::Tumble { size, offset },
        false => WindowKind::Hop { size, slide, offset },
    }
}

/// `FILTER (WHERE …)`: nulls are left out by every aggregate.
fn case(filter: Expr, value: Expr) -> Result<Expr, Problem> {
    when(filter, value).end().map_err(|error| Problem::whole(error.strip_backtrace()))
}

fn is_value(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if !value.is_null())
}

fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Literal(value, _) => match value.cast_to(&arrow::datatypes::DataType::Float64) {
            Ok(ScalarValue::Float64(found)) => found,
            _ => None,
        },
        Expr::Cast(cast) => number(&cast.expr),
        _ => None,
    }
}
