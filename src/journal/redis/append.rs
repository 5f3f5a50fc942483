//! Appending: one record, and what its answer means.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};

use super::RedisStore;
use super::reply;
use super::wire::CALL_MAX;
use crate::config::ReplicaWait;
use crate::engine::ids::{Epoch, Position};
use crate::journal::shared::{Batch, StoreError};

/// How many arguments an XADD has, with its name, and bytes for those that are always short.
const APPEND_ARGUMENTS: usize = 6;
const APPEND_BYTES: usize = 96;

impl RedisStore {
    pub(super) async fn append_batch(
        &self,
        epoch: Epoch,
        batch: &Batch,
    ) -> Result<Position, StoreError> {
        let mut commands = Pipeline::with_capacity(2);
        commands.add_command(self.append_command(epoch, batch));
        let mut max = CALL_MAX;
        if let Some(wait) = self.replicas {
            commands.cmd("WAIT").arg(wait.replicas).arg(wait.wait_ms);
            max += Duration::from_millis(wait.wait_ms);
        }
        // XADD and WAIT go out together: WAIT counts replicas that have all writes of its own connection so far.
        let mut answers = self.writer.ask_all(&commands, max).await?.into_iter();
        let appended = reply::checked(answers.next().unwrap_or_default())?;
        let at = reply::cursor(appended, "the id of a new record")?;
        let at = at.ok_or(StoreError::StreamGone)?;
        if let Some(wait) = self.replicas {
            confirmed_by(wait, answers.next().unwrap_or_default())?;
        }
        // An epoch's marker has at least number 1, so a record behind it has a larger one.
        if at.epoch != epoch || at.position.0 == 0 {
            let text = format!("a new record got the id {at}, which is not in epoch {epoch}");
            return Err(StoreError::Corrupt(text));
        }
        Ok(at.position)
    }

    fn append_command(&self, epoch: Epoch, batch: &Batch) -> Cmd {
        let bytes = self.keys.stream.len() + batch.as_bytes().len() + APPEND_BYTES;
        let mut command = Cmd::with_capacity(APPEND_ARGUMENTS, bytes);
        command
            .arg("XADD")
            .arg(&self.keys.stream)
            .arg("NOMKSTREAM")
            .arg(format!("{epoch}-*"))
            .arg("b")
            .arg(batch.as_bytes());
        command
    }
}

/// Interprets the answer to WAIT. If too few replicas confirmed a write, the master has it, but a failover may undo
/// it. So its outcome counts as unknown until it is read from the stream. The same holds if WAIT is refused: a
/// master that becomes a replica refuses the clients that wait.
fn confirmed_by(wait: ReplicaWait, answer: Value) -> Result<(), StoreError> {
    let unknown = |error: StoreError| StoreError::Unreachable(format!("written, but {error}"));
    let Value::Int(confirmed) = reply::checked(answer).map_err(unknown)? else {
        return Err(unknown(reply::odd("WAIT")));
    };
    if u64::try_from(confirmed).is_ok_and(|confirmed| confirmed >= wait.replicas) {
        return Ok(());
    }
    Err(StoreError::Unreachable(format!(
        "written, but only {confirmed} of {} replicas confirmed within {} ms",
        wait.replicas, wait.wait_ms
    )))
}
