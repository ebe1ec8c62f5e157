//! The engine as its users see it: one test binary, a module for each part of the story.

mod config_errors;
mod explain;
mod kinds;
