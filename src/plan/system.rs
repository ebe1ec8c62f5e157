//! Tables that the engine has of itself. They are read like a source of that name and run beside the others.
//!
//! `system.watermarks` says every second, for each step with an open window, which input and which sensor it waits for and
//! since when, and which sensors nobody waits for any more.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lineside_connectors::memory;
use lineside_model::Span;
use lineside_model::schema::time_field;

use super::{OnBad, SourcePlan, TimePlan};

/// The name of the table.
pub const WATERMARKS: &str = "system.watermarks";
/// The word for its connector.
const CONNECTOR: &str = "system";
/// Its event time: the clock.
const AT: &str = "at";

/// The columns of `system.watermarks`:
///
/// | column | |
/// | --- | --- |
/// | `at` | the clock when it was so |
/// | `step` | the step with an open window; null for a sensor that nobody waits for |
/// | `window_start`, `window_end` | its oldest open window |
/// | `watermark` | how far the event time of the step, or of the source, has come |
/// | `source`, `sensor` | whom it waits for; the sensor is null where all rows have one time |
/// | `state` | `holds`, or why nobody waits for the sensor: `silent`, `behind`, `ahead` |
/// | `newest` | the newest event time of the sensor or source |
/// | `since` | the clock when it was heard last |
pub fn watermarks() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        time_field(AT, false),
        text("step", true),
        time_field("window_start", true),
        time_field("window_end", true),
        time_field("watermark", true),
        text("source", false),
        text("sensor", true),
        text("state", false),
        time_field("newest", true),
        time_field("since", true),
    ]))
}

impl SourcePlan {
    /// The source behind `system.watermarks`.
    pub(super) fn watermarks() -> Self {
        let schema = watermarks();
        let mut planned = memory::source(Arc::clone(&schema), Vec::new());
        planned.bounded = false;
        planned.explain =
            vec!["what each open window waits for, every second, until all other sources have ended".to_owned()];
        Self {
            name: WATERMARKS.to_owned(),
            connector: CONNECTOR,
            planned,
            decoder: None,
            codec: None,
            on_bad: OnBad::Drop,
            schema,
            left_out: Vec::new(),
            time: TimePlan {
                column: AT.to_owned(),
                disorder: Span::ZERO,
                idle_after: None,
                max_ahead: None,
                per_key: None,
                close_after: None,
            },
            table: None,
        }
    }

    /// Whether it is one of the engine's own tables.
    pub fn is_system(&self) -> bool {
        self.connector == CONNECTOR
    }
}
