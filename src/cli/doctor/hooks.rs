//! Whether hooks answer: the commands of the file are run with a sample.

use std::collections::BTreeSet;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::Check;
use crate::cli::setup::{Content, Front, Site, Target, find_file, hook, is_hook};

/// CLIs give our hooks as long.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The exit code of a program that has no such command.
const USAGE: i32 = 2;
/// What Gemini CLI does not take for a refusal, and the others neither.
const HARMLESS: [i32; 2] = [0, 1];

pub(super) async fn checks(front: Front, site: &Site<'_>, targets: &[Target]) -> Vec<Check> {
    let of = front.name();
    let mut checks = Vec::new();
    let mut commands = BTreeSet::new();
    for target in targets {
        let bytes = find_file(target).ok().and_then(|found| found.bytes);
        let bytes = bytes.unwrap_or_default();
        if let Content::Json { .. } = &target.content
            && let Ok(value) = serde_json::from_slice::<Value>(&bytes)
        {
            let off = value["disableAllHooks"] == true || value["hooksConfig"]["enabled"] == false;
            if off {
                let detail = format!("{} switches all hooks off", target.path.display());
                let mend = "remove disableAllHooks or hooksConfig.enabled from it";
                checks.push(Check::bad(of, "hooks", detail, mend));
            }
        }
        commands.extend(commands_in(&String::from_utf8_lossy(&bytes), front));
    }
    if front == Front::Opencode {
        // Its plugin holds the same command.
        commands.insert(hook(&site.program, front.name()));
    }
    let own = hook(&site.program, front.name());
    if commands.contains(&own) {
        checks.push(fire(front, site, &own).await);
    } else if !commands.is_empty() {
        let detail = "the hooks call another program than this one; it is not run";
        checks.push(Check::unknown(of, "hooks", detail));
    }
    checks
}

/// All commands of ours in a text of JSON with comments.
fn commands_in(text: &str, front: Front) -> BTreeSet<String> {
    let texts = text.split("\"command\"").skip(1);
    let values = texts.filter_map(|rest| {
        let rest = rest.trim_start().strip_prefix(':')?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        values.next()?.ok()?.as_str().map(str::to_owned)
    });
    values.filter(|command| is_hook(command, front)).collect()
}

async fn fire(front: Front, site: &Site<'_>, command: &str) -> Check {
    let of = front.name();
    let again = format!("run `{command}` by hand with a payload on stdin, and see what it says");
    match answer(site, command).await {
        Err(why) => Check::bad(of, "hooks", format!("the hook {why}"), again),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or_default();
            let code = output.status.code();
            let is_json = serde_json::from_slice::<Value>(&output.stdout).is_ok();
            match code {
                Some(USAGE) => {
                    let detail = format!("cannot tell: this coord has no such command ({said})");
                    Check::unknown(of, "hooks", detail)
                }
                Some(code) if HARMLESS.contains(&code) => match said {
                    _ if !output.stdout.trim_ascii().is_empty() && !is_json => Check::bad(
                        of,
                        "hooks",
                        "the hook answers with something else than JSON",
                        again,
                    ),
                    "" => Check::good(of, "hooks", "a sample was answered"),
                    said => Check::bad(of, "hooks", format!("the hook complains: {said}"), again),
                },
                _ => {
                    let detail = format!("the hook ends with {}: {said}", output.status);
                    Check::bad(of, "hooks", detail, again)
                }
            }
        }
    }
}

/// What the hook answers to an event without consequences: a tool that writes nothing.
async fn answer(site: &Site<'_>, command: &str) -> Result<Output, String> {
    let folder = site
        .clone
        .as_ref()
        .map_or(&*site.home, |clone| &*clone.root);
    let sample = json!({
        "session_id": "coord-doctor",
        "cwd": folder,
        "hook_event_name": "PreToolUse",
        "tool_name": "Read",
        "tool_input": {},
    });
    let mut shell = Command::new("sh");
    let shell = shell
        .args(["-c", command])
        .current_dir(folder)
        .kill_on_drop(true);
    let shell = shell
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = shell
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        // One that reads nothing closes the pipe.
        let _ = input.write_all(sample.to_string().as_bytes()).await;
    }
    let ended = timeout(ANSWER_MAX, child.wait_with_output()).await;
    let ended = ended.map_err(|_| format!("does not answer within {} s", ANSWER_MAX.as_secs()))?;
    ended.map_err(|error| format!("cannot be waited for: {error}"))
}
