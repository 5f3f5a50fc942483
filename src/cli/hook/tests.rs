use serde_json::{Value, json};

use super::event::{Answer, Event, Payload, Verdict};
use super::*;

fn event(cli: Cli, payload: Value) -> Event {
    (cli.dialect().event)(&Payload(payload))
}

#[test]
fn a_line_of_a_hook_is_recognised_even_if_it_is_wrong() {
    let definition = crate::cli::definition();
    let meant = |line: &[&str]| {
        let words: Vec<OsString> = line.iter().map(OsString::from).collect();
        is_meant(&definition, &words)
    };
    for line in [
        &["coord", "hook", "clade"][..],
        &["coord", "--url", "ws://x/ws", "hook"],
        &[
            "coord",
            "--json",
            "--color=never",
            "hook",
            "claude",
            "--flag",
        ],
        &["coord", "-q", "hook"],
    ] {
        assert!(meant(line), "{line:?}");
    }
    for line in [
        &["coord"][..],
        &["coord", "task", "submit", "hook"],
        &["coord", "--project", "hook", "status"],
    ] {
        assert!(!meant(line), "{line:?}");
    }
}

#[test]
fn hooks_without_flags_are_the_same_for_both_readers() {
    use clap::FromArgMatches;
    for name in ["claude", "codex", "gemini", "opencode"] {
        let words = ["coord", "hook", name].map(OsString::from);
        let plain = plain(&words).expect("it is one");
        let matches = crate::cli::definition().get_matches_from(&words);
        let matches = matches.subcommand_matches("hook").expect("it is one");
        let parsed = HookCommand::from_arg_matches(matches).expect("it is one");
        assert_eq!(format!("{plain:?}"), format!("{parsed:?}"));
    }
    for words in [
        &["coord", "hook"][..],
        &["coord", "hook", "clade"],
        &["coord", "hook", "claude", "--url"],
        &["coord", "task", "hook"],
    ] {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        assert!(plain(&words).is_none(), "{words:?}");
    }
}

#[test]
fn odd_payloads_are_events_that_nobody_knows() {
    for payload in [
        json!(null),
        json!([]),
        json!({}),
        json!({ "hook_event_name": 7 }),
        json!({ "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": { "command": "rm x" } }),
        json!({ "hook_event_name": "LaterEvent", "session_id": {} }),
        json!({ "hook_event_name": "PreToolUse", "tool_name": ["Edit"], "tool_input": 1 }),
    ] {
        for cli in [Cli::Claude, Cli::Codex, Cli::Gemini, Cli::Opencode] {
            assert_eq!(
                event(cli, payload.clone()),
                Event::Unknown,
                "{cli:?} {payload}"
            );
        }
    }
}

#[test]
fn no_answer_allows_or_asks() {
    for cli in [Cli::Claude, Cli::Codex, Cli::Gemini, Cli::Opencode] {
        for verdict in [
            Verdict::Nothing,
            Verdict::Context("x".to_owned()),
            Verdict::Deny("x".to_owned()),
            Verdict::GoOn("x".to_owned()),
        ] {
            let notice = Some("y".to_owned());
            let answer = Answer { verdict, notice };
            let said = (cli.dialect().render)("PreToolUse", &answer).to_string();
            assert!(!said.contains("allow") && !said.contains("ask"), "{said}");
        }
        let kind = cli.dialect().kind;
        assert!(
            kind.parse::<crate::engine::ids::AgentKind>().is_ok(),
            "{kind}"
        );
    }
}
