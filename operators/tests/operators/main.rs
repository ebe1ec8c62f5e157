//! Operators as a user sees them: scripts of readings in and rows out, one file each, and the laws that hold for all.

mod alarm;
mod align;
mod control_chart;
mod cusum;
mod deadband;
mod ewma;
mod held_for;
mod hysteresis;
mod joins;
mod kit;
mod laws;
mod over;
mod pid;
mod rank;
mod rate;
mod resample;
mod spc;
mod stale;
