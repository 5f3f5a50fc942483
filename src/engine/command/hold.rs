//! How a lease or an attempt asks to be kept alive.

use serde::{Deserialize, Serialize};

/// How a lease or an attempt is kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldRequest {
    /// As long as the session of the request lives, its grace included.
    Session,
    /// For this long after the last renewal.
    TtlMs(u64),
}
