//! Moves the state of a single coordinator to a shared journal.

use super::recover::Recovered;
use crate::engine::command::{Action, Actor, Command, EpochStart, NodeStart};
use crate::engine::ids::{CommandId, Cursor, Epoch, NodeId, Position, ProjectName};
use crate::journal::Entry;
use crate::journal::shared::{StreamSnapshot, next_end};

/// The node that reports all earlier sessions as lost. No coordinator has this name: their names end in eight
/// hexadecimal digits.
const RESTORER: &str = "restore";

/// A project, ready to be written to an empty store.
#[derive(Debug)]
pub struct Moved {
    pub project: ProjectName,
    pub snapshot: StreamSnapshot,
    /// The first record of the epoch that begins there, and its position.
    pub marker: Entry,
    pub at: Cursor,
}

/// Makes a snapshot of each project and the first record of a new epoch. `gap` keeps the epoch's number
/// different from any number that another coordinator may have used.
pub fn moved(recovered: Recovered, gap: u64) -> Vec<Moved> {
    let node: NodeId = RESTORER.parse().expect("the node's name is valid");
    let engines = recovered.engines.into_iter();
    let one = |(project, (mut engine, _)): (ProjectName, (crate::engine::Engine, Position))| {
        let start = NodeStart {
            node: node.clone(),
            sole: true,
        };
        let stranded = command(&node, 1, Action::NodeStart(start));
        let position = Position(engine.state().position.0 + 1);
        engine.apply(position, engine.now(), &stranded);
        let epoch = Epoch(engine.state().epoch.0 + 1 + gap);
        let start = command(&node, 2, Action::EpochStart(EpochStart { epoch }));
        let state = serde_json::to_vec(engine.state()).expect("states always encode as JSON");
        Moved {
            snapshot: StreamSnapshot {
                at: super::queries::cursor_of(&engine),
                state,
            },
            marker: Entry {
                project: project.clone(),
                at_ms: engine.now(),
                body: serde_json::to_vec(&start).expect("commands always encode as JSON"),
            },
            at: Cursor {
                epoch,
                position: next_end(position),
            },
            project,
        }
    };
    engines.map(one).collect()
}

fn command(node: &NodeId, sequence: u64, action: Action) -> Command {
    Command {
        id: CommandId::of(node, sequence),
        by: Actor::Node(node.clone()),
        request_id: None,
        action,
    }
}
