//! The tools: one row each, made for a model. Lists, schemas, dispatch, metrics and the page come from the rows.
//!
//! A tool takes and gives plain texts and numbers, keeps its answer short, and says what to do next. None
//! is marked as destructive, because Codex refuses such a tool where nobody can approve it; what a tool
//! overwrites or ends is the agent's own, or has a revision.

mod bounds;
mod claim;
mod context;
mod error;
mod finish;
pub(super) mod held;
mod list;
pub(super) mod messages;
mod operations;
mod progress;
mod release;
mod reserve;
mod row;
mod send;
pub(super) mod status;
mod submit;
mod wait;

use std::sync::{Arc, LazyLock};

use serde_json::value::RawValue;

use super::caller::{Caller, Pending};
use super::fault::Fault;
use super::results::CallResult;
use super::schema;
use crate::engine::command::Role;
use claim::{ClaimParams, Claimed};
use context::{ContextParams, Facts};
pub use error::ToolError;
use finish::{FinishParams, Finished};
use list::{ListParams, TaskPage};
use messages::{Mail, ReadParams};
use progress::{ProgressParams, Reported};
use release::{GivenBack, ReleaseParams};
use reserve::{ReserveParams, Reserved};
use row::{Effect, Row, listed, tools};
use send::{SendParams, Sent};
use status::{Status, StatusParams};
use submit::{SubmitParams, Submitted};
use wait::{WaitParams, Waited};

/// Items of one kind in an answer; the rest is counted.
const ITEMS_MAX: usize = 20;

tools! {
    /// What you hold, who else is here and on what, what waits for you, and what to do next. Call it first.
    "status" "See where things stand" Reads => status::status(StatusParams) -> Status;
    /// Lists open tasks, or shows one with its details and why it does not run.
    "list_tasks" "List tasks" Reads => list::list(ListParams) -> TaskPage;
    /// Gives you the most urgent ready task, or the one you name. It is yours alone until you end it.
    "claim_task" "Take a task" Changes => claim::claim(ClaimParams) -> Claimed;
    /// Adds a task that any agent may claim.
    "submit_task" "Add a task" Changes => submit::submit(SubmitParams) -> Submitted;
    /// Says how your task goes, and keeps it yours; without a task, says what you are working on.
    "report_progress" "Report progress" Repeats => progress::report(ProgressParams) -> Reported;
    /// Ends a task you hold: done, failed, given back, or handed over to another agent.
    "finish_task" "End your task" Changes => finish::finish(FinishParams) -> Finished;
    /// Makes files, folders, ports or names yours, all or none, so that no other agent changes them. Call it
    /// before you edit; what is yours already is kept longer.
    "reserve" "Reserve files" Repeats => reserve::reserve(ReserveParams) -> Reserved;
    /// Gives back what you reserved.
    "release" "Release files" Repeats => release::release(ReleaseParams) -> GivenBack;
    /// Sends a message to an agent, a topic, a capability, or all.
    "send_message" "Write to agents" Changes => send::send(SendParams) -> Sent;
    /// Reads your unread messages.
    "read_messages" "Read messages" Repeats => messages::read(ReadParams) -> Mail;
    /// The project's shared facts: lists the keys, reads one, or writes one when you give a value.
    "context" "Share facts" Repeats => context::context(ContextParams) -> Facts;
    /// Waits until something concerns you: a message, a task handed to you, something you lost, or what you name.
    "wait" "Wait for something" Waits => wait::wait(WaitParams) -> Waited;
}

/// Which tools a client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolSet {
    /// Those made for a model.
    Chosen,
    /// One for each operation that the role may call.
    Operations(Role),
}

impl ToolSet {
    /// The list as JSON.
    pub fn list(self) -> Arc<RawValue> {
        static CHOSEN: LazyLock<Arc<RawValue>> =
            LazyLock::new(|| listed(rows().iter().map(Row::listed)));
        match self {
            Self::Chosen => Arc::clone(&CHOSEN),
            Self::Operations(role) => listed(operations::listed(role)),
        }
    }

    /// Whether a tool may take as long as its caller allows.
    pub(super) fn waits(self, name: &str) -> bool {
        self == Self::Chosen && found(name).is_some_and(|row| row.effect == Effect::Waits)
    }

    /// The name of a tool for metrics: of a bounded set.
    pub(super) fn label(self, name: &str) -> &'static str {
        match self {
            Self::Chosen => found(name).map_or("unknown", |row| row.name),
            Self::Operations(_) => "operation",
        }
    }

    pub(super) async fn call(
        self,
        caller: &mut dyn Caller,
        name: &str,
        arguments: &RawValue,
    ) -> Result<CallResult, Fault> {
        let row = match self {
            Self::Operations(_) => return operations::call(caller, name, arguments).await,
            Self::Chosen => found(name).ok_or_else(|| unknown(name, names()))?,
        };
        Ok(match (row.run)(caller, arguments).await {
            Ok(answer) => CallResult::answer(answer),
            Err(error) => error.into_result(),
        })
    }
}

/// The tools as they are listed.
pub(super) fn all() -> impl Iterator<Item = serde_json::Value> {
    rows().iter().map(Row::listed)
}

fn found(name: &str) -> Option<&'static Row> {
    rows().iter().find(|row| row.name == name)
}

fn names() -> impl Iterator<Item = &'static str> {
    rows().iter().map(|row| row.name)
}

/// A tool that there is not, with the most similar one that there is.
fn unknown(name: &str, known: impl Iterator<Item = impl AsRef<str>>) -> Fault {
    let shown: String = name.chars().take(64).collect();
    let likeness = |known: &str| strsim::jaro_winkler(known, &shown);
    let similar = known
        .map(|known| (likeness(known.as_ref()), known.as_ref().to_owned()))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.8);
    let hint = similar.map_or_else(
        || "tools/list names those there are".to_owned(),
        |(_, name)| format!("did you mean {name}?"),
    );
    Fault::invalid_params(format!("there is no tool {shown:?}: {hint}"))
}
