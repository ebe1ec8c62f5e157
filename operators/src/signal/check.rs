//! What options of signal operators have in common to be wrong about.

use lineside_model::{Problem, Problems, Span};

/// A width: finite, at least 0.
pub(super) fn at_least_zero(name: &str, found: Option<f64>, problems: &mut Problems) {
    if let Some(found) = found.filter(|found| !(found.is_finite() && *found >= 0.0)) {
        problems.push(Problem::option(name, format!("expected a number of at least 0, found {found}")));
    }
}

/// A unit, or a limit that is never 0.
pub(super) fn above_zero(name: &str, found: f64, problems: &mut Problems) {
    if !(found.is_finite() && found > 0.0) {
        problems.push(Problem::option(name, format!("expected a number above 0, found {found}")));
    }
}

/// A value to compare with.
pub(super) fn finite(name: &str, found: Option<f64>, problems: &mut Problems) {
    if let Some(found) = found.filter(|found| !found.is_finite()) {
        problems.push(Problem::option(name, format!("expected a finite number, found {found}")));
    }
}

/// A length of time that must be one.
pub(super) fn more_than_no_time(name: &str, found: Option<Span>, problems: &mut Problems) {
    if let Some(found) = found.filter(|found| *found <= Span::ZERO) {
        problems.push(Problem::option(name, format!("expected more than no time, found {found}")));
    }
}

/// A value that can be computed with.
pub(super) fn known(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}
