//! `coord wait`: until there is something to do, so that nobody polls.
//!
//! It looks at the state, then follows events and looks again whenever one of them may matter.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::client::{Client, ClientError, Notice};
use super::duration::Millis;
use super::error::CliError;
use super::exit::Exit;
use super::reader;
use super::resources::{self, FileListArgs, ResourceWord, TreeArgs};
use super::shell::Shell;
use crate::engine::ids::TreeName;
use crate::mcp::waiting::{self, FREED, WORK};
use crate::protocol::agent::{AgentGetParams, AgentView};
use crate::protocol::error::ErrorKind;
use crate::protocol::events::{EventFilter, EventsSubscribeParams};
use crate::protocol::lease::{LeaseCheckParams, LeaseCheckResult};
use crate::protocol::message::{MessageInboxParams, MessageInboxResult};
use crate::protocol::operations::Operation;
use crate::protocol::resource::ResourceParam;
use crate::protocol::session::SessionOpenParams;
use crate::protocol::task::{TaskListResult, TaskView};

/// Changes after which a message may be there.
const MAIL: [&str; 1] = ["message.sent"];

#[derive(Debug, clap::Args)]
pub(super) struct WaitArgs {
    /// What to wait for: message, task, lease; several with commas
    ///
    /// message: a message is unread. task: a task is ready that you may claim. lease: the resources that you name
    /// are free for you; nothing is taken.
    #[arg(
        long = "for",
        value_enum,
        value_delimiter = ',',
        required = true,
        value_name = "WHAT",
        hide_possible_values = true
    )]
    what: Vec<What>,
    #[arg(
        help = "What should be free, with --for lease: path:GLOB, file:PATH, name:NAME, port:HOST:NUMBER",
        value_name = "RESOURCE"
    )]
    resources: Vec<ResourceWord>,
    #[command(flatten)]
    tree: TreeArgs,
    /// How long to wait at most; without it, for ever
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Millis>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Message,
    Task,
    Lease,
}

pub(super) async fn run(args: WaitArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let wish = Wish::of(&args, shell)?;
    let mut client = shell.client().await?;
    let waiting = wish.met(&mut client);
    let ended = tokio::select! {
        ended = limited(args.timeout, waiting) => ended,
        gone = reader::gone() => Err(gone),
    };
    client.close().await;
    let happened = ended?;
    if shell.out.style().json {
        let facts: Vec<Value> = happened.iter().map(|it| it.fact.clone()).collect();
        shell.out.json(&json!({ "happened": facts }))?;
        return Ok(Exit::Ok);
    }
    for one in &happened {
        shell.out.line(&one.sentence)?;
    }
    Ok(Exit::Ok)
}

async fn limited(
    limit: Option<Millis>,
    waiting: impl Future<Output = Result<Vec<Happened>, ClientError>>,
) -> Result<Vec<Happened>, CliError> {
    let Some(limit) = limit else {
        return Ok(waiting.await?);
    };
    if let Ok(happened) = timeout(Duration::from_millis(limit.0), waiting).await {
        return Ok(happened?);
    }
    let what = format!("waited {limit}: nothing of it happened");
    Err(CliError::unmet(Exit::TimedOut, what))
}

/// What is waited for.
struct Wish {
    message: bool,
    task: bool,
    resources: Vec<ResourceParam>,
    tree: Option<TreeName>,
}

/// Something that was waited for.
struct Happened {
    sentence: String,
    fact: Value,
}

impl Wish {
    fn of(args: &WaitArgs, shell: &Shell<'_>) -> Result<Self, CliError> {
        let has = |what| args.what.contains(&what);
        if has(What::Lease) == args.resources.is_empty() {
            let what = "--for lease and resources belong together";
            let next = "name what should be free, as in `coord wait --for lease file:src/main.rs`";
            return Err(CliError::usage(what, next));
        }
        Ok(Self {
            message: has(What::Message),
            task: has(What::Task),
            resources: resources::named(&args.resources, &FileListArgs::default(), &shell.out)?,
            tree: args.tree.named(shell)?,
        })
    }

    async fn met(&self, client: &mut Client) -> Result<Vec<Happened>, ClientError> {
        let opened = client.open_session(&SessionOpenParams::default()).await;
        // An observer has no session, and can wait all the same.
        if let Err(error) = opened
            && error.kind() != Some(ErrorKind::Forbidden)
        {
            return Err(error);
        }
        let me: AgentView = client
            .call(Operation::AgentGet, &AgentGetParams::default())
            .await?
            .value;
        // Followed before the first look, so that nothing falls between both.
        let params = EventsSubscribeParams {
            filters: self.filters(),
            from: None,
        };
        client.subscribe(params).await?;
        loop {
            let happened = self.look(client, &me).await?;
            if !happened.is_empty() {
                return Ok(happened);
            }
            if let Notice::EventsClosed(..) = client.notice().await? {
                client.resubscribe().await?;
            }
        }
    }

    fn filters(&self) -> Vec<EventFilter> {
        let wanted = [
            (self.message, &MAIL[..]),
            (self.task, &WORK[..]),
            (!self.resources.is_empty(), &FREED[..]),
        ];
        let wanted = wanted.into_iter().filter(|(is_wanted, _)| *is_wanted);
        wanted
            .map(|(_, kinds)| EventFilter {
                kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
                ..EventFilter::default()
            })
            .collect()
    }

    /// What is so already.
    async fn look(
        &self,
        client: &mut Client,
        me: &AgentView,
    ) -> Result<Vec<Happened>, ClientError> {
        let mut found = Vec::new();
        let unread = if self.message {
            unread(client).await?
        } else {
            0
        };
        if unread > 0 {
            found.push(Happened {
                sentence: format!("unread messages: {unread}; `coord message inbox` shows them"),
                fact: json!({ "what": "message", "waiting": unread }),
            });
        }
        let ready = if self.task {
            ready(client, me).await?
        } else {
            None
        };
        if let Some(task) = ready {
            found.push(Happened {
                sentence: format!("task {} is ready for you: `coord task claim`", task.task),
                fact: json!({ "what": "task", "task": task.task }),
            });
        }
        if !self.resources.is_empty() && self.is_free(client, me).await? {
            found.push(Happened {
                sentence: "what you named is free: `coord lease ensure`".to_owned(),
                fact: json!({ "what": "lease" }),
            });
        }
        Ok(found)
    }

    /// What the agent holds itself is free for it.
    async fn is_free(&self, client: &mut Client, me: &AgentView) -> Result<bool, ClientError> {
        let params = LeaseCheckParams {
            resources: self.resources.clone(),
            tree: self.tree.clone(),
            ..LeaseCheckParams::default()
        };
        let check: LeaseCheckResult = client.call(Operation::LeaseCheck, &params).await?.value;
        let is_own = check.conflicts.iter().all(|it| it.holder == me.name);
        Ok(is_own && check.conflicts_more.is_none())
    }
}

async fn unread(client: &mut Client) -> Result<u64, ClientError> {
    let params = MessageInboxParams {
        count_max: Some(0),
        ..MessageInboxParams::default()
    };
    let inbox: MessageInboxResult = client.call(Operation::MessageInbox, &params).await?.value;
    Ok(inbox.waiting)
}

/// A task that the agent may claim.
async fn ready(client: &mut Client, me: &AgentView) -> Result<Option<TaskView>, ClientError> {
    let ready: TaskListResult = client
        .call(Operation::TaskList, &waiting::ready())
        .await?
        .value;
    Ok(waiting::claimable(ready, me))
}
