//! Compares a column of floats with a number, as most conditions on readings do: `value > 60`.
//!
//! The answer is DataFusion's to the bit: floats have a total order in which 0 and -0 are one, and a NaN lies beyond the infinity of its
//! sign. Looking for -0 first, and bringing each number into that order, costs more than the comparison itself. For the
//! numbers there are in fact the order is the processor's own; so 64 rows are compared at a time by that, and anew one by
//! one if one of them is infinite or no number.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Float64Array, RecordBatch};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::datatypes::{DataType, Float64Type, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result as PlanResult, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Literal};

/// So many rows are compared together: the bits of one word.
const WORD: usize = 64;

/// An expression with its comparisons of floats with a number done in this way.
pub(super) fn faster(expr: Arc<dyn PhysicalExpr>) -> PlanResult<Arc<dyn PhysicalExpr>> {
    let ours = |part: Arc<dyn PhysicalExpr>| {
        Ok(match (part.as_ref() as &dyn Any).downcast_ref::<BinaryExpr>() {
            Some(whole) if limit_of(whole).is_some() => Transformed::yes(Arc::new(Comparison(whole.clone())) as _),
            _ => Transformed::no(part),
        })
    };
    expr.transform_up(ours).data()
}

/// The number on the right of a comparison, if it is one with a float.
fn limit_of(whole: &BinaryExpr) -> Option<f64> {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    let compares = matches!(whole.op(), Lt | LtEq | Gt | GtEq | Eq | NotEq);
    let literal = (whole.right().as_ref() as &dyn Any).downcast_ref::<Literal>().filter(|_| compares)?;
    match literal.value() {
        ScalarValue::Float64(limit) => limit.filter(|limit| !limit.is_nan()),
        _ => None,
    }
}

/// A comparison as DataFusion planned it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Comparison(BinaryExpr);

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PhysicalExpr for Comparison {
    fn data_type(&self, input: &Schema) -> PlanResult<DataType> {
        self.0.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> PlanResult<bool> {
        self.0.nullable(input)
    }

    fn evaluate(&self, rows: &RecordBatch) -> PlanResult<ColumnarValue> {
        if let (ColumnarValue::Array(values), Some(limit)) = (self.0.left().evaluate(rows)?, limit_of(&self.0))
            && let Some(values) = values.as_primitive_opt::<Float64Type>()
            && let Some(mask) = compared(values, *self.0.op(), limit)
        {
            return Ok(ColumnarValue::Array(Arc::new(mask)));
        }
        self.0.evaluate(rows)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.0.children()
    }

    fn with_new_children(self: Arc<Self>, parts: Vec<Arc<dyn PhysicalExpr>>) -> PlanResult<Arc<dyn PhysicalExpr>> {
        faster(Arc::new(self.0.clone()).with_new_children(parts)?)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_sql(f)
    }
}

/// For which values it holds; null where they are.
fn compared(values: &Float64Array, op: Operator, limit: f64) -> Option<BooleanArray> {
    let numbers = values.values();
    let order = |value: f64| in_order(value).total_cmp(&in_order(limit));
    let mask = match op {
        Operator::Lt => mask(numbers, |value| value < limit, |value| order(value) == Ordering::Less),
        Operator::LtEq => mask(numbers, |value| value <= limit, |value| order(value) != Ordering::Greater),
        Operator::Gt => mask(numbers, |value| value > limit, |value| order(value) == Ordering::Greater),
        Operator::GtEq => mask(numbers, |value| value >= limit, |value| order(value) != Ordering::Less),
        Operator::Eq => mask(numbers, |value| value == limit, |value| order(value) == Ordering::Equal),
        Operator::NotEq => mask(numbers, |value| value != limit, |value| order(value) != Ordering::Equal),
        _ => return None,
    };
    Some(BooleanArray::new(mask, values.nulls().cloned()))
}

/// A number with its place in the total order.
fn in_order(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value }
}

/// A bit for each value: `holds` says it for finite ones, `holds_for_any` for all.
fn mask(values: &[f64], holds: impl Fn(f64) -> bool, holds_for_any: impl Fn(f64) -> bool) -> BooleanBuffer {
    let one_by_one = |values: &[f64]| {
        values.iter().enumerate().fold(0, |word, (bit, value)| word | u64::from(holds_for_any(*value)) << bit)
    };
    let (chunks, rest) = values.as_chunks::<WORD>();
    let mut words = Vec::with_capacity(chunks.len() + 1);
    words.extend(chunks.iter().map(|chunk| word(chunk, &holds).unwrap_or_else(|| one_by_one(chunk))));
    if !rest.is_empty() {
        words.push(one_by_one(rest));
    }
    BooleanBuffer::new(Buffer::from_vec(words), 0, values.len())
}

/// The bits of one chunk, in lanes and without a branch; `None` if one of its values is not finite.
fn word(chunk: &[f64; WORD], holds: impl Fn(f64) -> bool) -> Option<u64> {
    let (mut word, mut bit, mut odd) = ([0; 4], [1, 2, 4, 8], [0.0; 4]);
    for values in chunk.as_chunks::<4>().0 {
        word = std::array::from_fn(|lane| word[lane] | if holds(values[lane]) { bit[lane] } else { 0 });
        bit = bit.map(|bit| bit << 4);
        // Zero for a finite value, and from then on NaN for any other.
        odd = std::array::from_fn(|lane| odd[lane] + values[lane] * 0.0);
    }
    (!odd.iter().sum::<f64>().is_nan()).then(|| word.iter().fold(0, |all, word| all | word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::ArrayRef;
    use arrow::datatypes::Field;
    use datafusion::physical_expr::expressions::{binary, col, lit};

    #[test]
    fn a_comparison_says_what_datafusion_says_of_every_number_and_of_null() {
        let special = [0.0, -0.0, 1.0, -1.0, 60.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN]
            .into_iter()
            .chain([f64::MAX, f64::MIN_POSITIVE, -5e-324, 5e-324, f64::from_bits(0x7ff0_0000_0000_0001)])
            .collect::<Vec<_>>();
        let mut seed = 3u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let schema = Schema::new(vec![Field::new("value", DataType::Float64, true)]);
        let ops = [Operator::Lt, Operator::LtEq, Operator::Gt, Operator::GtEq, Operator::Eq, Operator::NotEq];
        for round in 0..600 {
            // Some rounds have nothing odd in them, some a little, some much of it.
            let (odd, nulls) = ([0, 2, 100][round % 3], [0, 10][round / 3 % 2]);
            let values = (0..random(300)).map(|_| {
                let any = if random(100) < odd { special[random(special.len())] } else { random(121) as f64 - 1.0 };
                (random(100) >= nulls).then_some(any)
            });
            let column = values.collect::<Float64Array>();
            let from = random(column.len() + 1);
            let column: ArrayRef = Arc::new(column.slice(from, column.len() - from));
            let rows = RecordBatch::try_new(Arc::new(schema.clone()), vec![column]).unwrap();
            for limit in [60.0, special[random(special.len())]] {
                for op in ops {
                    let theirs = binary(col("value", &schema).unwrap(), op, lit(limit), &schema).unwrap();
                    let ours = faster(Arc::clone(&theirs)).unwrap();
                    let is_ours = (ours.as_ref() as &dyn Any).is::<Comparison>();
                    assert_eq!(is_ours, !limit.is_nan(), "{ours}");
                    let [theirs, ours] = [theirs, ours].map(|expr| {
                        expr.evaluate(&rows).unwrap().into_array(rows.num_rows()).unwrap().as_boolean().clone()
                    });
                    assert_eq!(ours, theirs, "{op} {limit} of {:?}", rows.column(0));
                }
            }
        }
    }

    #[test]
    fn comparisons_within_a_condition_are_ours_and_others_stay() {
        let fields = vec![Field::new("value", DataType::Float64, true), Field::new("sensor", DataType::Int32, true)];
        let schema = Schema::new(fields);
        let value = binary(col("value", &schema).unwrap(), Operator::Gt, lit(60.0), &schema).unwrap();
        let sensor = binary(col("sensor", &schema).unwrap(), Operator::Gt, lit(7), &schema).unwrap();
        let both = faster(binary(value, Operator::And, sensor, &schema).unwrap()).unwrap();
        let ours = |part: &Arc<dyn PhysicalExpr>| (part.as_ref() as &dyn Any).is::<Comparison>();
        assert_eq!(both.children().into_iter().map(ours).collect::<Vec<_>>(), [true, false]);
        assert_eq!(both.to_string(), "value@0 > 60 AND sensor@1 > 7");
    }
}
