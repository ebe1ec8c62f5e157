//! Connectors: where rows come from and where they go. They know nothing of operators.
//!
//! | trait | one sentence |
//! | --- | --- |
//! | [`Source`] | one turn of a loop that the engine owns: open, pull, ack, close |
//! | [`Sink`] | open, write, flush (durable when it returns), close |
//! | [`Decoder`] and [`Encoder`] | bytes to rows and back, independent of the wire |
//! | [`ConnectorKind`] | what the engine needs to know of a connector to plan a source or a sink of it |
//!
//! Reconnecting, backoff, stamping, watermarks, metrics and stopping are the engine's, once for all connectors.

pub mod backoff;
pub mod codec;
pub mod file;
pub mod kafka;
pub mod memory;
pub mod modbus;
pub mod mqtt;
pub mod position;
pub mod registry;
pub mod scan;
pub mod secret;
pub mod sink;
pub mod source;
pub mod stdout;
pub mod tls;
pub mod void;

pub use codec::{CodecKind, Decoded, Decoder, Encoder};
pub use position::Position;
pub use registry::{
    BuildContext, CODECS, CONNECTORS, ConnectorKind, Gives, Meter, PlanContext, PlannedSink, PlannedSource,
};
pub use secret::Secret;
pub use sink::{Outcome, Sink};
pub use source::{Frames, Pulled, Source};
pub use tls::Tls;
