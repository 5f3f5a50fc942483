//! Processes that do more than use the port: service managers, login sessions, editors, agents, a
//! coordinator.

use super::{BehindKind, COORDINATOR, KIND};
use crate::edge::holders::INIT;
use crate::edge::holders::facts::{Facts, systemctl};

const ENDS_SERVICES: &str = "ends or abandons every program that it supervises";
const ENDS_SESSION: &str = "ends that session with everything in it";

pub(super) const KINDS: &[BehindKind] = &[
    BehindKind {
        name: "systemd",
        programs: &["systemd"],
        is: "systemd, which listens on behalf of a service",
        ending_it: "ends everything that it manages",
        stop: |facts| {
            let systemctl = systemctl(facts.program.pid != INIT);
            let units = facts.socket_units.join(" ");
            if units.is_empty() {
                let list = format!("{systemctl} list-sockets");
                return vec![list, format!("{systemctl} stop NAME.socket NAME.service")];
            }
            let services = units.replace(".socket", ".service");
            vec![format!("{systemctl} stop {units} {services}")]
        },
        ..KIND
    },
    BehindKind {
        name: "init",
        when: |facts| {
            let inits = [
                "launchd",
                "runsvdir",
                "s6-svscan",
                "svscan",
                "openrc-init",
                "init",
            ];
            facts.program.pid == INIT || facts.program.is(&inits)
        },
        is: "process 1 of this system or container, or a service manager",
        ending_it: "ends everything here",
        advice: Some("stop the service with its manager, or the container from outside"),
        ..KIND
    },
    BehindKind {
        name: "supervisord",
        programs: &["supervisord"],
        is: "the supervisor of other programs",
        ending_it: ENDS_SERVICES,
        stop: |_| {
            vec![
                "supervisorctl status".to_owned(),
                "supervisorctl stop NAME".to_owned(),
            ]
        },
        ..KIND
    },
    BehindKind {
        name: "pm2",
        when: |facts| {
            facts.program.is(&["PM2", "pm2", "pm2-runtime"]) || facts.program.mentions("God Daemon")
        },
        is: "PM2's daemon, which listens on behalf of its programs",
        ending_it: ENDS_SERVICES,
        stop: |_| vec!["pm2 list".to_owned(), "pm2 stop NAME".to_owned()],
        ..KIND
    },
    BehindKind {
        name: "supervisor",
        programs: &[
            "circusd",
            "monit",
            "overmind",
            "foreman",
            "forever",
            "runsv",
            "s6-supervise",
        ],
        is: "the supervisor of other programs",
        ending_it: ENDS_SERVICES,
        advice: Some("stop the program with its supervisor's own command"),
        ..KIND
    },
    BehindKind {
        name: "inetd",
        programs: &["xinetd", "inetd", "openbsd-inetd", "inetutils-inetd"],
        is: "a server that listens for other services and starts them",
        ending_it: "ends all of these services",
        advice: Some(
            "disable the service in /etc/xinetd.d or /etc/inetd.conf, then reload the server",
        ),
        ..KIND
    },
    BehindKind {
        name: "ssh-session",
        programs: &["sshd", "sshd-session", "dropbear"],
        when: is_session,
        is: "an SSH session that forwards the port to the SSH client",
        ending_it: ENDS_SESSION,
        advice: Some("end the forward (`ssh -R`) on the SSH client"),
        ..KIND
    },
    BehindKind {
        name: "ssh-server",
        programs: &["sshd", "dropbear", "tinysshd", "teleport"],
        is: "the SSH server",
        ending_it: "prevents every new SSH login",
        stop: |facts| facts.service_command(&["ssh.socket"]).into_iter().collect(),
        advice: Some("make sure that you can log in another way before you stop it"),
        ..KIND
    },
    BehindKind {
        name: "ide",
        when: is_editor,
        is: "an editor or its server",
        ending_it: "ends the editor's session with its terminals and extensions",
        advice: Some("close the port in the editor's list of ports, or close the editor"),
        ..KIND
    },
    BehindKind {
        name: "agent",
        when: |facts| {
            facts
                .program
                .is(&["claude", "codex", "opencode", "aider", "gemini"])
                || facts.program.mentions("gemini-cli")
        },
        is: "an agent",
        ending_it: "ends the agent's session and its work",
        advice: Some("close it where it runs"),
        ..KIND
    },
    BehindKind {
        name: COORDINATOR,
        programs: &["coord"],
        when: |facts| facts.program.has("serve"),
        is: "a coordinator",
        ending_it: "leaves its agents without a coordinator",
        stop: |facts| {
            let command = facts.service_command(&["coord.socket", "coord-metrics.socket"]);
            command.into_iter().collect()
        },
        advice: Some(
            "end it where it was started, or give --anyway: it finishes the current requests first",
        ),
        ..KIND
    },
    BehindKind {
        name: "desktop",
        programs: &[
            "Xorg",
            "Xvnc",
            "Xtigervnc",
            "Xwayland",
            "gnome-shell",
            "gnome-remote-desktop-daemon",
            "kwin_wayland",
            "weston",
            "xrdp",
            "xrdp-sesman",
        ],
        is: "a graphical session",
        ending_it: ENDS_SESSION,
        stop: |_| Vec::new(),
        advice: Some("log out of the session"),
        ..KIND
    },
];

/// The server's own process says what it listens for; a session's says whose it is.
fn is_session(facts: &Facts) -> bool {
    let program = &facts.program;
    let title = program
        .words
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    let whose = title
        .strip_prefix("sshd: ")
        .or_else(|| title.strip_prefix("sshd-session: "));
    let listens = title.contains("[listener]") || title.contains("/sshd");
    program.is(&["sshd-session"]) || (whose.is_some() && !listens) || facts.parent_is(&["dropbear"])
}

/// Editors by where their own executable lies: a program that somebody called `code` is none.
fn is_editor(facts: &Facts) -> bool {
    let folders = [
        "/.vscode-server",
        "/.vscode-remote",
        "/.vscodium-server",
        "/.cursor-server",
        "/.windsurf-server",
        "/.vscode-insiders",
        "/share/code/",
        "/visual-studio-code/",
        "/snap/code/",
        "/share/cursor/",
        "/opt/cursor/",
        "/share/codium/",
        "/share/windsurf/",
        "/.cache/JetBrains/",
        "/.local/share/JetBrains/",
        "/opt/idea",
    ];
    let program = &facts.program;
    let first = program
        .words
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    let lies = |folder: &str| program.executable.contains(folder) || first.contains(folder);
    let is_server =
        |word: &String| word.ends_with("/server-main.js") || word.ends_with("/bootstrap-fork");
    folders.into_iter().any(lies)
        || program.words.iter().take(SCRIPT_WORDS).any(is_server)
        || program.is(&["code-server", "openvscode-server"])
        || program.mentions("com.intellij.idea.Main")
}

/// The words of an interpreter's command line among which the name of its script is.
const SCRIPT_WORDS: usize = 4;
