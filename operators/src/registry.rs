//! Every operator a pipeline file can name with `type = "…"`, in the order of the README's table.

use crate::OperatorKind;
use crate::control::loops::PidKind;
use crate::signal::alarm::AlarmKind;
use crate::signal::deadband::DeadbandKind;
use crate::signal::stale::StaleKind;

/// All kinds of operators.
pub const OPERATORS: &[&dyn OperatorKind] = &[&PidKind, &AlarmKind, &DeadbandKind, &StaleKind];

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static dyn OperatorKind> {
    OPERATORS.iter().copied().find(|kind| kind.name() == name)
}
