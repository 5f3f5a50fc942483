//! `coord self-test`: tests every part on this machine, and describes the machine.

use std::io;
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::exit::Exit;
use super::output::{Output, Paint};
use super::shell::Shell;
use super::table::Table;
use crate::config::{Config, Environment, Flags, Invoker};
use crate::edge::self_test::{self, CheckState, Machine, Plan, Report};

/// Where the test folder goes if there is no better place.
const FOLDERS: &[&str] = &["/var/tmp", "/tmp"];

const MIB: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct SelfTestArgs {
    /// Create the test folder here; its storage is measured [default: beside the state directory, or in
    /// /var/tmp or /tmp]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn run(args: SelfTestArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let environment: &dyn Environment = shell.environment;
    let config = Config::load(&args.flags, environment, Invoker::current())?;
    for warning in &config.warnings {
        shell.out.note(format_args!("warning: {warning}"));
    }
    if let Some(folder) = &args.dir {
        super::input::check_place(folder)?;
    }
    let folders = folders(args.dir, &config.state_dir);
    let plan = Plan { config, folders };
    // An interrupted test still removes its folder.
    let report = tokio::select! {
        report = self_test::run(&plan) => report,
        stopped = tokio::signal::ctrl_c() => {
            stopped?;
            return Err(CliError::unmet(Exit::of_signal(2), "interrupted"));
        }
    };
    let report = report.map_err(|error| CliError::input("run the self-test", error))?;
    if shell.out.style().json {
        shell.out.json(&report)?;
    } else {
        show(&report, &mut shell.out)?;
    }
    Ok(if report.well { Exit::Ok } else { Exit::Failed })
}

/// Beside the state directory, so that its storage is measured, but never in it.
fn folders(given: Option<PathBuf>, state_dir: &Path) -> Vec<PathBuf> {
    if let Some(folder) = given {
        return vec![folder];
    }
    let beside = state_dir.ancestors().skip(1).find(|folder| folder.is_dir());
    let beside = beside.map(Path::to_path_buf);
    beside
        .into_iter()
        .chain(FOLDERS.iter().map(PathBuf::from))
        .collect()
}

fn show(report: &Report, out: &mut Output<'_>) -> io::Result<()> {
    if !out.style().quiet {
        show_machine(&report.machine, out)?;
    }
    let mut table = Table::new(&["CHECK", "STATE", "TOOK", "DETAIL"]);
    for check in &report.checks {
        table.row(&[
            check.name.to_owned(),
            check.state.to_string(),
            format!("{} ms", check.took_ms),
            check.detail.clone(),
        ]);
    }
    out.table(&table, "no tests")?;
    // Hints.
    let quiet = out.style().quiet;
    for check in report.checks.iter().filter(|_| !quiet) {
        if let Some(next) = &check.next {
            let name = out.paint(paint(check.state), check.name);
            out.line(format_args!("next for {name}: {next}"))?;
        }
    }
    if report.machine.medium.is_memory() {
        let folder = &report.machine.medium.folder;
        out.note(format_args!(
            "{folder} is in memory: to measure the flash storage, give a folder on it with --dir"
        ));
    }
    out.line(if report.well {
        out.paint(Paint::Good, "all parts work")
    } else {
        out.paint(Paint::Bad, "a part does not work")
    })
}

fn show_machine(machine: &Machine, out: &mut Output<'_>) -> io::Result<()> {
    let known = |text: &Option<String>| text.clone().unwrap_or_default();
    let mib = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |bytes| (bytes / MIB).to_string());
    out.field(
        "coord",
        format_args!("{}, commit {}", machine.version, machine.commit),
    )?;
    out.field("built for", machine.target)?;
    out.field("box", known(&machine.model))?;
    out.field("system", known(&machine.system))?;
    out.field("kernel", known(&machine.kernel))?;
    out.field("cores", machine.cores)?;
    let (all, free) = (machine.memory_bytes, machine.memory_available_bytes);
    out.field(
        "memory",
        format_args!("{} MiB, {} MiB available", mib(all), mib(free)),
    )?;
    let medium = &machine.medium;
    out.field(
        "flash",
        format_args!(
            "{} MiB, {} MiB free; {} on {}, at {}",
            mib(medium.size_bytes),
            mib(medium.free_bytes),
            known(&medium.file_system),
            known(&medium.device),
            medium.folder
        ),
    )?;
    if let Some(sync) = &machine.sync {
        out.field(
            "sync latency",
            format_args!(
                "{} µs, at most {} µs of {}",
                sync.median_us, sync.max_us, sync.syncs
            ),
        )?;
    }
    if let Some(files) = machine.open_files_max {
        out.field("open files", format_args!("at most {files}"))?;
    }
    let names = |present: bool| {
        let features = machine.features.iter().filter(|it| it.present == present);
        let names: Vec<&str> = features.map(|it| it.name).collect();
        names.join(" ")
    };
    out.field("kernel has", names(true))?;
    out.field("kernel lacks", names(false))
}

fn paint(state: CheckState) -> Paint {
    match state {
        CheckState::Ok => Paint::Good,
        CheckState::Warning => Paint::Busy,
        CheckState::Failed => Paint::Bad,
    }
}
