//! The words that operators and connectors share, so that neither needs to know the other.
//!
//! | word | meaning here |
//! | --- | --- |
//! | **tag**, **sensor** | the name of one measured or written point, such as `oven1.temperature` |
//! | **reading** | one row: event time, sensor, value, quality, time of receipt |
//! | **register** | a 16-bit cell of a Modbus device; a tag occupies one or more |
//! | **process variable**, **setpoint** | what a loop measures, and what it should be |
//! | **event time** | when the sensor measured; **received at**: when lineside read it from the wire |
//! | **watermark** | a promise: no row with an earlier event time is expected any more |
//! | **late** | a row that came after the watermark closed its window |
//! | **position** | how far a source has been read; a source resumes at it |
//! | **dead letter** | a message that could not be decoded, kept with the reason |
//!
//! This crate does no I/O and knows no runtime. See `ARCHITECTURE.md` for how the crates fit together.

pub mod clock;
pub mod error;
pub mod options;
pub mod quality;
pub mod reason;
pub mod schema;
pub mod table;
pub mod time;

pub use clock::Clock;
pub use error::{Class, Error, Result, Retry};
pub use options::{At, Problem, Problems, parse_options};
pub use quality::Quality;
pub use reason::Reason;
pub use time::{Span, Timestamp};
