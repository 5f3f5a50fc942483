//! The calls of the `Store` trait, in Redis.

use std::time::Duration;

use redis::cmd;
use tokio::time::Instant;

use super::keys::id_of;
use super::reply;
use super::scripts::{self, EpochBeginning};
use super::wire::{CALL_MAX, SNAPSHOT_CALL_MAX};
use super::{CANDIDATE_MS, READ_RECORDS_MAX, RedisStore, SNAPSHOT_BYTES_MAX, another_incarnation};
use crate::engine::ids::{Cursor, Epoch, Position};
use crate::journal::Entry;
use crate::journal::shared::{
    Batch, Candidate, Incarnation, Look, Saved, Store, StoreError, StreamRecord, StreamSnapshot,
};

impl Store for RedisStore {
    async fn look(&self) -> Result<Look, StoreError> {
        let seen = self
            .writer
            .ask(&scripts::look(&self.keys), CALL_MAX)
            .await?;
        let (server, look) = scripts::seen(seen)?;
        // The server may have become a replica and a master again while the connection stayed open.
        if server != self.server {
            return Err(another_incarnation());
        }
        Ok(look)
    }

    async fn read(&self, after: Cursor, count_max: usize) -> Result<Vec<StreamRecord>, StoreError> {
        let mut command = cmd("XRANGE");
        command
            .arg(&self.keys.stream)
            .arg(format!("({}", id_of(after)))
            .arg("+")
            .arg("COUNT")
            .arg(count_max.clamp(1, READ_RECORDS_MAX));
        reply::records(self.writer.ask(&command, CALL_MAX).await?)
    }

    /// The future may be dropped at any time: the next call waits until the connection is free again.
    async fn follow(
        &self,
        after: Cursor,
        count_max: usize,
        wait: Duration,
    ) -> Result<Vec<StreamRecord>, StoreError> {
        // 0 would mean to wait for ever.
        let wait = wait.max(Duration::from_millis(1));
        let mut command = cmd("XREAD");
        command
            .arg("BLOCK")
            .arg(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
            .arg("COUNT")
            .arg(count_max.clamp(1, READ_RECORDS_MAX))
            .arg("STREAMS")
            .arg(&self.keys.stream)
            .arg(id_of(after));
        // Redis cannot cancel a blocking read. If an earlier call was dropped, its read still occupies the connection,
        // so this call gets that time on top. Otherwise it would time out although the store is reachable.
        let now = Instant::now();
        let free = self.taken_until(|taken| {
            let free = taken.map_or(now, |until| until.max(now));
            *taken = Some(free + wait);
            free
        });
        let max = free.duration_since(now) + wait + CALL_MAX;
        let found = self.follower.ask(&command, max).await;
        self.taken_until(|taken| *taken = None);
        let records = reply::followed(found?)?;
        if records.is_empty() {
            // A read that waits is not told that its stream was deleted.
            self.check_stream().await?;
        }
        Ok(records)
    }

    async fn append(&self, epoch: Epoch, batch: &Batch) -> Result<Position, StoreError> {
        self.append_batch(epoch, batch).await
    }

    async fn open_epoch(
        &self,
        incarnation: &Incarnation,
        expected: Option<Cursor>,
        at: Cursor,
        marker: &Entry,
    ) -> Result<bool, StoreError> {
        let meant = *incarnation == self.incarnation();
        let marker = Batch::of(marker);
        self.open(incarnation, meant, expected, at, &marker).await
    }

    async fn seed(
        &self,
        incarnation: &Incarnation,
        snapshot: Option<&StreamSnapshot>,
        at: Cursor,
        marker: &Entry,
    ) -> Result<bool, StoreError> {
        snapshot.map_or(Ok(()), fits)?;
        self.begin(EpochBeginning {
            incarnation,
            meant: *incarnation == self.incarnation(),
            expected: scripts::EMPTY.to_owned(),
            at,
            marker: &Batch::of(marker),
            snapshot,
        })
        .await
    }

    async fn stand_for_seeding(&self, own: &Candidate) -> Result<Vec<Candidate>, StoreError> {
        let command = scripts::stand(&self.keys, own, CANDIDATE_MS);
        scripts::standing(self.writer.ask(&command, CALL_MAX).await?)
    }

    async fn snapshot(&self) -> Result<Option<StreamSnapshot>, StoreError> {
        let mut command = cmd("HMGET");
        command.arg(&self.keys.snapshot).arg("at").arg("state");
        let found = self.writer.ask(&command, SNAPSHOT_CALL_MAX).await?;
        let mut found = reply::array(found, "HMGET")?.into_iter();
        let (at, state) = (found.next().unwrap_or_default(), found.next());
        let Some(at) = reply::cursor(at, "what the snapshot covers")? else {
            return Ok(None);
        };
        let state = state.and_then(reply::bytes);
        let state =
            state.ok_or_else(|| StoreError::Corrupt("the snapshot has no state".to_owned()))?;
        Ok(Some(StreamSnapshot { at, state }))
    }

    async fn save_snapshot(
        &self,
        epoch: Epoch,
        snapshot: &StreamSnapshot,
        keep_from: Cursor,
    ) -> Result<Saved, StoreError> {
        fits(snapshot)?;
        let StreamSnapshot { at, state } = snapshot;
        let command = scripts::save_snapshot(&self.keys, epoch, *at, keep_from, Some(state));
        scripts::saved(self.writer.ask(&command, SNAPSHOT_CALL_MAX).await?)
    }
}

fn fits(snapshot: &StreamSnapshot) -> Result<(), StoreError> {
    let bytes = snapshot.state.len();
    if bytes <= SNAPSHOT_BYTES_MAX {
        return Ok(());
    }
    Err(StoreError::Full(format!(
        "a snapshot of {bytes} bytes exceeds snapshot_bytes_max ({SNAPSHOT_BYTES_MAX})"
    )))
}
