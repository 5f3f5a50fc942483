//! The sizes of leases, which bound the cost of finding conflicts.

use crate::engine::Engine;
use crate::engine::command::Actor;
use crate::engine::index::Edit;
use crate::engine::limits::check_limit;
use crate::engine::outcome::Refusal;
use crate::engine::resource::Resource;

/// The size of some resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    files: u64,
    file_bytes: u64,
    /// Resources other than files.
    others: u64,
    pattern_bytes: u64,
}

impl Sizes {
    pub(in crate::engine) fn of<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Self {
        let mut sizes = Self::default();
        for resource in resources {
            match resource.file_bytes() {
                Some(bytes) => {
                    sizes.files += 1;
                    sizes.file_bytes += bytes;
                }
                None => sizes.others += 1,
            }
            sizes.pattern_bytes += resource.pattern_bytes();
        }
        sizes
    }

    /// Takes the part of one lease in or out.
    pub(in crate::engine) fn edit(&mut self, part: &Self, edit: Edit) {
        edit.part(&mut self.files, part.files);
        edit.part(&mut self.file_bytes, part.file_bytes);
        edit.part(&mut self.others, part.others);
        edit.part(&mut self.pattern_bytes, part.pattern_bytes);
    }
}

impl Engine {
    /// Checks the size of one requested lease, or of one query about leases; returns what counts towards the
    /// agent's total.
    pub fn check_sizes<'a>(
        &self,
        resources: impl Iterator<Item = &'a Resource>,
        pools: usize,
    ) -> Result<Sizes, Refusal> {
        let limits = &self.limits;
        let asked = Sizes::of(resources);
        check_limit!(limits, resources_per_lease_max, asked.others + pools as u64)?;
        check_limit!(limits, files_per_lease_max, asked.files)?;
        check_limit!(limits, file_bytes_per_lease_max, asked.file_bytes)?;
        check_limit!(limits, pattern_bytes_per_lease_max, asked.pattern_bytes)?;
        Ok(asked)
    }

    /// Checks the totals that the principal of the agent, with all its seats, and the project would then have.
    pub(super) fn check_holdings(&self, by: &Actor, asked: &Sizes) -> Result<(), Refusal> {
        let held = by
            .agent()
            .and_then(|agent| self.index.principal_holdings.get(&agent.principal()));
        let held = held.copied().unwrap_or_default();
        let pattern_bytes = held.pattern_bytes + asked.pattern_bytes;
        check_limit!(self.limits, pattern_bytes_per_agent_max, pattern_bytes)?;
        if asked.files > 0 {
            check_limit!(self.limits, files_per_agent_max, held.files + asked.files)?;
            check_limit!(self.limits, files_max, self.index.files + asked.files)?;
        }
        Ok(())
    }
}
