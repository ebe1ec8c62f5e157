//! What is read off a signal, sensor by sensor: does it move, is it beyond a limit, is it there at all.

pub mod alarm;
pub mod align;
mod check;
pub mod control_chart;
pub mod control_rules;
pub mod cusum;
pub mod deadband;
pub mod derived;
pub mod ewma;
pub mod grid;
pub mod held_for;
pub mod hysteresis;
pub mod rate;
pub mod resample;
pub mod stale;

pub use alarm::Alarm;
pub use control_chart::ControlChart;
pub use cusum::Cusum;
pub use deadband::Deadband;
pub use ewma::Ewma;
pub use held_for::HeldFor;
pub use hysteresis::Hysteresis;
pub use rate::Rate;
pub use resample::Resample;
pub use stale::Stale;
