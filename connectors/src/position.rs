//! How far a source has been read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How far a source has been read: what `ack` confirms and what `open` resumes at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// The source cannot be asked again and wants no acknowledgement: Modbus, MQTT at QoS 0.
    #[default]
    None,
    /// Messages handed over since the start: acknowledged in order, not resumable by us (MQTT).
    Sequence(u64),
    /// The next offset to read, by partition or file (Kafka, files).
    Offsets(BTreeMap<String, u64>),
}
