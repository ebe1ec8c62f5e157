//! Secrets: passwords, tokens and keys that a pipeline file holds or refers to, and that no output may show.
//!
//! A value is a secret if its option is marked `"secret": true` in the JSON schema of its connector or operator, or if its
//! name says so. [`Secrets::mask`] blots every secret out of a text, whoever wrote that text, and the password of every
//! address of the form `scheme://user:password@host`.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// A secret shorter than this is only blotted out where it stands in quotes, since it would be found in ordinary words.
const SHORT: usize = 4;

/// The secrets of one pipeline.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// Whether an option of this name is a secret by its name alone.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    ["password", "passwd", "secret", "token", "passphrase", "api_key", "pem", "jaas"]
        .iter()
        .any(|word| name.contains(word))
}

impl Secrets {
    /// Notes the secrets among these values; `schema` is the JSON schema of the options.
    pub fn collect(&mut self, values: &Value, schema: &Value) {
        self.walk(values, schema, schema, false);
    }

    fn walk(&mut self, value: &Value, schema: &Value, root: &Value, secret: bool) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let below = property(schema, key, root);
                    let marked = all_of(below, root).iter().any(|s| s.get("secret") == Some(&Value::Bool(true)));
                    self.walk(value, below, root, secret || marked || is_secret_name(key));
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.walk(item, &Value::Null, root, secret)),
            Value::String(text) if secret => self.note(text),
            Value::Number(number) if secret => self.note(&number.to_string()),
            Value::String(_) | Value::Number(_) | Value::Null | Value::Bool(_) => {}
        }
    }

    fn note(&mut self, text: &str) {
        if !text.is_empty() && !self.0.iter().any(|known| known == text) {
            self.0.push(text.to_owned());
            // The longest first, so that a secret within another one does not leave the rest of it readable.
            self.0.sort_by_key(|known| std::cmp::Reverse(known.len()));
        }
    }

    /// The text with every secret blotted out.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut masked = mask_addresses(text);
        for secret in &self.0 {
            let quoted = format!("\"{secret}\"");
            if secret.len() < SHORT {
                if masked.contains(&quoted) {
                    masked = masked.replace(&quoted, &format!("\"{MASK}\"")).into();
                }
            } else if masked.contains(secret.as_str()) {
                masked = masked.replace(secret.as_str(), MASK).into();
            }
        }
        masked
    }
}

/// The schema of an option, `Null` if there is none.
fn property<'s>(schema: &'s Value, key: &str, root: &'s Value) -> &'s Value {
    let found = all_of(schema, root).into_iter().find_map(|schema| schema.get("properties")?.get(key));
    found.unwrap_or(&Value::Null)
}

/// A schema, what it refers to among the definitions of `root`, and its alternatives.
fn all_of<'s>(schema: &'s Value, root: &'s Value) -> Vec<&'s Value> {
    let mut found = vec![schema];
    let mut next = 0;
    while let Some(&schema) = found.get(next) {
        next += 1;
        let reference = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
        let referred = reference.and_then(|pointer| root.pointer(pointer));
        let branches =
            ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|word| schema.get(word)?.as_array()).flatten();
        for schema in branches.chain(referred) {
            // Compared by address: a schema that refers to itself is looked at once.
            if !found.iter().any(|known| std::ptr::eq(*known, schema)) {
                found.push(schema);
            }
        }
    }
    found
}

/// Blots out `password` in `scheme://user:password@host`.
fn mask_addresses(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        rest = after;
        let ends = rest.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c)).unwrap_or(rest.len());
        if let Some(host) = rest[..ends].rfind('@')
            && let Some(colon) = rest[..host].find(':')
        {
            masked.push_str(&rest[..=colon]);
            masked.push_str(MASK);
            rest = &rest[host..];
        }
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn marked_and_named_options_are_blotted_out_at_any_depth() {
        let schema = json!({
            "properties": { "pin": {"secret": true}, "tls": {"anyOf": [{"$ref": "#/$defs/Tls"}, {"type": "null"}]} },
            "$defs": {
                "Tls": {"properties": {"key": {"$ref": "#/$defs/Secret"}}},
                "Secret": {"type": "string", "secret": true},
            },
        });
        let mut secrets = Secrets::default();
        let options =
            json!({"pin": 7, "user": "ann", "tls": {"key": "-----KEY"}, "librdkafka": {"sasl.password": "hunter2"}});
        secrets.collect(&options, &schema);
        assert_eq!(
            secrets.mask("user ann, found \"7\" in 17, hunter2, -----KEY"),
            "user ann, found \"***\" in 17, ***, ***"
        );
        assert_eq!(format!("{secrets:?}"), "Secrets(3)");
    }

    #[test]
    fn the_password_of_an_address_is_blotted_out() {
        let secrets = Secrets::default();
        assert_eq!(
            secrets.mask("mqtt://ann:p@ss@broker:1883/x and tcp://10.0.0.7:502"),
            "mqtt://ann:***@broker:1883/x and tcp://10.0.0.7:502"
        );
    }
}
