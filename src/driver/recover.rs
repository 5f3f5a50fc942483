//! Builds the engines from the journal: snapshots first, then every record after them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::engine::Engine;
use crate::engine::command::Command;
use crate::engine::ids::{Position, ProjectName};
use crate::engine::limits::Limits;
use crate::engine::state::State;
use crate::journal::{Journal, JournalError, Record};
use crate::planted::{Bug, is_on};

/// The projects after all their records.
#[derive(Debug)]
pub struct Recovered {
    /// With the position that the snapshot of each covers.
    pub engines: BTreeMap<ProjectName, (Engine, Position)>,
    /// The number of applied records.
    pub records: u64,
}

/// Why the state could not be built.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("cannot read the journal")]
    Journal(#[from] JournalError),
    #[error("this program cannot read the snapshot of project {project} at position {position}")]
    Snapshot {
        project: ProjectName,
        position: Position,
        #[source]
        source: serde_json::Error,
    },
    #[error("this program does not know the command in record {position} of project {project}")]
    Record {
        project: ProjectName,
        position: Position,
        #[source]
        source: serde_json::Error,
    },
}

/// Builds every project from its snapshot and the records after it.
pub fn recover(journal: &mut dyn Journal, limits: &Limits) -> Result<Recovered, RecoverError> {
    recover_telling(journal, limits, &mut |_| {})
}

/// The same; calls `told` after each record with the number of applied records.
pub fn recover_telling(
    journal: &mut dyn Journal,
    limits: &Limits,
    told: &mut dyn FnMut(u64),
) -> Result<Recovered, RecoverError> {
    let mut engines = BTreeMap::new();
    for snapshot in journal.load_snapshots()? {
        let state: State =
            serde_json::from_slice(&snapshot.state).map_err(|source| RecoverError::Snapshot {
                project: snapshot.project.clone(),
                position: snapshot.position,
                source,
            })?;
        let engine = Engine::from_state(limits.clone(), state);
        engines.insert(snapshot.project, (engine, snapshot.position));
    }
    let mut recovered = Recovered {
        engines,
        records: 0,
    };
    let mut failure = None;
    journal.read(
        Position(0),
        &mut |record| match recovered.apply(&record, limits) {
            Ok(()) => {
                told(recovered.records);
                ControlFlow::Continue(())
            }
            Err(source) => {
                failure = Some(RecoverError::Record {
                    project: record.project,
                    position: record.position,
                    source,
                });
                ControlFlow::Break(())
            }
        },
    )?;
    match failure {
        Some(failure) => Err(failure),
        None => Ok(recovered),
    }
}

impl Recovered {
    fn apply(&mut self, record: &Record, limits: &Limits) -> Result<(), serde_json::Error> {
        if !self.engines.contains_key(&record.project) {
            let engine = Engine::new(limits.clone());
            self.engines
                .insert(record.project.clone(), (engine, Position(0)));
        }
        let Some((engine, covered)) = self.engines.get_mut(&record.project) else {
            return Ok(());
        };
        if record.position <= *covered {
            return Ok(());
        }
        if is_on(Bug::SnapshotForgetsRecord) && covered.0 > 0 && record.position.0 == covered.0 + 1
        {
            return Ok(());
        }
        let command: Command = serde_json::from_slice(&record.body)?;
        engine.apply(record.position, record.at_ms, &command);
        self.records += 1;
        Ok(())
    }
}
