//! Several seats of one token: who may take one, and that each is an agent of its own.

use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use super::cli_work::coord::Cli;
use crate::support::{Client, Coordinator, http, until};

/// A token of `agent` that allows seats: its id and its secret.
pub(crate) async fn seats_token(coordinator: &Coordinator, agent: &str) -> (String, String) {
    let params = json!({ "agent": agent, "seats": true });
    let mut operator = coordinator.operator().await;
    let made = operator.call("token.create", params).await.unwrap();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    (text("token"), text("secret"))
}

async fn at(coordinator: &Coordinator, token: &str, seat: &str) -> Client {
    let target = format!("/ws?seat={seat}");
    let client = Client::try_connect(coordinator.port(), &target, token).await;
    client.unwrap()
}

async fn open(client: &mut Client) -> Value {
    client.call("session.open", json!({})).await.unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    let agents = list["agents"].as_array().unwrap().iter();
    agents
        .map(|agent| agent["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_seat_that_cannot_be_is_refused_with_the_next_step() {
    let coordinator = Coordinator::start().await;
    let plain = coordinator.token("bob", "agent").await;
    let (_, seats) = seats_token(&coordinator, "ana").await;
    let long = format!("/ws?seat={}", "s".repeat(33));
    let not_allowed = [
        "forbidden",
        "bob allows no seats",
        "token create bob --seats",
    ];
    let two = ["invalid_params", "different seats"];
    for (token, target, header, status, words) in [
        (&plain, "/ws?seat=a", "X: x", 403, &not_allowed[..]),
        (&plain, "/ws", "Coord-Seat: a", 403, &not_allowed[..]),
        (&seats, "/ws?seat=a", "Coord-Seat: b", 400, &two[..]),
        (&seats, "/ws?seat=", "X: x", 400, &["must not be empty"][..]),
        (&seats, "/ws?seat=A", "X: x", 400, &["lower case"][..]),
        (
            &seats,
            "/ws?seat=a%2Fb",
            "X: x",
            400,
            &["a seat name contains"][..],
        ),
        (&seats, &long, "X: x", 400, &["at most 32"][..]),
        (
            &seats,
            "/ws",
            "Coord-Seat: bob/a",
            400,
            &["a seat name contains"][..],
        ),
        (&seats, "/ws?seat_hint=A", "X: x", 400, &["seat_hint"][..]),
        (&plain, "/ws?seat=A", "X: x", 400, &["lower case"][..]),
    ] {
        let host = format!("Host: 127.0.0.1:{}", coordinator.port());
        let bearer = format!("Authorization: Bearer {token}");
        let headers = [host.as_str(), &bearer, header];
        let reply = http::upgrade(coordinator.port(), target, &headers).await;
        assert_eq!(reply.status, status, "{target} {header}: {reply:?}");
        for word in words {
            assert!(reply.rest.contains(word), "{word:?} is not in {reply:?}");
        }
    }
    // A hint changes nothing for a token without seats, and names no principal.
    let mut bob = Client::try_connect(coordinator.port(), "/ws?seat_hint=a", &plain)
        .await
        .unwrap();
    assert_eq!(open(&mut bob).await["agent"], "bob");
    // A token is for a principal, whatever it allows.
    let create = json!({ "agent": "ana/x", "seats": true });
    let mut operator = coordinator.operator().await;
    let failure = operator.call("token.create", create).await.unwrap_err();
    failure.check("invalid_params", &["agent"]);
}

#[tokio::test]
async fn two_seats_of_one_token_are_two_agents() {
    let coordinator = Coordinator::start().await;
    let (id, token) = seats_token(&coordinator, "ana").await;
    let mut one = at(&coordinator, &token, "claude-1").await;
    let mut two = at(&coordinator, &token, "codex-2").await;
    let me = one.call("agent.get", json!({})).await.unwrap();
    assert_eq!(
        me["name"], "ana/claude-1",
        "it knows who it is before it did anything"
    );
    assert_eq!(open(&mut one).await["agent"], "ana/claude-1");
    assert_eq!(open(&mut two).await["agent"], "ana/codex-2");

    let acquire = json!({ "resources": ["file:src/main.rs"] });
    one.call("lease.acquire", acquire.clone()).await.unwrap();
    let failure = two.call("lease.acquire", acquire).await.unwrap_err();
    failure.check("conflict", &["ana/claude-1"]);
    let mut operator = coordinator.operator().await;
    for (agent, leases) in [("ana", 1), ("ana/claude-1", 1), ("ana/codex-2", 0)] {
        let list = operator
            .call("lease.list", json!({ "agent": agent }))
            .await
            .unwrap();
        assert_eq!(list["leases"].as_array().unwrap().len(), leases, "{agent}");
    }

    // To the principal: both. To a seat: that one. Nobody else, whatever it is called.
    let note = |to: &str| json!({ "to": { "agent": to }, "body": to });
    let sent = operator.call("message.send", note("ana")).await.unwrap();
    assert_eq!(sent["recipients"].as_array().unwrap().len(), 2, "{sent}");
    operator
        .call("message.send", note("ana/codex-2"))
        .await
        .unwrap();
    for (client, waiting) in [(&mut one, 1), (&mut two, 2)] {
        let inbox = client.call("message.inbox", json!({})).await.unwrap();
        assert_eq!(inbox["waiting"], waiting, "{inbox}");
    }
    let unknown = operator
        .call("message.send", note("ana/later"))
        .await
        .unwrap();
    assert_eq!(unknown["recipients"][0]["delivery"], "unknown", "{unknown}");

    let list = operator
        .call("agent.list", json!({ "present": true }))
        .await
        .unwrap();
    assert_eq!(names(&list), ["ana/claude-1", "ana/codex-2"]);
    let ana = operator
        .call("agent.get", json!({ "agent": "ana" }))
        .await
        .unwrap();
    assert_eq!(ana["seats_present"], 2, "{ana}");

    // The token ends, and with it every seat.
    operator
        .call("token.revoke", json!({ "token": id }))
        .await
        .unwrap();
    one.closed().await;
    two.closed().await;
    let again = Client::try_connect(coordinator.port(), "/ws?seat=claude-1", &token).await;
    assert!(again.is_err());
}

#[tokio::test]
async fn a_seat_outlives_a_restart_with_what_it_holds() {
    let mut coordinator = Coordinator::start().await;
    let (_, token) = seats_token(&coordinator, "ana").await;
    let mut one = at(&coordinator, &token, "a").await;
    let opened = open(&mut one).await;
    one.call("lease.acquire", json!({ "resources": ["name:x"] }))
        .await
        .unwrap();
    coordinator.kill().await;
    coordinator.restart().await;
    let resume =
        json!({ "resume": { "session": opened["session"], "secret": opened["resume_secret"] } });
    // Another seat of the same token cannot take the session up, though it had the secret.
    let mut other = at(&coordinator, &token, "b").await;
    let failure = other
        .call("session.open", resume.clone())
        .await
        .unwrap_err();
    failure.check("not_found", &["session"]);
    let mut again = at(&coordinator, &token, "a").await;
    assert_eq!(
        again.call("session.open", resume).await.unwrap()["resumed"],
        true
    );
    let list = again
        .call("lease.list", json!({ "agent": "ana/a" }))
        .await
        .unwrap();
    assert_eq!(list["leases"][0]["resources"], json!(["name:x"]));
}

/// Runs a shell that looks like a CLI, which runs `coord` twice.
async fn inside(
    cli: &Cli,
    folder: &Path,
    program: &str,
    variables: &[(&str, &str)],
) -> Vec<String> {
    let link = folder.join(program);
    if !link.exists() {
        symlink("/bin/sh", &link).unwrap();
    }
    let coord = env!("CARGO_BIN_EXE_coord");
    let script = format!("{coord} --json agent get; {coord} --json agent get; true");
    let mut command = cli.program(link.to_str().unwrap(), folder);
    command
        .args(["-c", &script])
        .envs(variables.iter().copied());
    let done = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let views = serde_json::Deserializer::from_str(&said).into_iter::<Value>();
    views
        .map(|view| view.unwrap()["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_command_takes_the_seat_of_the_cli_session_that_it_runs_in() {
    let coordinator = Coordinator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (_, token) = seats_token(&coordinator, "ana").await;
    let ana = Cli::with_token(&coordinator, token);
    let bob = Cli::agent(&coordinator, "bob").await;

    let first = inside(&ana, folder, "codex", &[]).await;
    assert!(
        first[0].starts_with("ana/codex-") && first[0] == first[1],
        "{first:?}"
    );
    let second = inside(&ana, folder, "codex", &[]).await;
    assert_ne!(first[0], second[0], "another process is another session");
    let session = [("CLAUDE_CODE_SESSION_ID", "5f0c")];
    let told = inside(&ana, folder, "claude", &session).await;
    assert_eq!(told, ["ana/claude-88d12b3b"; 2]);
    let named = [session[0], ("COORD_SEAT", "mine")];
    assert_eq!(
        inside(&ana, folder, "claude", &named).await,
        ["ana/mine"; 2]
    );
    // A token without seats goes on as it was, unless a seat is asked for.
    assert_eq!(inside(&bob, folder, "claude", &session).await, ["bob"; 2]);
    let refused = bob.run(folder, &["--seat", "x", "agent", "get"]).await;
    refused.check(4);
    assert!(refused.stderr.contains("coord token create"), "{refused:?}");
    let malformed = ana.run(folder, &["--seat", "ana/x", "agent", "get"]).await;
    malformed.check(2);
    assert!(
        malformed.stderr.contains("comes from the token"),
        "{malformed:?}"
    );
}

#[tokio::test]
async fn the_command_line_names_seats_wherever_it_names_agents() {
    let coordinator = Coordinator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let operator = Cli::with_token(&coordinator, coordinator.operator_token());
    let secret = operator
        .run(folder, &["token", "create", "ana", "--seats", "--print"])
        .await;
    secret.check(0);
    let ana = Cli::with_token(&coordinator, secret.stdout.trim().to_owned());
    let tokens = operator.run(folder, &["token", "list"]).await;
    assert!(tokens.stdout.contains("ana[/SEAT]"), "{tokens:?}");

    let mut client = at(&coordinator, secret.stdout.trim(), "a").await;
    open(&mut client).await;
    ana.run(folder, &["--seat", "b", "task", "submit", "work"])
        .await
        .check(0);
    let claimed = ana
        .json(folder, &["--seat", "b", "task", "claim", "--ttl", "1m"])
        .await;
    let (task, fence) = (&claimed["claim"]["task"], &claimed["claim"]["fence"]);
    let (task, fence) = (task.to_string(), fence.to_string());
    let listed = operator
        .json(folder, &["task", "list", "--agent", "ana"])
        .await;
    assert_eq!(listed["tasks"][0]["task"].to_string(), task, "{listed}");
    let words = [
        "--seat", "b", "task", "handoff", &task, "--fence", &fence, "--to", "ana/a",
    ];
    ana.run(folder, &words).await.check(0);
    operator
        .run(folder, &["message", "send", "--to", "ana/a", "hello"])
        .await
        .check(0);
    let seen = until("the message", async || {
        let inbox = ana.json(folder, &["--seat", "a", "message", "inbox"]).await;
        inbox["messages"].get(0).cloned()
    })
    .await;
    assert_eq!(seen["to"]["agent"], "ana/a", "{seen}");
    let agents = operator.run(folder, &["agent", "list"]).await;
    let rows: Vec<&str> = agents.stdout.lines().skip(1).collect();
    assert!(
        rows[0].starts_with("ana ") && rows[0].contains("1 seat"),
        "{agents:?}"
    );
    assert!(
        rows[1].starts_with("ana/a ") && rows[2].starts_with("ana/b "),
        "{agents:?}"
    );
    let removed = operator.run(folder, &["agent", "remove", "ana/b"]).await;
    removed.check(0);
}
