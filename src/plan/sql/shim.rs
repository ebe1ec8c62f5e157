pub(super) mod window {
use lineside_model::*; use lineside_operators::PlannedOperator; use arrow::datatypes::SchemaRef; use super::AggregateFunction;
pub(crate) enum WindowKind { Tumble { size: Span, offset: Span }, Hop { size: Span, slide: Span, offset: Span } }
pub(crate) struct AggregateSpec { pub function: AggregateFunction, pub column: Option<usize>, pub name: String }
pub(crate) struct WindowSpec { pub kind: WindowKind, pub time: usize, pub time_delay: Span, pub keys: Vec<usize>, pub aggregates: Vec<AggregateSpec> }
pub(crate) fn plan(_spec: WindowSpec, _input: &SchemaRef) -> Result<PlannedOperator, Problems> { Err(Problem::whole("shim").into()) }
}
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum AggregateFunction { Count, Sum, Avg, Min, Max, StddevSample, StddevPopulation, FirstValue, LastValue, Percentile{fraction: f64, exact: bool} }
pub(crate) fn result_type(_f: &AggregateFunction, _i: Option<&arrow::datatypes::DataType>) -> Result<arrow::datatypes::DataType, lineside_model::Problem> { Ok(arrow::datatypes::DataType::Float64) }
