//! lineside: a stream-processing engine that stands at the side of a production line.
//!
//! Two journeys explain the crate. A **record** travels one way: `source → decode → (exchange by key) → operators → sink`.
//! A **configuration** travels one way: `file → Config → Plan → Graph → Run`, each its own type in a module of that name.
//! Only two things flow backwards: capacity (bounded queues) and durable positions to sources.
//!
//! A module imports only from modules below its own: `cli` · `run` · `graph` · `plan` · `config`, `observe`, `clock`.

pub mod cli;
pub mod clock;
pub mod config;
pub mod graph;
pub mod observe;
pub mod plan;
pub mod run;
