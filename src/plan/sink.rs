//! One `[sink.NAME]` planned: connector, encoder, and how old a row may be when it is written.

use arrow::datatypes::SchemaRef;
use lineside_connectors::codec::MakeEncoder;
use lineside_connectors::{ConnectorKind, PlanContext};
use lineside_model::{Problem, Problems, Span, parse_options};
use serde_json::Value;

use super::options::{Options, find, keep};
use super::source::unknown_codec;
use super::{Input, Registries, SinkPlan};
use crate::config::Object;
use crate::config::options::{CodecChoice, SinkOptions};

/// How old the newest reading behind a command to a field bus may be, by default.
const EXPIRE_AFTER_CONTROL: Span = Span::from_secs(5);

/// Plans a sink. Without an input, because there is something wrong with it, as much is checked as can be.
pub(super) fn plan_sink(
    object: &Object,
    input: Option<(Input, SchemaRef)>,
    registries: &Registries<'_>,
    context: &PlanContext<'_>,
) -> Result<Option<SinkPlan>, Problems> {
    let mut problems = Problems::default();
    let mut options = Options::of::<SinkOptions>(object);
    let common = keep(parse_options::<SinkOptions>(&options.common), &mut problems);
    if common.as_ref().and_then(|common| common.expire_after).is_some_and(|span| span <= Span::ZERO) {
        problems.push(Problem::option("expire_after", "expire_after must be more than 0s"));
    }
    let kind = find(object, "connector", "connector", registries.connectors, ConnectorKind::name, &mut problems);
    let kind = kind.filter(|kind| {
        let Some(schema) = kind.sink_options() else {
            let sinks = registries.connectors.iter().filter(|kind| kind.sink_options().is_some());
            let sinks = sinks.map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
            let message = format!("connector \"{}\" cannot be written to", kind.name());
            problems.push(Problem::option("connector", message).hint(format!("sinks are: {sinks}")));
            return false;
        };
        options.check_names(schema.as_value(), &mut problems);
        true
    });
    let input_schema = input.as_ref().map(|(_, schema)| schema);
    let encoder = match object.options.get("codec") {
        Some(codec) => keep(encoder(codec, input_schema, registries, context), &mut problems),
        None => Some((None, None)),
    };
    let (Some(common), Some(kind), Some((codec, encoder)), Some((input, schema))) = (common, kind, encoder, input)
    else {
        return problems.or(None);
    };
    let planned = kind.plan_sink(&Value::Object(options.own), &schema, encoder, context);
    let Some(planned) = keep(planned, &mut problems) else { return Err(problems) };
    let expire_after = common.expire_after.or(planned.control.then_some(EXPIRE_AFTER_CONTROL));
    let name = object.name.clone();
    problems.or(Some(SinkPlan { name, connector: kind.name(), codec, input, planned, expire_after }))
}

type Encoder = (Option<&'static str>, Option<MakeEncoder>);

fn encoder(
    written: &Value,
    input: Option<&SchemaRef>,
    registries: &Registries<'_>,
    context: &PlanContext<'_>,
) -> Result<Encoder, Problems> {
    let choice = CodecChoice::read(written)?;
    let kind = registries.codec(&choice.name).ok_or_else(|| unknown_codec(&choice.name, registries))?;
    let Some(input) = input else { return Ok((Some(kind.name()), None)) };
    let planned = kind.plan_encoder(&choice.options, input, context);
    Ok((Some(kind.name()), Some(planned.map_err(|wrong| wrong.within("codec"))?)))
}
