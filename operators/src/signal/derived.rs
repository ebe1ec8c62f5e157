//! Rows that are readings again: what a rate, a mean or a grid is made of can go wherever a reading can.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};
use lineside_model::{Quality, schema};
use serde::{Deserialize, Serialize};

use crate::series::SeriesRow;
use crate::series::output::numbers;

/// A value that was computed, with the quality of the worst reading it was computed from.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Derived {
    pub(super) value: Option<f64>,
    pub(super) quality: Quality,
}

impl SeriesRow for Derived {
    fn fields() -> Vec<Field> {
        let value = Field::new(schema::VALUE, DataType::Float64, true);
        vec![value, Field::new(schema::QUALITY, Quality::data_type(), false)]
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        vec![numbers(rows, |row| row.value), Quality::column(rows.iter().map(|row| row.quality))]
    }
}
