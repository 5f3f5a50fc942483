//! Help texts and usage errors of clap, for people and as JSON.

use std::ffi::OsString;
use std::io::{self, Write};

use clap::error::ErrorKind;
use serde_json::json;

use super::exit::Exit;
use super::text;

/// Whether a command line asks for JSON, even if it does not parse. Words after `--` belong to the command
/// that is run.
pub(super) fn wants_json(arguments: &[OsString]) -> bool {
    let own = arguments.iter().take_while(|word| *word != "--");
    let mut own = own.filter_map(|word| word.to_str());
    own.any(|word| word == "--json" || word.starts_with("--json="))
}

/// Help and version are not errors: they are text on stdout.
pub(super) fn report(error: &clap::Error, json: bool) -> Exit {
    // A failed write to stderr cannot be reported anywhere.
    let mut stderr = io::stderr();
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Ok;
    }
    let plain = error.render().to_string();
    let safe = text::lines(&plain);
    let _ = if json {
        stderr.write_all(format!("{}\n", as_json(error, &plain)).as_bytes())
    } else if safe == plain {
        error.print()
    } else {
        // The arguments may come from an untrusted source; then the text is printed without colours.
        stderr.write_all(safe.as_bytes())
    };
    Exit::Usage
}

/// Clap's message as the JSON object that every error is.
fn as_json(error: &clap::Error, plain: &str) -> String {
    let mut paragraphs = plain.split("\n\n").map(one_line);
    let message = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing".to_owned(),
        _ => paragraphs.next().unwrap_or_default(),
    };
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let rest: Vec<String> = paragraphs.collect();
    let begins = |word: &str| {
        let found = rest.iter().find_map(|text| text.strip_prefix(word));
        found.map(|text| text.trim().to_owned())
    };
    let next = begins("tip: ").unwrap_or_else(|| "see the command's --help".to_owned());
    let mut error = json!({
        "kind": Exit::Usage.kind(),
        "message": message,
        "next": next,
        "exit_code": Exit::Usage.code(),
    });
    if let Some(usage) = begins("Usage: ") {
        error["usage"] = json!(usage);
    }
    let error = json!({ "error": error }).to_string();
    text::json(&error).into_owned()
}

fn one_line(paragraph: &str) -> String {
    let lines = paragraph.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn said(line: &[&str]) -> Value {
        let words = std::iter::once(&"coord").chain(line);
        let error = crate::cli::definition()
            .try_get_matches_from(words)
            .expect_err("it is misused");
        let text = as_json(&error, &error.render().to_string());
        let value: Value = serde_json::from_str(&text).expect("it is JSON");
        value["error"].clone()
    }

    #[track_caller]
    fn check(line: &[&str], message: &str, next: &str) {
        let error = said(line);
        let has = |field: &str, part: &str| {
            let text = error[field].as_str().unwrap_or_default();
            assert!(text.contains(part), "{part:?} is not in {error:#}");
        };
        has("message", message);
        has("next", next);
        assert_eq!(error["kind"], "usage");
        assert_eq!(error["exit_code"], 2);
    }

    #[test]
    fn every_misuse_has_the_shape_of_an_error() {
        check(&[], "a command is missing", "--help");
        check(&["--json"], "requires a subcommand", "--help");
        check(&["lease"], "a command is missing", "--help");
        check(
            &["tsak", "list"],
            "unrecognized subcommand 'tsak'",
            "'task'",
        );
        check(
            &["task", "list", "--statee", "x"],
            "unexpected argument '--statee'",
            "'--state'",
        );
        check(
            &["task", "list", "--state", "x"],
            "invalid value 'x' for '--state",
            "--help",
        );
        check(&["task", "get"], "not provided: <TASK>", "--help");
        check(&["lease", "acquire", "path:"], "'path:'", "--help");
        check(&["task", "claim", "--wait", "soon"], "'soon'", "--help");
        check(&["lease", "run", "name:x"], "<COMMAND>...", "--help");
        assert!(
            said(&["task", "get"])["usage"]
                .as_str()
                .is_some_and(|usage| usage.contains("coord task get"))
        );
    }

    #[test]
    fn nothing_that_was_typed_acts_on_the_terminal() {
        let error = said(&["task", "list", "--state", "\u{202e}\u{9b}["]);
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.contains('\u{202e}'))
        );
    }

    #[test]
    fn json_is_asked_for_before_the_command_that_is_run() {
        let asks = |line: &[&str]| {
            let words: Vec<OsString> = line.iter().map(OsString::from).collect();
            wants_json(&words)
        };
        assert!(asks(&["coord", "lease", "acquire", "--json"]));
        assert!(asks(&["coord", "--json=1"]));
        assert!(!asks(&[
            "coord", "lease", "run", "name:x", "--", "ls", "--json"
        ]));
        assert!(!asks(&["coord", "--jsonx"]));
    }
}
