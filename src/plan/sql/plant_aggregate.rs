//! The aggregates that a plant asks for and SQL has no names for: what DataFusion needs to know of them to plan a query.
//!
//! It knows their names and types, so that arguments are coerced and mistakes told as for its own. What they compute is in
//! `lineside_operators::aggregate`; DataFusion never runs them.

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, TypeSignature, Volatility};

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

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(match (self.result, arguments) {
            (Returns::Argument, [first, ..]) => first.clone(),
            _ => DataType::Float64,
        })
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        plan_err!("{} runs only over the windows of a query", self.name)
    }
}
