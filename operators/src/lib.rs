//! Operators: given this batch, or this much time, what follows?
//!
//! An operator is a state machine over Arrow batches. It does no I/O, reads no clock, knows no runtime and no SQL planner, so
//! the same input gives the same output wherever and however often it runs. `tests/laws.rs` holds every operator to that.
//!
//! [`operator`] has the traits, [`registry`] the list of all that a pipeline file can name, one file each below it; [`window`] is
//! what a query's windows are planned with, [`over`] what its `OVER (…)` is.

pub mod aggregate;
pub mod control;
mod in_order;
pub mod join;
pub mod operator;
pub mod over;
pub mod reading;
pub mod registry;
mod rows;
mod saved_rows;
pub mod series;
pub mod signal;
pub mod state;
mod timers;
pub mod window;

pub use operator::{Emitter, HandedOver, Operator, OperatorKind, PlannedOperator, Port, TimeColumn};
pub use registry::OPERATORS;
pub use state::Snapshot;
