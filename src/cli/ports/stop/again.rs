//! A look at the port after a stop: a supervisor may start what was stopped again, at once or a moment later.
//!
//! ```text
//! stopped ──► somebody listens? ──────────────────────────────► told, exit 6
//!               no │    ▲
//!                  ▼    │ --settle
//!             the same command as before, in a new process? ──► wait until it listens, or RESTART_MS_MAX
//! ```
//!
//! A server takes longer to come up than a supervisor takes to start it. So the new process counts, and a port that
//! nobody is about to take costs no more than `--settle`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{LOOK_MS, StopTarget, millis, sockets_now};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::ports::who::holders_of;
use crate::cli::table::one_line;
use crate::edge::holders::{self, Holder, Process, RunningProcess, Starter};
use crate::edge::ports::Port;

/// How long a new process of the same command may take to listen.
const RESTART_MS_MAX: u64 = 5_000;
/// Looks at the port for each look at all processes, which takes longer.
const LOOKS_PER_SEARCH: u32 = 5;

/// What ran before the stop, so that what comes after can be told apart.
#[derive(Debug)]
pub(super) struct Before {
    /// What was stopped, and everybody who ran the same.
    stopped: Vec<(RunningProcess, BTreeSet<u32>)>,
}

/// Who has the port again, or is about to.
#[derive(Debug, Serialize)]
pub(super) struct Again {
    /// Who listens; empty while the new process has not got so far.
    holders: Vec<Holder>,
    /// The new process.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process>,
    /// Who started it, and what keeps it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_by: Option<Starter>,
    /// After the stop.
    after_ms: u64,
}

impl Before {
    pub(super) fn of(targets: &[StopTarget]) -> Self {
        let proc = Path::new(holders::PROC);
        let stopped = targets.iter().filter_map(|target| {
            let running = RunningProcess::of(proc, target.process.pid)?;
            let pids = running.all(proc);
            Some((running, pids))
        });
        Self {
            stopped: stopped.collect(),
        }
    }

    /// A process of the same command that was not there before.
    fn successor(&self) -> Option<u32> {
        let proc = Path::new(holders::PROC);
        self.stopped.iter().find_map(|(running, before)| {
            let now = running.all(proc);
            now.difference(before).next().copied()
        })
    }
}

/// Looks for as long as `settle` at who has the port.
pub(super) async fn look(
    port: Port,
    settle: Duration,
    before: &Before,
) -> Result<Option<Again>, CliError> {
    let started = Instant::now();
    let limit = Duration::from_millis(RESTART_MS_MAX).max(settle);
    let mut successor = None;
    let mut looks: u32 = 0;
    loop {
        let elapsed = started.elapsed();
        if !sockets_now(port)?.is_empty() {
            let found = holders_of(port)?;
            if !found.is_empty() {
                return Ok(Some(Again::listening(port, found, elapsed)));
            }
        }
        let is_last = elapsed >= settle;
        let is_due = looks.is_multiple_of(LOOKS_PER_SEARCH) || (is_last && successor.is_none());
        if is_due && !settle.is_zero() {
            successor = before.successor();
        }
        looks = looks.wrapping_add(1);
        match successor {
            Some(pid) if elapsed >= limit => return Ok(Some(Again::coming(port, pid, elapsed))),
            None if is_last => return Ok(None),
            _ => sleep(Duration::from_millis(LOOK_MS)).await,
        }
    }
}

impl Again {
    fn listening(port: Port, holders: Vec<Holder>, after: Duration) -> Self {
        let process = holders
            .iter()
            .find_map(|holder| holder.processes.first())
            .cloned();
        Self {
            started_by: process
                .as_ref()
                .and_then(|process| starter(port, process.pid)),
            process,
            holders,
            after_ms: millis(after),
        }
    }

    fn coming(port: Port, pid: u32, after: Duration) -> Self {
        Self {
            holders: Vec::new(),
            process: Some(holders::process(Path::new(holders::PROC), pid)),
            started_by: starter(port, pid),
            after_ms: millis(after),
        }
    }

    /// What happened, who did it, and what to do about it.
    pub(super) fn error(&self, port: Port) -> CliError {
        let who = match (self.holders.first(), &self.process) {
            (Some(holder), _) => format!("port {port} has been taken again, by {holder}"),
            (None, Some(process)) => {
                format!("{process}) was started again, and does not listen on port {port} yet")
            }
            (None, None) => format!("port {port} is about to be taken again"),
        };
        let starter = self
            .started_by
            .as_ref()
            .map_or_else(String::new, |starter| {
                let who = &starter.who;
                match &starter.stop {
                    Some(command) => format!("; {who} started it: `{command}` keeps it stopped"),
                    None if starter.is_ours => format!("; {who} started it, and this command too"),
                    None => format!("; {who} started it: stop that first"),
                }
            });
        CliError::unmet(Exit::Conflict, one_line(&format!("{who}{starter}")))
    }
}

fn starter(port: Port, pid: u32) -> Option<Starter> {
    holders::starter(Path::new(holders::PROC), pid, port.number())
}
