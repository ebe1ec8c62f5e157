//! The engine as its users see it: one test binary, a module for each part of the story.

mod cli;
mod config_errors;
mod explain;
mod kinds;
mod layering;
