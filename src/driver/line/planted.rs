//! Planted bugs of a line that need more than a condition.

use super::read::read_batch;
use super::{AppendFailure, Arrival, Line, LineError};
use crate::driver::propose::Proposed;
use crate::engine::ids::{NodeId, Position, ProjectName};
use crate::planted::{Bug, is_on};

/// Treats an append with an unknown outcome as not written.
pub(super) fn outcome(how: AppendFailure) -> AppendFailure {
    match how {
        AppendFailure::Unknown if is_on(Bug::UnknownTriedAgain) => AppendFailure::NotWritten,
        how => how,
    }
}

/// Applies a record too early: over a hole, or because it is this node's own.
pub(super) fn next(line: &Line, next: Position) -> Position {
    let first = line.arrivals.first_key_value();
    match first {
        Some((at, _)) if is_on(Bug::HoleSkipped) => next.max(*at),
        Some((at, Arrival::Own(_))) if is_on(Bug::OwnRecordsFirst) => next.max(*at),
        _ => next,
    }
}

/// Treats this node's own record as another node's, so nobody is answered.
pub(super) fn of_strangers(
    arrival: Arrival,
    project: &ProjectName,
    at: Position,
) -> Result<Option<(Position, Vec<Proposed>)>, LineError> {
    let Arrival::Read(record) = arrival else {
        return Ok(None);
    };
    let nobody: NodeId = "nobody".parse().expect("the name is valid");
    Ok(Some((at, read_batch(&nobody, project, &record)?)))
}
