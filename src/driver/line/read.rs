//! Reads the commands of a record from the stream.

use super::LineError;
use crate::driver::propose::Proposed;
use crate::driver::recover::RecoverError;
use crate::engine::Newest;
use crate::engine::command::Command;
use crate::engine::ids::{NodeId, ProjectName};
use crate::journal::shared::{StreamCommand, StreamRecord};

/// The commands of a record from the stream, in the form of proposed ones.
pub(super) fn read_batch(
    node: &NodeId,
    project: &ProjectName,
    record: &StreamRecord,
) -> Result<Vec<Proposed>, LineError> {
    let proposed = record.commands().map(|read| {
        Ok(Proposed {
            sequence: own_sequence(node, read.body).unwrap_or(0),
            project: project.clone(),
            at_ms: read.at_ms,
            behind: Newest::default(),
            command: Box::new(read_command(project, &read)?),
            body: Vec::new(),
        })
    });
    proposed.collect()
}

pub(super) fn read_command(
    project: &ProjectName,
    record: &StreamCommand<'_>,
) -> Result<Command, RecoverError> {
    serde_json::from_slice(record.body).map_err(|source| RecoverError::Record {
        project: project.clone(),
        position: record.at.position,
        source,
    })
}

/// The sequence number of a command, if it is one of this node's. The id is the first field of a command, so
/// its first bytes are enough and the command need not be parsed.
pub(super) fn own_sequence(node: &NodeId, body: &[u8]) -> Option<u64> {
    let rest = body.strip_prefix(br#"{"id":""#)?;
    let rest = rest.strip_prefix(node.as_str().as_bytes())?;
    let rest = rest.strip_prefix(b"-")?;
    let digits = rest.split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
