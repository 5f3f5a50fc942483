//! systemd's interfaces for a service: sockets that it opened, and status notifications. Without systemd both
//! do nothing.
//!
//! This module knows the protocols and the unit files. It does not know what the service does, whether it is
//! healthy, or where anything is installed.

mod activation;
mod notify;
pub mod units;

pub use activation::{ActivationError, Inherited, names as socket_names};
pub use notify::{Manager, NotifyError};
