//! What an installation comes to: files to write or remove, commands to run. Looks, changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::InstallArgs;
use crate::cli::error::CliError;
use crate::config::{
    Config, Endpoint, Environment, Flags, Host, Invoker, MapEnvironment, settings,
};
use crate::edge::systemd::units::{self, Choices};

const CONFIGURATION: &str = "/etc/coord/coord.toml";
const DEFAULT_CONFIGURATION: &str = "\
# The configuration of coord.service. `coord config example` prints every setting there is,
# `coord config check FILE` says what is wrong with a file. After a change: `systemctl reload coord`,
# for ports and addresses `coord install --now`, and where the firewall is on, `coord firewall apply
# --confirm 60s` and `coord firewall confirm`: a reboot loads the rules last confirmed.
profile = \"production\"
";
/// Where systemd looks for a credential of a service, the first before the others.
const CREDENTIAL_STORES: [&str; 5] = [
    "/run/credentials/@system",
    "/etc/credstore",
    "/run/credstore",
    "/usr/local/lib/credstore",
    "/usr/lib/credstore",
];
const STATE_DIRECTORY: &str = "/var/lib/coord";
const MODE_PROGRAM: u32 = 0o755;
const MODE_FILE: u32 = 0o644;

/// Everything to do, in this order: `before`, the files, `after`.
#[derive(Debug, Default)]
pub(super) struct InstallPlan {
    pub(super) before: Vec<Vec<String>>,
    pub(super) files: Vec<FilePlan>,
    pub(super) after: Vec<Vec<String>>,
}

/// One file.
#[derive(Debug)]
pub(super) struct FilePlan {
    pub(super) path: PathBuf,
    pub(super) action: FileAction,
    pub(super) content: Vec<u8>,
    pub(super) mode: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileAction {
    Create,
    Replace,
    Same,
    /// It is somebody's own, whatever is in it.
    Keep,
    Remove,
    Absent,
}

impl FileAction {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Same => "unchanged",
            Self::Keep => "keep",
            Self::Remove => "remove",
            Self::Absent => "absent",
        }
    }
}

impl InstallPlan {
    pub(super) fn commands(&self) -> impl Iterator<Item = &Vec<String>> {
        self.before.iter().chain(&self.after)
    }

    pub(super) fn restarts(&self) -> bool {
        let mut commands = self.commands();
        commands.any(|command| command.iter().any(|word| word == "restart"))
    }

    /// Whether a unit runs with other files than there will be: this run changes some, or they were
    /// changed after it was started.
    fn outdates(&self, unit: &str, part: &str) -> bool {
        let changed_later = |since: i64| {
            let mut files = self.files.iter();
            files.any(|file| {
                let names = file.path.to_string_lossy().contains(part);
                names && changed_at(&file.path).is_some_and(|at| at >= since)
            })
        };
        self.changes(part) || running_since(unit).is_some_and(changed_later)
    }

    fn changes(&self, part: &str) -> bool {
        let changed =
            |file: &&FilePlan| matches!(file.action, FileAction::Create | FileAction::Replace);
        let mut files = self.files.iter().filter(changed);
        files.any(|file| file.path.to_string_lossy().contains(part))
    }
}

/// What is missing or different.
pub(super) fn install(
    args: &InstallArgs,
    environment: &dyn Environment,
) -> Result<InstallPlan, CliError> {
    let choices = Choices {
        binary: args.prefix.join("bin/coord").display().to_string(),
        ..choices(args, environment)?
    };
    let mut plan = InstallPlan::default();
    let program = own_program()?;
    let wanted = units::render(&choices);
    plan.files.push(file(
        below(args, &args.prefix.join("bin/coord")),
        program,
        MODE_PROGRAM,
    )?);
    for unit in wanted {
        let path = below(args, &args.prefix.join(unit.place));
        plan.files
            .push(file(path, unit.text.into_bytes(), MODE_FILE)?);
    }
    let mut configuration = file(
        below(args, Path::new(CONFIGURATION)),
        DEFAULT_CONFIGURATION.into(),
        MODE_FILE,
    )?;
    if configuration.action == FileAction::Replace {
        configuration.action = FileAction::Keep;
    }
    plan.files.push(configuration);
    stay_inside(args, &plan)?;
    plan.after = commands(args, &plan);
    Ok(plan)
}

/// Everything that an installation below this prefix may have left.
pub(super) fn uninstall(args: &InstallArgs) -> Result<InstallPlan, CliError> {
    let places = units::places().chain(["bin/coord"]);
    let files: Vec<FilePlan> = places
        .map(|place| {
            let path = below(args, &args.prefix.join(place));
            let there = path.symlink_metadata().is_ok();
            FilePlan {
                action: if there {
                    FileAction::Remove
                } else {
                    FileAction::Absent
                },
                path,
                content: Vec::new(),
                mode: 0,
            }
        })
        .collect();
    let there = files.iter().any(|file| file.action == FileAction::Remove);
    let unit = files.iter().any(|file| {
        file.action == FileAction::Remove && file.path.ends_with("system/coord.service")
    });
    let mut plan = InstallPlan {
        files,
        ..InstallPlan::default()
    };
    if unit {
        let mut disable = systemctl(args, &["disable"]);
        if args.root.is_none() {
            disable.push("--now".to_owned());
        }
        let all = units::ENABLED.into_iter().chain(units::OPTIONAL);
        disable.extend(all.map(str::to_owned));
        plan.before.push(disable);
    }
    if there && args.root.is_none() {
        plan.after.push(systemctl(args, &["daemon-reload"]));
    }
    stay_inside(args, &plan)?;
    Ok(plan)
}

/// A link in an image is meant for the system that will run from it: followed from here, an absolute one
/// would lead into this system.
fn stay_inside(args: &InstallArgs, plan: &InstallPlan) -> Result<(), CliError> {
    let Some(root) = &args.root else {
        return Ok(());
    };
    let inside = fs::canonicalize(root);
    let inside =
        inside.map_err(|error| CliError::input(format!("open {}", root.display()), error))?;
    for file in &plan.files {
        let mut folders = file.path.ancestors().skip(1);
        // A link that leads nowhere is there too.
        let there = folders.find(|folder| folder.symlink_metadata().is_ok());
        let there = there.and_then(|folder| fs::canonicalize(folder).ok());
        if !there.is_some_and(|folder| folder.starts_with(&inside)) {
            let what = format!("a link leads from {} out of the image", file.path.display());
            return Err(CliError::usage(
                what,
                "use a --prefix that is a folder in the image, such as /usr",
            ));
        }
    }
    Ok(())
}

fn commands(args: &InstallArgs, plan: &InstallPlan) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let running = args.root.is_none();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let of_prefix = |place: &str| args.prefix.join(place).display().to_string();
    if running && plan.changes("/lib/") {
        let users = of_prefix("lib/sysusers.d/coord.conf");
        let files = of_prefix("lib/tmpfiles.d/coord.conf");
        commands.push(words(&["systemd-sysusers", &users]));
        commands.push(words(&["systemd-tmpfiles", "--create", &files]));
        commands.push(systemctl(args, &["daemon-reload"]));
    }
    // Only once: later it is the administrator who says what is switched on.
    let is_new = |file: &FilePlan| {
        file.action == FileAction::Create && file.path.ends_with("system/coord.service")
    };
    if plan.files.iter().any(is_new) {
        let mut preset = systemctl(args, &["preset"]);
        // It refuses all of them for one that is masked.
        let units = units::ENABLED.iter().filter(|unit| !is_masked(args, unit));
        preset.extend(units.map(|unit| (*unit).to_owned()));
        commands.push(preset);
    }
    if args.firewall && !is_firewall_on(args) {
        let mut enable = systemctl(args, &["enable"]);
        enable.extend(units::FIREWALL.map(|(unit, _)| unit.to_owned()));
        commands.push(enable);
    }
    if args.firewall && args.now {
        // Rules that would cut off this session are not loaded, and neither is anything started.
        let program = of_prefix("bin/coord");
        commands.push(words(&[
            &program,
            "firewall",
            "check",
            "--config",
            CONFIGURATION,
        ]));
        // Whatever was loaded since they were started, or taken away.
        let mut start = systemctl(args, &["restart"]);
        start.extend(units::FIREWALL.map(|(unit, _)| unit.to_owned()));
        commands.push(start);
    }
    if args.now {
        commands.extend(starting(args, plan));
    }
    commands
}

/// Starts the sockets and the service, or restarts what runs with older files.
fn starting(args: &InstallArgs, plan: &InstallPlan) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    // A socket cannot be opened anew while its service runs.
    let sockets = ["coord.socket", "coord-metrics.socket"];
    let mut sockets = sockets.to_vec();
    sockets.retain(|unit| !is_masked(args, unit));
    if sockets.iter().any(|unit| plan.outdates(unit, ".socket")) {
        let mut stop = systemctl(args, &["stop"]);
        stop.extend(["coord.service", "coord.socket", "coord-metrics.socket"].map(str::to_owned));
        commands.push(stop);
    }
    let verb = if plan.outdates("coord.service", "/") {
        "restart"
    } else {
        "start"
    };
    if has_failed("coord.service") {
        // One that failed too often would not be started for half an hour.
        commands.push(systemctl(args, &["reset-failed", "coord.service"]));
    }
    if !sockets.is_empty() {
        sockets.insert(0, "start");
        commands.push(systemctl(args, &sockets));
    }
    commands.push(systemctl(args, &[verb, "coord.service"]));
    commands
}

/// In seconds of the wall clock, as the file system says.
fn changed_at(path: &Path) -> Option<i64> {
    path.metadata().map(|found| found.mtime()).ok()
}

/// When a unit became active, in seconds of the same clock; `None` when it is not, or there is no systemd
/// to ask.
fn running_since(unit: &str) -> Option<i64> {
    let words = [
        "show",
        "--timestamp=unix",
        "--property=ActiveState,ActiveEnterTimestamp",
        unit,
    ];
    let said = Command::new("systemctl").args(words).output().ok()?;
    let said = str::from_utf8(&said.stdout).ok()?;
    let property = |name| said.lines().find_map(|line| line.strip_prefix(name));
    // The moment stays when it is over.
    let since =
        property("ActiveEnterTimestamp=@").filter(|_| property("ActiveState=") == Some("active"));
    since?.parse().ok()
}

fn has_failed(unit: &str) -> bool {
    let words = ["is-failed", "--quiet", unit];
    let asked = Command::new("systemctl").args(words).output();
    asked.is_ok_and(|answer| answer.status.success())
}

/// Whether somebody wants it never to be started, of a socket, so that the service binds the port itself:
/// its file is empty, or leads to nothing.
fn is_masked(args: &InstallArgs, unit: &str) -> bool {
    let mut folders = ["/etc/systemd/system", "/run/systemd/system"].iter();
    folders.any(|folder| {
        let file = below(args, &Path::new(folder).join(unit));
        let leads_to_nothing =
            fs::read_link(&file).is_ok_and(|target| target == Path::new("/dev/null"));
        leads_to_nothing
            || file
                .metadata()
                .is_ok_and(|found| found.is_file() && found.len() == 0)
    })
}

/// Whether its units are switched on already.
fn is_firewall_on(args: &InstallArgs) -> bool {
    units::FIREWALL.iter().all(|(unit, target)| {
        let link = format!("/etc/systemd/system/{target}.wants/{unit}");
        below(args, Path::new(&link)).symlink_metadata().is_ok()
    })
}

fn systemctl(args: &InstallArgs, words: &[&str]) -> Vec<String> {
    let mut command = vec!["systemctl".to_owned()];
    if let Some(root) = &args.root {
        command.push(format!("--root={}", root.display()));
    }
    command.extend(words.iter().map(|word| (*word).to_owned()));
    command
}

/// An absolute path of the system, as it is reached from here.
fn below(args: &InstallArgs, path: &Path) -> PathBuf {
    let Some(root) = &args.root else {
        return path.to_owned();
    };
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn file(path: PathBuf, content: Vec<u8>, mode: u32) -> Result<FilePlan, CliError> {
    let action = match fs::read(&path) {
        Ok(found) if found == content => FileAction::Same,
        Ok(_) => FileAction::Replace,
        Err(error) if error.kind() == io::ErrorKind::NotFound => FileAction::Create,
        Err(error) => {
            return Err(CliError::input(format!("read {}", path.display()), error));
        }
    };
    Ok(FilePlan {
        path,
        action,
        content,
        mode,
    })
}

/// The program that runs: the file it came from may have been replaced already.
fn own_program() -> Result<Vec<u8>, CliError> {
    fs::read("/proc/self/exe").map_err(|error| CliError::input("read this program", error))
}

/// Where the configuration says that it listens, and what systemd there is.
fn choices(args: &InstallArgs, environment: &dyn Environment) -> Result<Choices, CliError> {
    let file = below(args, Path::new(CONFIGURATION));
    // What is set in this shell is not set in the service.
    let mut of_service = MapEnvironment::from([("STATE_DIRECTORY", STATE_DIRECTORY)]);
    of_service.hostname = environment.hostname();
    of_service.credentials = credentials(args);
    let flags = if file.exists() {
        Flags::of_file(file.display().to_string())
    } else {
        Flags::default().with(&settings::PROFILE, "production")
    };
    let config = Config::load(&flags, &of_service, Invoker::from(0))?;
    Ok(Choices {
        binary: String::new(),
        websocket: address(&config.websocket.endpoint, "websocket.host", &file)?,
        metrics: address(&config.metrics.endpoint, "metrics.host", &file)?,
        systemd: systemd_version(&below(args, Path::new("/usr/lib"))),
    })
}

/// What the credential store has for the service.
fn credentials(args: &InstallArgs) -> BTreeMap<String, PathBuf> {
    let names = settings::SERVER.iter().filter_map(|spec| spec.credential);
    let there = names.filter_map(|name| {
        let folders = CREDENTIAL_STORES.iter();
        let files =
            folders.map(|folder| below(args, &Path::new(folder).join("coord.".to_owned() + name)));
        let file = files.into_iter().find(|file| file.exists())?;
        Some((name.to_owned(), file))
    });
    there.collect()
}

/// systemd opens sockets before there is anybody to ask for names.
fn address(endpoint: &Endpoint, key: &str, file: &Path) -> Result<SocketAddr, CliError> {
    match &endpoint.host {
        Host::Address(address) => Ok(SocketAddr::new(*address, endpoint.port.number())),
        Host::Name(name) => Err(CliError::usage(
            format!(
                "{key} is {name} in {}, and a socket unit needs an address",
                file.display()
            ),
            "write the IP address there; 0.0.0.0 or :: for all of them",
        )),
    }
}

/// From the name of its library, `libsystemd-shared-252.so`: nothing need run for that, and it may
/// be another system's.
fn systemd_version(lib: &Path) -> Option<u32> {
    let folders = fs::read_dir(lib).ok()?.filter_map(Result::ok);
    let deeper = folders.map(|folder| folder.path().join("systemd"));
    let files = deeper
        .chain([lib.join("systemd")])
        .filter_map(|folder| fs::read_dir(folder).ok());
    let mut names = files
        .flatten()
        .filter_map(|file| file.ok()?.file_name().into_string().ok());
    names.find_map(|name| {
        let version = name.strip_prefix("libsystemd-shared-")?;
        let end = version.find(|c: char| !c.is_ascii_digit())?;
        version[..end].parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_in_the_name_of_the_library() {
        let lib = tempfile::tempdir().expect("a folder can be made");
        assert_eq!(systemd_version(lib.path()), None);
        let folder = lib.path().join("x86_64-linux-gnu/systemd");
        fs::create_dir_all(&folder).expect("it can be made");
        fs::write(folder.join("libsystemd-shared-257.5-2.so"), "").expect("it can be written");
        assert_eq!(systemd_version(lib.path()), Some(257));
        assert_eq!(systemd_version(Path::new("/nowhere")), None);
    }
}
