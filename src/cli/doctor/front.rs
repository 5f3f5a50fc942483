//! One CLI: its files, its server of tools, its hooks.

use std::path::Path;

use serde_json::Value;

use super::{Check, hooks, mcp};
use crate::causes;
use crate::cli::setup::{Content, Entry, Front, HookTrust, Site, Target, find_file, hooks_of};

pub(super) async fn checks(front: Front, site: &Site<'_>, is_named: bool) -> Vec<Check> {
    let of = front.name();
    let program = front.installed(site.environment);
    let mut checks = Vec::new();
    let mut is_set_up = false;
    for of_user in [false, true] {
        if !of_user && site.clone.is_none() {
            continue;
        }
        let scope = Site {
            environment: site.environment,
            home: site.home.clone(),
            clone: site.clone.clone(),
            of_user,
            strict: false,
            program: site.program.clone(),
        };
        match front.targets(&scope) {
            Ok(targets) => is_set_up |= scope_checks(front, &scope, &targets, &mut checks).await,
            Err(error) => checks.push(faulty(front, causes::one_line(&error))),
        }
    }
    match &program {
        None if !is_set_up => {
            let none = Check::unknown(of, "program", "it is not on PATH, and not set up");
            return if is_named { vec![none] } else { Vec::new() };
        }
        Some(_) if !is_set_up => {
            let detail = "it is installed, and not set up";
            checks.push(Check::bad(of, "file", detail, again(front, false)));
        }
        Some(codex) if front == Front::Codex => checks.push(trust(codex, site).await),
        Some(_) if front == Front::Claude => checks.extend(asked(site)),
        _ => {}
    }
    checks
}

/// Files, server and hooks of a repository or of the user. Whether there is anything of ours.
async fn scope_checks(
    front: Front,
    scope: &Site<'_>,
    targets: &[Target],
    checks: &mut Vec<Check>,
) -> bool {
    let of = front.name();
    let looks: Vec<Look> = targets.iter().map(look).collect();
    // Shared lines may be of another scope.
    let has_any = targets.iter().zip(&looks).any(|(target, look)| {
        let is_shared = matches!(target.content, Content::Shared(_));
        !is_shared && matches!(look, Look::Whole | Look::Part)
    });
    for (target, look) in targets.iter().zip(&looks) {
        let path = target.path.display().to_string();
        let again = again(front, scope.of_user);
        match look {
            Look::Whole if has_any => checks.push(Check::good(of, "file", path)),
            Look::Faulty(why) => checks.push(faulty(front, format!("{path}: {why}"))),
            Look::Part if has_any => {
                let detail = format!("{path} has ours, but not as this program would write it");
                checks.push(Check::bad(of, "file", detail, again));
            }
            Look::Nothing if has_any => {
                let detail = format!("{path} has nothing of ours");
                checks.push(Check::bad(of, "file", detail, again));
            }
            Look::Nothing | Look::Whole | Look::Part => {}
        }
    }
    if has_any {
        checks.push(mcp::check(front, scope, targets).await);
        checks.extend(hooks::checks(front, scope, targets).await);
    }
    has_any
}

fn faulty(front: Front, detail: String) -> Check {
    let mend = "mend the file, then run coord doctor again";
    Check::bad(front.name(), "file", detail, mend)
}

fn again(front: Front, of_user: bool) -> String {
    let user = if of_user { " --user" } else { "" };
    format!("coord setup {front}{user}")
}

enum Look {
    Whole,
    Part,
    Nothing,
    Faulty(String),
}

fn look(target: &Target) -> Look {
    let found = match find_file(target) {
        Ok(found) => found,
        Err(error) => return Look::Faulty(causes::one_line(&error)),
    };
    let Some(bytes) = found.bytes else {
        return Look::Nothing;
    };
    // Strictness is the user's choice, so both forms of the hooks are whole.
    match (target.is_in(&bytes), target.take_out(&bytes)) {
        (Ok(true), _) => Look::Whole,
        (Ok(false), Ok(rest)) if rest == bytes => Look::Nothing,
        (Ok(false), Ok(_)) => match lenient(target).is_in(&bytes) {
            Ok(true) => Look::Whole,
            _ => Look::Part,
        },
        (Err(fault), _) | (_, Err(fault)) => Look::Faulty(fault.to_string()),
    }
}

/// The same target with hooks that block when they fail.
fn lenient(target: &Target) -> Target {
    let mut target = target.clone();
    if let Content::Json { entries, .. } = &mut target.content {
        for entry in entries {
            if let Entry::Hook { event, group } = entry
                && event == "PreToolUse"
            {
                group["hooks"][0]["onFailure"] = Value::from("block");
            }
        }
    }
    target
}

/// Claude Code ignores permissions of a repository until its user said that the folder can be trusted. It keeps
/// the answer in the file that has the server too, for the folder or one above.
fn asked(site: &Site<'_>) -> Option<Check> {
    let of = Front::Claude.name();
    let clone = site.clone.as_ref()?;
    let targets = Front::Claude.targets(site).ok()?;
    let file = targets
        .iter()
        .find(|target| target.path.ends_with(".claude.json"))?;
    let bytes = find_file(file).ok()?.bytes?;
    let value: Value = serde_json::from_slice(&bytes).ok()?;
    let main = clone.main_root().ok()?;
    let mut folders = Path::new(&main).ancestors().filter_map(Path::to_str);
    let is_trusted = folders.any(|it| value["projects"][it]["hasTrustDialogAccepted"] == true);
    Some(if is_trusted {
        Check::good(of, "trust", "Claude Code trusts this folder")
    } else {
        let detail =
            "Claude Code was not told yet to trust this folder, and ignores its permissions";
        Check::bad(
            of,
            "trust",
            detail,
            "start `claude` here once, and answer that you trust the folder",
        )
    })
}

/// Codex skips hooks that its user did not trust, without a word.
async fn trust(codex: &Path, site: &Site<'_>) -> Check {
    let of = Front::Codex.name();
    let folder = site
        .clone
        .as_ref()
        .map_or(&*site.home, |clone| &*clone.root);
    let mend = "start `codex` here and choose to trust the hooks, or run `coord setup codex --trust-hooks`";
    match hooks_of(codex, folder).await {
        Err(why) => Check::unknown(of, "trust", format!("Codex does not say: {why}")),
        Ok(hooks) if hooks.is_empty() => {
            let detail = "Codex lists no hook of ours in this folder; it reads a repository's only if it trusts the \
                          repository";
            Check::bad(
                of,
                "trust",
                detail,
                "start `codex` here and trust the folder",
            )
        }
        Ok(hooks) => {
            let is_off = |hook: &&HookTrust| hook.status != "trusted";
            let off: Vec<&str> = hooks
                .iter()
                .filter(is_off)
                .map(|hook| &*hook.event)
                .collect();
            if off.is_empty() {
                Check::good(
                    of,
                    "trust",
                    format!("{} hooks of ours are trusted", hooks.len()),
                )
            } else {
                let detail = format!("Codex skips hooks that are not trusted: {}", off.join(", "));
                Check::bad(of, "trust", detail, mend)
            }
        }
    }
}
