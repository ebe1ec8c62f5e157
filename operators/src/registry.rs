//! Every operator a pipeline file can name with `type = "…"`, in the order of the README's table.

use crate::OperatorKind;
use crate::control::loops::PidKind;
use crate::series::OfSeries;
use crate::signal::align::AlignKind;
use crate::signal::{Alarm, ControlChart, Cusum, Deadband, Ewma, HeldFor, Hysteresis, Rate, Resample, Stale};

/// All kinds of operators.
pub const OPERATORS: &[&dyn OperatorKind] = &[
    &PidKind,
    &OfSeries::<Alarm>::KIND,
    &OfSeries::<Hysteresis>::KIND,
    &OfSeries::<HeldFor>::KIND,
    &OfSeries::<Deadband>::KIND,
    &OfSeries::<Rate>::KIND,
    &OfSeries::<Ewma>::KIND,
    &OfSeries::<Cusum>::KIND,
    &OfSeries::<ControlChart>::KIND,
    &OfSeries::<Resample>::KIND,
    &AlignKind,
    &OfSeries::<Stale>::KIND,
];

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static dyn OperatorKind> {
    OPERATORS.iter().copied().find(|kind| kind.name() == name)
}
