//! `coord ports stop`.
//!
//! ```text
//! holders ──► grip on each process ──► still theirs? ──► mine? ──► asked ──► TERM ──► gone?
//!                                                                            KILL ◄── no, --force
//! ```
//!
//! The grip comes before the look: what is signalled is the very process that was looked at, and not
//! a later one that happens to have got its number.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use nix::unistd::geteuid;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::who::{holders_of, nobody};
use crate::cli::duration::Millis;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::holders::{self, End, Handle, Holder, Process};
use crate::ports::Port;

/// The pause between two looks at the kernel's table.
const LOOK_MS: u64 = 20;
/// How long the kernel may take to end a process that cannot refuse.
const KILL_MS_MAX: u64 = 5_000;
/// Number of the process that the kernel starts; systemd listens for others there.
const INIT: u32 = 1;

#[derive(Debug, clap::Args)]
pub struct StopArgs {
    /// From 1 to 65535
    port: Port,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// KILL those that still listen after the wait
    #[arg(long)]
    force: bool,
    /// Stop what another user runs, too
    #[arg(long)]
    any_user: bool,
    /// How long to wait after TERM
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    wait: Millis,
}

/// A process to stop.
struct Target {
    process: Process,
    handle: Handle,
}

pub(super) async fn run(args: StopArgs, out: &mut Output<'_>) -> Result<Exit, CliError> {
    let port = args.port;
    let found = holders_of(port)?;
    if found.is_empty() {
        return Err(nobody(port));
    }
    check_visible(&found)?;
    let targets = targets(&found)?;
    check_stoppable(&targets, args.any_user)?;
    if !args.yes {
        confirm(&found, &targets)?;
    }
    let started = Instant::now();
    let how = end(&args, &found, &targets).await?;
    let after_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    report(port, &found, how, after_ms, out)?;
    check_free(port, &targets)
}

/// Who cannot be seen cannot be stopped.
fn check_visible(found: &[Holder]) -> Result<(), CliError> {
    let unseen = found.iter().find(|holder| holder.processes.is_empty());
    unseen.map_or(Ok(()), |holder| {
        let address = holder.address;
        let what = format!("{address} is held by {holder}: only that user and root can stop it");
        Err(CliError::unmet(Exit::Denied, what))
    })
}

/// A grip on every process that still has one of the sockets open.
fn targets(found: &[Holder]) -> Result<Vec<Target>, CliError> {
    let mut targets = BTreeMap::new();
    for holder in found {
        for process in &holder.processes {
            let pid = process.pid;
            let handle = Handle::of(pid)
                .map_err(|error| CliError::input(format!("take hold of process {pid}"), error))?;
            let Some(handle) = handle else { continue };
            if holders::has_socket(Path::new(holders::PROC), pid, holder.inode) {
                let process = process.clone();
                targets.insert(pid, Target { process, handle });
            }
        }
    }
    Ok(targets.into_values().collect())
}

fn check_stoppable(targets: &[Target], any_user: bool) -> Result<(), CliError> {
    let own = geteuid().as_raw();
    for Target { process, .. } in targets {
        let (pid, user_id) = (process.pid, process.user_id);
        if pid == INIT {
            let what = "the first process of this system listens there, as systemd does for its \
                        .socket units: stop the unit that `systemctl list-sockets` names";
            return Err(CliError::unmet(Exit::Denied, what));
        }
        if user_id != own && !any_user {
            let what = format!(
                "{process}) runs as user {user_id}, not as you: --any-user stops it all the same"
            );
            return Err(CliError::unmet(Exit::Denied, what));
        }
        if pid == std::process::id() {
            return Err(CliError::unmet(Exit::Denied, "that is this command itself"));
        }
    }
    Ok(())
}

/// Names whom it is about, and asks.
fn confirm(found: &[Holder], targets: &[Target]) -> Result<(), CliError> {
    let held = found
        .iter()
        .map(|holder| format!("{} is held by {holder}\n", holder.address));
    let mut words: String = held.collect();
    for Target { process, .. } in targets {
        words.extend([format!("  process {}: {}\n", process.pid, process.command)]);
        words.extend(
            service_of(process).map(|command| {
                format!("  it is part of a service; `{command}` keeps it stopped\n")
            }),
        );
    }
    let (stdin, mut stderr) = (io::stdin(), io::stderr());
    if !stdin.is_terminal() {
        let what = format!("{words}nothing was stopped: there is no terminal to ask at");
        return Err(CliError::usage(
            what,
            "say --yes to stop it without a question",
        ));
    }
    write!(stderr, "{words}stop it? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(CliError::unmet(Exit::Failed, "nothing was stopped"))
}

/// The command that stops the service of a process; none for the service this command is run in,
/// which is how its user came here.
fn service_of(process: &Process) -> Option<String> {
    let own = holders::process(Path::new(holders::PROC), std::process::id());
    process.stop_command().filter(|_| process.unit != own.unit)
}

/// Signals, and waits until the sockets are gone; with which signal they went.
async fn end(args: &StopArgs, found: &[Holder], targets: &[Target]) -> Result<End, CliError> {
    let inodes: BTreeSet<u64> = found.iter().map(|holder| holder.inode).collect();
    signal(targets, End::Term)?;
    if are_gone(args.port, &inodes, args.wait.duration()).await? {
        return Ok(End::Term);
    }
    if args.force {
        signal(targets, End::Kill)?;
        if are_gone(args.port, &inodes, Duration::from_millis(KILL_MS_MAX)).await? {
            return Ok(End::Kill);
        }
    }
    let who: Vec<String> = found.iter().map(ToString::to_string).collect();
    let (port, wait, who) = (args.port, args.wait, who.join("; "));
    let what = if args.force {
        format!("{who} still listens on port {port}, although it was sent KILL")
    } else {
        format!("{who} still listens on port {port} {wait} after TERM: --force kills it")
    };
    Err(CliError::unmet(Exit::TimedOut, what))
}

fn signal(targets: &[Target], how: End) -> Result<(), CliError> {
    for Target { process, handle } in targets {
        handle.end(how).map_err(|error| {
            let what = format!("{process}) may not be stopped by this user: {error}");
            CliError::unmet(Exit::Denied, what)
        })?;
    }
    Ok(())
}

async fn are_gone(port: Port, inodes: &BTreeSet<u64>, limit: Duration) -> Result<bool, CliError> {
    let started = Instant::now();
    loop {
        let now = holders::sockets_of_port(Path::new(holders::PROC), port.number());
        let now =
            now.map_err(|error| CliError::input("read the kernel's tables of sockets", error))?;
        if now.is_disjoint(inodes) {
            return Ok(true);
        }
        if started.elapsed() >= limit {
            return Ok(false);
        }
        sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

fn report(
    port: Port,
    found: &[Holder],
    how: End,
    after_ms: u64,
    out: &mut Output<'_>,
) -> io::Result<()> {
    let signal = how.name();
    if out.style().json {
        let stopped = json!({
            "port": port, "stopped": found, "signal": signal, "after_ms": after_ms,
        });
        return out.json(&stopped);
    }
    for holder in found {
        let (address, after) = (holder.address, Millis(after_ms));
        out.line(format_args!(
            "stopped {holder} on {address}, with {signal}, in {after}"
        ))?;
    }
    Ok(())
}

/// Whether the port is free now: what was stopped may have been started again at once.
fn check_free(port: Port, targets: &[Target]) -> Result<Exit, CliError> {
    let now = holders_of(port)?;
    let Some(holder) = now.first() else {
        return Ok(Exit::Ok);
    };
    let service = targets
        .iter()
        .find_map(|target| service_of(&target.process));
    let hint = service.map_or_else(String::new, |command| {
        format!("; a service is started again unless it is stopped by `{command}`")
    });
    let what = format!("port {port} has been taken again, by {holder}{hint}");
    Err(CliError::unmet(Exit::Conflict, what))
}
