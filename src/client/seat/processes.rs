//! What is looked at of a process: who started it, when, and what it runs.

use std::fs;

/// Words of a command line that are looked at.
const WORDS_MAX: usize = 8;

/// A process, as far as it tells whether it is a CLI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub id: u32,
    pub parent: u32,
    /// In clock ticks since the machine started: tells two processes of one id apart.
    pub started: u64,
    /// What the kernel calls it, at most 15 bytes.
    pub name: String,
    /// The first words of its command line.
    pub words: Vec<String>,
}

/// Where processes are looked up; a map stands in for it in tests.
pub trait Processes {
    /// `None`: there is no such process, or it cannot be read.
    fn read(&self, id: u32) -> Option<Process>;
}

/// Those of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemProcesses;

impl Processes for SystemProcesses {
    fn read(&self, id: u32) -> Option<Process> {
        let stat = fs::read(format!("/proc/{id}/stat")).ok()?;
        let words = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let words = words
            .split(|byte| *byte == 0)
            .filter(|word| !word.is_empty());
        let words = words.map(|word| String::from_utf8_lossy(word).into_owned());
        let stat = Stat::parse(&String::from_utf8_lossy(&stat))?;
        Some(Process {
            id,
            parent: stat.parent,
            started: stat.started,
            name: stat.name,
            words: words.take(WORDS_MAX).collect(),
        })
    }
}

/// Fields of `/proc/ID/stat`.
struct Stat {
    name: String,
    parent: u32,
    started: u64,
}

impl Stat {
    /// The name is in brackets and may hold any character, brackets and spaces too.
    fn parse(text: &str) -> Option<Self> {
        let (before, after) = text.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        // The state is the first field behind the name, and number 3 in the manual.
        let field = |number: usize| after.split_whitespace().nth(number - 3);
        Some(Self {
            name: name.to_owned(),
            parent: field(4)?.parse().ok()?,
            started: field(22)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_parent_that_was_there_before() {
        let own = SystemProcesses.read(std::process::id()).expect("it runs");
        assert!(!own.words.is_empty() && !own.name.is_empty(), "{own:?}");
        let parent = SystemProcesses.read(own.parent).expect("it waits for us");
        assert!(parent.started <= own.started);
        assert_eq!(SystemProcesses.read(0), None);
    }

    #[test]
    fn a_name_may_look_like_fields() {
        let text = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987 1 2";
        let stat = Stat::parse(text).expect("it is whole");
        assert_eq!(
            (&*stat.name, stat.parent, stat.started),
            ("a) b (c", 3, 987)
        );
        assert!(Stat::parse("7 (a").is_none() && Stat::parse("7 (a) S 3").is_none());
    }
}
