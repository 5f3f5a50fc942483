//! What systemd gives a service and wants to hear from it: sockets that were opened for it, and a
//! place to say how it is. Without systemd all of it is empty and silent.
//!
//! This room knows the protocols and the unit files. It does not know what the service is, whether
//! it is well, or where anything is installed.

mod activation;
mod notify;
pub mod units;

pub use activation::{ActivationError, Inherited, names as socket_names};
pub use notify::{Manager, NotifyError};
