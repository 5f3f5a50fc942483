//! A piece of JSON that the coordinator carries without reading it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// JSON kept byte for byte as it came; cheap to share.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Payload(Arc<RawValue>);

impl Payload {
    pub fn new(raw: Box<RawValue>) -> Self {
        Self(raw.into())
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    pub fn raw(&self) -> &RawValue {
        &self.0
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.get().len() as u64
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for Payload {}

/// The size of a payload that may be absent.
pub(crate) fn bytes_of(payload: Option<&Payload>) -> u64 {
    payload.map_or(0, Payload::bytes)
}
