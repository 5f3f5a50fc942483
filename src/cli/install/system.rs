//! The system that is installed into: where its files are from here, and what is found there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::InstallArgs;
use crate::edge::systemd::units;

pub(super) const CONFIGURATION: &str = "/etc/coord/coord.toml";

/// An absolute path of the system, as it is reached from here.
pub(super) fn below(args: &InstallArgs, path: &Path) -> PathBuf {
    let Some(root) = &args.root else {
        return path.to_owned();
    };
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// In seconds of the wall clock, as the file system says.
pub(super) fn changed_at(path: &Path) -> Option<i64> {
    path.metadata().map(|found| found.mtime()).ok()
}

/// When a unit became active, in seconds of the same clock; `None` when it is not, or there is no systemd
/// to ask.
pub(super) fn running_since(unit: &str) -> Option<i64> {
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

pub(super) fn has_failed(unit: &str) -> bool {
    let words = ["is-failed", "--quiet", unit];
    let asked = Command::new("systemctl").args(words).output();
    asked.is_ok_and(|answer| answer.status.success())
}

/// Whether somebody wants it never to be started, of a socket, so that the service binds the port itself:
/// its file is empty, or leads to nothing.
pub(super) fn is_masked(args: &InstallArgs, unit: &str) -> bool {
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
pub(super) fn is_firewall_on(args: &InstallArgs) -> bool {
    units::FIREWALL.iter().all(|(unit, target)| {
        let link = format!("/etc/systemd/system/{target}.wants/{unit}");
        below(args, Path::new(&link)).symlink_metadata().is_ok()
    })
}

/// From the name of its library, `libsystemd-shared-252.so`: nothing need run for that, and it may
/// be another system's.
pub(super) fn systemd_version(lib: &Path) -> Option<u32> {
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
