//! The engine as its users see it: one test binary, a module for each part of the story.

mod cli;
mod config_errors;
mod e2e;
mod explain;
mod kinds;
mod layering;
mod readme;
mod simulation;
mod slt;
mod turns;
