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
//! | [`case`] | a load case: a folder with a goal, a load, a pipeline and limits |
//! | [`run`] | one run of a case: starts everything, watches, and accounts for each message |
//! | [`engine`], [`mosquitto`], [`kafka_node`] | the engine and the brokers as processes |
//! | [`storm`] | a line between engine and broker that breaks |
//! | [`measure`], [`watch`] | exact books and latencies, and those who keep them |
//! | [`fleet`] | a hundred simulated PLCs that keep when they were polled and what was written |
//! | [`outcome`] | what one run of a load case measured |
//! | [`report`] | tells an outcome: in the terminal, as JSON, as a page |
//! | [`search`] | finds the highest rate that holds |
//! | [`sweep`] | tells how cost grows with a parameter of a case |
//! | [`compare`] | tells whether two engines differ, and by how much |
//!
//! This crate talks to the engine over the wire only, as a plant would, and knows nothing of its insides.

mod apart;
pub mod broker;
pub mod case;
mod clock;
pub mod compare;
mod dice;
pub mod engine;
pub mod feed;
pub mod fleet;
pub mod kafka_node;
mod machine;
pub mod measure;
pub mod mosquitto;
pub mod outcome;
pub mod plant;
pub mod player;
pub mod relay;
pub mod report;
pub mod run;
pub mod search;
pub mod storm;
pub mod sweep;
pub mod synthetic;
pub mod trace;
pub mod watch;

pub use broker::Broker;
pub use plant::{Plant, PlantOptions};
pub use player::{PlayOptions, PlayReport, Target, play, play_until};
pub use trace::Trace;
