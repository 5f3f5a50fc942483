//! Counts kept while reading frames: bytes that no snapshot covers, and the last parsed name.

use std::collections::BTreeMap;

use crate::engine::ids::{Position, ProjectName};

/// The bytes of each project that no snapshot covers.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    projects: BTreeMap<ProjectName, (Position, u64)>,
}

impl Ledger {
    pub(super) fn note(&mut self, project: &ProjectName, position: Position, bytes: u64) {
        if let Some((last, live_bytes)) = self.projects.get_mut(project) {
            (*last, *live_bytes) = (position, *live_bytes + bytes);
        } else {
            self.projects.insert(project.clone(), (position, bytes));
        }
    }

    pub(super) fn covered(&mut self, project: &ProjectName, later_bytes: u64) {
        if let Some((_, live_bytes)) = self.projects.get_mut(project) {
            *live_bytes = later_bytes;
        }
    }

    pub(super) fn last(&self, project: &ProjectName) -> Position {
        self.projects
            .get(project)
            .map_or(Position(0), |(last, _)| *last)
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.projects.values().map(|(_, bytes)| bytes).sum()
    }
}

/// Caches the last parsed name: neighbouring frames are mostly of the same project.
#[derive(Debug, Default)]
pub(crate) struct NameCache(Option<ProjectName>);

impl NameCache {
    pub(crate) fn parse(&mut self, bytes: &[u8]) -> Option<&ProjectName> {
        if self
            .0
            .as_ref()
            .is_none_or(|name| name.as_str().as_bytes() != bytes)
        {
            self.0 = std::str::from_utf8(bytes)
                .ok()
                .and_then(|text| text.parse().ok());
        }
        self.0.as_ref()
    }
}
