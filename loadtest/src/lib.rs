//! The world around the engine: a plant to control, recorded sensor data to play, a broker to play them to.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`plant`] | three simulated ovens behind a real Modbus TCP server |
//! | [`trace`] | recorded readings, from CSV or Parquet |
//! | [`player`] | plays a trace to MQTT, Kafka or lines, paced, with exact counts |
//! | [`broker`] | an MQTT broker within the process |
//! | [`synthetic`] | made-up plants and multiplied traces: numbered messages, each with the time at which it is due |
//! | [`feed`] | sends such messages to MQTT or Kafka when they are due |
//! | [`outcome`] | what one run of a load case measured |
//! | [`report`] | tells an outcome: in the terminal, as JSON, as a page |
//! | [`search`] | finds the highest rate that holds |
//! | [`compare`] | tells whether two engines differ, and by how much |
//!
//! This crate talks to the engine over the wire only, as a plant would, and knows nothing of its insides.

pub mod broker;
mod clock;
pub mod compare;
mod dice;
pub mod feed;
pub mod outcome;
pub mod plant;
pub mod player;
pub mod report;
pub mod search;
pub mod synthetic;
pub mod trace;

pub use broker::Broker;
pub use plant::{Plant, PlantOptions};
pub use player::{PlayOptions, PlayReport, Target, play, play_until};
pub use trace::Trace;
