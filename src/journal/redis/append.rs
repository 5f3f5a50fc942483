//! Appending: one XADD or a transaction of them, and what its answers mean.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value, cmd};

use super::RedisStore;
use super::reply;
use super::wire::CALL_MAX;
use crate::config::ReplicaWait;
use crate::engine::ids::{Epoch, Position};
use crate::journal::Entry;
use crate::journal::shared::StoreError;

/// The arguments of one XADD, its name among them, and room for those that are always short.
const APPEND_ARGUMENTS: usize = 8;
const APPEND_BYTES: usize = 96;

impl RedisStore {
    /// Appends at least one entry.
    pub(super) async fn append_some(
        &self,
        epoch: Epoch,
        entries: &[Entry],
    ) -> Result<Position, StoreError> {
        let added = self.append_all(epoch, entries).await?;
        let mut first = None;
        for (count, id) in (0..).zip(added) {
            let at =
                reply::cursor(id, "the id of a new record")?.ok_or_else(|| reply::odd("XADD"))?;
            let first = *first.get_or_insert(at.position);
            // An epoch's marker has a position of at least one, so a record behind it has more.
            if at.epoch != epoch || at.position.0 == 0 || at.position.0 != first.0 + count {
                let text =
                    format!("a new record became {at}, not one of epoch {epoch} in sequence");
                return Err(StoreError::Corrupt(text));
            }
        }
        first.ok_or_else(|| reply::odd("XADD"))
    }

    fn append_command(&self, id: &str, entry: &Entry) -> Cmd {
        let bytes = self.keys.stream.len() + entry.body.len() + APPEND_BYTES;
        let mut command = Cmd::with_capacity(APPEND_ARGUMENTS, bytes);
        command
            .arg("XADD")
            .arg(&self.keys.stream)
            .arg("NOMKSTREAM")
            .arg(id)
            .arg("at")
            .arg(entry.at_ms.0)
            .arg("c")
            .arg(&entry.body);
        command
    }

    /// The answers to each XADD, all of which were done or none.
    async fn append_all(&self, epoch: Epoch, entries: &[Entry]) -> Result<Vec<Value>, StoreError> {
        let mut commands = Pipeline::with_capacity(entries.len() + 3);
        let alone = entries.len() == 1;
        if !alone {
            commands.add_command(cmd("MULTI"));
        }
        let id = format!("{epoch}-*");
        for entry in entries {
            commands.add_command(self.append_command(&id, entry));
        }
        if !alone {
            commands.add_command(cmd("EXEC"));
        }
        let mut max = CALL_MAX;
        if let Some(wait) = self.replicas {
            commands.cmd("WAIT").arg(wait.replicas).arg(wait.wait_ms);
            max += Duration::from_millis(wait.wait_ms);
        }
        let mut answers = self.writer.ask_all(&commands, max).await?;
        let confirmed = self.replicas.map(|_| answers.pop());
        let added = if alone { answers } else { executed(answers)? };
        for answer in &added {
            match answer {
                Value::Nil => return Err(StoreError::StreamGone),
                Value::ServerError(error) => return Err(reply::refusal(error)),
                _ => {}
            }
        }
        if let (Some(replicas), Some(answer)) = (self.replicas, confirmed) {
            confirmed_by(replicas, answer)?;
        }
        Ok(added)
    }
}

/// Where MULTI is refused, every XADD behind it was done by itself: what was written must not be written
/// again.
fn without_transaction(refusal: StoreError, answers: &[Value]) -> StoreError {
    let added = |answer: &Value| matches!(answer, Value::BulkString(_));
    if answers.iter().any(added) {
        return StoreError::Unreachable(format!("written without a transaction, since {refusal}"));
    }
    refusal
}

/// Judges the answer to WAIT. A write that too few confirmed was done here, but a failover may undo it:
/// its outcome counts as unknown until it is read. So it does when WAIT is refused: a master that is made
/// a replica lets go of those who wait.
fn confirmed_by(wait: ReplicaWait, answer: Option<Value>) -> Result<(), StoreError> {
    let answer = answer.map(reply::checked).transpose();
    let unknown = |error: StoreError| StoreError::Unreachable(format!("written, but {error}"));
    let Some(Value::Int(confirmed)) = answer.map_err(unknown)? else {
        return Err(reply::odd("WAIT"));
    };
    if u64::try_from(confirmed).is_ok_and(|confirmed| confirmed >= wait.replicas) {
        return Ok(());
    }
    Err(StoreError::Unreachable(format!(
        "written, but not known to be on {} replicas: {confirmed} confirmed within {} ms",
        wait.replicas, wait.wait_ms
    )))
}

/// The answers within a transaction, or why it was not done.
fn executed(mut answers: Vec<Value>) -> Result<Vec<Value>, StoreError> {
    if let Some(Value::ServerError(error)) = answers.first() {
        return Err(without_transaction(reply::refusal(error), &answers));
    }
    match answers.pop() {
        Some(Value::Array(done)) => Ok(done),
        // What was wrong is said where a command was to be queued; EXEC only says that something was.
        Some(Value::ServerError(error)) => Err(answers
            .iter()
            .find_map(|answer| match answer {
                Value::ServerError(cause) => Some(reply::refusal(cause)),
                _ => None,
            })
            .unwrap_or_else(|| reply::refusal(&error))),
        _ => Err(reply::odd("EXEC")),
    }
}
