//! The aggregates that a plant asks for and SQL has no names for: what DataFusion needs to know of them to plan a query.
//!
//! DataFusion knows their names and types, so that arguments are coerced and mistakes told as for its own. What they compute is in
//! `lineside_operators::aggregate`; DataFusion never runs them. Some are others in disguise: `percent_good` is a mean of 100 and 0.

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{Result as PlanResult, ScalarValue, plan_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, ExprSchemable, Signature, TypeSignature, Volatility, lit, when,
};
use lineside_model::{Problem, Quality};
use lineside_operators::aggregate::{Interpolation, Smoothing};
use lineside_operators::window::AggregateFunction;

use super::aggregate_call::number;
use super::interval::span_of;
use super::lower::Lowering;
use super::relation::Relation;

/// All of them.
pub(super) fn plant_aggregates() -> Vec<AggregateUDF> {
    let double = || vec![DataType::Float64];
    let one = || vec![TypeSignature::Exact(double())];
    let shaped = || vec![TypeSignature::Exact(double()), TypeSignature::Exact(vec![DataType::Float64, DataType::Utf8])];
    let smoothed = [DataType::Float64, DataType::Interval(IntervalUnit::MonthDayNano)]
        .map(|by| TypeSignature::Exact(vec![DataType::Float64, by]))
        .to_vec();
    let declared = |name, alias: Option<&str>, signatures, result| {
        AggregateUDF::new_from_impl(PlantAggregate {
            name,
            aliases: alias.map(str::to_owned).into_iter().collect(),
            signature: Signature::one_of(signatures, Volatility::Immutable),
            result,
        })
    };
    vec![
        declared("value_range", Some("spread"), one(), Returns::Double),
        declared("delta", None, one(), Returns::Double),
        declared("rate_of_change", None, one(), Returns::Double),
        declared("slope", None, one(), Returns::Double),
        declared("counter_increase", None, one(), Returns::Double),
        declared("time_weighted_avg", Some("twa"), shaped(), Returns::Double),
        declared("integral", None, shaped(), Returns::Double),
        declared("ewma", None, smoothed, Returns::Double),
        declared("duration_in", None, vec![TypeSignature::Exact(vec![DataType::Boolean])], Returns::Double),
        declared("duration_in_state", None, vec![TypeSignature::Any(2)], Returns::Double),
        declared("percent_good", None, vec![TypeSignature::Any(1)], Returns::Double),
        declared("mode", None, vec![TypeSignature::Any(1)], Returns::Argument),
    ]
}

/// The names of all of them, by which a query calls them.
pub(super) fn names() -> Vec<String> {
    plant_aggregates().iter().flat_map(|f| f.aliases().iter().cloned().chain([f.name().to_owned()])).collect()
}

/// What comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Returns {
    Double,
    /// The type of the first argument.
    Argument,
}

/// The declaration of one.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PlantAggregate {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    result: Returns,
}

impl AggregateUDFImpl for PlantAggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> PlanResult<DataType> {
        Ok(match (self.result, arguments) {
            (Returns::Argument, [first, ..]) => first.clone(),
            _ => DataType::Float64,
        })
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        plan_err!("{} runs only over the windows of a query", self.name)
    }
}

impl Lowering<'_> {
    /// What runs for the one of this name, if it is one, and the columns it reads.
    pub(super) fn plant_aggregate(
        &self,
        name: &str,
        word: &str,
        args: &[Expr],
        relation: &Relation,
    ) -> Result<Option<(AggregateFunction, Vec<Expr>)>, Problem> {
        let wrong = |message: String, hint: String| self.text.at_word(word, message).hint(hint);
        let between = || match args.get(1).map(text_of) {
            None => Ok(Interpolation::default()),
            Some(text) => text.as_deref().and_then(Interpolation::from_word).ok_or_else(|| {
                let hint = format!("write {word}(value) or {word}(value, 'linear')");
                wrong(format!("{word} goes from value to value by 'hold' or by 'linear'"), hint)
            }),
        };
        let function = match name {
            "value_range" => AggregateFunction::ValueRange,
            "delta" => AggregateFunction::Delta,
            "rate_of_change" => AggregateFunction::RateOfChange,
            "slope" => AggregateFunction::Slope,
            "counter_increase" => AggregateFunction::CounterIncrease,
            "mode" => AggregateFunction::Mode,
            "time_weighted_avg" => AggregateFunction::TimeWeightedAvg(between()?),
            "integral" => AggregateFunction::Integral(between()?),
            "ewma" => {
                let smoothing = match args.get(1) {
                    Some(Expr::Literal(half @ ScalarValue::IntervalMonthDayNano(Some(_)), _)) => {
                        span_of(half).ok().map(Smoothing::HalfLife)
                    }
                    Some(alpha) => number(alpha).map(Smoothing::Alpha),
                    None => None,
                };
                let smoothing = smoothing.ok_or_else(|| {
                    let hint = format!("write {word}(value, 0.2) or {word}(value, INTERVAL '10' SECOND)");
                    wrong(format!("{word} needs a number from 0 to 1, or a half-life in days or shorter units"), hint)
                })?;
                AggregateFunction::Ewma(smoothing)
            }
            "duration_in" => AggregateFunction::DurationIn,
            "duration_in_state" | "percent_good" => {
                let good = lit(Quality::Good.word());
                let (Some(state), Some(wanted)) = (args.first(), args.get(1).or(Some(&good))) else { return Ok(None) };
                let found = relation.df_schema().and_then(|schema| state.get_type(&schema));
                let found = found.map_err(|e| self.text.planning(&e))?;
                let wanted = match wanted {
                    Expr::Literal(wanted, _) => wanted.cast_to(&found).ok().filter(|wanted| !wanted.is_null()),
                    _ => None,
                };
                let wanted = wanted.ok_or_else(|| match name {
                    "percent_good" => {
                        wrong(format!("{word} takes a quality, found {found}"), format!("write {word}(quality)"))
                    }
                    _ => wrong(
                        format!("{word} needs a state that is a value of {found}"),
                        format!("write {word}(state, 'RUN')"),
                    ),
                })?;
                let is_wanted = state.clone().eq(Expr::Literal(wanted, None));
                if name == "duration_in_state" {
                    return Ok(Some((AggregateFunction::DurationIn, vec![is_wanted])));
                }
                let percent = when(is_wanted, lit(100.0)).when(state.clone().is_not_null(), lit(0.0)).end();
                return Ok(Some((AggregateFunction::Avg, vec![percent.map_err(|e| self.text.planning(&e))?])));
            }
            _ => return Ok(None),
        };
        Ok(Some((function, args[..1].to_vec())))
    }
}

/// The text that an expression is.
fn text_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        Expr::Cast(cast) => text_of(&cast.expr),
        _ => None,
    }
}
