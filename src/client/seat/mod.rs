//! Which seat this process belongs to: the CLI session that it was started from.
//!
//! Hook, shell and MCP server of one CLI session must come to the same seat without talking to each other.
//! So the seat follows from what all of them can find out, which differs from CLI to CLI:
//!
//! | CLI | what its seat follows from |
//! |---|---|
//! | Claude Code | its session id: it tells hooks, shells and stdio servers alike |
//! | Codex, Gemini CLI, opencode | its process: some of what they start is not told the session id |
//!
//! The nearest CLI among the ancestors decides, so that a CLI which another one started has a seat of its
//! own, although it inherits the other one's variables.

mod processes;

use crate::config::Environment;
use crate::engine::ids::SeatName;
use crate::protocol::seat;

pub use processes::{Process, Processes, SystemProcesses};

/// Ancestors that are looked at: more than any shell, task runner and CLI in one another.
const ANCESTORS_MAX: usize = 64;

/// A program in which an agent works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CliKind {
    Claude,
    Codex,
    Gemini,
    Opencode,
}

/// How a CLI is recognised.
struct Traits {
    kind: CliKind,
    name: &'static str,
    /// The variable that tells its session id to everything that it starts.
    session_variable: Option<&'static str>,
    /// The package of its script, where it runs in an interpreter.
    package: &'static str,
}

const CLIS: [Traits; 4] = [
    Traits {
        kind: CliKind::Claude,
        name: "claude",
        session_variable: Some("CLAUDE_CODE_SESSION_ID"),
        package: "@anthropic-ai/claude-code",
    },
    Traits {
        kind: CliKind::Codex,
        name: "codex",
        session_variable: None,
        package: "@openai/codex",
    },
    Traits {
        kind: CliKind::Gemini,
        name: "gemini",
        session_variable: None,
        package: "@google/gemini-cli",
    },
    Traits {
        kind: CliKind::Opencode,
        name: "opencode",
        session_variable: None,
        package: "opencode-ai",
    },
];

/// Programs that run the script of a CLI.
const INTERPRETERS: [&str; 3] = ["node", "bun", "deno"];

/// The seat of the CLI session that process `own` was started from; `None` if no CLI started it.
pub fn find(
    environment: &dyn Environment,
    processes: &dyn Processes,
    own: u32,
) -> Option<SeatName> {
    let told = |cli: &Traits| {
        let id = environment.variable(cli.session_variable?).ok()??;
        Some(seat::of_session(cli.name, &id))
    };
    match nearest(processes, own) {
        Some((cli, process)) => told(cli).or_else(|| {
            Some(seat::of_session(
                cli.name,
                &format!("{}:{}", process.id, process.started),
            ))
        }),
        // Ancestors of a container or a sandbox may be out of sight, variables are not.
        None => CLIS.iter().find_map(told),
    }
}

/// The seat of a session whose id the CLI told, as a hook learns it.
///
/// `None` for a CLI whose other processes are not told it: they could not come to the same seat, so this
/// process must [`find`] it as they do.
pub fn of_session(kind: CliKind, session_id: &str) -> Option<SeatName> {
    let cli = CLIS.iter().find(|cli| cli.kind == kind)?;
    cli.session_variable
        .map(|_| seat::of_session(cli.name, session_id))
}

/// The seat of a hook's session. Where its CLI cannot be found among the ancestors, the session id at least
/// tells two sessions apart.
pub fn of_hook(
    kind: CliKind,
    session_id: &str,
    environment: &dyn Environment,
    processes: &dyn Processes,
    own: u32,
) -> Option<SeatName> {
    of_session(kind, session_id)
        .or_else(|| find(environment, processes, own))
        .or_else(|| {
            let cli = CLIS.iter().find(|cli| cli.kind == kind)?;
            Some(seat::of_session(cli.name, session_id)).filter(|_| !session_id.is_empty())
        })
}

/// The CLI that process `own` was started from.
pub fn cli_process(processes: &dyn Processes, own: u32) -> Option<Process> {
    nearest(processes, own).map(|(_, process)| process)
}

fn nearest(processes: &dyn Processes, own: u32) -> Option<(&'static Traits, Process)> {
    let mut id = own;
    for _ in 0..ANCESTORS_MAX {
        let process = processes.read(id)?;
        if id != own
            && let Some(cli) = CLIS.iter().find(|cli| cli.is(&process))
        {
            return Some((cli, process));
        }
        id = process.parent;
    }
    None
}

impl Traits {
    fn is(&self, process: &Process) -> bool {
        let mut words = process.words.iter();
        let program = words.next().map(|word| file_name(word));
        if process.name == self.name || program == Some(self.name) {
            return true;
        }
        let interprets = |name: &str| INTERPRETERS.contains(&name);
        if !interprets(&process.name) && !program.is_some_and(interprets) {
            return false;
        }
        let script = words.find(|word| !word.starts_with('-'));
        script.is_some_and(|script| script.contains(self.package) || file_stem(script) == self.name)
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn file_stem(path: &str) -> &str {
    let name = file_name(path);
    let stem = name.strip_suffix(".js").or(name.strip_suffix(".mjs"));
    stem.unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::MapEnvironment;

    struct Tree(BTreeMap<u32, Process>);

    impl Processes for Tree {
        fn read(&self, id: u32) -> Option<Process> {
            self.0.get(&id).cloned()
        }
    }

    /// Processes from the first one down, each with its words; ids are 1, 2, …
    fn tree(commands: &[&str]) -> (Tree, u32) {
        let processes = commands.iter().zip(1..).map(|(command, id)| {
            let words: Vec<String> = command.split(' ').map(ToOwned::to_owned).collect();
            let process = Process {
                id,
                parent: id - 1,
                started: u64::from(id) * 100,
                name: file_name(&words[0]).chars().take(15).collect(),
                words,
            };
            (id, process)
        });
        let tree = Tree(processes.collect());
        let last = tree.0.len();
        (tree, u32::try_from(last).expect("few"))
    }

    fn seat(commands: &[&str], variables: &[(&str, &str)]) -> Option<String> {
        let (tree, own) = tree(commands);
        let environment = MapEnvironment {
            variables: variables
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
            ..MapEnvironment::default()
        };
        find(&environment, &tree, own).map(|seat| seat.to_string())
    }

    const SESSION: (&str, &str) = ("CLAUDE_CODE_SESSION_ID", "5f0c");

    #[test]
    fn the_session_id_names_the_seat_wherever_it_is_told() {
        let of_hook = of_session(CliKind::Claude, "5f0c").map(|seat| seat.to_string());
        let of_shell = seat(
            &["init", "/opt/claude", "bash -c x", "coord ping"],
            &[SESSION],
        );
        let out_of_sight = seat(&["coord mcp"], &[SESSION]);
        let expected = Some("claude-88d12b3b".to_owned());
        assert_eq!(
            [of_hook, of_shell, out_of_sight],
            [(); 3].map(|()| expected.clone())
        );
        assert_eq!(of_session(CliKind::Codex, "5f0c"), None);
    }

    #[test]
    fn the_nearest_cli_names_the_seat_where_no_session_id_is_told() {
        let shell = seat(
            &[
                "init",
                "node /usr/lib/@openai/codex/bin/codex.js",
                "/x/codex",
                "sh",
                "coord",
            ],
            &[],
        );
        let server = seat(
            &[
                "init",
                "node /usr/lib/@openai/codex/bin/codex.js",
                "/x/codex",
                "coord mcp",
            ],
            &[],
        );
        assert!(
            shell
                .as_ref()
                .is_some_and(|seat| seat.starts_with("codex-")),
            "{shell:?}"
        );
        assert_eq!(shell, server);
        let second = seat(&["init", "sh", "sh", "/x/codex", "coord mcp"], &[]);
        assert_ne!(shell, second, "another process is another seat");
        // One that Claude Code started inherits its variables and is a seat of its own.
        let inner = seat(
            &["init", "/x/claude", "sh", "/x/codex", "sh", "coord"],
            &[SESSION],
        );
        assert!(
            inner
                .as_ref()
                .is_some_and(|seat| seat.starts_with("codex-")),
            "{inner:?}"
        );
    }

    #[test]
    fn a_script_is_recognised_by_its_package_or_its_name() {
        for (command, kind) in [
            (
                "node --max-old-space-size=4096 /usr/lib/node_modules/@google/gemini-cli/dist/index.js",
                "gemini-",
            ),
            ("/usr/bin/node /usr/local/bin/gemini", "gemini-"),
            ("node /usr/bin/claude", "claude-"),
            ("bun /x/opencode-ai/bin/run", "opencode-"),
        ] {
            let found = seat(&["init", command, "sh", "coord"], &[]);
            assert!(
                found.is_some_and(|seat| seat.starts_with(kind)),
                "{command}"
            );
        }
        for command in [
            "vim claude",
            "node /srv/server.js",
            "/usr/bin/codex-helper",
            "cat codex",
        ] {
            assert_eq!(
                seat(&["init", command, "sh", "coord"], &[]),
                None,
                "{command}"
            );
        }
        assert_eq!(
            seat(&["init", "/x/claude"], &[]),
            None,
            "a CLI is not its own child"
        );
    }

    #[test]
    fn parents_that_lead_nowhere_end_the_search() {
        let (mut tree, own) = tree(&["sh", "coord"]);
        if let Some(first) = tree.0.get_mut(&1) {
            first.parent = 2;
        }
        let found = find(&MapEnvironment::default(), &tree, own);
        assert_eq!(found, None);
    }
}
