//! The facts about a process that recognition works on. They are read here and judged elsewhere, so that a
//! test needs no container engine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::owners::{container, printable, text, unit};
use super::socket_units;

/// How many ancestors of a process are looked at.
const PARENTS_MAX: usize = 64;
/// How much of an argument is used in a text.
const WORD_CHARS_MAX: usize = 128;
/// The kernel cuts the short name of a program to this.
const SHORT_NAME_BYTES: usize = 15;
/// The variables by which supervisors tell a program its name. No others are kept: they may be secrets.
const VARIABLES: [&str; 3] = ["SUPERVISOR_PROCESS_NAME", "SUPERVISOR_GROUP_NAME", "pm_id"];
/// Programs that run a script; the script's name says more than theirs.
const INTERPRETERS: [&str; 10] = [
    "python", "node", "nodejs", "perl", "ruby", "sh", "bash", "dash", "bun", "deno",
];

/// One program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) pid: u32,
    /// The short name that the kernel knows it by.
    pub(super) short: String,
    /// The path of its executable; empty where this user may not see it.
    pub(super) executable: String,
    /// Its words, the first of which is what it was called by.
    pub(super) words: Vec<String>,
}

/// A process that has a port, and what surrounds it.
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

impl Program {
    /// Whether it has one of these names, by what the kernel calls it, its executable, what it was called by, or
    /// the script it runs. A process chooses most of that itself, so a name is enough to refuse, never to act.
    pub(super) fn is(&self, names: &[&str]) -> bool {
        self.names().iter().any(|name| names.contains(name))
    }

    /// Whether one of its names begins so.
    pub(super) fn begins(&self, part: &str) -> bool {
        self.names().iter().any(|name| name.starts_with(part))
    }

    fn names(&self) -> Vec<&str> {
        let short = Some(self.short.as_str()).filter(|name| name.len() < SHORT_NAME_BYTES);
        let executable = Some(base(&self.executable));
        // Programs write a title over their words: `sshd: ana@pts/0`, `PM2 v5: God Daemon`.
        let first = self.words.first();
        let title = first.and_then(|word| word.split([' ', ':']).next());
        let names = [
            short,
            executable,
            first.map(|word| base(word)),
            title.map(base),
        ];
        let names = names.into_iter().flatten().chain(self.script().map(base));
        names.filter(|name| !name.is_empty()).collect()
    }

    /// The script that an interpreter runs.
    fn script(&self) -> Option<&str> {
        let is_interpreter = [base(&self.executable), base(self.words.first()?)]
            .iter()
            .any(|name| {
                INTERPRETERS
                    .contains(&name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'))
            });
        let mut words = self.words.iter().skip(1).map(String::as_str);
        let words = is_interpreter.then_some(&mut words)?;
        while let Some(word) = words.next() {
            match word {
                "-c" | "-e" => return None,
                "-m" => return words.next(),
                _ if word.starts_with('-') => {}
                _ => return Some(word),
            }
        }
        None
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }

    /// Whether some word contains this.
    pub(super) fn mentions(&self, part: &str) -> bool {
        self.executable.contains(part) || self.words.iter().any(|word| word.contains(part))
    }

    /// What stands after an option, as a word of its own or behind `=`; only what can be used in a command as it is.
    pub(super) fn value(&self, option: &str) -> Option<&str> {
        let mut words = self.words.iter();
        let found = words.find_map(|own| {
            let rest = own.strip_prefix(option)?;
            match rest.strip_prefix('=') {
                Some(value) => Some(Some(value)),
                None => rest.is_empty().then_some(None),
            }
        })?;
        word(found.or_else(|| words.next().map(String::as_str))?)
    }

    /// As it is named to people.
    pub(super) fn named(&self) -> String {
        format!("{} (process {})", printable(&self.short), self.pid)
    }
}

/// A text that is the same word in every shell and says nothing to a terminal; others chose it, and people
/// copy commands.
pub(super) fn word(text: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.@:/+,-".contains(c);
    let usable = !text.is_empty()
        && !text.starts_with('-')
        && text.len() <= WORD_CHARS_MAX
        && text.chars().all(plain);
    usable.then_some(text)
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
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
impl Program {
    pub(super) fn of_words(words: &str) -> Self {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let executable = words[0].clone();
        Self {
            pid: 77,
            short: base(&executable).chars().take(SHORT_NAME_BYTES).collect(),
            executable,
            words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_any_of_its_names() {
        let mut program = Program {
            short: "python3".into(),
            executable: "/usr/bin/python3.13".into(),
            words: ["docker-proxy", "-c", "supervisord"]
                .map(str::to_owned)
                .into(),
            ..Program::default()
        };
        assert!(program.is(&["docker-proxy"]) && program.is(&["python3"]));
        assert!(!program.is(&["supervisord"]), "that is code, not a script");
        program.words = ["/usr/bin/python3", "-u", "/usr/bin/supervisord"]
            .map(str::to_owned)
            .into();
        assert!(program.is(&["supervisord"]));
        program.words = vec!["PM2 v5.3.0: God Daemon (/root/.pm2)".into()];
        assert!(program.is(&["PM2"]));
        program.words = vec!["sshd: ana@pts/0".into()];
        assert!(program.is(&["sshd"]));
        program.short = "systemd-socket-".into();
        assert!(!program.is(&["systemd-socket-"]), "it is cut off");
    }

    #[test]
    fn values_of_options_are_plain_words_or_nothing() {
        let program = Program::of_words("conmon -c 0123 --name=web -n $(reboot) -x");
        assert_eq!(program.value("-c"), Some("0123"));
        assert_eq!(program.value("--name"), Some("web"));
        assert_eq!(program.value("-n"), None);
        assert_eq!(program.value("-x"), None);
        for wrong in [
            "",
            "-rf",
            "a b",
            "a;b",
            "`a`",
            "a\u{202e}b",
            "a\u{1b}b",
            &"a".repeat(129),
        ] {
            assert_eq!(word(wrong), None, "{wrong}");
        }
        assert_eq!(word("ana@box.example:22"), Some("ana@box.example:22"));
    }

    #[test]
    fn parents_are_read_from_the_status() {
        assert_eq!(parent("Name:\tx\nPPid:\t12\n"), Some(12));
        assert_eq!(parent("Name:\tx\nPPid:\t0\n"), None);
        let own = parents(Path::new(crate::holders::PROC), std::process::id());
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
