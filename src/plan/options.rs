//! The options of one object taken apart: those that every source, operator or sink has, and those of its connector or type.

use lineside_model::options::did_you_mean;
use lineside_model::{Problem, Problems};
use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value};

use crate::config::Object;

/// The options of one object, taken apart.
#[derive(Debug)]
pub(super) struct Options {
    /// Those that every object of the kind has.
    pub(super) common: Value,
    /// The others.
    pub(super) own: Map<String, Value>,
    common_names: Vec<String>,
}

impl Options {
    /// Takes the options apart; `T` declares those that every object of the kind has.
    pub(super) fn of<T: JsonSchema>(object: &Object) -> Self {
        let common_names = names(schema_for!(T).as_value());
        let (common, own) = object.options.clone().into_iter().partition(|(key, _)| common_names.contains(key));
        Self { common: Value::Object(common), own, common_names }
    }

    /// Names every option that neither the object nor its connector or type knows, and takes it out, so that reading goes on.
    /// Only here both are known, so only here the nearest name is found among all.
    pub(super) fn check_names(&mut self, schema: &Value, problems: &mut Problems) {
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            return;
        }
        let own = names(schema);
        let known = || own.iter().chain(&self.common_names).map(String::as_str);
        self.own.retain(|key, _| {
            let is_known = own.contains(key);
            if !is_known {
                let hint = did_you_mean(key, known().collect::<Vec<_>>());
                problems.push(Problem::option(key, format!("unknown option \"{key}\"")).hint(hint));
            }
            is_known
        });
    }
}

fn names(schema: &Value) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(Map::keys).cloned().collect()
}

/// Notes what is wrong, and goes on with what is right.
pub(super) fn keep<T>(result: Result<T, Problems>, problems: &mut Problems) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(wrong) => {
            problems.0.extend(wrong.0);
            None
        }
    }
}

/// The kind an object names with `option = "…"`. A missing name is told by the typed reading of the options.
pub(super) fn find<K: ?Sized + 'static>(
    object: &Object,
    option: &str,
    what: &str,
    kinds: &[&'static K],
    name_of: impl Fn(&K) -> &'static str,
    problems: &mut Problems,
) -> Option<&'static K> {
    let name = object.text(option)?;
    let found = kinds.iter().copied().find(|kind| name_of(kind) == name);
    if found.is_none() {
        let hint = did_you_mean(name, kinds.iter().map(|kind| name_of(kind)).collect::<Vec<_>>());
        problems.push(Problem::option(option, format!("unknown {what} \"{name}\"")).hint(hint));
    }
    found
}
