//! What `coord setup` asks at a terminal.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::bed::Bed;
use crate::support::Coordinator;
use crate::support::port::HeldPort;

const CLAUDE: &str = "repo/.claude/settings.local.json";

#[tokio::test]
async fn it_asks_for_each_that_is_installed_and_does_what_the_user_wants() {
    let coordinator = Coordinator::start().await;
    let bed = Bed::of(&coordinator);
    let before = bed.everything();
    let nothing = bed.coord_at_terminal("setup", "n\n\nno\nN\nwhat\n");
    nothing.check(2).says("nothing is to be set up");
    assert_eq!(bed.everything(), before);
    let said = bed.coord_at_terminal("setup", "y\nn\nn\nYes\nn\n");
    said.check(0)
        .says("set up claude? [y/N] ")
        .says("set up git? [y/N] ")
        .says("created a token with seats for ana");
    for (file, is_there) in [
        (CLAUDE, true),
        ("repo/.codex", false),
        ("repo/.gemini", false),
        ("repo/.opencode/plugins/coord.js", true),
        ("repo/.git/hooks/pre-commit", false),
    ] {
        assert_eq!(bed.path(file).exists(), is_there, "{file}");
    }
    // What is not installed is not asked for.
    for name in ["claude", "codex", "gemini"] {
        std::fs::remove_file(bed.path("bin").join(name)).unwrap();
    }
    let said = bed.coord_at_terminal("setup", "n\nn\n");
    said.check(2).says("set up opencode? [y/N] ");
    assert!(!said.stdout.contains("set up claude?"), "{said:#?}");
    // A program that reads the answer as JSON is asked nothing.
    bed.coord_at_terminal("--json setup", "y\n")
        .check(2)
        .says("coord setup opencode git");
}

/// The coordinator that a user's service manager started. Ends with the test.
struct Started<'a>(&'a Bed);

impl Drop for Started<'_> {
    fn drop(&mut self) {
        let text = std::fs::read_to_string(self.0.path("pid")).unwrap_or_default();
        if let Ok(id) = text.trim().parse() {
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

#[tokio::test]
async fn it_offers_to_run_a_coordinator_where_none_answers() {
    let (port, metrics) = (HeldPort::take(), HeldPort::take());
    let bed = Bed::alone().on_port(port.number());
    let unasked = bed.coord_at_terminal("setup claude", "y\n");
    unasked.check(3).says("coord install --user --now");
    assert!(!unasked.stdout.contains("with systemd?"), "{unasked:#?}");
    // A user manager, of which only the commands of coord are needed.
    bed.write("runtime/systemd/private", "");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >>{0}/asked\ncase $* in *start*)\n\
         export COORD_PROFILE=testing WEBSOCKET_PORT={1} METRICS_PORT={2}; unset COORD_URL\n\
         setsid \"$HOME/.local/bin/coord\" serve </dev/null >/dev/null 2>&1 &\necho $! >{0}/pid;; esac\n",
        bed.path("").display(),
        port.number(),
        metrics.number(),
    );
    bed.install("systemctl", &script);
    let refused = bed.coord_at_terminal("setup claude", "n\n");
    refused
        .check(3)
        .says("run one for you, with systemd? [y/N] ")
        .says("coord install --user --now");
    assert!(!bed.path("asked").exists());
    let started = Started(&bed);
    let said = bed.coord_at_terminal("setup claude", "y\n");
    said.check(0)
        .says("created a token with seats for ana")
        .says("created project repo");
    assert_eq!(
        bed.read("asked"),
        "--user daemon-reload\n--user enable coord.service\n--user restart coord.service\n"
    );
    bed.coord(&["agent", "list"]).check(0).says("ana");
    drop(started);
}
