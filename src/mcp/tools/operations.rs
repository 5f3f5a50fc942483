//! `/mcp?tools=all`: one tool for each operation of the table, for programs and for the curious.

use serde_json::Value;
use serde_json::value::RawValue;

use super::row::{Effect, listing};
use super::{ToolError, schema, unknown};
use crate::engine::command::Role;
use crate::mcp::caller::Caller;
use crate::mcp::fault::Fault;
use crate::mcp::results::CallResult;
use crate::protocol::operations::{OPERATIONS, Operation, OperationInfo};

/// Operations on the connection that they come by, which ends with the call.
const OF_CONNECTIONS: [Operation; 5] = [
    Operation::SessionOpen,
    Operation::SessionClose,
    Operation::ContextWatch,
    Operation::EventsSubscribe,
    Operation::EventsUnsubscribe,
];

/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 65_536;

fn offered() -> impl Iterator<Item = &'static OperationInfo> {
    let on_connection = |info: &&OperationInfo| !OF_CONNECTIONS.contains(&info.operation);
    OPERATIONS.iter().filter(on_connection)
}

fn name_of(info: &OperationInfo) -> String {
    info.name.replace('.', "_")
}

pub(super) fn listed(role: Role) -> impl Iterator<Item = Value> {
    let allowed = offered().filter(move |info| info.role <= role);
    allowed.map(|info| {
        let effect = match info.role {
            Role::Observer => Effect::Reads,
            _ => Effect::Changes,
        };
        let input = schema::of(info.params);
        listing(
            &name_of(info),
            info.name,
            info.summary,
            effect,
            &input,
            None,
        )
    })
}

pub(super) async fn call(
    caller: &mut dyn Caller,
    name: &str,
    arguments: &RawValue,
) -> Result<CallResult, Fault> {
    let found = offered().find(|info| name_of(info) == name);
    let info = found.ok_or_else(|| unknown(name, offered().map(name_of)))?;
    let answer = caller
        .call(info.operation, arguments.get().to_owned())
        .await;
    Ok(match answer {
        Ok(answer) if answer.get().len() > ANSWER_BYTES_MAX => {
            let bytes = answer.get().len();
            let what =
                format!("the answer has {bytes} bytes, and {ANSWER_BYTES_MAX} are shown at most");
            ToolError::new(what, "Ask for less, with count_max.").into_result()
        }
        Ok(answer) => CallResult::answer(answer),
        Err(error) => ToolError::from(error).into_result(),
    })
}
