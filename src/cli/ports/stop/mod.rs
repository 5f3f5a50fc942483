//! `coord ports stop`.
//!
//! ```text
//! holders ──► pidfd of each process ──► still theirs? ──► mine? ──► asked ──► TERM ──► gone? ──► back again?
//!                                                          │                 KILL ◄── no, --force
//!                                                          └──► refused: what is behind it is stopped otherwise
//! ```
//!
//! A process is pinned (a pidfd) before it is inspected. So the signal goes to the inspected process, and
//! never to a later one with the same number.

mod again;
mod refuse;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::who::{holders_of, nobody};
use crate::cli::duration::Millis;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::cli::table::{lines, one_line};
use crate::edge::holders::{self, CONTAINER, EndSignal, Handle, Holder, Process};
use crate::edge::ports::Port;
use again::{Again, Before};
use refuse::{check_stoppable, check_visible};

/// The pause between two reads of the kernel's table.
const LOOK_MS: u64 = 20;
/// How long the kernel may take to end a process after KILL.
const KILL_MS_MAX: u64 = 5_000;
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are flags, each asked for by itself"
)]
pub struct StopArgs {
    /// From 1 to 65535
    port: Port,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Send KILL to those that still listen after the wait
    #[arg(long)]
    force: bool,
    /// Also stop another user's process
    #[arg(long)]
    any_user: bool,
    /// Also stop a process that holds the port for something else, or does more than use the port: a
    /// container's proxy, a tunnel, a virtual machine, a login session, a supervisor
    ///
    /// Either the service behind the port keeps running without it, or everything else that the process does
    /// ends too.
    #[arg(long)]
    anyway: bool,
    /// How long to wait after TERM
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    wait: Millis,
    /// How long to watch for a restart; 0 checks once
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    settle: Millis,
}

/// A process to stop.
struct StopTarget {
    process: Process,
    handle: Handle,
}

pub(super) async fn run(args: StopArgs, out: &mut Output<'_>) -> Result<Exit, CliError> {
    let port = args.port;
    let found = holders_of(port)?;
    if found.is_empty() {
        return Err(nobody(port));
    }
    check_visible(port, &found)?;
    let targets = targets(&found)?;
    check_stoppable(&args, &targets)?;
    if !args.yes {
        confirm(&found, &targets, out)?;
    }
    let before = Before::of(&targets);
    let started = Instant::now();
    let how = end(&args, &found, &targets).await?;
    let after_ms = millis(started.elapsed());
    let stopped = Stopped {
        port,
        found: &found,
        how,
        after_ms,
    };
    if !out.style().json {
        stopped.tell(out)?;
    }
    let again = again::look(port, args.settle.duration(), &before).await?;
    if out.style().json {
        out.json(&stopped.json(again.as_ref()))?;
    }
    if let Some(again) = again {
        return Err(again.error(port));
    }
    tell_who_may_start_it(&targets, out);
    Ok(Exit::Ok)
}

/// Pins every process that still has one of the sockets open.
fn targets(found: &[Holder]) -> Result<Vec<StopTarget>, CliError> {
    let mut targets = BTreeMap::new();
    for holder in found {
        for process in &holder.processes {
            let pid = process.pid;
            let handle = Handle::of(pid)
                .map_err(|error| CliError::input(format!("open process {pid}"), error))?;
            let Some(handle) = handle else { continue };
            if holders::has_socket(Path::new(holders::PROC), pid, holder.inode) {
                let process = process.clone();
                targets.insert(pid, StopTarget { process, handle });
            }
        }
    }
    Ok(targets.into_values().collect())
}

/// Shows the processes, and asks.
fn confirm(found: &[Holder], targets: &[StopTarget], out: &Output<'_>) -> Result<(), CliError> {
    let held = found
        .iter()
        .map(|holder| format!("{} is held by {holder}\n", holder.address));
    let mut words: String = held.collect();
    for StopTarget { process, .. } in targets {
        words.extend([format!(
            "  process {}: {}\n",
            process.pid,
            one_line(&process.command)
        )]);
        let behind = process.behind.as_ref();
        words.extend(behind.map(|behind| format!("  it {}\n", behind.sentence())));
        words.extend(keeper_of(process).map(|(what, command)| {
            format!("  it is part of a {what}; `{command}` keeps it stopped\n")
        }));
    }
    let (stdin, mut stderr) = (io::stdin(), io::stderr());
    // A question is not JSON, and a program does not answer it.
    if !stdin.is_terminal() || out.style().json {
        let what = format!("{words}nothing was stopped: there is no terminal to ask on");
        return Err(CliError::usage(
            what,
            "give --yes to stop it without a question",
        ));
    }
    write!(stderr, "{}stop it? [y/N] ", lines(&words))?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(CliError::unmet(Exit::Failed, "nothing was stopped"))
}

/// The service that a process is part of, and the command that stops it. None for the service that this
/// command runs in: stopping that would end the user's own session.
fn keeper_of(process: &Process) -> Option<(&'static str, String)> {
    let own = holders::process(Path::new(holders::PROC), std::process::id());
    let service = process.stop_command().filter(|_| process.unit != own.unit);
    let container = process
        .behind
        .as_ref()
        .filter(|behind| behind.kind == CONTAINER);
    let container = container.and_then(|behind| behind.stop.first().cloned());
    let container = container.map(|command| ("container", command));
    container.or_else(|| service.map(|command| ("service", command)))
}

/// Signals, and waits until the sockets are gone. Returns the signal that worked.
async fn end(
    args: &StopArgs,
    found: &[Holder],
    targets: &[StopTarget],
) -> Result<EndSignal, CliError> {
    let inodes: BTreeSet<u64> = found.iter().map(|holder| holder.inode).collect();
    signal(targets, EndSignal::Term)?;
    if are_gone(args.port, &inodes, args.wait.duration()).await? {
        return Ok(EndSignal::Term);
    }
    if args.force {
        signal(targets, EndSignal::Kill)?;
        if are_gone(args.port, &inodes, Duration::from_millis(KILL_MS_MAX)).await? {
            return Ok(EndSignal::Kill);
        }
    }
    let who: Vec<String> = found.iter().map(ToString::to_string).collect();
    let (port, wait, who) = (args.port, args.wait, who.join("; "));
    let what = if args.force {
        format!("{who} still listens on port {port} after KILL")
    } else {
        format!("{who} still listens on port {port} {wait} after TERM: --force sends KILL")
    };
    Err(CliError::unmet(Exit::TimedOut, what))
}

fn signal(targets: &[StopTarget], how: EndSignal) -> Result<(), CliError> {
    for StopTarget { process, handle } in targets {
        handle.end(how).map_err(|error| {
            let what = format!("{process}): this user may not stop it: {error}");
            CliError::unmet(Exit::Denied, what)
        })?;
    }
    Ok(())
}

async fn are_gone(port: Port, inodes: &BTreeSet<u64>, limit: Duration) -> Result<bool, CliError> {
    let started = Instant::now();
    loop {
        if sockets_now(port)?.is_disjoint(inodes) {
            return Ok(true);
        }
        if started.elapsed() >= limit {
            return Ok(false);
        }
        sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

fn sockets_now(port: Port) -> Result<BTreeSet<u64>, CliError> {
    let now = holders::sockets_of_port(Path::new(holders::PROC), port.number());
    now.map_err(|error| CliError::input("read the kernel's tables of sockets", error))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The report of a stop.
struct Stopped<'a> {
    port: Port,
    found: &'a [Holder],
    how: EndSignal,
    after_ms: u64,
}

impl Stopped<'_> {
    fn tell(&self, out: &mut Output<'_>) -> io::Result<()> {
        if out.style().quiet {
            return Ok(());
        }
        let (signal, after) = (self.how.name(), Millis(self.after_ms));
        for holder in self.found {
            let address = holder.address;
            let holder = one_line(&holder.to_string());
            out.line(format_args!(
                "stopped {holder} on {address}, with {signal}, in {after}"
            ))?;
        }
        Ok(())
    }

    fn json(&self, again: Option<&Again>) -> serde_json::Value {
        json!({
            "port": self.port,
            "stopped": self.found,
            "signal": self.how.name(),
            "after_ms": self.after_ms,
            "restarted_by": again,
        })
    }
}

/// No restart was seen, but a service manager may restart it later.
fn tell_who_may_start_it(targets: &[StopTarget], out: &Output<'_>) {
    let keepers = targets
        .iter()
        .filter_map(|target| keeper_of(&target.process));
    for (what, command) in keepers.collect::<BTreeSet<_>>() {
        out.note(format_args!(
            "it was part of a {what}; `{command}` keeps it stopped"
        ));
    }
}
