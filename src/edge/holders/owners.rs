//! Which processes have a socket open, and what can be told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use nix::unistd::{Uid, User};

use super::Process;

/// How much of a command line is shown.
const COMMAND_CHARS_MAX: usize = 160;
/// How much of one file of a process is read: whoever runs a program chooses how long its words are.
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// Digits of a container's id that are shown, as its own tools show it.
const CONTAINER_DIGITS: usize = 12;
/// Digits of a whole id.
const CONTAINER_ID_DIGITS: usize = 64;

/// The processes behind the sockets with these inodes, by inode; in the order of their numbers.
pub(super) fn of_sockets(proc: &Path, inodes: &BTreeSet<u64>) -> BTreeMap<u64, Vec<Process>> {
    let mut found: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
    for pid in processes(proc) {
        for inode in sockets(&proc.join(pid.to_string())) {
            if inodes.contains(&inode) {
                found.entry(inode).or_default().insert(pid);
            }
        }
    }
    let seen = found.into_iter();
    seen.map(|(inode, pids)| {
        let known = pids.into_iter().map(|pid| process(proc, pid));
        (inode, known.collect())
    })
    .collect()
}

pub(super) fn user_name(id: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(id))
        .ok()
        .flatten()
        .map(|user| user.name)
}

pub(super) fn processes(proc: &Path) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The inodes of a process' open sockets; none when it has ended, or may not be looked into.
pub(super) fn sockets(process: &Path) -> Vec<u64> {
    let entries = fs::read_dir(process.join("fd")).into_iter().flatten();
    let links = entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    links
        .filter_map(|link| {
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            inode.parse().ok()
        })
        .collect()
}

pub(super) fn process(proc: &Path, pid: u32) -> Process {
    let folder = proc.join(pid.to_string());
    let group = text(&folder.join("cgroup"));
    Process {
        pid,
        user_id: user_id(&text(&folder.join("status"))),
        program: printable(text(&folder.join("comm")).trim_end()),
        command: command(&text(&folder.join("cmdline"))),
        unit: unit(&group),
        unit_is_users: group.contains("/user@"),
        container: container(&group),
        behind: None,
    }
}

/// The words of a command line, as they are.
pub(super) fn words(proc: &Path, pid: u32) -> Vec<String> {
    let text = text(&proc.join(pid.to_string()).join("cmdline"));
    let words = text.split_terminator('\0');
    words.map(str::to_owned).collect()
}

pub(super) fn user_of(proc: &Path, pid: u32) -> u32 {
    user_id(&text(&proc.join(pid.to_string()).join("status")))
}

/// The effective user of a process' `status`; nobody's number when it has ended.
fn user_id(status: &str) -> u32 {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let effective = line.and_then(|ids| ids.split_ascii_whitespace().nth(1));
    effective.and_then(|id| id.parse().ok()).unwrap_or(u32::MAX)
}

/// The beginning of a file; empty when it is gone, as that of a process that ended is.
pub(super) fn text(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        // What was read before a failure is as good as what is there.
        let _ = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The words of a command line, which end with a zero byte each, as one line.
fn command(words: &str) -> String {
    let line = printable(words.trim_end_matches('\0'));
    match line.char_indices().nth(COMMAND_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Whoever names a process must not write to our reader's terminal.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(shown).collect()
}

/// The innermost unit of a control group's path, such as `redis.service`.
pub(super) fn unit(group: &str) -> Option<String> {
    let kinds = [".service", ".scope"];
    let parts = group.lines().flat_map(|line| line.rsplit('/'));
    let mut units = parts.filter(|part| kinds.iter().any(|kind| part.ends_with(kind)));
    units.next().map(printable)
}

pub(super) fn container(group: &str) -> Option<String> {
    let mut words = group.split(|c: char| !c.is_ascii_hexdigit());
    let id = words.find(|word| word.len() == CONTAINER_ID_DIGITS)?;
    Some(id[..CONTAINER_DIGITS].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_containers_are_found_in_control_groups() {
        let id = "0123456789abcdef".repeat(4);
        let docker = format!("0::/system.slice/docker-{id}.scope\n");
        assert_eq!(container(&docker).as_deref(), Some("0123456789ab"));
        let old = format!("4:memory:/docker/{id}\n");
        assert_eq!(container(&old).as_deref(), Some("0123456789ab"));
        let service = "0::/system.slice/redis-server.service\n";
        assert_eq!(unit(service).as_deref(), Some("redis-server.service"));
        assert_eq!(container(service), None);
        let user = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/coord.service\n";
        assert_eq!(unit(user).as_deref(), Some("coord.service"));
        assert_eq!(unit("0::/\n"), None);
    }

    #[test]
    fn the_user_that_counts_is_the_effective_one() {
        assert_eq!(user_id("Name:\tx\nUid:\t1000\t0\t0\t0\n"), 0);
        assert_eq!(user_id(""), u32::MAX);
    }

    #[test]
    fn command_lines_are_one_harmless_line() {
        assert_eq!(
            command("python3\0-m\0http.server\0"),
            "python3 -m http.server"
        );
        assert_eq!(command("a\u{1b}[2J\nb"), "a [2J b");
        assert_eq!(command(""), "");
        let long = command(&"x".repeat(COMMAND_CHARS_MAX + 1));
        assert_eq!(long.chars().count(), COMMAND_CHARS_MAX + 1);
        assert!(long.ends_with('…'));
    }
}
