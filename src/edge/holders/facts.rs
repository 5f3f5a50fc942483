//! The facts about a process for its recognition. They are read here and evaluated elsewhere, so that a test
//! needs no container engine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::owners::{container, text, unit};
use super::program::{Program, word};
use super::socket_units;

/// How many ancestors of a process are read.
const PARENTS_MAX: usize = 64;
/// The variables by which supervisors tell a program its name. No others are kept: they may be secrets.
const VARIABLES: [&str; 3] = ["SUPERVISOR_PROCESS_NAME", "SUPERVISOR_GROUP_NAME", "pm_id"];

/// A process that has a port, and its surroundings.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) port: u16,
    pub(super) program: Program,
    /// Its parent, that one's parent, and so on.
    pub(super) parents: Vec<Program>,
    /// The text of its control groups.
    pub(super) group: String,
    pub(super) variables: BTreeMap<String, String>,
    /// The socket units that name the port; only looked up for systemd.
    pub(super) socket_units: Vec<String>,
    /// The text of this process' own control groups.
    pub(super) own_group: String,
    /// The processes that this one descends from.
    pub(super) own_parents: Vec<u32>,
}

/// Reads what can be read of a process.
pub(super) fn of(proc: &Path, pid: u32, port: u16) -> Facts {
    let folder = proc.join(pid.to_string());
    let program = program(proc, pid);
    let users = program.pid != super::INIT;
    let socket_units = if program.is(&["systemd"]) {
        socket_units::of_port(users, port)
    } else {
        Vec::new()
    };
    Facts {
        port,
        program,
        parents: parents(proc, pid),
        group: text(&folder.join("cgroup")),
        variables: variables(&text(&folder.join("environ"))),
        socket_units,
        own_group: text(&proc.join("self/cgroup")),
        own_parents: super::ancestors(proc, std::process::id()),
    }
}

fn program(proc: &Path, pid: u32) -> Program {
    let folder = proc.join(pid.to_string());
    let executable = fs::read_link(folder.join("exe")).unwrap_or_default();
    let executable = executable.to_string_lossy();
    let words = text(&folder.join("cmdline"));
    let words = words.trim_end_matches('\0').split('\0');
    Program {
        pid,
        short: text(&folder.join("comm")).trim_end().to_owned(),
        executable: executable.trim_end_matches(" (deleted)").to_owned(),
        words: words.map(str::to_owned).collect(),
    }
}

/// The ancestors of a process, its parent first; none of one that has ended.
pub(super) fn parents(proc: &Path, pid: u32) -> Vec<Program> {
    let mut found: Vec<Program> = Vec::new();
    let mut child = pid;
    while found.len() < PARENTS_MAX {
        let status = text(&proc.join(child.to_string()).join("status"));
        let Some(parent) = parent(&status) else { break };
        found.push(program(proc, parent));
        child = parent;
    }
    found
}

/// The parent's number in a process' `status`; none for the first process and for threads of the kernel.
fn parent(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok().filter(|pid| *pid != 0)
}

fn variables(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    let ours = pairs.filter(|(name, _)| VARIABLES.contains(name));
    ours.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

impl Facts {
    pub(super) fn unit(&self) -> Option<String> {
        unit(&self.group)
    }

    /// The container it runs in, unless this command runs in the same one.
    pub(super) fn container(&self) -> Option<String> {
        container(&self.group).filter(|id| container(&self.own_group).as_ref() != Some(id))
    }

    /// How to stop the service it is part of; none for the service that this command is part of.
    pub(super) fn service_command(&self, stop_also: &[&str]) -> Option<String> {
        let name = self
            .unit()
            .filter(|name| is_own_service(name) && unit(&self.own_group).as_ref() != Some(name))?;
        let name = word(&name)?.to_owned();
        let units = [&[name.as_str()], stop_also].concat().join(" ");
        Some(format!("{} stop {units}", self.systemctl()))
    }

    pub(super) fn systemctl(&self) -> &'static str {
        systemctl(self.group.contains("/user@"))
    }

    pub(super) fn parent_is(&self, names: &[&str]) -> bool {
        self.parents.iter().any(|parent| parent.is(names))
    }
}

pub(super) fn systemctl(users: bool) -> &'static str {
    if users {
        "systemctl --user"
    } else {
        "systemctl"
    }
}

/// Whether a unit is one service, and not the manager of all that a user runs.
pub(super) fn is_own_service(unit: &str) -> bool {
    unit.ends_with(".service") && !unit.starts_with("user@")
}

#[cfg(test)]
impl Facts {
    /// A program with these words, for tests; `first` is its name too.
    pub(super) fn of_words(words: &str) -> Self {
        Self {
            port: 8080,
            program: Program::of_words(words),
            ..Self::default()
        }
    }

    pub(super) fn below(mut self, words: &[&str]) -> Self {
        self.parents = words.iter().map(|words| Program::of_words(words)).collect();
        self
    }

    pub(super) fn in_group(mut self, group: &str) -> Self {
        self.group = format!("0::{group}\n");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_read_from_the_status() {
        assert_eq!(parent("Name:\tx\nPPid:\t12\n"), Some(12));
        assert_eq!(parent("Name:\tx\nPPid:\t0\n"), None);
        let own = parents(Path::new(crate::edge::holders::PROC), std::process::id());
        assert!(
            !own.is_empty() && own.iter().all(|parent| parent.pid != 0),
            "{own:?}"
        );
    }

    #[test]
    fn only_the_names_that_supervisors_give_are_kept() {
        let kept = variables("SECRET=x\0pm_id=3\0A\0");
        assert_eq!(
            kept.into_iter().collect::<Vec<_>>(),
            [("pm_id".to_owned(), "3".to_owned())]
        );
    }

    #[test]
    fn a_service_of_ones_own_and_a_manager_are_not_stopped() {
        let facts = Facts::default().in_group("/system.slice/redis.service");
        assert_eq!(
            facts.service_command(&[]).as_deref(),
            Some("systemctl stop redis.service")
        );
        let own = Facts {
            own_group: facts.group.clone(),
            ..facts
        };
        assert_eq!(own.service_command(&[]), None);
        let users = Facts::default().in_group("/user.slice/user@7.service/app.slice/web.service");
        assert_eq!(
            users.service_command(&[]).as_deref(),
            Some("systemctl --user stop web.service")
        );
        let manager = Facts::default().in_group("/user.slice/user@7.service");
        assert_eq!(manager.service_command(&[]), None);
    }
}
