//! `coord install`: makes a systemd service of the program, or undoes that.

mod choices;
mod commands;
mod plan;
mod prepare;
mod steps;
mod system;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use crate::config::Environment;
use crate::edge::nft;
use plan::{FileAction, InstallPlan};

/// What `coord install` is given.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are flags, each asked for by itself"
)]
pub(super) struct InstallArgs {
    /// Take the installation back; configuration, state and user stay
    #[arg(long)]
    uninstall: bool,
    /// Only print what would be done
    #[arg(long)]
    dry_run: bool,
    /// Start it, or restart it when something has changed since it was started; for --uninstall that is always so
    #[arg(long, conflicts_with = "root")]
    now: bool,
    /// Switch the firewall on too; with --now only if `coord firewall check` finds nothing wrong
    #[arg(long, conflicts_with = "uninstall")]
    firewall: bool,
    /// Install into a system that is not running: the root folder of an image
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The folder below which program and units go; /usr for packages and images
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
}

pub(super) fn run(
    args: &InstallArgs,
    environment: &dyn Environment,
    out: &mut Output<'_>,
) -> Result<Exit, CliError> {
    check(args)?;
    let plan = if args.uninstall {
        prepare::uninstall(args)?
    } else {
        prepare::install(args, environment)?
    };
    if !args.dry_run {
        steps::carry_out(&plan)?;
    }
    report(args, &plan, out)?;
    Ok(Exit::Ok)
}

/// Before anything is looked at: what could never work.
fn check(args: &InstallArgs) -> Result<(), CliError> {
    if !args.prefix.is_absolute() {
        let what = format!("--prefix {} is not an absolute path", args.prefix.display());
        return Err(CliError::usage(what, "give it as it will be on the system"));
    }
    if let Some(root) = &args.root {
        if !root.is_dir() {
            let what = format!("--root {} is not a folder", root.display());
            return Err(CliError::usage(
                what,
                "name the root folder of an unpacked system",
            ));
        }
    } else if !args.dry_run && !Path::new("/run/systemd/system").is_dir() {
        let what = "systemd does not run here";
        let next = "use --root DIR for a system that is not running, or start `coord serve` with \
                    what runs services here";
        return Err(CliError::usage(what, next));
    }
    Ok(())
}

fn report(args: &InstallArgs, plan: &InstallPlan, out: &mut Output<'_>) -> io::Result<()> {
    if out.style().json {
        let files: Vec<_> = plan
            .files
            .iter()
            .map(|file| json!({ "path": file.path, "action": file.action.word() }))
            .collect();
        let commands: Vec<String> = plan.commands().map(|command| command.join(" ")).collect();
        return out.json(&json!({
            "dry_run": args.dry_run,
            "files": files,
            "commands": commands,
        }));
    }
    // What was done is told as a sentence is; what would be done was asked for.
    if out.style().quiet && !args.dry_run {
        return Ok(());
    }
    for file in &plan.files {
        let word = file.action.word();
        out.line(format_args!("{word:<9} {}", file.path.display()))?;
    }
    for command in plan.commands() {
        out.line(format_args!("{:<9} {}", "run", command.join(" ")))?;
    }
    if args.dry_run {
        out.note("nothing was done: --dry-run");
        return Ok(());
    }
    out.note(next(args, plan));
    Ok(())
}

/// What to do next, or what is left.
fn next(args: &InstallArgs, plan: &InstallPlan) -> &'static str {
    let changed = plan.files.iter().any(|file| {
        !matches!(
            file.action,
            FileAction::Same | FileAction::Absent | FileAction::Keep
        )
    });
    let changed = changed || (args.now && plan.restarts());
    match (args.uninstall, changed) {
        (true, true) if args.root.is_none() && Path::new(nft::RUNTIME_DIR).exists() => {
            "left as they are: /etc/coord, /etc/credstore, /var/lib/coord, /var/lib/coord-firewall, user \
             coord; the firewall's rules too, until the next start or `nft delete table inet coord`"
        }
        (true, true) => {
            "left as they are: /etc/coord, /etc/credstore, /var/lib/coord, /var/lib/coord-firewall, user coord"
        }
        (true, false) => "it was not installed",
        (false, false) => "all of it was there already",
        (false, true) if args.root.is_some() => {
            "it starts with the system; see /etc/coord/coord.toml"
        }
        (false, true) if args.now => {
            "it runs: `systemctl status coord`; its settings are in /etc/coord/coord.toml"
        }
        (false, true) => "look at /etc/coord/coord.toml, then `coord install --now`",
    }
}
