//! How much is logged, and how a line looks.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    pub level: LogLevel,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

impl LogLevel {
    /// As written in flags, variables and files. The first is the default.
    pub(super) const WORDS: [&'static str; 6] = ["info", "off", "error", "warn", "debug", "trace"];
    /// What each of the words stands for.
    pub(super) const ALL: [Self; 6] = [
        Self::Info,
        Self::Off,
        Self::Error,
        Self::Warn,
        Self::Debug,
        Self::Trace,
    ];
}

impl LogFormat {
    /// As written in flags, variables and files. The first is the default.
    pub(super) const WORDS: [&'static str; 2] = ["text", "json"];
    /// What each of the words stands for.
    pub(super) const ALL: [Self; 2] = [Self::Text, Self::Json];
}
