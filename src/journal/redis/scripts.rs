//! The scripts: where reading and writing must be one step. They only guard; the rules are in the engine.

use redis::{Cmd, Value, cmd};

use super::FORMAT;
use super::keys::{Keys, id_of};
use super::reply::{self, array, cursor, odd, parsed};
use super::server::RedisServer;
use crate::engine::ids::{Cursor, Epoch};
use crate::journal::shared::{
    Batch, Candidate, Incarnation, Look, Saved, StoreError, StreamSnapshot,
};

const LOOK: &str = include_str!("lua/look.lua");
const BEGIN_EPOCH: &str = include_str!("lua/begin_epoch.lua");
const SAVE_SNAPSHOT: &str = include_str!("lua/save_snapshot.lua");
const STAND: &str = include_str!("lua/stand.lua");

/// The `expected` of a store that is to be seeded.
pub(super) const EMPTY: &str = "empty";

/// The beginning of an epoch.
#[derive(Debug)]
pub(super) struct EpochBeginning<'a> {
    pub(super) incarnation: &'a Incarnation,
    /// Whether the store is connected to the server that was meant.
    pub(super) meant: bool,
    /// The id of the newest record, an empty text for no stream, or [`EMPTY`].
    pub(super) expected: String,
    pub(super) at: Cursor,
    pub(super) marker: &'a Batch,
    pub(super) snapshot: Option<&'a StreamSnapshot>,
}

pub(super) fn look(keys: &Keys) -> Cmd {
    script(LOOK, &[&keys.stream, &keys.snapshot, &keys.meta])
}

/// The server that answered, and what it holds.
pub(super) fn seen(answer: Value) -> Result<(RedisServer, Look), StoreError> {
    let mut parts = array(answer, "EVAL")?.into_iter();
    let mut next = || parts.next().unwrap_or_default();
    let server = RedisServer::of(next())?;
    let last = cursor(next(), "the last id of the stream")?;
    let snapshot = cursor(next(), "what the snapshot covers")?;
    let mut meta = array(next(), "EVAL")?.into_iter();
    let mut next = || meta.next().unwrap_or_default();
    let epoch = parsed(next(), "the epoch", |text| text.parse().ok())?;
    let incarnation = parsed(next(), "the epoch's incarnation", |text| {
        Some(Incarnation(text.to_owned()))
    })?;
    let format = parsed(next(), "the format", |text| text.parse::<u32>().ok())?;
    known(format)?;
    let look = Look {
        incarnation: server.incarnation(),
        epoch: epoch.zip(incarnation),
        last,
        snapshot,
    };
    Ok((server, look))
}

fn known(format: Option<u32>) -> Result<(), StoreError> {
    match format {
        Some(format) if format > FORMAT => Err(StoreError::Unfit(format!(
            "the journal in Redis has format {format}, but this program reads format {FORMAT}: upgrade this \
             coordinator"
        ))),
        Some(format) if format < FORMAT => Err(StoreError::Unfit(format!(
            "the journal in Redis has format {format}, but this program reads format {FORMAT}: make a backup \
             with the older program, stop it, and restore the backup with this one into an empty database"
        ))),
        _ => Ok(()),
    }
}

pub(super) fn begin_epoch(
    keys: &Keys,
    server: &RedisServer,
    beginning: &EpochBeginning<'_>,
) -> Cmd {
    // The marker is written even to a full Redis: without it, no coordinator could trim records, and the Redis would
    // stay full. With a snapshot the script must stay within the limit.
    let flags = match beginning.snapshot {
        None => "#!lua flags=allow-oom",
        Some(_) => "#!lua",
    };
    let text = format!("{flags}\n{BEGIN_EPOCH}");
    let mut command = script(&text, &[&keys.stream, &keys.snapshot, &keys.meta]);
    let EpochBeginning { at, marker, .. } = beginning;
    command
        .arg(&server.run_id)
        .arg(&server.replication_id)
        .arg(&beginning.expected)
        .arg(id_of(*at))
        .arg(marker.as_bytes())
        .arg(at.epoch.0)
        .arg(&beginning.incarnation.0)
        .arg(FORMAT);
    match beginning.snapshot {
        Some(snapshot) => command.arg(id_of(snapshot.at)).arg(&snapshot.state),
        None => command.arg("").arg(""),
    };
    command
}

pub(super) fn stand(keys: &Keys, own: &Candidate, stands_ms: u64) -> Cmd {
    let mut command = script(STAND, &[&keys.seeding]);
    command
        .arg(own.node.as_str())
        .arg(id_of(own.known))
        .arg(stands_ms);
    command
}

/// All candidates, the least advanced first.
pub(super) fn standing(answer: Value) -> Result<Vec<Candidate>, StoreError> {
    let answers = array(answer, "EVAL")?;
    let mut found = Vec::with_capacity(answers.len() / 2);
    let mut answers = answers.into_iter();
    while let (Some(node), Some(known)) = (answers.next(), answers.next()) {
        let node = parsed(node, "a candidate for seeding", |text| text.parse().ok())?;
        let known = cursor(known, "what a candidate knows")?;
        let (Some(node), Some(known)) = (node, known) else {
            return Err(odd("EVAL"));
        };
        found.push(Candidate { known, node });
    }
    found.sort();
    Ok(found)
}

/// Saves a snapshot and trims. Without a state, it only trims what the present snapshot covers.
pub(super) fn save_snapshot(
    keys: &Keys,
    epoch: Epoch,
    at: Cursor,
    keep_from: Cursor,
    state: Option<&Vec<u8>>,
) -> Cmd {
    let mut command = script(SAVE_SNAPSHOT, &[&keys.stream, &keys.snapshot, &keys.meta]);
    command
        .arg(epoch.0)
        .arg(id_of(at))
        .arg(id_of(keep_from))
        .arg(state);
    command
}

pub(super) fn saved(answer: Value) -> Result<Saved, StoreError> {
    let mut parts = array(answer, "EVAL")?.into_iter();
    let said = parts.next().and_then(reply::text).unwrap_or_default();
    let trimmed = match parts.next() {
        Some(Value::Int(trimmed)) => u64::try_from(trimmed).unwrap_or(0),
        _ => return Err(odd("EVAL")),
    };
    let refused = |text: &str| Err(StoreError::Refused(text.to_owned()));
    match said.as_str() {
        "kept" | "older" => Ok(Saved {
            kept: said == "kept",
            trimmed,
        }),
        "gone" => Err(StoreError::StreamGone),
        "ended" => Err(StoreError::EpochEnded),
        "ahead" => refused("a snapshot may not cover records that do not exist"),
        "corrupt" => Err(StoreError::Corrupt(
            "coord did not write the epoch or the snapshot".to_owned(),
        )),
        _ => Err(odd("EVAL")),
    }
}

fn script(text: &str, keys: &[&String]) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(text).arg(keys.len()).arg(keys);
    command
}
