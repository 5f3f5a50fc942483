//! What the program gives the coordinator, beside its configuration.

use crate::config::{Config, ConfigErrors, Environment, LogLevel};

/// The surroundings of a coordinator: its environment, and functions to reload what can change while it runs.
pub struct Surroundings<'a> {
    pub environment: &'a dyn Environment,
    /// Reads the configuration again, from the flags, variables and files of the start.
    pub configuration: &'a dyn Fn() -> Result<Config, ConfigErrors>,
    /// Sets the log level.
    pub set_log_level: &'a dyn Fn(LogLevel),
    /// What SIGHUP means.
    pub hangup: Hangup,
}

/// What SIGHUP means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// Reload the configuration.
    Reload,
    /// The terminal that it was started in is gone: stop.
    Stop,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Surroundings {{ hangup: {:?} }}", self.hangup)
    }
}
