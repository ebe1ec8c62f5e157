//! The functions that stand before `OVER` besides aggregates: a table of what they are called, what they take and give, and how
//! they are made. DataFusion gets a declaration of each, which plans names and types and never runs.
//!
//! A call gives columns first and constants behind them: `lag(value, 2)`. The columns are computed for each row, the constants are
//! read when the query is planned. `operators/src/over/series_function.rs` tells how to add a function.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result as PlanResult, ScalarValue, not_impl_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Expr, PartitionEvaluator, Signature, TypeSignature, Volatility, WindowUDF, WindowUDFImpl,
};
use lineside_model::{At, Problem, Problems, Span};
use lineside_operators::over::{OverFunction, RowNumber, SeriesFunction};
use lineside_operators::signal::control_chart::RuleBroken;
use lineside_operators::signal::control_rules::RuleSet;
use lineside_operators::signal::cusum::CusumSide;
use lineside_operators::signal::{Deadband, Ewma, HeldFor, Hysteresis, Rate};

use super::interval::span_of;

/// A function of a series, as SQL knows it.
pub(super) struct SeriesKind {
    /// Its name.
    pub(super) name: &'static str,
    /// How a call is written, for hints.
    pub(super) usage: &'static str,
    /// How many arguments it takes, columns and constants together.
    pub(super) arguments: RangeInclusive<usize>,
    /// The type of what it gives, from the types of its arguments. Whether they fit is checked later, where places are known.
    pub(super) gives: fn(&[DataType]) -> DataType,
    /// Whether it follows a signal: then the value of a reading is null to it if the query does not take its quality.
    pub(super) is_signal: bool,
    /// Makes the function of a call. The number of columns it reads says how many arguments are no constants.
    pub(super) make: fn(&Call<'_>) -> Result<OverFunction, Problem>,
}

/// All functions of a series.
pub(super) const SERIES_FUNCTIONS: &[SeriesKind] = &[
    SeriesKind {
        name: "lag",
        usage: "lag(value, 1)",
        arguments: 1..=2,
        gives: first,
        is_signal: false,
        make: |call| {
            let back = if call.has(1) { call.whole_number(1, "the number of rows")? } else { 1 };
            OverFunction::lag(call.column(0), usize::try_from(back).unwrap_or(usize::MAX), call.ignore_nulls)
        },
    },
    SeriesKind {
        name: "row_number",
        usage: "row_number()",
        arguments: 0..=0,
        gives: |_| DataType::UInt64,
        is_signal: false,
        make: |_| Ok(OverFunction::series(RowNumber)),
    },
    SeriesKind {
        name: "hysteresis",
        usage: "hysteresis(value, 80, 75)",
        arguments: 3..=3,
        gives: |_| DataType::Boolean,
        is_signal: true,
        make: |call| {
            let (on, off) = (call.number(1, "the value to go on at")?, call.number(2, "the value to go off at")?);
            made(Hysteresis::new(on, off))
        },
    },
    SeriesKind {
        name: "held_for",
        usage: "held_for(value > 80, INTERVAL '5' SECOND)",
        arguments: 2..=2,
        gives: |_| DataType::Boolean,
        is_signal: true,
        make: |call| made(HeldFor::new(call.span(1, "the duration")?)),
    },
    SeriesKind {
        name: "deadband",
        usage: "deadband(value, 0.5)",
        arguments: 2..=2,
        gives: number,
        is_signal: true,
        make: |call| made(Deadband::new(call.number(1, "the band")?)),
    },
    SeriesKind {
        name: "rate",
        usage: "rate(value, INTERVAL '1' MINUTE)",
        arguments: 1..=2,
        gives: number,
        is_signal: true,
        make: |call| {
            let per =
                if call.has(1) { call.span(1, "the length of time that the change is told for")? } else { SECOND };
            made(Rate::new(per))
        },
    },
    SeriesKind {
        name: "ewma",
        usage: "ewma(value, 0.2) or ewma(value, INTERVAL '30' SECOND)",
        arguments: 2..=2,
        gives: number,
        is_signal: true,
        make: |call| {
            let is_interval = matches!(call.column(1), DataType::Interval(_) | DataType::Duration(_) | DataType::Utf8);
            made(if is_interval {
                Ewma::by_time(call.span(1, "the half-life")?)
            } else {
                Ewma::by_readings(call.number(1, "the weight of a row")?)
            })
        },
    },
    SeriesKind {
        name: "cusum_high",
        usage: "cusum_high(value, target, k) or cusum_high(value, target, k, h)",
        arguments: 3..=4,
        gives: number,
        is_signal: true,
        make: |call| cusum(call, true),
    },
    SeriesKind {
        name: "cusum_low",
        usage: "cusum_low(value, target, k) or cusum_low(value, target, k, h)",
        arguments: 3..=4,
        gives: number,
        is_signal: true,
        make: |call| cusum(call, false),
    },
    SeriesKind {
        name: "nelson",
        usage: "nelson(value, mean, sigma)",
        arguments: 3..=3,
        gives: |_| DataType::Int64,
        is_signal: true,
        make: |call| rule_broken(call, RuleSet::Nelson),
    },
    SeriesKind {
        name: "western_electric",
        usage: "western_electric(value, mean, sigma)",
        arguments: 3..=3,
        gives: |_| DataType::Int64,
        is_signal: true,
        make: |call| rule_broken(call, RuleSet::WesternElectric),
    },
];

const SECOND: Span = Span::from_secs(1);

fn number(_: &[DataType]) -> DataType {
    DataType::Float64
}

fn cusum(call: &Call<'_>, is_high: bool) -> Result<OverFunction, Problem> {
    let (target, k) = (call.number(1, "the target")?, call.number(2, "the slack k")?);
    let h = if call.has(3) { Some(call.number(3, "the limit h")?) } else { None };
    made(CusumSide::new(is_high, target, k, h))
}

fn rule_broken(call: &Call<'_>, rules: RuleSet) -> Result<OverFunction, Problem> {
    made(RuleBroken::new(rules, call.number(1, "the mean")?, call.number(2, "sigma")?))
}

/// A function of the operators crate, whose options are arguments here.
fn made<F: SeriesFunction>(function: Result<F, Problems>) -> Result<OverFunction, Problem> {
    let wrong = |problems: Problems| {
        let first = problems.0.into_iter().next().unwrap_or_else(|| Problem::whole("the arguments do not fit"));
        let message = match &first.at {
            At::Option(path) if !path.is_empty() => format!("{}: {}", path.join("."), first.message),
            _ => first.message,
        };
        Problem { hint: first.hint, ..Problem::whole(message) }
    };
    function.map(OverFunction::series).map_err(wrong)
}

fn first(types: &[DataType]) -> DataType {
    types.first().cloned().unwrap_or(DataType::Null)
}

/// The function of this name.
pub(super) fn find(name: &str) -> Option<&'static SeriesKind> {
    SERIES_FUNCTIONS.iter().find(|kind| kind.name == name)
}

/// What DataFusion needs to plan calls of all functions.
pub(super) fn declarations() -> impl Iterator<Item = Arc<WindowUDF>> {
    SERIES_FUNCTIONS.iter().map(|kind| {
        // How many arguments there are is checked where places are known.
        let signature =
            Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Immutable);
        Arc::new(WindowUDF::from(Declared { name: kind.name, signature }))
    })
}

/// A call as it stands in a query.
pub(super) struct Call<'a> {
    /// The arguments, constants computed.
    pub(super) arguments: &'a [Expr],
    /// Their types.
    pub(super) types: &'a [DataType],
    /// Whether it says `IGNORE NULLS`.
    pub(super) ignore_nulls: bool,
}

impl Call<'_> {
    /// Whether there is an argument in this place.
    pub(super) fn has(&self, n: usize) -> bool {
        n < self.arguments.len()
    }

    /// The type of the column in this place.
    pub(super) fn column(&self, n: usize) -> &DataType {
        self.types.get(n).unwrap_or(&DataType::Null)
    }

    fn constant(&self, n: usize, expected: impl FnOnce() -> String) -> Result<&ScalarValue, Problem> {
        match self.arguments.get(n) {
            Some(Expr::Literal(value, _)) if !value.is_null() => Ok(value),
            _ => Err(Problem::whole(format!("{}, and the same for all rows", expected()))),
        }
    }

    /// The number in this place, which is `what`.
    pub(super) fn number(&self, n: usize, what: &str) -> Result<f64, Problem> {
        let expected = || format!("{what} is a number");
        match self.constant(n, expected)?.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(number))) if number.is_finite() => Ok(number),
            _ => Err(Problem::whole(expected())),
        }
    }

    /// The whole number from 0 in this place, which is `what`.
    pub(super) fn whole_number(&self, n: usize, what: &str) -> Result<u64, Problem> {
        let expected = || format!("{what} is a whole number from 0");
        let value = self.constant(n, expected)?;
        match (value.data_type().is_integer(), value.cast_to(&DataType::UInt64)) {
            (true, Ok(ScalarValue::UInt64(Some(number)))) => Ok(number),
            _ => Err(Problem::whole(expected())),
        }
    }

    /// The length of time in this place, which is `what`.
    pub(super) fn span(&self, n: usize, what: &str) -> Result<Span, Problem> {
        let value = self.constant(n, || format!("{what} is an interval, such as INTERVAL '5' SECOND"))?;
        span_of(value).map_err(|wrong| Problem::whole(wrong.message(what)))
    }
}

/// A function as DataFusion knows it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Declared {
    name: &'static str,
    signature: Signature,
}

impl WindowUDFImpl for Declared {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs<'_>) -> PlanResult<Box<dyn PartitionEvaluator>> {
        not_impl_err!("{} runs on streams only", self.name)
    }

    fn field(&self, call: WindowUDFFieldArgs<'_>) -> PlanResult<FieldRef> {
        let types = call.input_fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        let gives = find(self.name).map_or(DataType::Null, |kind| (kind.gives)(&types));
        Ok(Arc::new(Field::new(call.name(), gives, true)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::lit;

    #[test]
    fn constants_are_read_or_told_apart() {
        let interval = Expr::Literal(ScalarValue::new_interval_mdn(0, 0, 5_000_000_000), None);
        let arguments = [lit(2_i64), lit(-1_i64), lit(0.5), interval, lit("a")];
        let call = Call { arguments: &arguments, types: &[], ignore_nulls: false };
        assert_eq!(call.whole_number(0, "n").ok(), Some(2));
        assert_eq!(call.number(1, "n").ok(), Some(-1.0));
        assert_eq!(call.number(2, "n").ok(), Some(0.5));
        assert_eq!(call.span(3, "n").ok(), Some(Span::from_secs(5)));
        let wrong = |found: Result<u64, Problem>| found.unwrap_err().message;
        assert_eq!(wrong(call.whole_number(1, "n")), "n is a whole number from 0");
        assert_eq!(wrong(call.whole_number(4, "n")), "n is a whole number from 0");
        assert_eq!(wrong(call.whole_number(9, "n")), "n is a whole number from 0, and the same for all rows");
    }
}
