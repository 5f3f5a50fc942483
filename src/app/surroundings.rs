//! What the composition root is given from outside, next to its configuration.

use crate::config::{Config, ConfigErrors, Environment, LogLevel};

/// What a coordinator runs in: its environment, and the ways to read and change what may change
/// while it runs.
pub struct Surroundings<'a> {
    pub environment: &'a dyn Environment,
    /// Reads the configuration anew, from the flags, variables and files of the start.
    pub configuration: &'a dyn Fn() -> Result<Config, ConfigErrors>,
    /// Sets how much is logged from now on.
    pub set_log_level: &'a dyn Fn(LogLevel),
    /// What SIGHUP means.
    pub hangup: Hangup,
}

/// What SIGHUP means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// The configuration has changed: read it anew.
    Reload,
    /// The terminal it was started in is gone: end.
    Stop,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Surroundings {{ hangup: {:?} }}", self.hangup)
    }
}
