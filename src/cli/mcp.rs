//! `coord mcp`: the tools for one CLI session, over stdin and stdout.
//!
//! One WebSocket session lasts as long as the CLI keeps the streams open. What its tools take is bound to that
//! session, and it is taken up again after a restart of the coordinator. A task of its own keeps it, because
//! pings must be answered while nobody calls.
//!
//! Seat and tree are found once, at the start: a CLI tells its session and its folder to the programs that it starts,
//! and not when they change. So after `/clear` in Claude Code this server keeps the seat that it began with.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::io::BufReader;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::client::{Client, ClientError, Notice, Target};
use super::error::CliError;
use super::exit::Exit;
use super::resources;
use super::shell::Shell;
use super::table::one_line;
use crate::causes;
use crate::engine::ids::{AgentKind, AgentName, TreeName};
use crate::mcp::{Caller, Follower, Pending, serve};
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::events::{ChangeView, EventFilter, EventsSubscribeParams};
use crate::protocol::operations::Operation;
use crate::protocol::session::SessionOpenParams;

/// Calls that wait for the session.
const CALLS_MAX: usize = 64;
/// The pause between attempts to reach a coordinator while nobody calls.
const RETRY: Duration = Duration::from_secs(5);
/// How long a call waits for a coordinator that is away; a model does not wait for longer than five seconds.
const AWAY: Duration = Duration::from_secs(4);
/// How long it may take to close the session. CLIs kill a server that does not end.
const CLOSING: Duration = Duration::from_secs(1);

pub(super) async fn run(shell: &Shell<'_>) -> Result<Exit, CliError> {
    let target = shell.target()?;
    let tree = resources::tree_of_session(shell.environment).unwrap_or_else(|error| {
        // Without a tree, what is reserved is so in every worktree.
        shell.out.note(one_line(&error.to_string()));
        None
    });
    let (calls, asked) = mpsc::channel(CALLS_MAX);
    let keeper = tokio::spawn(keep(target.clone(), asked));
    let callers = Arc::new(move || -> Box<dyn Caller> {
        Box::new(SessionCaller {
            target: target.clone(),
            calls: calls.clone(),
            tree: tree.clone(),
        })
    });
    let input = BufReader::new(tokio::io::stdin());
    let mut signals = signals().map_err(|source| CliError::Input {
        what: "catch signals".to_owned(),
        source: source.into(),
    })?;
    let served = tokio::select! {
        served = serve(callers, input, tokio::io::stdout()) => served,
        () = any(&mut signals) => Ok(()),
    };
    // The last caller is gone, so the session is closed in order. Signals stay caught meanwhile: some CLIs
    // send a second one at once.
    match timeout(CLOSING, keeper).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the session's task did not end in order"),
        Err(_) => tracing::debug!("the coordinator does not answer, so the session was not closed"),
    }
    served?;
    Ok(Exit::Ok)
}

/// How CLIs end the servers that they started. Few of them close the streams first.
fn signals() -> std::io::Result<[Signal; 3]> {
    Ok([
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ])
}

async fn any([interrupt, terminate, hangup]: &mut [Signal; 3]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// What the session's task is asked for.
enum Asked {
    Call {
        operation: Operation,
        params: String,
        /// When the caller gets an error instead.
        until: Instant,
        answer: oneshot::Sender<Result<Box<RawValue>, RpcError>>,
    },
    Introduce(Option<AgentKind>),
}

/// Calls over the session that all requests share.
struct SessionCaller {
    target: Target,
    calls: mpsc::Sender<Asked>,
    tree: Option<TreeName>,
}

impl Caller for SessionCaller {
    fn call(
        &mut self,
        operation: Operation,
        params: String,
    ) -> Pending<'_, Result<Box<RawValue>, RpcError>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let asked = Asked::Call {
                operation,
                params,
                until: Instant::now() + AWAY,
                answer,
            };
            // Both fail only while the program ends.
            let gone = || unavailable("the session is ending".to_owned());
            self.calls.send(asked).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?
        })
    }

    fn follow(
        &mut self,
        filters: Vec<EventFilter>,
    ) -> Pending<'_, Result<Box<dyn Follower>, RpcError>> {
        let target = self.target.clone();
        Box::pin(async move {
            // A connection of its own, so that other calls need not wait.
            let mut client = Client::connect(target).await.map_err(told)?;
            let params = EventsSubscribeParams {
                filters,
                from: None,
            };
            client.subscribe(params).await.map_err(told)?;
            let follower: Box<dyn Follower> = Box::new(ClientFollower(client));
            Ok(follower)
        })
    }

    fn introduce(&mut self, kind: Option<AgentKind>) -> Pending<'_, ()> {
        Box::pin(async move {
            // Presence is worth no error: the next call tries again.
            let _ = self.calls.send(Asked::Introduce(kind)).await;
        })
    }

    fn hold_ms(&self) -> Option<u64> {
        None
    }

    fn agent(&self) -> Option<AgentName> {
        None
    }

    fn tree(&self) -> Option<TreeName> {
        self.tree.clone()
    }
}

struct ClientFollower(Client);

impl Follower for ClientFollower {
    fn next(&mut self) -> Pending<'_, Result<Vec<ChangeView>, RpcError>> {
        Box::pin(async move {
            loop {
                match self.0.notice().await.map_err(told)? {
                    Notice::Event(event, _) => return Ok(event.changes),
                    Notice::EventsClosed(..) => {
                        self.0.resubscribe().await.map_err(told)?;
                        return Ok(Vec::new());
                    }
                    _ => {}
                }
            }
        })
    }
}

/// Keeps one session until no caller is left.
async fn keep(target: Target, mut asked: mpsc::Receiver<Asked>) {
    let mut keeper = Keeper {
        target,
        kind: None,
        client: None,
    };
    loop {
        let Some(client) = &mut keeper.client else {
            tokio::select! {
                next = asked.recv() => match next {
                    Some(next) => keeper.serve(next).await,
                    None => return,
                },
                () = sleep(RETRY), if keeper.kind.is_some() => {
                    // The next attempt, or the next call, tells what is wrong.
                    let _ = keeper.opened().await;
                }
            }
            continue;
        };
        tokio::select! {
            next = asked.recv() => match next {
                Some(next) => keeper.serve(next).await,
                None => break,
            },
            notice = client.notice() => if notice.is_err() {
                keeper.client = None;
            },
        }
    }
    if let Some(client) = keeper.client {
        client.close().await;
    }
}

struct Keeper {
    target: Target,
    kind: Option<AgentKind>,
    client: Option<Client>,
}

impl Keeper {
    async fn serve(&mut self, asked: Asked) {
        match asked {
            Asked::Introduce(kind) => {
                self.kind = kind;
                let _ = self.opened().await;
            }
            Asked::Call {
                operation,
                params,
                until,
                answer,
            } => {
                // The client stays as it is when it is given up, and goes on connecting between calls.
                let called = timeout_at(until, self.call(operation, params)).await;
                let answered = called.unwrap_or_else(|_| Err(self.away()));
                // Nobody reads the answer to a request that was cancelled.
                let _ = answer.send(answered);
            }
        }
    }

    async fn call(
        &mut self,
        operation: Operation,
        params: String,
    ) -> Result<Box<RawValue>, RpcError> {
        let client = self.opened().await?;
        let result = client.call_raw(operation, params, 0).await;
        result.map_err(|error| {
            if matches!(
                error,
                ClientError::SessionGone { .. } | ClientError::Lost { .. }
            ) {
                // The next call opens another session.
                self.client = None;
            }
            told(error)
        })
    }

    fn away(&self) -> RpcError {
        unavailable(format!(
            "the coordinator at {} does not answer, and is tried again in the background. What was asked for may still have \
             been done. Until it answers nothing is reserved: go on with what nobody else touches, and if it stays away \
             tell your user to run `coord doctor`",
            self.target.url
        ))
    }

    /// The client, with a session.
    async fn opened(&mut self) -> Result<&mut Client, RpcError> {
        if self.client.is_none() {
            let mut client = Client::connect(self.target.clone()).await.map_err(told)?;
            let params = SessionOpenParams {
                kind: self.kind.clone(),
                ..SessionOpenParams::default()
            };
            let opened = client.open_session(&params).await;
            // An observer has no session, and can read all the same.
            if let Err(error) = opened
                && error.kind() != Some(ErrorKind::Forbidden)
            {
                return Err(told(error));
            }
            self.client = Some(client);
        }
        let client = self.client.as_mut();
        client.ok_or_else(|| unavailable("there is no session".to_owned()))
    }
}

fn unavailable(message: String) -> RpcError {
    RpcError::new(ErrorKind::Unavailable, message)
}

/// An error of the connection, as an operation would tell it.
fn told(error: ClientError) -> RpcError {
    match error {
        ClientError::Refused(error) => error,
        ClientError::SessionGone { session } => RpcError::new(
            ErrorKind::StaleFence,
            format!(
                "session {session} ended while the coordinator was out of reach, and what it held is free again"
            ),
        ),
        ClientError::Unauthenticated { .. }
        | ClientError::Forbidden { .. }
        | ClientError::BadToken { .. } => {
            RpcError::new(ErrorKind::Unauthenticated, causes::one_line(&error))
        }
        error => unavailable(causes::one_line(&error)),
    }
}
