//! `wait`: the one tool that takes time, so that a model need not poll.
//!
//! It looks at the state, then follows events and looks again whenever one of them may matter. It ends below
//! the time-outs of the clients: Codex gives a tool 60 seconds.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::ToolError;
use super::bounds::{LIST_CHARS_MAX, fitting};
use super::held::{myself, task};
use super::reserve::Thing;
use super::status::unread;
use crate::engine::ids::{TaskId, TreeName};
use crate::mcp::caller::Caller;
use crate::mcp::waiting::{self, FREED, WORK};
use crate::mcp::words;
use crate::protocol::agent::AgentView;
use crate::protocol::error::RpcError;
use crate::protocol::events::{ChangeView, EventFilter};
use crate::protocol::lease::{LeaseCheckParams, LeaseCheckResult, ModeParam};
use crate::protocol::operations::Operation;
use crate::protocol::resource::ResourceParam;
use crate::protocol::task::{StateName, TaskListResult};

const SECONDS_DEFAULT: u64 = 45;
const SECONDS_MAX: u64 = 50;
/// Changes after which an agent looks at its mailbox and at what it holds.
const OWN: [&str; 5] = [
    "message.sent",
    "task.handed_off",
    "task.lost",
    "lease.lapsed",
    "lease.revoked",
];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WaitParams {
    /// At most 50; 45 when absent.
    seconds: Option<u64>,
    /// Also until a task is ready for you.
    #[serde(default)]
    work: bool,
    /// Also until this task has ended.
    task: Option<TaskId>,
    /// Also until these can be reserved.
    #[serde(default)]
    resources: Vec<Thing>,
    /// As in reserve.
    tree: Option<TreeName>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Waited {
    /// Empty: nothing, within the time.
    happened: Vec<String>,
    next: &'static str,
}

pub(super) async fn wait(caller: &mut dyn Caller, params: WaitParams) -> Result<Waited, ToolError> {
    let seconds = params.seconds.unwrap_or(SECONDS_DEFAULT);
    if seconds > SECONDS_MAX {
        let what = format!("arguments.seconds: at most {SECONDS_MAX}, then call wait again");
        return Err(ToolError::new(what, ""));
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    let me = myself(caller).await?;
    let tree = params.tree.or_else(|| caller.tree());
    let wish = Wish {
        me,
        work: params.work,
        task: params.task,
        resources: params.resources.into_iter().map(|it| it.0).collect(),
        tree,
    };
    // Followed before the first look, so that nothing falls between both.
    let mut follower = caller.follow(wish.filters()).await?;
    let mut happened = Vec::new();
    loop {
        happened.extend(wish.look(caller).await?);
        if !happened.is_empty() {
            break;
        }
        let Ok(changes) = timeout_at(until, follower.next()).await else {
            break;
        };
        happened.extend(changes?.iter().filter_map(|change| wish.told(change)));
    }
    let next = if happened.is_empty() {
        "nothing yet: wait again, or go on with something else"
    } else {
        "status tells all that waits for you"
    };
    Ok(Waited {
        happened: fitting(happened, LIST_CHARS_MAX),
        next,
    })
}

/// What is waited for.
struct Wish {
    me: AgentView,
    work: bool,
    task: Option<TaskId>,
    resources: Vec<ResourceParam>,
    tree: Option<TreeName>,
}

impl Wish {
    fn filters(&self) -> Vec<EventFilter> {
        let kinds = |kinds: &[&str]| EventFilter {
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            ..EventFilter::default()
        };
        let own = EventFilter {
            agent: Some(self.me.name.clone()),
            ..kinds(&OWN)
        };
        let ended = self.task.map(|task| EventFilter {
            task: Some(task),
            ..EventFilter::default()
        });
        let work = self.work.then(|| kinds(&WORK));
        let freed = (!self.resources.is_empty()).then(|| kinds(&FREED));
        [Some(own), ended, work, freed]
            .into_iter()
            .flatten()
            .collect()
    }

    /// What is so already.
    async fn look(&self, caller: &mut dyn Caller) -> Result<Vec<String>, RpcError> {
        let mut found = Vec::new();
        let unread = unread(caller).await?;
        if unread > 0 {
            found.push(format!("{unread} messages wait: read_messages"));
        }
        if self.work && self.is_work_ready(caller).await? {
            found.push("a task is ready for you: claim_task".to_owned());
        }
        if let Some(id) = self.task {
            let state = task(caller, id).await?.state;
            let how = match state {
                StateName::Done => "is done",
                StateName::Dead => "failed for good",
                StateName::Cancelled => "was cancelled",
                _ => "",
            };
            if !how.is_empty() {
                found.push(format!(
                    "task {id} {how}: list_tasks with task {id} shows it"
                ));
            }
        }
        if !self.resources.is_empty() && self.is_free(caller).await? {
            found.push("what you named is free: reserve it".to_owned());
        }
        Ok(found)
    }

    async fn is_work_ready(&self, caller: &mut dyn Caller) -> Result<bool, RpcError> {
        let ready: TaskListResult = caller.run(Operation::TaskList, &waiting::ready()).await?;
        Ok(waiting::claimable(ready, &self.me).is_some())
    }

    async fn is_free(&self, caller: &mut dyn Caller) -> Result<bool, RpcError> {
        let params = LeaseCheckParams {
            resources: self.resources.clone(),
            mode: ModeParam::Exclusive,
            tree: self.tree.clone(),
            ..LeaseCheckParams::default()
        };
        let check: LeaseCheckResult = caller.run(Operation::LeaseCheck, &params).await?;
        Ok(check.ok)
    }

    /// What a change means that the state does not show any more.
    fn told(&self, change: &ChangeView) -> Option<String> {
        let mine = change.agent.as_ref() == Some(&self.me.name);
        let why = change
            .reason
            .as_deref()
            .map(words::line)
            .unwrap_or_default();
        match (change.kind.as_str(), change.task, change.lease) {
            ("task.handed_off", Some(task), _) if change.to.contains(&self.me.name) => {
                Some(format!("task {task} was handed to you: claim_task"))
            }
            ("task.lost", Some(task), _) if mine => {
                Some(format!("you lost task {task}, stop working on it: {why}"))
            }
            ("lease.lapsed" | "lease.revoked", _, Some(lease)) if mine => Some(format!(
                "you lost lease {lease}, stop editing what it covered: {why}"
            )),
            _ => None,
        }
    }
}
