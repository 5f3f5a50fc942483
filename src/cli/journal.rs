//! `coord journal dump | verify | repair` and `coord restore`: the state directory itself, without
//! a coordinator.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::output::Output;
use super::text::Safe;
use crate::app;
use crate::config::{Config, ConfigErrors, Environment, Flags, Invoker, settings};
use crate::engine::ids::Position;
use crate::journal::JournalError;
use crate::journal::disk::{Disk, RealDisk};
use crate::journal::inspect::{self, RepairMode, Repaired, Verification};

/// Inspects or repairs an embedded journal.
#[derive(Debug, clap::Subcommand)]
pub(super) enum JournalCommand {
    /// Prints every record as one line of JSON
    Dump {
        #[command(flatten)]
        place: StateDir,
        /// Only records after this position
        #[arg(long, value_name = "POSITION", default_value_t = 0)]
        after: u64,
    },
    /// Reads the whole journal and checks that a coordinator would start on it; changes nothing
    Verify {
        #[command(flatten)]
        place: StateDir,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Removes damaged records so that a coordinator can start; keeps a copy of every file
    Repair {
        #[command(flatten)]
        place: StateDir,
        /// Keep the readable records after the damage, although the state that they lead to never existed
        #[arg(long)]
        skip: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Fills an empty state directory from a backup, or the empty Redis that the configuration names.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreCommand {
    #[command(flatten)]
    place: StateDir,
    /// The backup, as `coord backup` made it
    #[arg(value_name = "FILE")]
    backup: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct StateDir {
    /// The folder of the journal [default: the configured one]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
}

/// Why a journal command failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalCommandError {
    #[error("the configuration is invalid")]
    Config(ConfigErrors),
    #[error("cannot open {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    StateDir(#[from] app::StateDirError),
    #[error(transparent)]
    Restore(#[from] app::RestoreError),
    #[error("cannot print")]
    Print(#[from] io::Error),
}

pub(super) fn run(
    command: &JournalCommand,
    environment: &dyn Environment,
    global_json: bool,
    out: &mut dyn Write,
) -> Result<ExitCode, JournalCommandError> {
    match command {
        JournalCommand::Dump { place, after } => {
            let disk = existing(&place.find(environment)?)?;
            inspect::dump(&disk, Position(*after), &mut Safe::json(out)).map_err(dump_failed)?;
            Ok(ExitCode::SUCCESS)
        }
        JournalCommand::Verify { place, json } => {
            let disk = existing(&place.find(environment)?)?;
            let found = inspect::verify(&disk)?;
            let json = *json || global_json;
            tell_verification(&found, json, &mut Safe::of(json, out))?;
            let whole = found.damage.is_empty();
            Ok(if whole {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        JournalCommand::Repair { place, skip, json } => {
            let disk = existing(&place.find(environment)?)?;
            let mode = if *skip {
                RepairMode::Skip
            } else {
                RepairMode::Cut
            };
            let done = inspect::repair(&disk, mode)?;
            let json = *json || global_json;
            tell_repair(&done, json, &mut Safe::of(json, out))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The reader of a dump may close the pipe early.
fn dump_failed(error: JournalError) -> JournalCommandError {
    match error {
        JournalError::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => {
            JournalCommandError::Print(source)
        }
        other => other.into(),
    }
}

/// Restores; all of it is durable when this returns.
pub(super) fn restore(
    command: &RestoreCommand,
    environment: &dyn Environment,
    out: &mut Output<'_>,
) -> Result<(), JournalCommandError> {
    let config = command.place.config(environment)?;
    let mut backup = File::open(&command.backup).map_err(|source| JournalCommandError::Open {
        path: command.backup.clone(),
        source,
    })?;
    let json = out.style().json;
    if let Some(redis) = &config.redis {
        let projects = app::restore_into_redis(&config, redis, &mut backup)?;
        let place = redis.endpoint.to_string();
        if json {
            out.json(&json!({ "projects": projects, "redis": place }))?;
        } else if !out.style().quiet {
            out.line(format_args!(
                "restored {projects} projects into Redis at {place}"
            ))?;
        }
        return Ok(());
    }
    let path = &config.state_dir;
    let disk = app::open_state_dir(path)?;
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let restored = inspect::restore(&disk, app::segment_options(&config), &mut backup)?;
    let (snapshots, records, last) = (restored.snapshots, restored.records, restored.last);
    if json {
        out.json(&json!({
            "snapshots": snapshots, "records": records, "last": last, "state_dir": path,
        }))?;
    } else if !out.style().quiet {
        let path = path.display();
        out.line(format_args!(
            "restored {snapshots} snapshots and {records} records up to position {last} into {path}"
        ))?;
    }
    out.note(
        "the next `coord serve` there creates a new operator token; the agents' tokens stay valid",
    );
    Ok(())
}

impl StateDir {
    fn config(&self, environment: &dyn Environment) -> Result<Config, JournalCommandError> {
        let mut flags = Flags::default();
        flags.set(&settings::STATE_DIR, self.state_dir.as_ref());
        Config::load(&flags, environment, Invoker::from(0)).map_err(JournalCommandError::Config)
    }

    fn find(&self, environment: &dyn Environment) -> Result<PathBuf, JournalCommandError> {
        Ok(self.config(environment)?.state_dir)
    }
}

fn existing(path: &Path) -> Result<Arc<dyn Disk>, JournalCommandError> {
    let disk = RealDisk::existing(path).map_err(|source| JournalCommandError::Open {
        path: path.to_owned(),
        source,
    })?;
    Ok(Arc::new(disk))
}

fn tell_verification(found: &Verification, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let damage: Vec<_> = found
        .damage
        .iter()
        .map(|d| json!({ "file": d.file, "offset": d.offset, "what": d.what }))
        .collect();
    if json {
        let snapshots = found.snapshots.iter();
        let value = json!({
            "ok": found.damage.is_empty(),
            "in_use_by": found.in_use_by,
            "segments": found.segments,
            "records": found.records,
            "first": found.positions.map(|(first, _)| first),
            "last": found.positions.map(|(_, last)| last),
            "snapshots": snapshots.map(|(p, at)| json!({ "project": p, "position": at })).collect::<Vec<_>>(),
            "torn_bytes": found.torn_bytes,
            "damage": damage,
        });
        return writeln!(out, "{value}");
    }
    if let Some(pid) = &found.in_use_by {
        writeln!(
            out,
            "in use by process {pid}: its newest records may look incomplete"
        )?;
    }
    write!(
        out,
        "{} records in {} segments",
        found.records, found.segments
    )?;
    match found.positions {
        Some((first, last)) => writeln!(out, ", positions {first} to {last}")?,
        None => writeln!(out)?,
    }
    for (project, position) in &found.snapshots {
        writeln!(out, "snapshot of {project} at position {position}")?;
    }
    if let Some((file, offset)) = &found.torn_at {
        let bytes = found.torn_bytes;
        writeln!(
            out,
            "{bytes} bytes of an unfinished write at byte {offset} of {file}; the next start removes them"
        )?;
    }
    for bad in &found.damage {
        writeln!(
            out,
            "DAMAGED: byte {} of {}: {}",
            bad.offset, bad.file, bad.what
        )?;
    }
    if found.damage.is_empty() {
        return writeln!(out, "whole");
    }
    writeln!(
        out,
        "a coordinator cannot start on this journal; restore a backup, or run `coord journal repair`"
    )
}

fn tell_repair(done: &Repaired, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        let value = json!({
            "kept_in": done.kept_in,
            "damage": done.damage.iter().map(|d| json!({ "file": d.file, "offset": d.offset, "what": d.what })).collect::<Vec<_>>(),
            "lost": done.lost,
            "cut_records": done.cut_records,
            "snapshots_lost": done.snapshots_lost,
        });
        return writeln!(out, "{value}");
    }
    let Some(folder) = &done.kept_in else {
        return writeln!(out, "nothing to repair");
    };
    for bad in &done.damage {
        writeln!(out, "byte {} of {}: {}", bad.offset, bad.file, bad.what)?;
    }
    for (first, last) in &done.lost {
        writeln!(out, "removed: positions {first} to {last}")?;
    }
    if done.cut_records > 0 {
        let cut = done.cut_records;
        writeln!(
            out,
            "{cut} readable records after the damage were removed too; --skip would keep them"
        )?;
    }
    for snapshot in &done.snapshots_lost {
        writeln!(out, "removed: {snapshot}")?;
    }
    writeln!(out, "copies of the files are in {folder}")
}
