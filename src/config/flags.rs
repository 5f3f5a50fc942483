//! Flags as they were typed.

use std::collections::BTreeMap;

use super::settings::Spec;

/// The flags of a command line. Without a setting's flag, the other sources decide.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The configuration file: the coordinator's, or the client's.
    pub config: Option<String>,
    /// By the settings' keys; items of a list are joined by commas.
    values: BTreeMap<&'static str, String>,
}

impl Flags {
    /// Nothing but a configuration file.
    pub fn of_file(path: impl Into<String>) -> Self {
        Self {
            config: Some(path.into()),
            ..Self::default()
        }
    }

    /// The flag's value, if it was given.
    pub fn get(&self, setting: &Spec) -> Option<&str> {
        self.values.get(setting.key).map(String::as_str)
    }

    /// Sets the flag of a setting, if there is a value for it.
    pub fn set(&mut self, setting: &Spec, value: Option<impl Into<String>>) {
        if let Some(value) = value {
            self.values.insert(setting.key, value.into());
        }
    }

    /// The same with the flag of a setting.
    #[must_use]
    pub fn with(mut self, setting: &Spec, value: impl Into<String>) -> Self {
        self.set(setting, Some(value));
        self
    }
}
