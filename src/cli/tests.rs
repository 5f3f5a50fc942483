//! The command line as a whole: its definition, and that it reaches every operation.

use std::collections::BTreeSet;

use super::*;
use crate::protocol::operations::OPERATIONS;

/// Which command calls which operation.
const COMMANDS: &[(&str, &str)] = &[
    ("ping", "ping"),
    ("server.status", "status"),
    ("server.backup", "backup"),
    ("token.create", "token create"),
    ("token.list", "token list"),
    ("token.revoke", "token revoke"),
    ("project.create", "project create"),
    ("project.list", "project list"),
    ("agent.list", "agent list"),
    ("agent.get", "agent get"),
    ("agent.update", "agent update"),
    ("agent.remove", "agent remove"),
    ("task.submit", "task submit"),
    ("task.submit_many", "task submit-many"),
    ("task.claim", "task claim"),
    ("task.progress", "task progress"),
    ("task.complete", "task complete"),
    ("task.fail", "task fail"),
    ("task.release", "task release"),
    ("task.handoff", "task handoff"),
    ("task.cancel", "task cancel"),
    ("task.retry", "task retry"),
    ("task.get", "task get"),
    ("task.explain", "task explain"),
    ("task.list", "task list"),
    ("lease.acquire", "lease acquire"),
    ("lease.ensure", "lease ensure"),
    ("lease.renew", "lease renew"),
    ("lease.release", "lease release"),
    ("lease.revoke", "lease revoke"),
    ("lease.list", "lease list"),
    ("lease.check", "lease check"),
    ("message.send", "message send"),
    ("message.inbox", "message inbox"),
    ("message.ack", "message ack"),
    ("message.thread", "message thread"),
    ("context.get", "context get"),
    ("context.put", "context put"),
    ("context.delete", "context delete"),
    ("context.list", "context list"),
    ("context.watch", "context watch"),
    ("events.subscribe", "events follow"),
];

/// Operations without a command, and why.
const NO_COMMAND: &[(&str, &str)] = &[
    (
        "session.open",
        "`lease run` and `task work` open theirs; one that a command opened would end with it",
    ),
    ("session.close", "they close theirs"),
    (
        "events.unsubscribe",
        "a command that follows events ends with its connection",
    ),
];

#[test]
fn the_definition_is_sound() {
    definition().debug_assert();
}

/// A flag for all commands is read everywhere: an argument of the same name would be read as it.
#[test]
fn no_command_reuses_the_name_of_a_flag_for_all() {
    fn walk(command: &clap::Command, path: &str, global: &BTreeSet<String>) {
        for argument in command.get_arguments().filter(|arg| !arg.is_global_set()) {
            // The same switch, said again by commands that can stand alone.
            let shared = argument.get_id() == "json";
            let clash = global.contains(argument.get_id().as_str()) && !shared;
            assert!(!clash, "{path}: {}", argument.get_id());
        }
        for subcommand in command.get_subcommands() {
            walk(
                subcommand,
                &format!("{path} {}", subcommand.get_name()),
                global,
            );
        }
    }
    let definition = definition();
    let global = definition.get_arguments().filter(|arg| arg.is_global_set());
    let global = global.map(|arg| arg.get_id().to_string()).collect();
    walk(&definition, "coord", &global);
}

#[test]
fn every_operation_has_a_command_or_a_reason() {
    let listed = COMMANDS
        .iter()
        .chain(NO_COMMAND)
        .map(|(operation, _)| *operation);
    let listed: Vec<&str> = listed.collect();
    let unique: BTreeSet<&str> = listed.iter().copied().collect();
    let known: BTreeSet<&str> = OPERATIONS.iter().map(|info| info.name).collect();
    assert_eq!(
        unique, known,
        "list a new operation with its command, or with a reason"
    );
    assert_eq!(listed.len(), unique.len(), "an operation is listed twice");
}

#[test]
fn every_listed_command_exists_and_says_what_it_does() {
    let definition = definition();
    for (operation, path) in COMMANDS {
        let found = path.split(' ').try_fold(&definition, |command, name| {
            command.get_subcommands().find(|sub| sub.get_name() == name)
        });
        let found = found.unwrap_or_else(|| panic!("{operation}: no `coord {path}`"));
        assert!(found.get_about().is_some(), "coord {path}");
    }
}

#[test]
fn the_long_help_lists_the_exit_codes_and_no_flag_takes_a_secret() {
    let mut definition = definition();
    let help = definition.render_long_help().to_string();
    for (code, meaning) in Exit::TABLE {
        assert!(
            help.contains(&format!("{code:<6} {}", &meaning[..20.min(meaning.len())])),
            "{code}"
        );
    }
    assert!(
        definition
            .get_arguments()
            .all(|arg| arg.get_long() != Some("token"))
    );
}

#[track_caller]
fn check(line: &str, fits: bool) {
    let words = std::iter::once("coord").chain(line.split(' '));
    let parsed = definition().try_get_matches_from(words);
    let parsed = parsed.and_then(|matches| Cli::from_arg_matches(&matches));
    assert_eq!(
        parsed.is_ok(),
        fits,
        "coord {line}: {:?}",
        parsed.err().map(|e| e.to_string())
    );
}

#[test]
fn lines_that_fit() {
    check("status", true);
    check("--url ws://h:1 --json status", true);
    check("status --url ws://h:1 --project p -q", true);
    check(
        "task submit title --payload {} --label a=b --after 3 --priority -2",
        true,
    );
    check("task submit title --concurrency build=2 --delay 90s", true);
    check("task submit-many -", true);
    check("task list --all --label a=b", true);
    check("task list --stuck", true);
    check("task explain 3", true);
    check("task claim --wait 5m --ttl 1h --label a=b", true);
    check("task complete 3 --fence 7 --result {} --next", true);
    check("task handoff 3 --fence 7 --to bob --note hello", true);
    check("task work --once --idle-exit 30s -- make -j2", true);
    check("lease acquire path:src/**/*.rs name:build --shared", true);
    check("lease run name:build --wait 5m -- make --always-make", true);
    check("lease run port:host:9000-9010 -- env", true);
    check("lease check name:build", true);
    check("lease check --lease 3 --fence 7", true);
    check("message send --to bob hello", true);
    check("message send --all --body {}", true);
    check("context put key 1 --if-revision 0", true);
    check("events follow --from 1:2 --kind task.*", true);
    check("call task.list {}", true);
    check(
        "token create bob --role observer --for-project p --ttl 30d",
        true,
    );
    check("project create demo", true);
    check("project create demo --project other", true);
    check("config show --json", true);
    check("journal verify --json --state-dir d", true);
    check("serve --profile testing", true);
    check("completions bash", true);
}

#[test]
fn lines_that_do_not() {
    check("--token secret status", false);
    check("task submit", false);
    check("task submit title --payload {} --payload-text x", false);
    check("task submit title --delay 90", false);
    check("task list --all --state done", false);
    check("task complete 3", false);
    check("task handoff 3 --fence 7", false);
    check("task handoff 3 --fence 7 --to bob --capability rust", false);
    check("task work", false);
    check("task work --once --max 3 -- make", false);
    check("lease run name:build", false);
    check("lease run name:build --wait 5m --no-wait -- make", false);
    check("lease acquire build", false);
    check("lease check", false);
    check("message send hello", false);
    check("message send --to bob --all hello", false);
    check("message send --to bob", false);
    check("agent update --load 101", false);
    check("events follow --from yesterday", false);
}
