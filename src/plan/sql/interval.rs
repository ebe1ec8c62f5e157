//! Lengths of time in a query, which must be the same on every day.

use datafusion::common::ScalarValue;
use lineside_model::Span;

/// Why a value is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSpan {
    /// It is no interval, or one beyond all time.
    NotAnInterval,
    /// It has months or years.
    Months,
    /// It has parts of a microsecond.
    Fraction,
}

impl NoSpan {
    /// What is wrong, of what is named by `what`.
    pub(super) fn message(self, what: &str) -> String {
        match self {
            Self::NotAnInterval => format!("{what} is an interval, such as INTERVAL '5' SECOND"),
            Self::Months => "months and years differ in length".to_owned(),
            Self::Fraction => format!("{what} is in whole microseconds"),
        }
    }
}

/// The length of an interval.
pub(super) fn span_of(value: &ScalarValue) -> Result<Span, NoSpan> {
    let nanos = match value {
        ScalarValue::IntervalMonthDayNano(Some(value)) if value.months != 0 => return Err(NoSpan::Months),
        ScalarValue::IntervalMonthDayNano(Some(value)) => {
            i128::from(value.days) * 86_400_000_000_000 + i128::from(value.nanoseconds)
        }
        ScalarValue::IntervalDayTime(Some(value)) => {
            i128::from(value.days) * 86_400_000_000_000 + i128::from(value.milliseconds) * 1_000_000
        }
        _ => return Err(NoSpan::NotAnInterval),
    };
    match i64::try_from(nanos / 1_000) {
        Ok(micros) if nanos % 1_000 == 0 => Ok(Span::from_micros(micros)),
        Ok(_) => Err(NoSpan::Fraction),
        Err(_) => Err(NoSpan::NotAnInterval),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_shorter_units_have_a_length_and_months_have_none() {
        let interval = |months, days, nanos| span_of(&ScalarValue::new_interval_mdn(months, days, nanos));
        assert_eq!(interval(0, 1, 5_000), Ok(Span::from_micros(86_400_000_005)));
        assert_eq!(interval(1, 0, 0), Err(NoSpan::Months));
        assert_eq!(interval(0, 0, 1), Err(NoSpan::Fraction));
        assert_eq!(span_of(&ScalarValue::Int64(Some(1))), Err(NoSpan::NotAnInterval));
    }
}
