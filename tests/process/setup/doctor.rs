//! `coord doctor`: a good bed, and each link broken.

use serde_json::Value;

use super::bed::Bed;
use crate::support::Coordinator;

fn checks(bed: &Bed, code: i32) -> Vec<Value> {
    let said = bed.coord(&["--json", "doctor", "claude", "codex"]);
    said.check(code);
    let answer: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(answer["ok"], code == 0);
    answer["checks"].as_array().unwrap().clone()
}

/// The state of a link, and what mends it.
fn link(checks: &[Value], of: &str, link: &str) -> (String, String) {
    let found = checks
        .iter()
        .find(|check| check["of"] == of && check["link"] == link);
    let found = found.unwrap_or_else(|| panic!("{of} {link} is not in {checks:#?}"));
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("mend"))
}

#[tokio::test]
async fn each_link_is_tried_and_a_failure_says_what_mends_it() {
    let mut coordinator = Coordinator::start().await;
    let bed = Bed::of(&coordinator);
    let found = checks(&bed, 1);
    assert_eq!(link(&found, "claude", "file").0, "bad");
    assert_eq!(link(&found, "coord", "token").0, "bad");

    bed.coord(&["setup", "claude", "codex"]).check(0);
    assert_eq!(link(&checks(&bed, 1), "claude", "trust").0, "bad");
    let file = "home/.claude.json";
    let mut state = bed.json(file);
    let root = bed.path("repo").to_str().unwrap().to_owned();
    state["projects"][root]["hasTrustDialogAccepted"] = true.into();
    bed.write(file, state.to_string());
    // Without the real Codex nothing tells which hooks it trusts.
    let found = checks(&bed, 0);
    for name in ["coordinator", "token", "project", "clock", "seat"] {
        assert_eq!(link(&found, "coord", name).0, "good", "{name}: {found:#?}");
    }
    for front in ["claude", "codex"] {
        assert_eq!(link(&found, front, "mcp").0, "good", "{found:#?}");
        assert_eq!(link(&found, front, "file").0, "good", "{found:#?}");
        assert_ne!(link(&found, front, "hooks").0, "bad", "{found:#?}");
    }
    assert_eq!(link(&found, "codex", "trust").0, "unknown");
    bed.coord(&["doctor", "git"])
        .check(1)
        .says("coord setup git");

    let settings = bed.read("repo/.claude/settings.local.json");
    bed.write(
        "repo/.claude/settings.local.json",
        settings.replacen("\"timeout\": 5", "\"timeout\": 6", 1),
    );
    assert_eq!(
        link(&checks(&bed, 1), "claude", "file"),
        ("bad".into(), "coord setup claude".into())
    );
    // Another program is not run, whatever the file says.
    let program = env!("CARGO_BIN_EXE_coord");
    bed.write(
        "repo/.claude/settings.local.json",
        settings.replace(program, "/tmp/coord"),
    );
    assert_eq!(link(&checks(&bed, 1), "claude", "hooks").0, "unknown");
    bed.write("repo/.claude/settings.local.json", "{");
    assert_eq!(link(&checks(&bed, 1), "claude", "file").0, "bad");
    bed.write("repo/.claude/settings.local.json", &settings);

    let token = bed.read("home/.config/coord/agent.token");
    let last = if token.trim().ends_with('a') {
        "b"
    } else {
        "a"
    };
    let wrong = &token.trim()[..token.trim().len() - 1];
    bed.write("home/.config/coord/agent.token", format!("{wrong}{last}"));
    let found = checks(&bed, 1);
    assert_eq!(link(&found, "coord", "token").0, "bad");
    assert_eq!(link(&found, "claude", "mcp").0, "bad");
    bed.write("home/.config/coord/agent.token", token);
    bed.git(&["config", "coord.project", "elsewhere"]);
    let (state, mend) = link(&checks(&bed, 1), "coord", "project");
    assert_eq!(
        (&*state, mend.contains("coord project create elsewhere")),
        ("bad", true)
    );
    coordinator.stop().await;
    let (state, mend) = link(&checks(&bed, 1), "coord", "coordinator");
    assert_eq!(
        (&*state, mend.contains("coord install --user")),
        ("bad", true)
    );
}

/// Lines that all scopes share are no setup of the user's own files.
#[tokio::test]
async fn a_repository_that_is_set_up_asks_for_nothing_of_the_user() {
    let coordinator = Coordinator::start().await;
    let bed = Bed::of(&coordinator);
    bed.coord(&["setup", "opencode"]).check(0);
    let said = bed.coord(&["doctor", "opencode"]);
    said.check(0);
    assert!(!said.stdout.contains("--user"), "{said:#?}");
    bed.coord(&["setup", "opencode", "--user"]).check(0);
    bed.coord(&["doctor", "opencode"]).check(0);
}

#[test]
fn without_anything_it_says_so_and_panics_at_nothing() {
    let bed = Bed::alone();
    bed.coord(&["doctor"])
        .check(1)
        .says("cannot connect")
        .says("coord setup claude");
    bed.coord_in("home", &["doctor"]).check(1);
    bed.write("home/.config/coord/client.toml", "url = 1\n");
    bed.coord(&["doctor"]).check(1).says("settings");
}
