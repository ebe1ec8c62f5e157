//! DataFusion's aggregate functions as window operators take them: through its vectorised accumulators, for all groups at once.
//!
//! Not every function of DataFusion can be run so. One whose state, given up and taken in again, goes on another way (a
//! digest that is compressed each time, a sum whose last bit depends on the cut of the batches) would give another answer
//! after a restart. [`NAMES`] are those that are exact, [`over`] adds sums and extremes of types that only DataFusion knows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, new_empty_array};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Result as PlanResult, ScalarValue};
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{Column, lit};
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use lineside_model::{Error, Result};
use lineside_operators::aggregate::{ExternalAggregate, ExternalGroups};

/// The functions that run so, whatever they are over.
pub(super) const NAMES: [&str; 6] = ["approx_distinct", "array_agg", "bit_and", "bit_or", "bit_xor", "string_agg"];

/// The most digits of a decimal whose sum over any number of rows there can be fits into 128 bits.
const SUMMED_DIGITS: u8 = 28;

/// Whether a function runs so over a column of this type.
pub(super) fn over(name: &str, input: &DataType) -> bool {
    match name {
        "sum" | "avg" => match input {
            DataType::Decimal128(digits, _) => *digits <= SUMMED_DIGITS,
            input => matches!(input, DataType::Duration(_)),
        },
        "min" | "max" => input.is_decimal() || input.is_binary(),
        name => NAMES.contains(&name),
    }
}

/// A function of DataFusion over a column.
#[derive(Debug)]
pub(super) struct DataFusionAggregate {
    expr: Arc<AggregateFunctionExpr>,
    identity: String,
    input: DataType,
    /// The arguments behind the column, which are the same for all rows.
    constants: Vec<ScalarValue>,
    state: Vec<DataType>,
    result: DataType,
}

impl DataFusionAggregate {
    /// Plans `function` over a column of type `input`.
    ///
    /// # Errors
    /// If DataFusion does not have it for such a column.
    pub(super) fn plan(
        function: &Arc<AggregateUDF>,
        input: &DataType,
        constants: Vec<ScalarValue>,
    ) -> PlanResult<Self> {
        let told = constants.iter().map(|constant| format!(", {constant:?}")).collect::<String>();
        let identity = format!("{}({input}{told})", function.name());
        let schema = Arc::new(Schema::new(vec![Field::new("value", input.clone(), true)]));
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("value", 0));
        let arguments = [column].into_iter().chain(constants.iter().cloned().map(lit)).collect();
        let expr = AggregateExprBuilder::new(Arc::clone(function), arguments)
            .schema(schema)
            .alias(&identity)
            .with_ignore_nulls(function.name() == "array_agg")
            .build()?;
        let state = expr.state_fields()?.iter().map(|field| field.data_type().clone()).collect();
        let result = expr.field().data_type().clone();
        let planned = Self { expr: Arc::new(expr), identity, input: input.clone(), constants, state, result };
        planned.accumulator()?;
        Ok(planned)
    }

    fn accumulator(&self) -> PlanResult<Box<dyn GroupsAccumulator>> {
        if self.expr.groups_accumulator_supported() {
            return self.expr.create_groups_accumulator();
        }
        self.expr.create_accumulator()?;
        let expr = Arc::clone(&self.expr);
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || expr.create_accumulator())))
    }
}

impl ExternalAggregate for DataFusionAggregate {
    fn name(&self) -> &str {
        self.expr.fun().name()
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn result_type(&self) -> &DataType {
        &self.result
    }

    fn state_types(&self) -> &[DataType] {
        &self.state
    }

    fn keeps(&self) -> &str {
        match self.name() {
            "array_agg" | "string_agg" => "every value of the open windows",
            "approx_distinct" => "a sketch of at most 16 KB for each group of the open windows",
            _ => "one entry of DataFusion's for each group of the open windows",
        }
    }

    fn groups(&self) -> Result<Box<dyn ExternalGroups>> {
        let accumulator = self.accumulator().map_err(|e| failed(&self.identity, e))?;
        let none = new_empty_array(&self.input);
        let (identity, constants) = (self.identity.clone(), self.constants.clone());
        let mut groups = Groups { accumulator, identity, none, constants };
        groups.notice_empty_groups().map_err(|e| failed(&self.identity, e))?;
        Ok(Box::new(groups))
    }
}

struct Groups {
    accumulator: Box<dyn GroupsAccumulator>,
    identity: String,
    /// No values.
    none: ArrayRef,
    constants: Vec<ScalarValue>,
}

impl Groups {
    /// An accumulator takes it that no group is empty, until it meets a null or a filter; then it notes which have values.
    /// Slices have empty groups, so it is given a filter at once.
    fn notice_empty_groups(&mut self) -> PlanResult<()> {
        let values = self.arguments(Arc::clone(&self.none))?;
        self.accumulator.update_batch(&values, &[], Some(&BooleanArray::new_null(0)), 0)
    }

    fn arguments(&self, values: ArrayRef) -> PlanResult<Vec<ArrayRef>> {
        let rows = values.len();
        let constants = self.constants.iter().map(|constant| constant.to_array_of_size(rows));
        [Ok(values)].into_iter().chain(constants).collect()
    }

    fn take_in(&mut self, values: ArrayRef, groups: &[usize], count: usize) -> PlanResult<()> {
        let values = self.arguments(values)?;
        self.accumulator.update_batch(&values, groups, None, count)
    }

    /// Makes it know of groups that have no values.
    fn complete(&mut self, count: usize) -> PlanResult<()> {
        self.take_in(Arc::clone(&self.none), &[], count)
    }
}

impl ExternalGroups for Groups {
    fn update(&mut self, values: ArrayRef, groups: &[usize], count: usize) -> Result<()> {
        self.take_in(values, groups, count).map_err(|e| failed(&self.identity, e))
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.accumulator.merge_batch(state, groups, count).map_err(|e| failed(&self.identity, e))
    }

    fn into_state(mut self: Box<Self>, count: usize) -> Result<Vec<ArrayRef>> {
        let state = self.complete(count).and_then(|()| self.accumulator.state(EmitTo::All));
        state.map_err(|e| failed(&self.identity, e))
    }

    fn into_results(mut self: Box<Self>, count: usize) -> Result<ArrayRef> {
        let results = self.complete(count).and_then(|()| self.accumulator.evaluate(EmitTo::All));
        results.map_err(|e| failed(&self.identity, e))
    }
}

fn failed(identity: &str, error: datafusion::error::DataFusionError) -> Error {
    Error::internal(format!("{identity} failed")).caused_by(error)
}
