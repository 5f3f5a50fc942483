//! Whoever meant to be somebody does not end as the operator.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::Terminal;
use crate::support::Coordinator;

const OPERATOR: &str = "acting as the operator";

/// One command of every kind that talks to a coordinator, and what to run beside them.
const COMMANDS: &[&[&str]] = &[
    &["message", "inbox"],
    &["message", "send", "--to", "bob", "hello"],
    &["task", "claim"],
    &[
        "task",
        "work",
        "--once",
        "--idle-exit",
        "10ms",
        "--",
        "touch",
        "ran",
    ],
    &["lease", "acquire", "name:x"],
    &["lease", "run", "name:y", "--", "touch", "ran"],
    &["ports", "lease", "--pool", "20000-20099"],
    &[
        "ports",
        "run",
        "--pool",
        "20000-20099",
        "--",
        "touch",
        "ran",
    ],
    &["agent", "get"],
    &["context", "put", "a", "1"],
    &["events", "follow", "--max", "1"],
    &["context", "watch"],
    &["call", "message.inbox"],
    &["token", "list"],
    &["status"],
];

#[tokio::test]
async fn a_misspelt_token_is_refused_by_every_command() {
    let coordinator = Coordinator::start().await;
    let terminal = Terminal::of(&coordinator).with("COORD_TOKENFILE", "alice.token");
    for words in COMMANDS {
        let done = terminal.run(words).await;
        done.check(2)
            .says("COORD_TOKENFILE")
            .says("did you mean COORD_TOKEN_FILE?")
            .says_nothing_of("alice");
        assert_eq!(done.stdout, "", "{words:?}");
    }
    assert!(!coordinator.folder().join("ran").exists());
    // Nothing was done as the operator either.
    let agents = Terminal::of(&coordinator)
        .run(&["-q", "message", "inbox"])
        .await;
    assert_eq!(agents.check(0).stdout, "");
}

#[tokio::test]
async fn every_way_to_miss_the_variable_is_refused() {
    let coordinator = Coordinator::start().await;
    for (name, text, words) in [
        ("COORD_TOKKEN", "x", "did you mean COORD_TOKEN?"),
        ("COORD_AGENT_TOKEN", "x", "did you mean COORD_TOKEN?"),
        ("COORD_TOKEN_PATH", "x", "did you mean COORD_TOKEN_FILE?"),
        ("coord_token_file", "x", "did you mean COORD_TOKEN_FILE?"),
        ("CORD_TOKEN", "x", "did you mean COORD_TOKEN?"),
        ("COORD_SECRET", "x", "did you mean COORD_TOKEN?"),
        ("COORD_TOKEN", "", "set but empty"),
        ("COORD_TOKEN_FILE", "", "set but empty"),
    ] {
        let terminal = Terminal::of(&coordinator).with(name, text);
        let done = terminal.run(&["message", "inbox"]).await;
        done.check(2).says(name).says(words);
        // With a token the slip costs nothing, but is told.
        let token = coordinator.operator_token();
        let file = coordinator.folder().join("mine");
        fs::write(&file, token).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let file = file.display().to_string();
        let done = terminal
            .run(&["--token-file", &file, "message", "inbox"])
            .await;
        done.check(0).says_nothing_of(OPERATOR);
        assert_eq!(
            done.stderr.contains("warning: "),
            !text.is_empty(),
            "{done:#?}"
        );
    }
}

#[tokio::test]
async fn other_unknown_variables_are_warned_of() {
    let coordinator = Coordinator::start().await;
    let ann = Terminal::agent(&coordinator, "ann").await;
    let slip = ann.clone().with("COORD_PROJEKT", "x");
    slip.run(&["message", "inbox"])
        .await
        .check(0)
        .says("warning: COORD_PROJEKT: no setting uses this variable; did you mean COORD_PROJECT?");
    assert_eq!(
        slip.run(&["-q", "message", "inbox"]).await.check(0).stderr,
        ""
    );
    let remarks = slip.run(&["--json", "message", "inbox"]).await.remarks();
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    assert_eq!(remarks[0]["level"], "warning");
    // What a wrapper tells its command is no slip of anybody's.
    let words = ["message", "send", "--to", "ann", "x"];
    let coord = env!("CARGO_BIN_EXE_coord");
    let run = [&["lease", "run", "name:x", "--", coord], &words[..]].concat();
    assert_eq!(ann.run(&run).await.check(0).stderr, "");
    ann.run(&["task", "submit", "t", "--label", "token=x"])
        .await
        .check(0);
    let run = [&["-q", "task", "work", "--once", "--", coord], &words[..]].concat();
    assert_eq!(ann.run(&run).await.check(0).stderr, "");
}

#[tokio::test]
async fn acting_as_the_operator_is_said_once_where_it_matters() {
    let coordinator = Coordinator::start().await;
    let operator = Terminal::of(&coordinator);
    for words in COMMANDS
        .iter()
        .filter(|words| !["token", "status", "events", "context"].contains(&words[0]))
    {
        let done = operator.run(words).await;
        assert_eq!(done.stderr.matches(OPERATOR).count(), 1, "{done:#?}");
    }
    for words in [
        &["token", "list"][..],
        &["status"],
        &["ping"],
        &["project", "create", "p"],
        &["-q", "message", "inbox"],
    ] {
        let done = operator.run(words).await;
        assert_eq!(done.check(0).stderr, "", "{words:?}");
    }
    let remarks = operator
        .run(&["--json", "message", "inbox"])
        .await
        .remarks();
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    assert_eq!(remarks[0]["level"], "note");
    // Chosen, it is nobody's surprise.
    let file = coordinator.state_dir().join("operator.token");
    let chosen = operator.clone().with("COORD_TOKEN_FILE", file.display());
    assert_eq!(chosen.run(&["message", "inbox"]).await.check(0).stderr, "");
    let chosen = operator.with("COORD_TOKEN", coordinator.operator_token());
    assert_eq!(chosen.run(&["message", "inbox"]).await.check(0).stderr, "");
}

#[tokio::test]
async fn forms_that_are_no_token_are_named_and_not_repeated() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token("ann", "agent").await;
    let terminal = Terminal::of(&coordinator);
    let file = coordinator.folder().join("ann.token");
    let utf16: Vec<u8> = format!("\u{feff}{token}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let forms: [(Vec<u8>, &str); 12] = [
        (format!("\u{feff}{token}\n").into(), "byte order mark"),
        (utf16, "UTF-16"),
        (b"coord_\xff\xfe\x80".to_vec(), "not UTF-8"),
        (format!("\"{token}\"\n").into(), "quotes"),
        (format!("Bearer {token}\n").into(), "Bearer"),
        (format!("COORD_TOKEN={token}\n").into(), "assignment"),
        (
            format!("export COORD_TOKEN='{token}'\n").into(),
            "assignment",
        ),
        (format!("token: {token}\n").into(), "a name"),
        (format!("{{\"secret\":\"{token}\"}}").into(), "JSON"),
        (format!("{token}\n{token}\n").into(), "several lines"),
        (format!("$ {token}\n").into(), "prompt"),
        (b"\n".to_vec(), "empty"),
    ];
    for (bytes, what) in forms {
        fs::write(&file, &bytes).unwrap();
        let named = terminal.clone().with("COORD_TOKEN_FILE", file.display());
        let done = named.run(&["message", "inbox"]).await;
        done.check(2)
            .says("COORD_TOKEN_FILE")
            .says(what)
            .says_nothing_of(&token);
        let path = file.display().to_string();
        let done = terminal
            .run(&["--token-file", &path, "message", "inbox"])
            .await;
        done.check(2)
            .says("--token-file")
            .says(what)
            .says_nothing_of(&token);
        if let Ok(text) = String::from_utf8(bytes)
            && !text.trim().is_empty()
        {
            let done = terminal
                .clone()
                .with("COORD_TOKEN", text.trim_end())
                .run(&["message", "inbox"])
                .await;
            done.check(2)
                .says("COORD_TOKEN")
                .says(what)
                .says_nothing_of(&token);
        }
    }
    for end in ["", "\n", "\r\n", " \n\n", "\t"] {
        fs::write(&file, format!("{token}{end}")).unwrap();
        let named = terminal.clone().with("COORD_TOKEN_FILE", file.display());
        named.run(&["message", "inbox"]).await.check(0);
    }
}

#[tokio::test]
async fn a_token_in_place_of_a_file_and_a_file_in_place_of_a_token() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token("ann", "agent").await;
    let terminal = Terminal::of(&coordinator);
    let named = terminal.clone().with("COORD_TOKEN_FILE", &token);
    let done = named.run(&["message", "inbox"]).await;
    done.check(2)
        .says("looks like a secret itself")
        .says("COORD_TOKEN")
        .says_nothing_of(&token);
    let done = terminal
        .run(&["--token-file", &token, "message", "inbox"])
        .await;
    done.check(2)
        .says("looks like a secret itself")
        .says_nothing_of(&token);
    let done = terminal
        .clone()
        .with("COORD_TOKEN", "./ann.token")
        .run(&["message", "inbox"])
        .await;
    done.check(2)
        .says("it is a file name")
        .says("COORD_TOKEN_FILE");
    let both = terminal
        .clone()
        .with("COORD_TOKEN", &token)
        .with("COORD_TOKEN_FILE", "ann.token");
    fs::write(coordinator.folder().join("ann.token"), &token).unwrap();
    both.run(&["message", "inbox"])
        .await
        .check(2)
        .says("already given")
        .says_nothing_of(&token);
    for (file, what) in [
        ("/", "directory"),
        ("none", "No such file"),
        ("~/ann.token", "only a shell replaces ~"),
    ] {
        let done = terminal
            .clone()
            .with("COORD_TOKEN_FILE", file)
            .run(&["message", "inbox"])
            .await;
        done.check(2).says(what);
    }
}
