//! Lengths of time in a query, which must be the same on every day.

use datafusion::common::ScalarValue;
use lineside_model::Span;

/// Why a value is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSpan {
    /// It is no interval.
    NotAnInterval,
    /// It is longer than all time, about 290,000 years.
    TooLong,
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
            Self::TooLong => format!("{what} is longer than 290,000 years"),
            Self::Months => "months and years differ in length".to_owned(),
            Self::Fraction => format!("{what} is in whole microseconds"),
        }
    }
}

/// The length of an interval.
pub(super) fn span_of(value: &ScalarValue) -> Result<Span, NoSpan> {
    let micros = micros_of(value)?;
    i64::try_from(micros).map(Span::from_micros).map_err(|_| NoSpan::TooLong)
}

/// The length of an interval or a duration in microseconds, however long.
pub(super) fn micros_of(value: &ScalarValue) -> Result<i128, NoSpan> {
    let nanos = match value {
        ScalarValue::IntervalMonthDayNano(Some(value)) if value.months != 0 => return Err(NoSpan::Months),
        ScalarValue::IntervalMonthDayNano(Some(value)) => {
            i128::from(value.days) * 86_400_000_000_000 + i128::from(value.nanoseconds)
        }
        ScalarValue::IntervalDayTime(Some(value)) => {
            i128::from(value.days) * 86_400_000_000_000 + i128::from(value.milliseconds) * 1_000_000
        }
        ScalarValue::DurationSecond(Some(value)) => i128::from(*value) * 1_000_000_000,
        ScalarValue::DurationMillisecond(Some(value)) => i128::from(*value) * 1_000_000,
        ScalarValue::DurationMicrosecond(Some(value)) => i128::from(*value) * 1_000,
        ScalarValue::DurationNanosecond(Some(value)) => i128::from(*value),
        _ => return Err(NoSpan::NotAnInterval),
    };
    if nanos % 1_000 == 0 { Ok(nanos / 1_000) } else { Err(NoSpan::Fraction) }
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
        assert_eq!(interval(0, 200_000_000, 0), Err(NoSpan::TooLong));
        assert_eq!(span_of(&ScalarValue::Int64(Some(1))), Err(NoSpan::NotAnInterval));
    }
}
