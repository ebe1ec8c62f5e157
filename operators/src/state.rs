//! Saved state of one operator: its kind, a version of the layout, and bytes.
//!
//! The bytes are `postcard` of a struct that the operator names `…State`. A layout that changes gets a new version and the
//! operator goes on reading the old one.

use lineside_model::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Saved state of one operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    kind: String,
    version: u32,
    bytes: Vec<u8>,
}

impl Snapshot {
    /// Of an operator that keeps no state.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Whether it is of an operator that keeps no state.
    pub fn is_empty(&self) -> bool {
        self.kind.is_empty()
    }

    /// How many bytes of state.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Saves a state.
    ///
    /// # Errors
    /// If the state cannot be written, which is our bug.
    pub fn save<T: Serialize>(kind: &str, version: u32, state: &T) -> Result<Self> {
        let bytes = postcard::to_stdvec(state)
            .map_err(|e| Error::internal(format!("state of {kind} was not saved")).caused_by(e))?;
        Ok(Self { kind: kind.to_owned(), version, bytes })
    }

    /// Reads a state of this kind and version.
    ///
    /// # Errors
    /// If the snapshot is of another kind, of another version, or damaged.
    pub fn load<T: DeserializeOwned>(&self, kind: &str, version: u32) -> Result<T> {
        if self.kind != kind || self.version != version {
            return Err(Error::user(format!(
                "saved state is of {} version {}, expected {kind} version {version}",
                self.kind, self.version
            ))
            .hint("the pipeline was changed since the state was saved; start it with an empty state directory"));
        }
        postcard::from_bytes(&self.bytes)
            .map_err(|e| Error::data(format!("saved state of {kind} is damaged")).caused_by(e))
    }
}
