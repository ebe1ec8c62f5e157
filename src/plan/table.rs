//! One `[table.NAME]` planned: rows that are all there, such as recipes or limits, to be looked up by a `JOIN`.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use lineside_connectors::{ConnectorKind, Gives, PlanContext};
use lineside_model::schema::time_field;
use lineside_model::{Problem, Problems, Span, parse_options};
use serde_json::Value;

use super::options::{Options, find, keep};
use super::{OnBad, Registries, SourcePlan, TablePlan, TimePlan};
use crate::config::Object;
use crate::config::options::TableOptions;

/// The column that every table has behind its own: when it was read.
pub const LOADED_AT: &str = "loaded_at";
/// A table is not read more often.
const REFRESH_LEAST: Span = Span::from_secs(1);

/// Plans a table. It is a source to the engine, one whose rows come all together, again and again.
pub(super) fn plan_table(
    object: &Object,
    registries: &Registries<'_>,
    context: &PlanContext<'_>,
) -> Result<SourcePlan, Problems> {
    let mut problems = Problems::default();
    let mut options = Options::of::<TableOptions>(object);
    let common = keep(parse_options::<TableOptions>(&options.common), &mut problems);
    if common.as_ref().and_then(|common| common.refresh).is_some_and(|every| every < REFRESH_LEAST) {
        problems.push(Problem::option("refresh", format!("refresh must be at least {REFRESH_LEAST}")));
    }
    let kind = find(object, "connector", "connector", registries.connectors, ConnectorKind::name, &mut problems);
    let planned = kind.and_then(|kind| {
        let Some(schema) = kind.source_options() else {
            let message = format!("connector \"{}\" cannot be read from", kind.name());
            problems.push(Problem::option("connector", message).hint("read the table from a file"));
            return None;
        };
        options.check_names(schema.as_value(), &mut problems);
        let planned = keep(kind.plan_source(&Value::Object(options.own.clone()), context), &mut problems)?;
        match &planned.gives {
            Gives::Rows(rows) if planned.bounded => {
                let rows = SchemaRef::clone(rows);
                Some((kind.name(), planned, rows))
            }
            _ => {
                let message = "a table is read to its end, and this has none";
                problems.push(Problem::option("connector", message).hint("use a file that is not followed"));
                None
            }
        }
    });
    let (Some(common), Some((connector, planned, rows))) = (common, planned) else { return Err(problems) };
    let mut fields = rows.fields().to_vec();
    if rows.column_with_name(LOADED_AT).is_some() {
        let message = format!("the table has a column \"{LOADED_AT}\", which says when it was read");
        problems.push(Problem::whole(message).hint("rename the column in the file"));
    }
    fields.push(Arc::new(time_field(LOADED_AT, false)));
    let time = TimePlan {
        column: LOADED_AT.to_owned(),
        disorder: Span::ZERO,
        idle_after: None,
        max_ahead: None,
        per_key: None,
        close_after: None,
    };
    problems.or(SourcePlan {
        name: object.name.clone(),
        connector,
        planned,
        decoder: None,
        codec: None,
        on_bad: OnBad::Drop,
        schema: Arc::new(Schema::new(fields)),
        left_out: Vec::new(),
        time,
        table: Some(TablePlan { refresh: common.refresh }),
    })
}
