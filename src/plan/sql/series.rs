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
use lineside_model::{Problem, Span};
use lineside_operators::over::{OverFunction, RowNumber};

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
        make: |_| Ok(OverFunction::series(RowNumber)),
    },
];

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
    #[cfg_attr(not(test), expect(dead_code, reason = "the functions that take one are on their way"))]
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
    #[cfg_attr(not(test), expect(dead_code, reason = "the functions that take one are on their way"))]
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
