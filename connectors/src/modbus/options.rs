//! What a user writes for a Modbus source and a Modbus sink.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use lineside_model::options::did_you_mean;
use lineside_model::{Problem, Problems, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, de};

use super::frame::READ_REGISTERS;
use super::map::{Defaults, Tag};
use crate::Tls;

/// A Modbus source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceOptions {
    /// The device or gateway: `modbus://host:port` or `host:port`; the port is 502 by default, 802 with `tls`.
    pub(crate) url: String,
    /// The register map, a CSV file.
    pub(crate) registers: String,
    /// The unit id of tags that give none. Default: 1.
    #[serde(default = "one")]
    unit: u8,
    /// Whether the map counts registers from 0, as they are sent, or from 1, as many manuals do. Default: 0.
    #[serde(default)]
    base: u16,
    /// How often tags are read: one time for all, or one for each poll class of the map. Default: `"1s"`.
    #[serde(default)]
    pub(crate) poll: Polls,
    /// Most registers that the device gives in one answer, 1 to 125; sixteen times as many coils. Default: 125.
    #[serde(default = "most_registers")]
    pub(crate) max_registers: u16,
    /// Most registers between two tags that are read in vain to save a request. Default: 8.
    #[serde(default = "gap")]
    pub(crate) max_gap: u16,
    /// Least time between an answer and the next request, for devices that choke. Default: `"0s"`.
    #[serde(default)]
    pub(crate) spacing: Span,
    /// Longest wait for a connection and for each answer. Default: `"1s"`.
    #[serde(default = "second")]
    pub(crate) timeout: Span,
    /// What a request and its answer are expected to take, only for the bus time that `explain` shows. Default: `"2ms"`.
    #[serde(default = "two_millis")]
    pub(crate) expected_latency: Span,
    /// Encrypts the connection. Default: none.
    pub(crate) tls: Option<Tls>,
}

/// A Modbus sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SinkOptions {
    /// The device or gateway: `modbus://host:port` or `host:port`; the port is 502 by default, 802 with `tls`.
    pub(crate) url: String,
    /// The register map, a CSV file; only tags with access RW or WO are written.
    pub(crate) registers: String,
    /// The unit id of tags that give none. Default: 1.
    #[serde(default = "one")]
    unit: u8,
    /// Whether the map counts registers from 0, as they are sent, or from 1, as many manuals do. Default: 0.
    #[serde(default)]
    base: u16,
    /// Least time between an answer and the next request, for devices that choke. Default: `"0s"`.
    #[serde(default)]
    pub(crate) spacing: Span,
    /// Longest wait for a connection and for each answer. Default: `"1s"`.
    #[serde(default = "second")]
    pub(crate) timeout: Span,
    /// Whether each write is read back and compared. Default: true.
    #[serde(default = "yes")]
    pub(crate) verify: bool,
    /// How far a value read back may be from the one written, in engineering units. Default: half a step of the
    /// register, so that exactly what was written counts.
    pub(crate) tolerance: Option<f64>,
    /// How often a write that was not answered is tried again before the connection is opened anew. Default: 1.
    #[serde(default = "one_retry")]
    pub(crate) retries: u32,
    /// Whether lone registers and coils are written with functions 6 and 5; otherwise with 16 and 15. Default: true.
    #[serde(default = "yes")]
    pub(crate) write_single: bool,
    /// Encrypts the connection. Default: none.
    pub(crate) tls: Option<Tls>,
}

/// How often tags are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Polls {
    /// All tags, whatever their class.
    Every(Span),
    /// Each class by itself.
    Classes(BTreeMap<String, Span>),
}

impl SourceOptions {
    pub(crate) fn defaults(&self) -> Defaults {
        Defaults { unit: self.unit, base: self.base }
    }

    /// What is wrong with single options.
    pub(crate) fn check(&self) -> Problems {
        let mut problems = Problems::default();
        common(self.base, self.timeout, self.spacing, &mut problems);
        if !(1..=READ_REGISTERS).contains(&self.max_registers) {
            let message = format!("expects 1 to {READ_REGISTERS}, found {}", self.max_registers);
            problems.push(Problem::option("max_registers", message));
        }
        if self.expected_latency < Span::ZERO {
            let message = format!("expects no less than 0s, found {}", self.expected_latency);
            problems.push(Problem::option("expected_latency", message));
        }
        for (name, period) in self.poll.classes().filter(|(_, period)| *period < Span::from_millis(1)) {
            let path = match self.poll {
                Polls::Every(_) => vec!["poll".to_owned()],
                Polls::Classes(_) => vec!["poll".to_owned(), name.to_owned()],
            };
            let message = format!("a poll expects a period of at least 1ms, found {period}");
            problems.push(Problem { at: lineside_model::At::Option(path), message, hint: None });
        }
        problems
    }
}

impl SinkOptions {
    pub(crate) fn defaults(&self) -> Defaults {
        Defaults { unit: self.unit, base: self.base }
    }

    /// What is wrong with single options.
    pub(crate) fn check(&self) -> Problems {
        let mut problems = Problems::default();
        common(self.base, self.timeout, self.spacing, &mut problems);
        if let Some(tolerance) = self.tolerance.filter(|tolerance| !(0.0..f64::INFINITY).contains(tolerance)) {
            let message = format!("expects a number of at least 0, found {tolerance}");
            problems.push(Problem::option("tolerance", message));
        }
        if self.retries > 10 {
            let message = format!("expects 0 to 10, found {}", self.retries);
            problems.push(Problem::option("retries", message));
        }
        problems
    }
}

/// Checks what source, sink and codec have in common.
fn common(base: u16, timeout: Span, spacing: Span, problems: &mut Problems) {
    check_base(base, problems);
    if timeout < Span::from_millis(1) {
        problems.push(Problem::option("timeout", format!("expects at least 1ms, found {timeout}")));
    }
    if spacing < Span::ZERO {
        problems.push(Problem::option("spacing", format!("expects no less than 0s, found {spacing}")));
    }
}

/// The first address of a map is 0 or 1.
pub(crate) fn check_base(base: u16, problems: &mut Problems) {
    if base > 1 {
        problems.push(Problem::option("base", format!("expects 0 or 1, found {base}")));
    }
}

impl Polls {
    /// The classes with their periods.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (&str, Span)> {
        let (every, classes) = match self {
            Self::Every(period) => (Some(("all", *period)), None),
            Self::Classes(classes) => (None, Some(classes.iter().map(|(name, period)| (name.as_str(), *period)))),
        };
        every.into_iter().chain(classes.into_iter().flatten())
    }

    /// The class that polls a tag, or a hint if there is none.
    pub(crate) fn class_of<'a>(&'a self, tag: &Tag) -> Result<&'a str, String> {
        match self {
            Self::Every(_) => Ok("all"),
            Self::Classes(classes) => match classes.get_key_value(&tag.poll_class) {
                Some((name, _)) => Ok(name),
                None => Err(did_you_mean(&tag.poll_class, classes.keys().map(String::as_str))),
            },
        }
    }
}

impl Default for Polls {
    fn default() -> Self {
        Self::Every(second())
    }
}

impl<'de> Deserialize<'de> for Polls {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> de::Visitor<'de> for Either {
            type Value = Polls;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"1s\", or a table of poll classes such as { fast = \"100ms\" }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Polls, E> {
                text.parse().map(Polls::Every).map_err(|expected| E::custom(format!("expected {expected}")))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Polls, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Polls::Classes)
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for Polls {
    fn schema_name() -> Cow<'static, str> {
        "Polls".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let span = generator.subschema_for::<Span>();
        json_schema!({ "anyOf": [span, { "type": "object", "additionalProperties": span }] })
    }
}

fn one() -> u8 {
    1
}

fn one_retry() -> u32 {
    1
}

fn most_registers() -> u16 {
    READ_REGISTERS
}

fn gap() -> u16 {
    8
}

fn second() -> Span {
    Span::from_secs(1)
}

fn two_millis() -> Span {
    Span::from_millis(2)
}

fn yes() -> bool {
    true
}
