//! Every event of every CLI, as it is sent: answered, or left alone, in the order of a session.

use serde_json::Value;

use super::Scene;

/// The events of a session, with what is said about each; `@ROOT@` stands for the repository.
fn fixture(cli: &str) -> &'static str {
    match cli {
        "claude" => include_str!("payloads/claude.json"),
        "codex" => include_str!("payloads/codex.json"),
        "gemini" => include_str!("payloads/gemini.json"),
        _ => include_str!("payloads/opencode.json"),
    }
}

#[tokio::test]
async fn every_event_is_understood() {
    let scene = Scene::new().await;
    for (cli, files) in [
        (
            "claude",
            &["file:a.rs", "file:b.rs", "file:n.ipynb", "file:new.rs"][..],
        ),
        (
            "codex",
            &[
                "file:a.rs",
                "file:b.rs",
                "file:new.rs",
                "file:src/c.rs",
                "file:z.rs",
            ],
        ),
        ("gemini", &["file:a.rs", "file:new.rs"]),
        ("opencode", &["file:a.rs", "file:b.rs", "file:new.rs"]),
    ] {
        let window = scene.window(cli, "ana", "1").await;
        let root = scene.root();
        let text = fixture(cli).replace("@ROOT@", root.to_str().unwrap());
        let events: Vec<Value> = serde_json::from_str(&text).unwrap();
        let mut held = Vec::new();
        for event in events {
            let done = window
                .hook_raw(event["payload"].to_string().as_bytes())
                .await;
            if event["expect"] == "silent" {
                assert_eq!(
                    (done.code, &*done.stdout, &*done.stderr),
                    (Some(0), "", ""),
                    "{event}"
                );
            } else {
                let said = done.answer();
                let output = &said["hookSpecificOutput"];
                assert_eq!(
                    output["hookEventName"], event["payload"]["hook_event_name"],
                    "{event}"
                );
                assert!(output["additionalContext"].is_string(), "{event}");
            }
            held.extend(scene.held().await);
        }
        held.sort();
        held.dedup();
        assert_eq!(held, files, "{cli}");
        assert!(scene.held().await.is_empty(), "{cli}");
    }
}
