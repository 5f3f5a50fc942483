//! `coord lease`.

mod ensure;
mod release;
mod request;
mod run;

use std::io;

use ensure::EnsureArgs;
use release::ReleaseArgs;
pub(super) use request::acquire_with;
use request::{HoldArgs, mode};
use run::RunArgs;
pub(super) use run::{SessionArgs, watch};

use super::duration::{Millis, ago, ahead};
use super::error::CliError;
use super::exit::Exit;
use super::output::{Output, Paint, done};
use super::resources::{self, FileListArgs, ResourceWord, TreeArgs};
use super::shell::Shell;
use super::table::{NOTHING, Table, one_line};
use crate::engine::ids::{AgentName, FencingToken, JournalTime, LeaseId, Note, SessionId};
use crate::protocol::lease::{
    LeaseAcquireResult, LeaseCheckParams, LeaseCheckResult, LeaseListParams, LeaseListResult,
    LeaseRenewParams, LeaseRevokeParams, ModeParam,
};
use crate::protocol::operations::Operation;
use crate::protocol::session::Empty;
use crate::protocol::task::RenewResult;

#[derive(Debug, clap::Subcommand)]
pub(super) enum LeaseCommand {
    /// Acquires a lease that expires after its time-to-live unless it is renewed
    ///
    /// Exits with 6 when another agent holds a resource, with 124 when the wait timed out.
    Acquire(AcquireArgs),
    /// Makes sure that you hold resources, all or none, as before an edit
    ///
    /// Renews what you already hold and takes what is free. Writes nothing while you hold all of it for more
    /// than half of the time. Never waits. Exits with 6 when another agent holds a resource. Leases of other
    /// agents on the same paths in other trees are listed; they are no conflicts.
    Ensure(EnsureArgs),
    /// Renews a lease
    Renew {
        lease: LeaseId,
        /// The fencing token that `acquire` gave
        #[arg(long)]
        fence: FencingToken,
        /// Change the time-to-live
        #[arg(long, value_name = "DURATION")]
        ttl: Option<Millis>,
    },
    /// Releases a lease, or resources that `ensure` took
    Release(ReleaseArgs),
    /// Revokes a lease; its holder is notified
    Revoke {
        lease: LeaseId,
        /// The reason, which the holder is told
        #[arg(long)]
        reason: Option<Note>,
    },
    /// Lists leases
    List {
        /// Only leases of this agent
        #[arg(long)]
        agent: Option<AgentName>,
        /// Only leases that overlap this resource
        #[arg(long)]
        resource: Option<ResourceWord>,
        /// Only leases with a higher number
        #[arg(long, value_name = "ID")]
        after: Option<LeaseId>,
        /// At most this many
        #[arg(long, value_name = "N")]
        max: Option<u64>,
    },
    /// Checks whether a lease still holds, or which leases conflict with resources
    ///
    /// Exits with 6 when another agent holds a resource, with 7 when the lease no longer holds.
    Check(CheckArgs),
    /// Holds a lease while a command runs, as flock(1) does
    ///
    /// Waits for the resources without a limit by default. The session holds the lease, and is resumed after
    /// a lost connection. The command finds `COORD_LEASE` and `COORD_FENCE` in its environment. When the
    /// lease is lost, the command gets TERM, and KILL after --kill-after. Exits with the command's own code;
    /// with 6 (--no-wait) or 124 (--wait) when another agent holds a resource, with 7 when the lease was
    /// lost.
    Run(RunArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct AcquireArgs {
    #[command(flatten)]
    hold: HoldArgs,
    /// The time-to-live: the lease expires unless it is renewed within this time
    #[arg(long, value_name = "DURATION", default_value = super::TTL_DEFAULT)]
    ttl: Millis,
    /// How long to wait while other agents hold it [default: no wait]
    #[arg(long, value_name = "DURATION")]
    wait: Option<Millis>,
}

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Resources to check
    #[arg(required_unless_present_any = ["lease", "files_from"], value_name = "RESOURCE")]
    resources: Vec<ResourceWord>,
    #[command(flatten)]
    list: FileListArgs,
    /// Check for a shared lease
    #[arg(long)]
    shared: bool,
    /// A lease to check
    #[arg(long, requires = "fence", conflicts_with_all = ["resources", "files_from"])]
    lease: Option<LeaseId>,
    /// Its fencing token
    #[arg(long, requires = "lease")]
    fence: Option<FencingToken>,
    #[command(flatten)]
    tree: TreeArgs,
}

pub(super) async fn run(command: LeaseCommand, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    match command {
        LeaseCommand::Acquire(args) => acquire(args, shell).await?,
        LeaseCommand::Ensure(args) => ensure::run(args, shell).await?,
        LeaseCommand::Renew { lease, fence, ttl } => {
            let params = LeaseRenewParams {
                lease,
                fence,
                ttl_ms: ttl.map(|ttl| ttl.0),
                request_id: None,
            };
            let renewed = done::<RenewResult>(format!("renewed lease {lease}"));
            shell.print(Operation::LeaseRenew, &params, renewed).await?;
        }
        LeaseCommand::Release(args) => release::run(args, shell).await?,
        LeaseCommand::Revoke { lease, reason } => {
            let params = LeaseRevokeParams {
                lease,
                reason,
                request_id: None,
            };
            let revoked = done::<Empty>(format!("revoked lease {lease}"));
            let operation = Operation::LeaseRevoke;
            shell.print(operation, &params, revoked).await?;
        }
        LeaseCommand::List {
            agent,
            resource,
            after,
            max,
        } => {
            let params = LeaseListParams {
                agent,
                resource: resource.map(|word| word.one_here()).transpose()?,
                after,
                count_max: max,
                waiting: false,
            };
            shell
                .print(Operation::LeaseList, &params, show_list)
                .await?;
        }
        LeaseCommand::Check(args) => return check(args, shell).await,
        LeaseCommand::Run(args) => return run::run(args, shell).await,
    }
    Ok(Exit::Ok)
}

async fn acquire(args: AcquireArgs, shell: &mut Shell<'_>) -> Result<(), CliError> {
    let wait_ms = args.wait.map(|wait| wait.0);
    let params = args.hold.asked(shell)?.params(Some(args.ttl.0), wait_ms);
    let mut client = shell.client().await?;
    let reply = acquire_with(&mut client, &params).await;
    client.close().await;
    let reply = reply.map_err(|error| match args.wait {
        Some(wait) if wait.0 > 0 => CliError::timed_out(error, wait),
        _ => error.into(),
    })?;
    shell
        .out
        .reply(&reply, |out, lease| show_acquired(out, lease, args.ttl))?;
    Ok(())
}

fn show_acquired(out: &mut Output<'_>, lease: &LeaseAcquireResult, ttl: Millis) -> io::Result<()> {
    let (id, fence) = (lease.lease, lease.fence);
    if out.style().quiet {
        return out.line(format_args!("{id} {fence}"));
    }
    let resources = one_line(&resources::shown(&lease.resources));
    out.line(format_args!(
        "lease {id} with fence {fence} on {resources}, for {ttl}"
    ))?;
    out.note(format_args!(
        "renew it with `coord lease renew {id} --fence {fence}`, release it with `coord lease release {id} \
         --fence {fence}`"
    ));
    Ok(())
}

async fn check(args: CheckArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let params = LeaseCheckParams {
        lease: args.lease,
        fence: args.fence,
        resources: resources::named(&args.resources, &args.list, &shell.out)?,
        mode: mode(args.shared),
        tree: args.tree.named(shell)?,
    };
    let of_lease = args.lease.is_some();
    let show = |out: &mut Output<'_>, result: &_| show_check(out, result, of_lease);
    let result = shell.print(Operation::LeaseCheck, &params, show).await?;
    Ok(match (result.ok, of_lease) {
        (true, _) => Exit::Ok,
        (false, true) => Exit::StaleFence,
        (false, false) => Exit::Conflict,
    })
}

fn show_check(out: &mut Output<'_>, result: &LeaseCheckResult, of_lease: bool) -> io::Result<()> {
    let (word, paint) = match (result.ok, of_lease) {
        (true, true) => ("it holds", Paint::Good),
        (false, true) => ("it no longer holds", Paint::Bad),
        (true, false) => ("free", Paint::Good),
        (false, false) => ("held", Paint::Bad),
    };
    out.line(out.paint(paint, word))?;
    if result.conflicts.is_empty() {
        return Ok(());
    }
    let headings = [
        "WANTED",
        "HELD",
        "BY",
        "LEASE",
        "SINCE",
        "UNTIL",
        "BOTH MATCH",
        "NOTE",
    ];
    let mut table = Table::new(&headings);
    for conflict in &result.conflicts {
        let since = conflict.since_ms.map(|at| ago(result.now_ms, at));
        table.row(&[
            conflict.wanted.clone(),
            conflict.held.clone(),
            conflict.holder.to_string(),
            conflict.lease.to_string(),
            since.unwrap_or_default(),
            until(
                result.now_ms,
                conflict.opens_at_ms,
                conflict.expires_at_ms,
                conflict.session,
            ),
            conflict.example.clone().unwrap_or_default(),
            super::table::or_nothing(conflict.note.as_ref()),
        ]);
    }
    out.table(&table, "")?;
    if let Some(more) = result.conflicts_more {
        out.note(format_args!("and {more} more"));
    }
    Ok(())
}

/// Until when a lease is held.
fn until(
    now: JournalTime,
    opens: Option<JournalTime>,
    expires: Option<JournalTime>,
    session: Option<SessionId>,
) -> String {
    match (opens, expires, session) {
        (Some(at), _, _) => format!("holder lost, free {}", ahead(now, at)),
        (None, Some(at), _) => ahead(now, at),
        (None, None, Some(session)) => format!("session {session} ends"),
        (None, None, None) => NOTHING.to_owned(),
    }
}

fn show_list(out: &mut Output<'_>, list: &LeaseListResult) -> io::Result<()> {
    let mut headings = vec![
        "LEASE",
        "AGENT",
        "MODE",
        "SINCE",
        "UNTIL",
        "RESOURCES",
        "NOTE",
    ];
    let has_trees = list.leases.iter().any(|lease| lease.tree.is_some());
    if has_trees {
        headings.push("TREE");
    }
    let mut table = Table::new(&headings);
    for lease in &list.leases {
        let mode = match lease.mode {
            ModeParam::Exclusive => "exclusive",
            ModeParam::Shared => "shared",
        };
        let cells = [
            lease.lease.to_string(),
            lease.agent.to_string(),
            mode.to_owned(),
            ago(list.now_ms, lease.acquired_at_ms),
            until(
                list.now_ms,
                lease.opens_at_ms,
                lease.expires_at_ms,
                lease.session,
            ),
            resources::shown(&lease.resources),
            super::table::or_nothing(lease.note.as_ref()),
        ];
        if has_trees {
            let [id, agent, mode, since, until, resources, note] = cells;
            let tree = super::table::or_nothing(lease.tree.as_ref());
            table.row(&[id, agent, mode, since, until, resources, note, tree]);
        } else {
            table.row(&cells);
        }
    }
    out.table(&table, "no leases")?;
    if let Some(after) = list.next_after {
        out.note(format_args!("there are more: --after {after}"));
    }
    Ok(())
}
