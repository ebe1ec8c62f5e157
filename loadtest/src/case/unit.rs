//! Units of what a case has to hold: how a number is written in a limit, and how it is told.

use lineside_model::{Error, Result, Span};

use crate::report::units::{digits, fixed, micros, plain, set};

/// What a number is a number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Micros,
    Count,
    Percent,
    Bytes,
    PerMillion,
}

impl Unit {
    /// Reads a number with its unit.
    ///
    /// # Errors
    /// It is none, or below 0.
    pub(super) fn parse(self, text: &str) -> Result<f64> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        let wrong = |what: &str| Error::user(format!("expected {what}, found \"{text}\""));
        match self {
            Self::Micros => {
                let span = text.parse::<Span>().map_err(|expected| Error::user(format!("expected {expected}")))?;
                Ok(span.micros() as f64)
            }
            Self::Count => number(text).ok_or_else(|| wrong("a number such as 0")),
            Self::PerMillion => {
                let number = text.strip_suffix("per million").and_then(number);
                number.ok_or_else(|| wrong("a share such as \"100 per million\""))
            }
            Self::Percent => text.strip_suffix('%').and_then(number).ok_or_else(|| wrong("a share such as 50%")),
            Self::Bytes => {
                let (digits, factor) = [("kB", 1e3), ("MB", 1e6), ("GB", 1e9)]
                    .iter()
                    .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
                    .ok_or_else(|| wrong("a size such as 64MB"))?;
                number(digits).map(|number| number * factor).ok_or_else(|| wrong("a size such as 64MB"))
            }
        }
    }

    /// What a case asks for, with the digits that it has.
    pub(super) fn show_bound(self, value: f64) -> String {
        match self {
            Self::Micros => set(value),
            Self::Percent => format!("{} %", plain(value)),
            Self::Bytes => format!("{} MB", plain(value / 1e6)),
            Self::Count | Self::PerMillion => self.show(value),
        }
    }

    /// What was found.
    pub(super) fn show(self, value: f64) -> String {
        match self {
            Self::Micros => micros(value),
            Self::Count if value.fract() == 0.0 => fixed(value, 0),
            Self::Count => format!("{value:.2}"),
            Self::PerMillion => format!("{} per million", digits(value)),
            Self::Percent => format!("{value:.1} %"),
            Self::Bytes => format!("{:.1} MB", value / 1e6),
        }
    }
}
