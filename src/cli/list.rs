//! `lineside list [NAME]`: what a pipeline file can name, and the options of one of them.

use std::fmt::Write;

use clap::Args;
use lineside_model::Error;
use lineside_model::options::did_you_mean;
use serde_json::Value;

use super::{Failure, print};
use crate::plan::Registries;

/// List connectors, codecs and operators, or the options of one of them.
#[derive(Debug, Args)]
pub(super) struct List {
    /// A connector, codec or operator.
    name: Option<String>,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        print(&list(&Registries::BUILD, self.name.as_deref())?)
    }
}

/// One thing that a pipeline file can name.
struct Entry {
    group: &'static str,
    name: &'static str,
    about: &'static str,
    example: &'static str,
    options: Vec<(&'static str, Value)>,
}

fn entries(registries: &Registries<'_>) -> Vec<Entry> {
    let connectors = registries.connectors.iter().map(|kind| {
        let source = kind.source_options().map(|schema| ("options as a source", schema.to_value()));
        let sink = kind.sink_options().map(|schema| ("options as a sink", schema.to_value()));
        let options = source.into_iter().chain(sink).collect();
        Entry { group: "connectors", name: kind.name(), about: kind.about(), example: kind.example(), options }
    });
    let codecs = registries.codecs.iter().map(|kind| {
        let options = vec![("options", kind.options().to_value())];
        Entry { group: "codecs", name: kind.name(), about: kind.about(), example: kind.example(), options }
    });
    let operators = registries.operators.iter().map(|kind| {
        let options = vec![("options", kind.options().to_value())];
        Entry { group: "operators", name: kind.name(), about: kind.about(), example: kind.example(), options }
    });
    connectors.chain(codecs).chain(operators).collect()
}

/// The text of `lineside list` and `lineside list NAME`.
fn list(registries: &Registries<'_>, name: Option<&str>) -> Result<String, Error> {
    let entries = entries(registries);
    let mut text = String::new();
    let Some(name) = name else {
        let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
        for group in ["connectors", "codecs", "operators"] {
            text.push_str(group);
            text.push('\n');
            for Entry { name, about, .. } in entries.iter().filter(|entry| entry.group == group) {
                writeln!(text, "  {name:width$}  {about}").unwrap_or_default();
            }
            text.push('\n');
        }
        text.push_str("\"lineside list NAME\" shows the options of one of them\n");
        return Ok(text);
    };
    for Entry { group, name, about, example, options } in entries.iter().filter(|entry| entry.name == name) {
        let group = group.trim_end_matches('s');
        writeln!(text, "{group} \"{name}\": {about}").unwrap_or_default();
        for (title, schema) in options {
            text.push('\n');
            write_options(&mut text, title, schema);
        }
        writeln!(text, "\nexample\n\n{}\n", example.trim_matches('\n')).unwrap_or_default();
    }
    if text.is_empty() {
        let known = entries.iter().map(|entry| entry.name).collect::<Vec<_>>();
        let message = format!("there is no connector, codec or operator \"{name}\"");
        return Err(Error::user(message).hint(did_you_mean(name, known)));
    }
    Ok(text)
}

fn write_options(text: &mut String, title: &str, schema: &Value) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object).filter(|p| !p.is_empty()) else {
        writeln!(text, "{title}: none").unwrap_or_default();
        return;
    };
    let required = |name: &str| {
        let required = schema.get("required").and_then(Value::as_array);
        required.is_some_and(|required| required.iter().any(|key| key == name))
    };
    writeln!(text, "{title}").unwrap_or_default();
    for (name, option) in properties {
        let kind = type_of(option, schema);
        let default = match option.get("default").filter(|default| !default.is_null()) {
            _ if required(name) => ", required".to_owned(),
            Some(default) => format!(", default {default}"),
            None => String::new(),
        };
        writeln!(text, "  {name} ({kind}{default})").unwrap_or_default();
        let about = option.get("description").and_then(Value::as_str).unwrap_or_default();
        for line in about.lines() {
            writeln!(text, "      {line}").unwrap_or_default();
        }
    }
}

/// The type of an option in a user's words.
fn type_of(option: &Value, root: &Value) -> String {
    if let Some(definition) = option.get("$ref").and_then(Value::as_str) {
        let name = definition.rsplit('/').next().unwrap_or_default();
        let target = definition.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return match target {
            Some(_) if name == "Span" => "duration".to_owned(),
            Some(target) if target.get("properties").is_none() => type_of(target, root),
            _ => "table".to_owned(),
        };
    }
    if let Some(words) = option.get("enum").and_then(Value::as_array) {
        return words.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    if let Some(word) = option.get("const") {
        return word.to_string();
    }
    for branches in ["anyOf", "oneOf"] {
        if let Some(branches) = option.get(branches).and_then(Value::as_array) {
            let named = branches.iter().filter(|branch| branch.get("type") != Some(&"null".into()));
            return named.map(|branch| type_of(branch, root)).collect::<Vec<_>>().join(" | ");
        }
    }
    let word = |name: &str| match name {
        "string" => "text",
        "integer" => "whole number",
        "number" => "number",
        "boolean" => "true | false",
        "array" => "list",
        _ => "table",
    };
    match option.get("type") {
        Some(Value::String(name)) => word(name).to_owned(),
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.map(word).collect::<Vec<_>>().join(" | ")
        }
        _ => "any".to_owned(),
    }
}
