//! The JSON schema of the pipeline file, for editors: every connector, codec and operator of this build with its options.

use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value, json};

use super::Registries;
use crate::config::options::{
    OperatorOptions, PipelineOptions, QueryOptions, SinkOptions, SourceOptions, TableOptions, TimeOptions,
};

/// The JSON schema of the pipeline file.
pub fn file_schema(registries: &Registries<'_>) -> Value {
    let mut definitions = Map::new();
    let mut schema = Builder { definitions: &mut definitions, registries };
    let pipeline = schema.hoist("pipeline", schema_for!(PipelineOptions).to_value());
    let query = schema.hoist("query", schema_for!(QueryOptions).to_value());
    let connectors = || registries.connectors.iter();
    let sources = connectors().filter_map(|kind| {
        let own = kind.source_options()?.to_value();
        Some(schema.object::<SourceOptions>("source", "connector", kind.name(), kind.about(), own))
    });
    let sources = sources.collect::<Vec<_>>();
    // What can be a table is told when it is planned: a file can, unless it is followed.
    let tables_of = registries.connectors.iter().filter(|kind| kind.name() == "file").filter_map(|kind| {
        let own = kind.source_options()?.to_value();
        Some(schema.object::<TableOptions>("table", "connector", kind.name(), kind.about(), own))
    });
    let tables_of = tables_of.collect::<Vec<_>>();
    let sinks = connectors().filter_map(|kind| {
        let own = kind.sink_options()?.to_value();
        Some(schema.object::<SinkOptions>("sink", "connector", kind.name(), kind.about(), own))
    });
    let sinks = sinks.collect::<Vec<_>>();
    let operators = registries.operators.iter().map(|kind| {
        let own = kind.options().to_value();
        schema.object::<OperatorOptions>("operator", "type", kind.name(), kind.about(), own)
    });
    let operators = operators.collect::<Vec<_>>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lineside pipeline",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "pipeline": pipeline,
            "source": tables("where rows come from", &json!({ "oneOf": sources })),
            "table": tables("rows that are all there, to be looked up by JOIN", &json!({ "oneOf": tables_of })),
            "query": tables("continuous SQL over sources, other queries and operators", &query),
            "operator": tables("steps that are not SQL", &json!({ "oneOf": operators })),
            "sink": tables("where rows go", &json!({ "oneOf": sinks })),
        },
        "$defs": definitions,
    })
}

/// Tables by name.
fn tables(about: &str, one: &Value) -> Value {
    json!({ "type": "object", "description": about, "additionalProperties": one })
}

struct Builder<'a> {
    definitions: &'a mut Map<String, Value>,
    registries: &'a Registries<'a>,
}

impl Builder<'_> {
    /// One kind of table: the options of the connector or operator and those that every such table has.
    fn object<T: JsonSchema>(&mut self, table: &str, option: &str, name: &str, about: &str, own: Value) -> Value {
        let mut own = self.hoist(&format!("{table}.{name}"), own);
        let common = self.hoist(table, schema_for!(T).to_value());
        let (Some(merged), Some(common)) = (own.as_object_mut(), common.as_object()) else { return own };
        let properties = merged.entry("properties").or_insert_with(|| json!({}));
        if let (Some(properties), Some(common)) = (properties.as_object_mut(), common["properties"].as_object()) {
            for (key, schema) in common {
                let schema = match key.as_str() {
                    key if key == option => json!({ "const": name, "description": about }),
                    "codec" => self.codec(schema),
                    "time" => self.time(schema),
                    _ => schema.clone(),
                };
                properties.insert(key.clone(), schema);
            }
        }
        let required = merged.entry("required").or_insert_with(|| json!([]));
        if let (Some(required), Some(common)) = (required.as_array_mut(), common.get("required")) {
            required.extend(common.as_array().into_iter().flatten().cloned());
        }
        merged.insert("type".to_owned(), "object".into());
        merged.insert("description".to_owned(), about.into());
        own
    }

    fn codec(&mut self, common: &Value) -> Value {
        let names = self.registries.codecs.iter().map(|kind| kind.name()).collect::<Vec<_>>();
        let mut choices = vec![json!({ "enum": names })];
        for kind in self.registries.codecs {
            let mut table = self.hoist(&format!("codec.{}", kind.name()), kind.options().to_value());
            if let Some(table) = table.as_object_mut() {
                let properties = table.entry("properties").or_insert_with(|| json!({}));
                if let Some(properties) = properties.as_object_mut() {
                    properties.insert("type".to_owned(), json!({ "const": kind.name(), "description": kind.about() }));
                }
                if let Some(required) = table.entry("required").or_insert_with(|| json!([])).as_array_mut() {
                    required.push("type".into());
                }
                table.insert("type".to_owned(), "object".into());
            }
            choices.push(table);
        }
        json!({ "description": common.get("description"), "anyOf": choices })
    }

    fn time(&mut self, common: &Value) -> Value {
        let table = self.hoist("time", schema_for!(TimeOptions).to_value());
        json!({ "description": common.get("description"), "anyOf": [{ "type": "string" }, table] })
    }

    /// Moves the definitions of a schema to those of the file, under names of their own, and takes off its title.
    fn hoist(&mut self, owner: &str, mut schema: Value) -> Value {
        rename(&mut schema, owner);
        if let Some(map) = schema.as_object_mut() {
            map.remove("$schema");
            map.remove("title");
            if let Some(Value::Object(own)) = map.remove("$defs") {
                self.definitions.extend(own.into_iter().map(|(name, schema)| (format!("{owner}.{name}"), schema)));
            }
        }
        schema
    }
}

fn rename(schema: &mut Value, owner: &str) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(reference) if key == "$ref" => {
                        if let Some(name) = reference.strip_prefix("#/$defs/") {
                            *reference = format!("#/$defs/{owner}.{name}");
                        }
                    }
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
                    Value::Array(_) | Value::Object(_) => rename(value, owner),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, owner)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
