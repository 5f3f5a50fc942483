//! `coord ports run`: a command with reserved ports, while it runs.

use std::ffi::OsString;
use std::future;
use std::time::Duration;

use tokio::time::sleep;

use super::lease::{self, Leased, PortHold};
use super::patience::{LOOK_MS, Patience};
use super::pool::{Pool, Taken, Want, take_all};
use crate::cli::child::{self, ChildSignals, ChildSpec, Streams, Watch};
use crate::cli::duration::Millis;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::cli::shell::Shell;
use crate::edge::ports::Profile;

#[derive(Debug, clap::Args)]
pub struct PortsRunArgs {
    /// An id: the same id gets the same ports again if they are free [default with --pool: the current
    /// folder]
    #[arg(long, value_name = "NAME", required_unless_present = "pools")]
    id: Option<String>,
    /// A port of this range as PORT, or as NAME, instead of the testing profile's; may be repeated
    #[arg(long = "pool", value_name = "[NAME=]FIRST-LAST")]
    pools: Vec<Pool>,
    /// How long to wait until ports are free [default: no wait]
    #[arg(long, value_name = "DURATION")]
    wait: Option<Millis>,
    /// Also lease the ports of pools from a coordinator; fail if that is not possible
    #[arg(long, requires = "pools")]
    lease: bool,
    /// Do not lease from a coordinator, even if this user has a token
    #[arg(long, conflicts_with = "lease")]
    no_lease: bool,
    /// The host name under which this machine's ports are leased [default: its own]
    #[arg(long, value_name = "NAME", requires = "pools")]
    host: Option<String>,
    /// How long the command has between TERM and KILL when a lease is lost
    #[arg(long, value_name = "DURATION", default_value = child::KILL_AFTER_DEFAULT)]
    kill_after: Millis,
    /// When the command ends by itself, leave its background processes running
    #[arg(long)]
    keep_background: bool,
    /// The command to run
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) async fn run(args: PortsRunArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let wants = wants(&args)?;
    let mut signals = ChildSignals::new()?;
    let patience = Patience::of(args.wait);
    let Some(mut leased) = leased(&args, shell).await? else {
        let taken = tokio::select! {
            taken = take(&wants, &patience, &shell.out) => taken?,
            signal = signals.next() => return Ok(Exit::of_signal(signal as i32)),
        };
        let spec = spec(&args, &taken, Vec::new(), &shell.out);
        // The command inherits the locks, so its ports stay reserved while it is stopped.
        let watch = Watch {
            lost: future::pending(),
            ask: None,
            asked_at_ms: 0,
        };
        return child::run_while(&spec, &mut signals, watch, &shell.out).await;
    };
    let taken = tokio::select! {
        taken = leased.take_all(&wants, &patience, &shell.out) => taken,
        signal = signals.next() => {
            leased.close().await;
            return Ok(Exit::of_signal(signal as i32));
        }
    };
    let ended = match taken {
        Ok(taken) => {
            let connection = leased.variables(&shell.connection);
            let spec = spec(&args, &taken, connection, &shell.out);
            let (ask, questions) = child::questions();
            let watch = Watch {
                lost: leased.lost(questions),
                ask: Some(ask),
                asked_at_ms: 0,
            };
            child::run_while(&spec, &mut signals, watch, &shell.out).await
        }
        Err(error) => Err(error),
    };
    leased.close().await;
    ended
}

fn wants(args: &PortsRunArgs) -> Result<Vec<Want>, CliError> {
    let pools = &args.pools;
    for (i, pool) in pools.iter().enumerate() {
        if pools[..i]
            .iter()
            .any(|other| other.variable == pool.variable)
        {
            let what = format!("two pools are called {}", pool.variable);
            return Err(CliError::usage(
                what,
                "give each a name, as in --pool API_PORT=3000-3999",
            ));
        }
    }
    match &args.id {
        Some(id) if pools.is_empty() => Ok(Want::of_test(id)),
        Some(id) => Ok(pools.iter().map(|pool| Want::of_pool(pool, id)).collect()),
        None => {
            let folder = std::env::current_dir()
                .map_err(|error| CliError::input("tell the current folder", error))?;
            let id = folder.to_string_lossy();
            Ok(pools.iter().map(|pool| Want::of_pool(pool, &id)).collect())
        }
    }
}

/// The coordinator to lease from: with --lease, or if this user has a token and the coordinator answers.
async fn leased(args: &PortsRunArgs, shell: &Shell<'_>) -> Result<Option<Leased>, CliError> {
    if args.pools.is_empty() || args.no_lease {
        return Ok(None);
    }
    let host = lease::host(args.host.as_deref(), shell)?;
    if args.lease {
        return Leased::open(shell, host, PortHold::Session).await.map(Some);
    }
    if !shell.has_token()? {
        return Ok(None);
    }
    match Leased::open(shell, host, PortHold::Session).await {
        Ok(leased) => Ok(Some(leased)),
        Err(error) if error.exit() == Exit::Unreachable => {
            shell.out.note(format_args!(
                "the port is reserved on this host only: {}",
                error.summary()
            ));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn take(
    wants: &[Want],
    patience: &Patience,
    out: &Output<'_>,
) -> Result<Vec<Taken>, CliError> {
    let mut told = false;
    loop {
        let lacking = match take_all(wants)? {
            Ok(taken) => return Ok(taken),
            Err(lacking) => lacking,
        };
        patience.check(|| lacking.holders())?;
        if !told {
            out.note(format_args!("waiting: {}", lacking.lacking()));
            told = true;
        }
        sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

fn spec<'a>(
    args: &'a PortsRunArgs,
    taken: &[Taken],
    connection: Vec<(&'static str, OsString)>,
    out: &Output<'_>,
) -> ChildSpec<'a> {
    let ports = taken.iter();
    let mut told: Vec<String> = ports
        .clone()
        .map(|Taken { variable, port, .. }| format!("{variable}={port}"))
        .collect();
    told.sort();
    out.note(told.join(" "));
    let profile = args.pools.is_empty().then(|| Profile::Testing.name());
    let profile = profile.map(|name| ("COORD_PROFILE".into(), name.into()));
    let ports = ports.map(|it| (it.variable.clone().into(), it.port.to_string().into()));
    let connection = connection.into_iter();
    let connection = connection.map(|(name, value)| (name.into(), value));
    ChildSpec {
        words: &args.command,
        environment: connection.chain(ports).chain(profile).collect(),
        kill_after: args.kill_after.duration(),
        keep_background: args.keep_background,
        streams: Streams::Inherited,
    }
}
