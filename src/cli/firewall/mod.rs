//! `coord firewall`: rules from the configuration, on this box.

mod boot;
mod change;
mod leases;
mod rules;
mod status;

use std::path::{Path, PathBuf};

use super::duration::Millis;
use super::error::CliError;
use super::exit::Exit;
use super::input::check_place;
use super::shell::Shell;
use crate::config::{FirewallConfig, Flags};
use crate::edge::firewall::Policy;
use crate::edge::nft::{Folder, Keep, RUNTIME_DIR, Rules, STATE_DIR, session};
use crate::edge::ports::Port;

/// Where the SSH server of this box is configured.
const SSH_FOLDER: &str = "/etc/ssh";
/// What systemd calls the folder of `RuntimeDirectory=`; several, joined by colons, are possible.
const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";
/// The same of `StateDirectory=`.
const STATE_DIRECTORY: &str = "STATE_DIRECTORY";
/// Where SSH is taken to be when it is asked what the configuration alone comes to.
const ANY_SSH_PORT: u16 = 22;

/// Makes nftables rules from the configuration, and looks after them.
#[derive(Debug, clap::Subcommand)]
pub(super) enum FirewallCommand {
    /// Prints the rules as `nft -f` reads them; with --json as `nft -j -f` does
    ///
    /// Needs no privileges and looks at nothing but the configuration; a closed box that names no
    /// `firewall.ssh_ports` takes them from the SSH server's.
    Render(PolicyArgs),
    /// Asks nft and the kernel whether they would take the rules; changes nothing
    ///
    /// Also says whether an interface is unknown, and whether the rules would cut off this session.
    Check {
        #[command(flatten)]
        policy: PolicyArgs,
        #[command(flatten)]
        careful: CarefulArgs,
    },
    /// Shows what others changed in the loaded rules, and what applying would change
    ///
    /// Exits with 0 when nothing would change, with 1 when something would.
    Diff {
        #[command(flatten)]
        policy: PolicyArgs,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Loads the rules in one step; does nothing when they are loaded already
    ///
    /// Only the table `inet coord` is touched. What counters counted is kept, open connections stay open
    /// as long as the rules allow them. Exits with 6 when it would cut off the session it is run from, or
    /// an earlier change waits for its confirmation. Without --confirm the rules are confirmed at once.
    Apply(change::ApplyArgs),
    /// Loads what a start of the box loads: the rules last confirmed; for coord-firewall.service
    ///
    /// Those are the configuration's as long as nobody has changed it since they were confirmed, and when
    /// nothing was confirmed yet. Exits with another code than 0 when the configuration makes no rules,
    /// and loads those last confirmed all the same.
    Boot {
        #[command(flatten)]
        place: PlaceArgs,
        #[command(flatten)]
        policy: PolicyArgs,
    },
    /// Keeps what `apply --confirm` loaded, over a reboot too
    ///
    /// Exits with 5 when nothing waits for a confirmation.
    Confirm {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Deletes the rules, and forgets which were confirmed
    ///
    /// The next start of coord-firewall.service is a first one: it loads what the configuration asks for.
    /// `systemctl disable coord-firewall.service` keeps it from that.
    Remove {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Tells what is loaded, whether it is what it should be, and what the counters counted
    ///
    /// Exits with 0 when the loaded rules are those of the configuration, with 1 when they are not.
    Status(status::StatusArgs),
    /// Opens the ports that agents hold leases on, for as long as they hold them
    ///
    /// Only on a closed box, and only ports of `firewall.lease_ports`, to whom the agents' port is open.
    /// A port closes when its lease ends, and within --keep when this command is not run again.
    Leases(leases::LeasesArgs),
    /// Waits, and undoes a change that nobody confirmed
    #[command(hide = true)]
    Revert(change::RevertArgs),
}

/// Which rules.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PolicyArgs {
    /// A closed box: drop whatever no rule lets in
    #[arg(long)]
    default_drop: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Where the state of what was applied is.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PlaceArgs {
    /// The folder for what was applied, which only root enters [default: `/run/coord-firewall`]
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// The folder for the rules last confirmed, which only root enters [default: `/var/lib/coord-firewall`]
    #[arg(long, value_name = "DIR")]
    kept_dir: Option<PathBuf>,
}

/// What is refused unless it is asked for.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CarefulArgs {
    /// Go on even if the rules would cut off the session this is run from
    #[arg(long)]
    cut_off: bool,
    /// Go on even if an interface of firewall.interfaces is not there yet, as when the box starts
    #[arg(long)]
    missing_interfaces: bool,
}

pub(super) async fn run(command: FirewallCommand, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    match command {
        FirewallCommand::Render(args) => rules::render(args, shell),
        FirewallCommand::Check { policy, careful } => rules::check(policy, &careful, shell).await,
        FirewallCommand::Diff { policy, place } => rules::diff(policy, &place, shell).await,
        FirewallCommand::Apply(args) => change::apply(args, shell).await,
        FirewallCommand::Boot { place, policy } => boot::run(policy, &place, shell).await,
        FirewallCommand::Confirm { place } => change::confirm(&place, shell).await,
        FirewallCommand::Remove { place } => change::remove(&place, shell).await,
        FirewallCommand::Status(args) => status::run(args, shell).await,
        FirewallCommand::Leases(args) => leases::run(args, shell).await,
        FirewallCommand::Revert(args) => change::revert(&args, shell).await,
    }
}

/// The configuration, with what the command line says of the firewall.
fn config(args: PolicyArgs, shell: &Shell<'_>) -> Result<FirewallConfig, CliError> {
    let flags = args.flags;
    let (mut config, warnings) = FirewallConfig::load(&flags, shell.environment)?;
    for warning in &warnings {
        shell.out.note(format_args!("warning: {warning}"));
    }
    if FirewallConfig::file(&flags, shell.environment).is_none() {
        shell.out.note(format_args!(
            "there is no configuration file: these are the rules of the {} profile",
            config.profile.name()
        ));
    }
    config.default_drop |= args.default_drop;
    Ok(config)
}

/// The policy; what it makes of idle settings is told.
fn policy(config: &FirewallConfig, shell: &Shell<'_>) -> Result<Policy, CliError> {
    let (policy, remarks) = Policy::of(config, &session::ssh_ports(Path::new(SSH_FOLDER)))?;
    for remark in remarks {
        shell.out.note(format_args!("warning: {remark}"));
    }
    Ok(policy)
}

/// The policy's rules. Whether they are confirmed is a matter of the configuration alone: a box whose SSH
/// moves to another port may be started again without anybody's asking.
fn rules(config: &FirewallConfig, policy: &Policy) -> Rules {
    let ruleset = policy.ruleset();
    let any_ssh_port: Vec<Port> = Port::new(ANY_SSH_PORT).into_iter().collect();
    let on_any_box = Policy::of(config, &any_ssh_port);
    let on_any_box = on_any_box.map_or_else(|_| policy.ruleset(), |(policy, _)| policy.ruleset());
    Rules::of(&ruleset, &on_any_box)
}

/// The rules that the configuration makes.
fn wanted(config: &FirewallConfig, shell: &Shell<'_>) -> Result<Rules, CliError> {
    Ok(rules(config, &policy(config, shell)?))
}

fn folder(place: &PlaceArgs, shell: &Shell<'_>) -> Result<Folder, CliError> {
    let path = folder_path(place, shell);
    check_place(&path)?;
    Ok(Folder::open(&path)?)
}

fn folder_path(place: &PlaceArgs, shell: &Shell<'_>) -> PathBuf {
    path(
        place.runtime_dir.as_ref(),
        RUNTIME_DIRECTORY,
        RUNTIME_DIR,
        shell,
    )
}

fn keep(place: &PlaceArgs, shell: &Shell<'_>) -> Keep {
    Keep::at(&path(
        place.kept_dir.as_ref(),
        STATE_DIRECTORY,
        STATE_DIR,
        shell,
    ))
}

fn path(given: Option<&PathBuf>, variable: &str, default: &str, shell: &Shell<'_>) -> PathBuf {
    let of_systemd = || shell.environment.variable(variable).ok().flatten();
    let first = |folders: String| folders.split(':').next().map(PathBuf::from);
    given
        .cloned()
        .or_else(|| of_systemd().and_then(first))
        .unwrap_or_else(|| PathBuf::from(default))
}

/// The shortest and the longest time that a confirmation may be waited for.
const CONFIRM_MS_MIN: u64 = 1_000;
const CONFIRM_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

fn confirm_time(text: &str) -> Result<Millis, String> {
    let time: Millis = text.parse().map_err(|error| format!("{error}"))?;
    if (CONFIRM_MS_MIN..=CONFIRM_MS_MAX).contains(&time.0) {
        return Ok(time);
    }
    Err(format!(
        "use a time from {} to {}",
        Millis(CONFIRM_MS_MIN),
        Millis(CONFIRM_MS_MAX)
    ))
}
