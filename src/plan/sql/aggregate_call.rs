//! One aggregate as it stands in a query: which of ours it is, and over which column.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::logical_expr::expr::{AggregateFunction as Call, AggregateFunctionParams, NullTreatment, Sort};
use datafusion::logical_expr::{Aggregate, AggregateUDF, Expr, ExprSchemable, lit, when};
use lineside_model::Problem;
use lineside_operators::aggregate::{External, PairStatistic};
use lineside_operators::window::AggregateFunction;

use super::expression::{simplify, sql_of};
use super::external::{self, DataFusionAggregate};
use super::lower::Lowering;
use super::plant_aggregate;
use super::quality::Trust;
use super::relation::{Relation, column, unused};
use super::window::{WINDOW_END, WINDOW_START};

/// Those that SQL has names for and that read one column.
const SUPPORTED: &str = "count, sum, avg, min, max, bool_and, bool_or, any_value, stddev, stddev_pop, var_samp, var_pop, first_value, \
                         last_value, median, percentile_cont, approx_median, approx_percentile_cont";

/// What is computed of a window's rows.
pub(super) struct Aggregated {
    pub(super) function: AggregateFunction,
    /// The name in the text, for error messages.
    pub(super) word: String,
    /// Over which column of [`Arguments`]; `None`: over rows.
    pub(super) argument: Option<usize>,
    /// The name of its column.
    pub(super) name: String,
    /// Whether readings of a quality that the query does not take are left out.
    pub(super) trusted: bool,
}

/// The columns that the window operator reads, each once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Arguments(pub(super) Vec<(Expr, String)>);

impl Arguments {
    /// Where the column is, if it is among them.
    pub(super) fn place(&self, expr: &Expr) -> Option<usize> {
        self.0.iter().position(|(known, _)| known == expr)
    }

    /// Where the column is; it is added if it is new, under this name or one like it.
    pub(super) fn add(&mut self, expr: Expr, name: &str) -> usize {
        match self.place(&expr) {
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

impl Lowering<'_> {
    /// Reads one aggregate; the columns it needs are added to the arguments. Values are read where `trust` allows.
    pub(super) fn aggregated(
        &self,
        expr: &Expr,
        node: &Aggregate,
        relation: &Relation,
        trust: Option<&Trust>,
        arguments: &mut Arguments,
    ) -> Result<Aggregated, Problem> {
        let Expr::AggregateFunction(Call { func, params }) = expr.clone().unalias() else {
            return Err(self.text.at_word("group", "this aggregate does not run on a stream"));
        };
        let words = [func.name()].into_iter().chain(func.aliases().iter().map(String::as_str));
        let word = words.clone().find(|word| self.text.has_word(word)).unwrap_or(func.name()).to_owned();
        let resolve = |expr: &Expr| self.resolve(relation, expr, node.input.schema());
        let AggregateFunctionParams { args, filter, order_by, null_treatment, distinct } = params;
        let args = args.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
        let filter = filter.as_deref().map(resolve).transpose()?;
        let sorts =
            order_by.iter().map(|sort| Ok((resolve(&sort.expr)?, sort))).collect::<Result<Vec<_>, Problem>>()?;
        let (function, mut values) = match self.external(&func, &word, &args, &sorts, relation)? {
            Some(found) => found,
            None if distinct => (AggregateFunction::CountDistinct, args.clone()),
            None => self.function(func.name(), &word, &args, &sorts, relation)?,
        };
        if null_treatment == Some(NullTreatment::RespectNulls) {
            return Err(self.text.at_word("respect", "aggregates leave out nulls").hint("leave out RESPECT NULLS"));
        }
        let columns = if matches!(function, AggregateFunction::Paired(_)) { 2 } else { 1 };
        if values.len() > columns {
            return Err(self.text.at_word(&word, format!("{word} takes one column")));
        }
        let whole_rows = function == AggregateFunction::Count && args.iter().all(is_value);
        let over = match whole_rows {
            true => "*".to_owned(),
            false => self.told(&function, &args, relation),
        };
        let over = if distinct { format!("DISTINCT {over}") } else { over };
        let name = match &filter {
            Some(filter) => format!("{word}({over} where {})", self.sql(filter, relation)),
            None => format!("{word}({over})"),
        };
        if whole_rows {
            values.clear();
        }
        let own_say = |trust: &Trust| filter.iter().chain(&values).any(|expr| trust.is_named_in(expr));
        let trust = trust.filter(|trust| !own_say(trust));
        let trusted = trust.is_some() && !values.is_empty();
        // Every aggregate leaves out nulls, and pairs those where one is null: so the first value is made null for rows
        // that `FILTER (WHERE …)` or their quality keeps out.
        if let (Some(trust), Some(value)) = (trust, values.first_mut()) {
            *value = trust.trusted(value.clone());
        }
        if let Some(filter) = filter {
            let value = values.first().cloned().unwrap_or_else(|| lit(1_i64));
            let value = when(filter, value).end().map_err(|e| self.text.planning(&e))?;
            values.splice(..values.len().min(1), [value]);
        }
        let argument = match (values.pop(), values.pop()) {
            (Some(x), Some(y)) => Some(named_struct(vec![lit("y"), y, lit("x"), x])),
            (one, _) => one,
        };
        let argument = argument.map(|expr| {
            let name = match relation.plain(&expr) {
                Some(place) => relation.schema.field(place).name().clone(),
                None => "argument".to_owned(),
            };
            arguments.add(expr, &name)
        });
        Ok(Aggregated { function, word, argument, name, trusted })
    }

    /// An expression for people.
    pub(super) fn sql(&self, expr: &Expr, relation: &Relation) -> String {
        let simple = relation.df_schema().and_then(|schema| simplify(expr, &schema));
        sql_of(simple.as_ref().unwrap_or(expr))
    }

    /// What a function is called with, for people.
    pub(super) fn told(&self, function: &AggregateFunction, args: &[Expr], relation: &Relation) -> String {
        let shown = match function {
            AggregateFunction::Percentile { .. } => 1,
            _ => args.len(),
        };
        args.iter().take(shown).map(|arg| self.sql(arg, relation)).collect::<Vec<_>>().join(", ")
    }

    /// The aggregate of DataFusion, where that is what runs, and the column it reads.
    fn external(
        &self,
        function: &Arc<AggregateUDF>,
        word: &str,
        args: &[Expr],
        sorts: &[(Expr, &Sort)],
        relation: &Relation,
    ) -> Result<Option<(AggregateFunction, Vec<Expr>)>, Problem> {
        let Some((value, rest)) = args.split_first() else { return Ok(None) };
        let input = relation.df_schema().and_then(|schema| value.get_type(&schema));
        let input = input.map_err(|e| self.text.planning(&e))?;
        if !external::over(function.name(), &input) {
            return Ok(None);
        }
        if !sorts.is_empty() {
            let message = format!("{word} takes values as they come, not in another order");
            return Err(self.text.at_word(word, message).hint("leave out its ORDER BY"));
        }
        let constant = |expr: &Expr| match expr {
            Expr::Literal(constant, _) => Ok(constant.clone()),
            _ => Err(self
                .text
                .at_word(word, format!("{word} takes one column; what is behind it is the same for all rows"))),
        };
        let constants = rest.iter().map(constant).collect::<Result<Vec<_>, _>>()?;
        let planned = DataFusionAggregate::plan(function, &input, constants).map_err(|e| {
            let Problem { message, hint, .. } = self.text.planning(&e);
            let hint = hint.or_else(|| Some("CAST the argument, or take another".to_owned()));
            Problem { hint, ..self.text.at_word(word, message) }
        })?;
        Ok(Some((AggregateFunction::External(External(Arc::new(planned))), vec![value.clone()])))
    }

    /// Our aggregate of this name, and the columns it reads.
    pub(super) fn function(
        &self,
        name: &str,
        word: &str,
        args: &[Expr],
        sorts: &[(Expr, &Sort)],
        relation: &Relation,
    ) -> Result<(AggregateFunction, Vec<Expr>), Problem> {
        if let Some(found) = self.plant_aggregate(name, word, args, relation)? {
            return Ok(found);
        }
        let ascending = sorts.first().is_none_or(|(_, sort)| sort.asc);
        let found = match name {
            "count" => AggregateFunction::Count,
            "sum" => AggregateFunction::Sum,
            "avg" => AggregateFunction::Avg,
            "min" | "bool_and" => AggregateFunction::Min,
            "max" | "bool_or" => AggregateFunction::Max,
            "stddev" => AggregateFunction::StddevSample,
            "stddev_pop" => AggregateFunction::StddevPopulation,
            "var" => AggregateFunction::VarianceSample,
            "var_pop" => AggregateFunction::VariancePopulation,
            "any_value" => AggregateFunction::FirstValue,
            "first_value" | "last_value" => {
                let time = relation.window_time().map(|time| column(relation.schema.field(time).name()));
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
                let fraction = if ascending { fraction } else { 1.0 - fraction };
                return Ok((AggregateFunction::Percentile { fraction, exact }, args[..1].to_vec()));
            }
            _ => match PairStatistic::from_name(name) {
                Some(statistic) => AggregateFunction::Paired(statistic),
                None => return Err(self.not_built(name, word)),
            },
        };
        Ok((found, args.to_vec()))
    }

    fn not_built(&self, name: &str, word: &str) -> Problem {
        let (reason, hint) = match name {
            // Over windows they were found before.
            name if external::NAMES.contains(&name) => {
                ("does not slide from row to row", "use HOP(…) with GROUP BY".to_owned())
            }
            "nth_value" => {
                ("would have to keep every row in an order of its own", "use first_value or last_value".to_owned())
            }
            "approx_percentile_cont_with_weight" => {
                let reason = "would depend on how rows are cut into batches, since its digest is compressed after each";
                (reason, "use approx_percentile_cont, or percentile_cont, which is exact".to_owned())
            }
            _ => ("is not built for streams", format!("there are: {}", supported())),
        };
        self.text.at_word(word, format!("aggregate {word} {reason}")).hint(hint)
    }
}

/// The names of all aggregates there are.
fn supported() -> String {
    let pairs = PairStatistic::ALL.map(|statistic| statistic.name().to_owned());
    let mut names = SUPPORTED.split(", ").map(str::to_owned).collect::<Vec<_>>();
    names.extend(plant_aggregate::names());
    names.extend(pairs);
    names.extend(external::NAMES.map(str::to_owned));
    names.join(", ")
}

fn is_value(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if !value.is_null())
}

/// The number that an expression is.
pub(super) fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(found)) => found,
            _ => None,
        },
        Expr::Cast(cast) => number(&cast.expr),
        _ => None,
    }
}
