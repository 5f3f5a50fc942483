//! The systemd socket units that name a port, read from their files: systemd holds the port, and only the unit says
//! for which service.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where units of the system lie.
const SYSTEM_FOLDERS: [&str; 6] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Where units of every user lie. Those in a home folder are not looked for: whose it is need not be known.
const USER_FOLDERS: [&str; 4] = [
    "/etc/systemd/user",
    "/run/systemd/user",
    "/usr/local/lib/systemd/user",
    "/usr/lib/systemd/user",
];
/// Units that are looked at in one folder.
const UNITS_MAX: usize = 1_000;

/// The names of the units that listen on `port`, in order.
pub(super) fn of_port(users: bool, port: u16) -> Vec<String> {
    let folders: &[&str] = if users {
        &USER_FOLDERS
    } else {
        &SYSTEM_FOLDERS
    };
    of_port_in(folders.iter().map(Path::new), port)
}

fn of_port_in<'a>(folders: impl Iterator<Item = &'a Path>, port: u16) -> Vec<String> {
    let mut found = BTreeSet::new();
    for folder in folders {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.take(UNITS_MAX) {
            let name = entry.file_name().to_string_lossy().into_owned();
            // A drop-in adds to its unit.
            let unit = name.strip_suffix(".d").unwrap_or(&name);
            let named = unit.ends_with(".socket");
            if named && files(&entry.path()).iter().any(|file| names(file, port)) {
                found.insert(unit.to_owned());
            }
        }
    }
    found.into_iter().collect()
}

/// The file itself, or those in a folder of drop-ins.
fn files(path: &Path) -> Vec<PathBuf> {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => vec![path.to_owned()],
    }
}

fn names(file: &Path, port: u16) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut settings = text.lines().filter_map(|line| line.split_once('='));
    settings.any(|(name, value)| {
        let number = value.trim().rsplit(':').next().unwrap_or_default();
        name.trim() == "ListenStream" && number.parse() == Ok(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_name_the_port_are_found() {
        let folder = tempfile::tempdir().expect("there is room");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("there is room");
            fs::write(path, text).expect("there is room");
        };
        write("a.socket", "[Socket]\nListenStream=8080\n");
        write("b.socket", "[Socket]\nListenStream = [::1]:8080\n");
        write(
            "c.socket",
            "[Socket]\nListenStream=/run/8080\nListenStream=18080\n",
        );
        write("d.socket", "[Socket]\nListenStream=1\n");
        write(
            "d.socket.d/more.conf",
            "[Socket]\nListenStream=127.0.0.1:8080\n",
        );
        write("e.service", "ListenStream=8080\n");
        let found = of_port_in([folder.path()].into_iter(), 8080);
        assert_eq!(found, ["a.socket", "b.socket", "d.socket"]);
    }
}
