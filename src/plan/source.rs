//! One `[source.NAME]` planned: connector, codec, the columns of its rows, and how it takes event time.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use lineside_connectors::codec::MakeDecoder;
use lineside_connectors::{ConnectorKind, Gives, PlanContext, PlannedSource};
use lineside_model::options::did_you_mean;
use lineside_model::schema::{RECEIVED_AT, TS, time_field, time_type};
use lineside_model::{At, Problem, Problems, Span, parse_options};
use lineside_operators::window::keys;
use serde_json::Value;

use super::explain::type_word;
use super::options::{Options, find, keep};
use super::{KeyTimePlan, OnBad, Registries, SourcePlan, TimePlan};
use crate::config::Object;
use crate::config::options::{CodecChoice, OnBadOption, SourceOptions, TimeOptions};

/// The codec of a source that does not name one.
const DEFAULT_CODEC: &str = "json";
/// After how long without a row a source that does not end no longer holds back others, by default.
const IDLE_AFTER: Span = Span::from_secs(10);
/// How far ahead of the clock an event time of a source that does not end may be, by default.
const MAX_AHEAD: Span = Span::from_secs(3600);

/// Plans a source.
pub(super) fn plan_source(
    object: &Object,
    registries: &Registries<'_>,
    context: &PlanContext<'_>,
) -> Result<SourcePlan, Problems> {
    let mut problems = Problems::default();
    let mut options = Options::of::<SourceOptions>(object);
    let common = keep(parse_options::<SourceOptions>(&options.common), &mut problems);
    let time = object.options.get("time").map_or_else(|| Ok(TimeOptions::default()), TimeOptions::read);
    let time = keep(time, &mut problems);
    let kind = find(object, "connector", "connector", registries.connectors, ConnectorKind::name, &mut problems);
    let planned = kind.and_then(|kind| {
        let Some(schema) = kind.source_options() else {
            let sources = registries.connectors.iter().filter(|kind| kind.source_options().is_some());
            let sources = sources.map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
            let message = format!("connector \"{}\" cannot be read from", kind.name());
            problems.push(Problem::option("connector", message).hint(format!("sources are: {sources}")));
            return None;
        };
        options.check_names(schema.as_value(), &mut problems);
        let planned = kind.plan_source(&Value::Object(options.own.clone()), context);
        keep(planned, &mut problems).map(|planned| (kind, planned))
    });
    let decoder = match &planned {
        Some((kind, PlannedSource { gives: Gives::Rows(_), .. })) => {
            refuse_for_rows(object, kind.name(), &mut problems);
            None
        }
        Some(_) => keep(decoder(object.options.get("codec"), registries, context), &mut problems),
        None => {
            // The codec is checked all the same, if there is one, so that its mistakes are told with the others.
            let codec = object.options.get("codec");
            codec.and_then(|codec| keep(decoder(Some(codec), registries, context), &mut problems))
        }
    };
    let (Some(common), Some(time), Some((kind, planned))) = (common, time, planned) else { return Err(problems) };
    let (schema, left_out) = match (&planned.gives, &decoder) {
        (Gives::Rows(rows), _) => (Arc::clone(rows), Vec::new()),
        (Gives::Frames(metadata), Some(decoder)) => compose(&decoder.schema, metadata),
        (Gives::Frames(_), None) => return Err(problems),
    };
    let time = keep(plan_time(time, &planned, &schema, object), &mut problems);
    let Some(time) = time else { return Err(problems) };
    let (codec, decoder) = decoder.map_or((None, None), |decoder| (Some(decoder.codec), Some(decoder.make)));
    let on_bad = match common.on_bad {
        Some(OnBadOption::Fail) => OnBad::Fail,
        Some(OnBadOption::DeadLetter) => OnBad::DeadLetter,
        Some(OnBadOption::Drop) | None => OnBad::Drop,
    };
    let name = object.name.clone();
    problems.or(SourcePlan {
        name,
        connector: kind.name(),
        planned,
        decoder,
        codec,
        on_bad,
        schema,
        left_out,
        time,
        table: None,
    })
}

/// How messages become rows.
struct PlannedDecoder {
    codec: &'static str,
    schema: SchemaRef,
    make: MakeDecoder,
}

fn decoder(
    written: Option<&Value>,
    registries: &Registries<'_>,
    context: &PlanContext<'_>,
) -> Result<PlannedDecoder, Problems> {
    let default = Value::from(DEFAULT_CODEC);
    let choice = CodecChoice::read(written.unwrap_or(&default))?;
    let kind = registries.codec(&choice.name).ok_or_else(|| unknown_codec(&choice.name, registries))?;
    let planned = kind.plan_decoder(&choice.options, context);
    let (schema, make) = planned.map_err(|wrong| wrong.within("codec"))?;
    Ok(PlannedDecoder { codec: kind.name(), schema, make })
}

/// There is no codec of this name.
pub(super) fn unknown_codec(name: &str, registries: &Registries<'_>) -> Problem {
    let known = registries.codecs.iter().map(|kind| kind.name()).collect::<Vec<_>>();
    Problem::option("codec", format!("unknown codec \"{name}\"")).hint(did_you_mean(name, known))
}

fn refuse_for_rows(object: &Object, connector: &str, problems: &mut Problems) {
    for option in ["codec", "on_bad"].into_iter().filter(|option| object.options.contains_key(*option)) {
        let message = format!("connector \"{connector}\" gives rows, so there is nothing to decode");
        problems.push(Problem::option(option, message).hint(format!("remove {option}")));
    }
}

/// The columns of decoded rows: those of the codec, those of the wire, and the time of receipt. Where a name is taken the
/// column of the codec stays, since the user can rename neither, and what the message says was meant by its sender.
fn compose(decoded: &Schema, metadata: &Schema) -> (SchemaRef, Vec<String>) {
    let received_at = Arc::new(time_field(RECEIVED_AT, false));
    let mut fields = decoded.fields().to_vec();
    let mut left_out = Vec::new();
    for field in metadata.fields().iter().chain([&received_at]) {
        if fields.iter().any(|taken| taken.name() == field.name()) {
            left_out.push(field.name().clone());
        } else {
            fields.push(Arc::clone(field));
        }
    }
    (Arc::new(Schema::new(fields)), left_out)
}

fn plan_time(
    options: TimeOptions,
    planned: &PlannedSource,
    schema: &Schema,
    object: &Object,
) -> Result<TimePlan, Problems> {
    let columns = || schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
    let times = || schema.fields().iter().filter(|field| *field.data_type() == time_type()).map(|field| field.name());
    let path = if object.text("time").is_some() { vec!["time"] } else { vec!["time", "column"] };
    let at = At::Option(path.into_iter().map(str::to_owned).collect());
    let default = || planned.time.into_iter().chain([TS, RECEIVED_AT]).find(|name| columns().contains(name));
    let Some(column) = options.column.or_else(|| default().map(str::to_owned)) else {
        let problem = Problem::whole("no column is known to be the event time");
        return Err(Problems::from(match times().next() {
            Some(column) => problem.hint(format!("write time = \"{column}\"")),
            None => problem.hint("give the source a column of type timestamp and name it with time = \"…\""),
        }));
    };
    let Ok(field) = schema.field_with_name(&column) else {
        let problem = Problem { at, message: format!("there is no column \"{column}\""), hint: None };
        return Err(problem.hint(did_you_mean(&column, columns())).into());
    };
    if *field.data_type() != time_type() {
        let message = format!("column \"{column}\" is {}, not a timestamp", type_word(field.data_type()));
        let times = times().map(String::as_str).collect::<Vec<_>>().join(", ");
        let hint = format!("give it the type timestamp in the codec's options, or use one of: {times}");
        return Err(Problem { at, message, hint: Some(hint) }.into());
    }
    let mut problems = Problems::default();
    let per_key = options.per_key.and_then(|key| {
        let idle_after = options.idle_after.unwrap_or(IDLE_AFTER);
        keep(per_key(key, idle_after, &column, planned, schema).map_err(Problems::from), &mut problems)
    });
    if planned.bounded && options.close_after.is_some() {
        let at = At::Option(vec!["time".to_owned(), "close_after".to_owned()]);
        let message = "the source ends, and all windows are closed then".to_owned();
        problems.push(Problem { at, message, hint: Some("remove close_after".to_owned()) });
    }
    problems.or(TimePlan {
        column,
        disorder: options.disorder,
        idle_after: options.idle_after.or((!planned.bounded).then_some(IDLE_AFTER)),
        max_ahead: options.max_ahead.or((!planned.bounded).then_some(MAX_AHEAD)),
        per_key,
        close_after: options.close_after,
    })
}

/// The column whose values have a time each.
fn per_key(
    column: String,
    idle_after: Span,
    time: &str,
    planned: &PlannedSource,
    schema: &Schema,
) -> Result<KeyTimePlan, Problem> {
    let at = At::Option(vec!["time".to_owned(), "per_key".to_owned()]);
    let Ok(field) = schema.field_with_name(&column) else {
        let problem = Problem { at, message: format!("there is no column \"{column}\""), hint: None };
        return Err(problem.hint(did_you_mean(&column, schema.fields().iter().map(|field| field.name().as_str()))));
    };
    if column == time || !keys::is_supported(field.data_type()) {
        let what = if column == time { "the event time".to_owned() } else { type_word(field.data_type()) };
        let message = format!("column \"{column}\" is {what}, and names no sensor");
        return Err(Problem { at, message, hint: Some("name the column that says which sensor it is".to_owned()) });
    }
    Ok(KeyTimePlan { column, idle_after, live: !planned.bounded })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field};

    #[test]
    fn a_column_of_the_codec_wins_over_one_of_the_wire() {
        let decoded = Schema::new(vec![Field::new("topic", DataType::Int64, true)]);
        let metadata =
            Schema::new(vec![Field::new("topic", DataType::Utf8, false), Field::new("qos", DataType::Int8, false)]);
        let (schema, left_out) = compose(&decoded, &metadata);
        let names = schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["topic", "qos", "received_at"]);
        assert_eq!(left_out, ["topic"]);
    }
}
