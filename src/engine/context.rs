//! The shared context: keys with values and revisions, changed by compare-and-set.

use serde::{Deserialize, Serialize};

use super::Engine;
use super::command::{Actor, ContextDelete, ContextPut};
use super::event::{Change, ChangeKind, Subject};
use super::ids::{AgentName, ContextKey, JournalTime, Revision};
use super::limits::check_limit;
use super::outcome::{Outcome, Refusal};
use super::payload::Payload;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContextEntry {
    pub value: Payload,
    pub revision: Revision,
    pub written_by: AgentName,
    pub written_at: JournalTime,
}

impl Engine {
    pub(super) fn check_context_put(&self, put: &ContextPut) -> Result<(), Refusal> {
        let limits = &self.limits;
        check_limit!(limits, payload_bytes_max, put.value.bytes())?;
        let present = self.state.context.get(&put.key);
        self.check_revision(&put.key, put.if_revision)?;
        let (entries, freed) = match present {
            Some(entry) => (self.state.context.len(), entry.value.bytes()),
            None => (self.state.context.len() + 1, 0),
        };
        check_limit!(limits, context_entries_max, entries)?;
        let bytes = self.index.context_bytes - freed + put.value.bytes();
        Ok(check_limit!(limits, context_bytes_max, bytes)?)
    }

    fn check_revision(&self, key: &ContextKey, wanted: Option<Revision>) -> Result<(), Refusal> {
        let current = self
            .state
            .context
            .get(key)
            .map_or(Revision(0), |e| e.revision);
        match wanted {
            Some(wanted) if wanted != current => Err(Refusal::Conflict(format!(
                "{key} has revision {current}, not {wanted}"
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn context_put(&mut self, by: &Actor, put: &ContextPut) -> Outcome {
        let Some(agent) = by.agent() else {
            return Outcome::Done;
        };
        let revision = self.state.last.revision();
        let entry = ContextEntry {
            value: put.value.clone(),
            revision,
            written_by: agent.clone(),
            written_at: self.state.now,
        };
        self.index.context_bytes += entry.value.bytes();
        if let Some(old) = self.state.context.insert(put.key.clone(), entry) {
            self.index.context_bytes -= old.value.bytes();
        }
        self.change(of_entry(ChangeKind::ContextPut, agent, &put.key, revision));
        Outcome::Context { revision }
    }

    pub(super) fn check_context_delete(&self, delete: &ContextDelete) -> Result<(), Refusal> {
        if !self.state.context.contains_key(&delete.key) {
            return Err(Refusal::NotFound(format!("context entry {}", delete.key)));
        }
        self.check_revision(&delete.key, delete.if_revision)
    }

    pub(super) fn context_delete(&mut self, by: &Actor, delete: &ContextDelete) -> Outcome {
        let revision = self.state.last.revision();
        if let Some(old) = self.state.context.remove(&delete.key) {
            self.index.context_bytes -= old.value.bytes();
        }
        if let Some(agent) = by.agent() {
            self.change(of_entry(
                ChangeKind::ContextDeleted,
                agent,
                &delete.key,
                revision,
            ));
        }
        Outcome::Context { revision }
    }
}

fn of_entry(kind: ChangeKind, agent: &AgentName, key: &ContextKey, revision: Revision) -> Change {
    Change::new(kind).agent(agent).about(Subject::Context {
        key: Box::new(key.clone()),
        revision,
    })
}
