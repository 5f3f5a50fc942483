//! Token and project: what setup makes as the operator, and what it leaves to one.

use std::os::unix::fs::PermissionsExt;

use super::bed::Bed;
use crate::support::Coordinator;

const TOKEN: &str = "home/.config/coord/agent.token";

#[tokio::test]
async fn the_user_gets_a_token_with_seats_and_the_repository_a_project() {
    let coordinator = Coordinator::start().await;
    let bed = Bed::of(&coordinator);
    bed.git(&["remote", "add", "origin", "git@example.org:acme/Web.git"]);
    let before = bed.everything();
    let said = bed.coord(&["setup", "claude", "codex"]);
    said.check(0)
        .says("created a token with seats for ana")
        .says("created project acme-web");
    said.says("Codex skips our hooks until they are trusted");
    let mode = bed.path(TOKEN).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = bed.read(TOKEN);
    for (path, bytes) in bed.everything() {
        let has_secret = String::from_utf8_lossy(&bytes).contains(secret.trim());
        assert_eq!(has_secret, path == bed.path(TOKEN), "{}", path.display());
    }
    // Commands in the repository are the agent's, and work in its project.
    let ping = bed.coord(&["--json", "context", "put", "k", "\"v\""]);
    ping.check(0);
    let list = bed.coord(&["--project", "acme-web", "--json", "context", "get", "k"]);
    list.check(0).says("\"v\"").says("ana");
    bed.coord(&["--project", "default", "context", "get", "k"])
        .check(5);
    bed.coord(&["setup", "claude", "codex"])
        .check(0)
        .says("everything was set up already");
    bed.coord(&["setup", "--remove"])
        .check(0)
        .says("coord token revoke");
    assert_eq!(bed.everything(), before);
}

#[tokio::test]
async fn a_token_that_is_gone_is_made_again() {
    let coordinator = Coordinator::start().await;
    let bed = Bed::of(&coordinator);
    bed.coord(&["setup", "claude"]).check(0);
    let first = bed.read(TOKEN);
    std::fs::remove_file(bed.path(TOKEN)).unwrap();
    bed.coord(&["agent", "list"]).check(2).says("agent.token");
    bed.coord(&["setup", "claude", "--dry-run"])
        .check(0)
        .says("would create a token with seats for ana");
    assert!(!bed.path(TOKEN).exists());
    bed.coord(&["setup", "claude"])
        .check(0)
        .says("created a token with seats for ana");
    assert_ne!(bed.read(TOKEN), first);
    bed.coord(&["--json", "context", "put", "k", "\"v\""])
        .check(0);
    // Who cannot read the operator's token is told what the operator runs, and no file names a token that is not there.
    std::fs::remove_file(bed.path(TOKEN)).unwrap();
    let bed = bed.without_state();
    bed.coord(&["setup", "claude"])
        .check(4)
        .says("the operator runs `coord token create ana --seats --out");
    let client = bed.read("home/.config/coord/client.toml");
    assert!(!client.contains("token_file"), "{client}");
}

#[tokio::test]
async fn what_only_an_operator_can_do_is_left_to_one() {
    let coordinator = Coordinator::start().await;
    let own = Bed::of(&coordinator);
    // The state of the coordinator is not this user's.
    let bed = Bed::alone().at(&own);
    let said = bed.coord(&["setup", "gemini"]);
    said.check(4).says("coord token create ana --seats --out");
    let token = coordinator.token("ana", "agent").await;
    bed.write("home/.config/coord/agent.token", token);
    let file = bed.path(TOKEN);
    let words = ["--token-file", file.to_str().unwrap(), "setup", "gemini"];
    bed.coord(&words).check(4).says("coord project create repo");
    coordinator
        .operator()
        .await
        .call("project.create", serde_json::json!({"project": "repo"}))
        .await
        .unwrap();
    bed.coord(&["setup", "gemini"])
        .check(0)
        .says("everything was set up already");
}
