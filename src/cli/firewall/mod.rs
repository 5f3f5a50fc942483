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

/// Generates nftables rules from the configuration, applies and checks them.
#[derive(Debug, clap::Subcommand)]
pub(super) enum FirewallCommand {
    /// Prints the rules as `nft -f` reads them; with --json as `nft -j -f` does
    ///
    /// Needs no privileges and reads only the configuration; with `firewall.default_drop` and no
    /// `firewall.ssh_ports` it also reads the SSH server's configuration.
    Render(PolicyArgs),
    /// Asks nft and the kernel whether they would accept the rules; changes nothing
    ///
    /// Also reports an unknown interface, and rules that would cut off this session.
    Check {
        #[command(flatten)]
        policy: PolicyArgs,
        #[command(flatten)]
        careful: CarefulArgs,
    },
    /// Shows what other programs changed in the loaded rules, and what `apply` would change
    ///
    /// Exits with 0 when `apply` would change nothing, with 1 otherwise.
    Diff {
        #[command(flatten)]
        policy: PolicyArgs,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Loads the rules in one step; does nothing if they are loaded already
    ///
    /// Changes only the table `inet coord`. Counters keep their values; open connections stay open if the
    /// rules allow them. Exits with 6 when the rules would cut off the session it runs in, or when an earlier
    /// change still waits for confirmation. Without --confirm the rules are confirmed at once.
    Apply(change::ApplyArgs),
    /// Loads the rules last confirmed, as at boot; for coord-firewall.service
    ///
    /// Loads the rules of the configuration if it has not changed since they were confirmed, or if none were
    /// confirmed yet. If the configuration yields no rules, it loads the rules last confirmed, and does not
    /// exit with 0.
    Boot {
        #[command(flatten)]
        place: PlaceArgs,
        #[command(flatten)]
        policy: PolicyArgs,
    },
    /// Keeps the rules that `apply --confirm` loaded, also after a reboot
    ///
    /// Exits with 5 when no change waits for confirmation.
    Confirm {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Deletes the rules, and forgets which rules were confirmed
    ///
    /// The next start of coord-firewall.service loads the rules of the configuration again. `systemctl
    /// disable coord-firewall.service` prevents that.
    Remove {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Shows which rules are loaded, whether they match the configuration, and the counters
    ///
    /// Exits with 0 when the loaded rules match the configuration, with 1 otherwise.
    Status(status::StatusArgs),
    /// Opens the ports that agents have leased, for as long as they hold the lease
    ///
    /// Needs `firewall.default_drop`. Opens only ports in `firewall.lease_ports`, and only to sources that
    /// may reach the agents' port. A port closes when its lease ends, or after --keep if this command does
    /// not run again.
    Leases(leases::LeasesArgs),
    /// Waits, and undoes a change that was not confirmed
    #[command(hide = true)]
    Revert(change::RevertArgs),
}

/// Which rules.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PolicyArgs {
    /// Drop all traffic that no rule allows
    #[arg(long)]
    default_drop: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Where the state of the applied rules is.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PlaceArgs {
    /// The folder for the applied rules, accessible only to root [default: `/run/coord-firewall`]
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// The folder for the rules last confirmed, accessible only to root [default: `/var/lib/coord-firewall`]
    #[arg(long, value_name = "DIR")]
    kept_dir: Option<PathBuf>,
}

/// What is refused by default.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CarefulArgs {
    /// Load the rules even if they would cut off this session
    #[arg(long)]
    cut_off: bool,
    /// Load the rules even if an interface of firewall.interfaces does not exist yet, as at boot
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

/// The configuration, with the firewall flags of the command line.
fn config(args: PolicyArgs, shell: &Shell<'_>) -> Result<FirewallConfig, CliError> {
    let flags = args.flags;
    let (mut config, warnings) = FirewallConfig::load(&flags, shell.environment)?;
    for warning in &warnings {
        shell.out.note(format_args!("warning: {warning}"));
    }
    if FirewallConfig::file(&flags, shell.environment).is_none() {
        shell.out.note(format_args!(
            "there is no configuration file: using the rules of the {} profile",
            config.profile.name()
        ));
    }
    config.default_drop |= args.default_drop;
    Ok(config)
}

/// The policy; prints a warning for each setting that has no effect.
fn policy(config: &FirewallConfig, shell: &Shell<'_>) -> Result<Policy, CliError> {
    let (policy, remarks) = Policy::of(config, &session::ssh_ports(Path::new(SSH_FOLDER)))?;
    for remark in remarks {
        shell.out.note(format_args!("warning: {remark}"));
    }
    Ok(policy)
}

/// The policy's rules. Only the configuration decides whether they are confirmed: a machine whose SSH server
/// moves to another port must still load its rules at boot.
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

/// The shortest and the longest time to wait for a confirmation.
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
