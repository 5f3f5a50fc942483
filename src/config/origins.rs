//! What holds for each setting, and where it came from.

use std::collections::BTreeMap;

use serde::Serialize;

use super::settings::Spec;
use super::source::Source;

/// Each setting's effective value, as it may be shown, and where it came from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Origins {
    entries: BTreeMap<&'static str, (Source, serde_json::Value)>,
}

impl Origins {
    /// Where the setting's value came from.
    pub fn source(&self, spec: &Spec) -> &Source {
        self.entries
            .get(spec.key)
            .map_or(&Source::Default, |(source, _)| source)
    }

    /// The setting's value, masked if it is secret; null if it has none.
    pub fn shown(&self, spec: &Spec) -> &serde_json::Value {
        self.entries
            .get(spec.key)
            .map_or(&serde_json::Value::Null, |(_, value)| value)
    }

    pub(super) fn note(&mut self, spec: &Spec, source: Source, value: &impl Serialize) {
        let value = serde_json::to_value(value)
            .expect("a setting's value is a number, a text or a list, which JSON can hold");
        self.entries.insert(spec.key, (source, value));
    }
}
