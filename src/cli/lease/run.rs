//! `coord lease run`: holds a lease while a command runs.

use std::ffi::OsString;

use nix::sys::signal::Signal;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::request::{Asked, HoldArgs, acquire_with};
use crate::cli::child::{self, ChildSignals, ChildSpec, Question, Streams, Watch};
use crate::cli::client::{Client, ClientError, Notice, Reply};
use crate::cli::duration::Millis;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::cli::shell::Shell;
use crate::cli::table::{joined, one_line};
use crate::clock::boot_ms;
use crate::engine::ids::AgentKind;
use crate::protocol::error::ErrorKind;
use crate::protocol::lease::{LeaseAcquireResult, LeaseCheckParams, LeaseCheckResult};
use crate::protocol::operations::Operation;
use crate::protocol::session::SessionOpenParams;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RunArgs {
    #[command(flatten)]
    hold: HoldArgs,
    /// How long to wait while other agents hold it [default: no limit]
    #[arg(long, value_name = "DURATION", conflicts_with = "no_wait")]
    wait: Option<Millis>,
    /// Do not wait
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    session: SessionArgs,
    /// The command to run while the lease is held
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How a session is held, and how the command stops when it is lost.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct SessionArgs {
    /// How long the connection may be lost before the command is stopped [default: the coordinator's grace]
    #[arg(long, value_name = "DURATION")]
    grace: Option<Millis>,
    /// How long the command has between TERM and KILL
    #[arg(long, value_name = "DURATION", default_value = child::KILL_AFTER_DEFAULT)]
    pub(in crate::cli) kill_after: Millis,
    /// When the command ends by itself, leave its background processes running
    #[arg(long)]
    pub(in crate::cli) keep_background: bool,
    /// The program that works here; other agents see it
    #[arg(long, value_name = "KIND")]
    kind: Option<AgentKind>,
}

impl SessionArgs {
    pub(in crate::cli) fn params(&self) -> SessionOpenParams {
        SessionOpenParams {
            kind: self.kind.clone(),
            grace_ms: self.grace.map(|grace| grace.0),
            ..SessionOpenParams::default()
        }
    }
}

pub(super) async fn run(args: RunArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let asked = args.hold.asked(shell)?;
    let mut signals = ChildSignals::new()?;
    let mut client = shell.client().await?;
    let opened = client.open_session(&args.session.params()).await?;
    shell.out.warn_of(&opened);
    let acquired = tokio::select! {
        acquired = acquire(&mut client, &args, &asked, opened.limits.wait_ms_max, &shell.out) => acquired,
        signal = signals.next() => Ok(Acquired::Interrupted(signal)),
    };
    let ended = match acquired {
        Ok(Acquired::Lease(lease, asked_at_ms)) => {
            let environment = shell.connection.for_child(&client, &opened.project);
            let spec = spec(&args, &lease, environment);
            let (ask, questions) = child::questions();
            let watch = Watch {
                lost: watch(&mut client, std::slice::from_ref(&lease), questions),
                ask: Some(ask),
                asked_at_ms,
            };
            child::run_while(&spec, &mut signals, watch, &shell.out).await
        }
        Ok(Acquired::Interrupted(signal)) => Ok(Exit::of_signal(signal as i32)),
        Err(error) => Err(error),
    };
    client.close().await;
    ended
}

enum Acquired {
    /// When it was requested, on the boot clock.
    Lease(LeaseAcquireResult, u64),
    Interrupted(Signal),
}

/// Tries once without waiting, to be able to print the conflict, and then waits.
async fn acquire(
    client: &mut Client,
    args: &RunArgs,
    asked: &Asked,
    wait_ms_max: u64,
    out: &Output<'_>,
) -> Result<Acquired, CliError> {
    let asked_at_ms = boot_ms();
    let error = match acquire_with(client, &asked.params(None, None)).await {
        Ok(reply) => return Ok(Acquired::Lease(reply.value, asked_at_ms)),
        Err(error) => error,
    };
    if args.no_wait || error.kind() != Some(ErrorKind::Conflict) {
        return Err(error.into());
    }
    out.note(format_args!("waiting: {error}"));
    let started = Instant::now();
    loop {
        let left_ms = match args.wait {
            None => wait_ms_max,
            Some(wait) => {
                let left = wait.duration().saturating_sub(started.elapsed());
                u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
            }
        };
        let params = asked.params(None, Some(left_ms.min(wait_ms_max)));
        let asked_at_ms = boot_ms();
        match (acquire_with(client, &params).await, args.wait) {
            (Ok(reply), _) => return Ok(Acquired::Lease(reply.value, asked_at_ms)),
            (Err(error), None) if error.kind() == Some(ErrorKind::Conflict) => {}
            (Err(error), Some(_))
                if error.kind() == Some(ErrorKind::Conflict) && left_ms > wait_ms_max => {}
            (Err(error), Some(wait)) => return Err(CliError::timed_out(error, wait)),
            (Err(error), None) => return Err(error.into()),
        }
    }
}

fn spec<'a>(
    args: &'a RunArgs,
    lease: &LeaseAcquireResult,
    connection: Vec<(&'static str, OsString)>,
) -> ChildSpec<'a> {
    let own = [
        ("COORD_LEASE", lease.lease.to_string()),
        ("COORD_FENCE", lease.fence.to_string()),
        // The coordinator replaces a pool by one port; the command must learn which.
        ("COORD_RESOURCES", joined(&lease.resources)),
    ];
    let own = own.map(|(name, value)| (name, value.into()));
    let environment = connection.into_iter().chain(own);
    ChildSpec {
        words: &args.command,
        environment: environment
            .map(|(name, value)| (name.into(), value))
            .collect(),
        kill_after: args.session.kill_after.duration(),
        keep_background: args.session.keep_background,
        streams: Streams::Inherited,
    }
}

/// Returns when one of the leases is lost, with the reason. Answers questions whether they still hold.
pub(in crate::cli) async fn watch(
    client: &mut Client,
    leases: &[LeaseAcquireResult],
    mut questions: mpsc::Receiver<Question>,
) -> CliError {
    loop {
        let notice = tokio::select! {
            notice = client.notice() => notice,
            Some(question) = questions.recv() => {
                match check_all(client, leases).await {
                    Some(gone) => return gone,
                    // The asking side may have been stopped meanwhile.
                    None => drop(question.send(())),
                }
                continue;
            }
        };
        let gone = match notice {
            Ok(Notice::LeaseLost(lost)) if leases.iter().any(|it| it.lease == lost.lease) => {
                let (lease, reason) = (lost.lease, one_line(&lost.reason));
                let what = format!("the lease is lost: lease {lease}: {reason}");
                Some(CliError::unmet(Exit::StaleFence, what))
            }
            Ok(Notice::Resumed) => check_all(client, leases).await,
            Ok(_) => None,
            Err(error) => Some(error.into()),
        };
        if let Some(gone) = gone {
            return gone;
        }
    }
}

async fn check_all(client: &mut Client, leases: &[LeaseAcquireResult]) -> Option<CliError> {
    for lease in leases {
        let gone = check(client, lease).await;
        if gone.is_some() {
            return gone;
        }
    }
    None
}

/// The notice of a lost lease may have been missed while the connection was lost or this process was stopped.
async fn check(client: &mut Client, lease: &LeaseAcquireResult) -> Option<CliError> {
    let params = LeaseCheckParams {
        lease: Some(lease.lease),
        fence: Some(lease.fence),
        ..LeaseCheckParams::default()
    };
    let checked: Result<Reply<LeaseCheckResult>, ClientError> =
        client.call(Operation::LeaseCheck, &params).await;
    match checked {
        Ok(reply) if reply.value.ok => None,
        Ok(_) => {
            let text = "the lease was lost while this process was disconnected or stopped";
            Some(CliError::unmet(Exit::StaleFence, text))
        }
        Err(error) => Some(error.into()),
    }
}
