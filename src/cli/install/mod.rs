//! `coord install`: installs the program as a systemd service, or uninstalls it.

mod choices;
mod commands;
mod plan;
mod prepare;
mod steps;
mod system;
mod user;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use crate::config::Environment;
use crate::edge::nft;
use plan::{FileAction, InstallPlan};

/// The arguments of `coord install`.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are flags, each asked for by itself"
)]
pub(super) struct InstallArgs {
    /// Uninstall; configuration, state and user stay
    #[arg(long)]
    uninstall: bool,
    /// Print what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Install for the user who runs this: below ~/.local, run by systemd's user manager
    #[arg(long, conflicts_with_all = ["root", "prefix", "firewall"])]
    user: bool,
    /// Start the service, or restart it if something changed since it started; --uninstall always stops it
    #[arg(long, conflicts_with = "root")]
    now: bool,
    /// Enable the firewall too; with --now only if `coord firewall check` finds no problem
    #[arg(long, conflicts_with = "uninstall")]
    firewall: bool,
    /// Install into a system that is not running, such as the root folder of an image
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The folder for program and units; /usr for packages and images
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
}

pub(super) fn run(
    args: &InstallArgs,
    environment: &dyn Environment,
    out: &mut Output<'_>,
) -> Result<Exit, CliError> {
    check(args, environment)?;
    let plan = match (args.user, args.uninstall) {
        (false, false) => prepare::install(args, environment)?,
        (false, true) => prepare::uninstall(args)?,
        (true, false) => user::install(args, environment)?,
        (true, true) => user::uninstall(environment)?,
    };
    if !args.dry_run {
        steps::carry_out(&plan)?;
    }
    report(args, &plan, out)?;
    Ok(Exit::Ok)
}

/// Installs and starts a coordinator for the user who runs this.
pub(super) fn start_for_user(environment: &dyn Environment) -> Result<(), CliError> {
    user::start(environment)
}

impl InstallArgs {
    /// Those of `coord install --user --now`.
    fn of_user() -> Self {
        Self {
            uninstall: false,
            dry_run: false,
            user: true,
            now: true,
            firewall: false,
            root: None,
            prefix: PathBuf::new(),
        }
    }
}

/// Refuses arguments that can never work, before anything is read.
fn check(args: &InstallArgs, environment: &dyn Environment) -> Result<(), CliError> {
    if args.user {
        return if args.dry_run {
            Ok(())
        } else {
            user::check(environment)
        };
    }
    if !args.prefix.is_absolute() {
        let what = format!("--prefix {} is not an absolute path", args.prefix.display());
        return Err(CliError::usage(
            what,
            "give the absolute path that it will have on the system",
        ));
    }
    if let Some(root) = &args.root {
        if !root.is_dir() {
            let what = format!("--root {} is not a folder", root.display());
            return Err(CliError::usage(
                what,
                "give the root folder of an unpacked system",
            ));
        }
    } else if !args.dry_run && !Path::new("/run/systemd/system").is_dir() {
        let what = "systemd does not run on this machine";
        let next = "use --root DIR for a system that is not running, or start `coord serve` with this machine's \
                    service manager";
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
    // What was done is a note, which --quiet hides; a dry run is the result itself.
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
    if args.user {
        return match (args.uninstall, changed) {
            (true, true) => "not removed: the state in ~/.local/state/coord",
            (true, false) => "it was not installed",
            (false, false) => "everything was installed already",
            (false, true) if args.now => {
                "it runs while you are logged in: `systemctl --user status coord`; `loginctl enable-linger` keeps it \
                 running afterwards"
            }
            (false, true) => "start it with `coord install --user --now`",
        };
    }
    match (args.uninstall, changed) {
        (true, true) if args.root.is_none() && Path::new(nft::RUNTIME_DIR).exists() => {
            "not removed: /etc/coord, /etc/credstore, /var/lib/coord, /var/lib/coord-firewall, user coord; the \
             loaded firewall rules stay until the next boot or `nft delete table inet coord`"
        }
        (true, true) => {
            "not removed: /etc/coord, /etc/credstore, /var/lib/coord, /var/lib/coord-firewall, user coord"
        }
        (true, false) => "it was not installed",
        (false, false) => "everything was installed already",
        (false, true) if args.root.is_some() => {
            "it starts at boot; its settings are in /etc/coord/coord.toml"
        }
        (false, true) if args.now => {
            "it runs: `systemctl status coord`; its settings are in /etc/coord/coord.toml"
        }
        (false, true) => "check /etc/coord/coord.toml, then run `coord install --now`",
    }
}
