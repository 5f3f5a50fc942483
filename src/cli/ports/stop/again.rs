//! Watches the port after a stop: a supervisor may restart the stopped process, at once or a moment later.
//!
//! ```text
//! stopped ──► somebody listens? ──────────────────────────────► told, exit 6
//!               no │    ▲
//!                  ▼    │ --settle
//!             the same command as before, in a new process? ──► wait until it listens, or RESTART_MS_MAX
//! ```
//!
//! A server takes longer to listen than a supervisor takes to start it. So a new process of the same command
//! extends the wait; without one, the wait is no longer than `--settle`.

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
/// How often the port is checked for each scan of all processes, which takes longer.
const LOOKS_PER_SEARCH: u32 = 5;

/// The processes before the stop, to recognise new ones.
#[derive(Debug)]
pub(super) struct Before {
    /// The stopped processes, and all others of the same command.
    stopped: Vec<(RunningProcess, BTreeSet<u32>)>,
}

/// The process that has the port again, or will soon.
#[derive(Debug, Serialize)]
pub(super) struct Again {
    /// Who listens; empty while the new process does not listen yet.
    holders: Vec<Holder>,
    /// The new process.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process>,
    /// Who started it, and which command keeps it stopped.
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

/// Watches for `settle` who has the port.
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
            (Some(holder), _) => format!("port {port} was taken again, by {holder}"),
            (None, Some(process)) => {
                format!("{process}) was restarted, and does not listen on port {port} yet")
            }
            (None, None) => format!("port {port} will soon be taken again"),
        };
        let starter = self
            .started_by
            .as_ref()
            .map_or_else(String::new, |starter| {
                let who = &starter.who;
                match &starter.stop {
                    Some(command) => format!("; {who} started it: `{command}` keeps it stopped"),
                    None if starter.is_ours => {
                        format!("; {who} started it, and also started this command")
                    }
                    None => format!("; {who} started it: stop that first"),
                }
            });
        CliError::unmet(Exit::Conflict, one_line(&format!("{who}{starter}")))
    }
}

fn starter(port: Port, pid: u32) -> Option<Starter> {
    holders::starter(Path::new(holders::PROC), pid, port.number())
}
