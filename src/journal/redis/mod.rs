//! A store for a shared journal in Redis, or Valkey.
//!
//! A project has four keys under one hash tag: a stream, a snapshot, its epoch, and the candidates for seeding.
//! `coord:projects` lists the projects, and `coord:environment` names the environment of this Redis. Ids of the
//! stream are `epoch-number`. A coordinator appends with `XADD … NOMKSTREAM epoch-*`. So Redis itself numbers
//! the records, refuses an epoch that has ended, and does not create a stream that was lost. Where reading and
//! writing must be one step, there is a short script. No script knows what a command means.
//!
//! A store is two connections to one run of one server: one writes, the other waits for records. Neither ever
//! reconnects on its own. A reconnect could lead to another server, or to the same one after it lost data, and
//! what was found out about the old one would count for the new one. So there is no connection manager. If a
//! connection breaks, or a call takes too long, the caller drops the store and connects a new one, which begins
//! with a look.
//!
//! A master may become a replica and then a master again while a connection is open. It has then lost what it had
//! not replicated. It ends connections that wait for records at that moment. That, and the closing of
//! connections that Sentinel orders, is how a coordinator notices.

mod append;
mod blocking;
mod connector;
mod durability;
mod keys;
mod place;
mod reply;
mod scripts;
mod server;
mod store;
mod wire;

use std::sync::{Mutex, PoisonError};

use redis::{Value, cmd};
use tokio::time::Instant;

pub use blocking::RedisJournal;
pub use connector::RedisConnector;
pub use durability::Durability;
pub use place::LOOKUP_MS_MAX;
pub use wire::{CALL_MS_MAX, CONNECT_MS_MAX, SNAPSHOT_CALL_MS_MAX};

use super::shared::{Batch, Incarnation, Saved, StoreError};
use crate::config::ReplicaWait;
use crate::engine::ids::{Cursor, Epoch, ProjectName};
use keys::{Keys, id_of};
use scripts::EpochBeginning;
use server::RedisServer;
use wire::{CALL_MAX, SNAPSHOT_CALL_MAX, Wire};

/// The format of a project in Redis.
pub const FORMAT: u32 = 2;

/// The most records in one answer: with full batches, 4 MiB of commands.
pub const READ_RECORDS_MAX: usize = 32;

/// How long a candidate for seeding is valid without registering again.
pub const CANDIDATE_MS: u64 = 5_000;

/// The largest snapshot. Redis takes no argument of more than 512 MiB.
pub const SNAPSHOT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// One project in one Redis.
#[derive(Debug)]
pub struct RedisStore {
    project: ProjectName,
    keys: Keys,
    server: RedisServer,
    writer: Wire,
    follower: Wire,
    /// Until when the follower's connection may be busy with a call that was dropped.
    follower_taken_until: Mutex<Option<Instant>>,
    replicas: Option<ReplicaWait>,
    connector: RedisConnector,
}

impl RedisStore {
    pub fn incarnation(&self) -> Incarnation {
        self.server.incarnation()
    }

    /// Begins an epoch of `incarnation`, if the server is still the one that this store connected to, and if that
    /// server is the one that was `meant`.
    async fn begin(&self, beginning: EpochBeginning<'_>) -> Result<bool, StoreError> {
        if !beginning.meant {
            return Err(another_incarnation());
        }
        // Registered before its stream exists: after a crash in between, no coordinator would find a stream that the
        // set does not name.
        self.connector.register(&self.project).await?;
        let command = scripts::begin_epoch(&self.keys, &self.server, &beginning);
        let said = self.writer.ask(&command, SNAPSHOT_CALL_MAX).await?;
        match reply::text(said).as_deref() {
            Some("begun") => Ok(true),
            Some("raced") => Ok(false),
            Some("incarnation") => Err(another_incarnation()),
            _ => Err(reply::odd("EVAL")),
        }
    }

    async fn open(
        &self,
        incarnation: &Incarnation,
        meant: bool,
        expected: Option<Cursor>,
        at: Cursor,
        marker: &Batch,
    ) -> Result<bool, StoreError> {
        self.begin(EpochBeginning {
            incarnation,
            meant,
            expected: expected.map_or(String::new(), id_of),
            at,
            marker,
            snapshot: None,
        })
        .await
    }

    /// Trims what the present snapshot covers.
    async fn trim(
        &self,
        epoch: Epoch,
        covered: Cursor,
        keep_from: Cursor,
    ) -> Result<Saved, StoreError> {
        let command = scripts::save_snapshot(&self.keys, epoch, covered, keep_from, None);
        scripts::saved(self.writer.ask(&command, SNAPSHOT_CALL_MAX).await?)
    }

    fn taken_until<T>(&self, change: impl FnOnce(&mut Option<Instant>) -> T) -> T {
        let taken = self.follower_taken_until.lock();
        change(&mut taken.unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks that the stream exists, over the connection that waits for records.
    async fn check_stream(&self) -> Result<(), StoreError> {
        let mut command = cmd("EXISTS");
        command.arg(&self.keys.stream);
        match self.follower.ask(&command, CALL_MAX).await? {
            Value::Int(0) => Err(StoreError::StreamGone),
            _ => Ok(()),
        }
    }
}

fn another_incarnation() -> StoreError {
    let text = "the server restarted or changed its role since the connection was made";
    StoreError::Refused(text.to_owned())
}
