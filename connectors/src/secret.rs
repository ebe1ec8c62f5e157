//! A password or key as it stands in a pipeline file: usable, and never shown.
//!
//! It is written as a reference, `password = "${MQTT_PASSWORD}"`, which the configuration layer has expanded by the time it
//! gets here. No output of the engine contains it: printing gives `***`, and an error about it does not repeat it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, to be handed to the other end and to nobody else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        /// Takes every type, since serde's own complaint about a wrong one would repeat the value.
        struct Text;

        const WRONG: &str = "wrong type; expected the secret as text in quotes";

        impl<'de> de::Visitor<'de> for Text {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the secret as text in quotes")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.to_owned()))
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
                Err(E::custom(WRONG))
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom(WRONG))
            }
            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
                Err(E::custom(WRONG))
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom(WRONG))
            }
        }
        from.deserialize_any(Text)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "secret": true,
            "description": "a secret; write a reference to the environment such as \"${MQTT_PASSWORD}\"",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_neither_when_printed_nor_when_it_is_wrong() {
        let secret = serde_json::from_str::<Secret>("\"tiger\"").unwrap();
        assert_eq!(secret.reveal(), "tiger");
        assert_eq!(format!("{secret:?}"), "***");
        for wrong in ["4711", "-4711", "47.11", "true"] {
            let error = serde_json::from_str::<Secret>(wrong).unwrap_err().to_string();
            assert!(!error.contains(wrong) && error.contains("text in quotes"), "{error}");
        }
    }
}
