//! A number of bytes as a user writes it: `64MB`, `1GiB`, `500kB`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) u64);

const EXPECTED: &str = "a size such as \"500kB\", \"64MB\" or \"1GiB\"";
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) =
            UNITS.into_iter().find(|(_, size)| self.0 >= *size && self.0 % size == 0).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                UNITS
                    .iter()
                    .find_map(|(unit, size)| Some((text.strip_suffix(unit)?.trim_end(), size)))
                    .and_then(|(number, size)| number.parse::<u64>().ok()?.checked_mul(*size))
                    .map(Size)
                    .ok_or_else(|| E::custom(format!("expected {EXPECTED}, found \"{text}\"")))
            }
        }
        from.deserialize_str(Text)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+ *(B|kB|MB|GB|KiB|MiB|GiB)$", "description": EXPECTED })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_reads_back_as_it_was_written() {
        for text in ["1B", "500kB", "64MB", "1GiB", "3KiB"] {
            let size = serde_json::from_value::<Size>(text.into()).expect("a size");
            assert_eq!(size.to_string(), text);
        }
        for wrong in ["64", "-1MB", "1TB", "MB", "99999999999GB"] {
            assert!(serde_json::from_value::<Size>(wrong.into()).is_err(), "{wrong}");
        }
    }
}
