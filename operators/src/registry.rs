//! Every operator a pipeline file can name with `type = "…"`, in the order of the README's table.

use crate::OperatorKind;

/// All kinds of operators.
pub const OPERATORS: &[&dyn OperatorKind] = &[];

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static dyn OperatorKind> {
    OPERATORS.iter().copied().find(|kind| kind.name() == name)
}
