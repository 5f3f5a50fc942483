//! What becomes of the files of users: nothing is lost, and removal leaves what was there.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use super::CLIS;
use super::bed::Bed;

const UNREACHABLE: i32 = 3;
const CLAUDE: &str = "repo/.claude/settings.local.json";
const GEMINI: &str = "repo/.gemini/settings.json";

/// Files that were there before: strict JSON, JSON with comments, TOML.
const EXISTING: [[&str; 3]; 6] = [
    ["", "", ""],
    ["{}", "{}", "model = \"x\""],
    [
        "{\r\n\t\"hooks\": {\r\n\t\t\"Stop\": [ {\"hooks\": [{\"command\": \"x\", \"type\": \"command\"}]} ]\r\n\t},\r\n\t\"a\": [1,2]\r\n}\r\n",
        "{\r\n  // mine\r\n  \"mcpServers\": { \"x\": {} /* x */ },\r\n}",
        "model = \"x\"\r\n\r\n[tui]\r\nx = 1\r\n",
    ],
    [
        "\u{feff}{\"hooks\": null, \"permissions\": {\"allow\": [\"Bash\"], \"deny\": []}}",
        "\u{feff}{ \"hooks\": {\"SessionStart\": null} } // end",
        "\u{feff}# mine\n[mcp_servers.other] # keep\ncommand = 'x'\n\n",
    ],
    [
        "{\n    \"z\": 1,\n\n    \"a\": {},\n\n    \"permissions\": {\n        \"allow\": [\n        ]\n    }\n}\n\n",
        "\n\n{\n\n  \"z\": [],\n  \"hooks\": {}, // none\n\n}\n",
        "[projects.\"/x\"]\ntrust_level = \"trusted\"",
    ],
    [
        "{\"mcpServers\":{\"x\":{\"command\":\"coord\",\"args\":[\"serve\"]}},\"n\":1e400}",
        "{\"a\": \"// no comment\", \"b\": \"\\u00e9\\\"}\"}",
        "x = \"\"\"\n[mcp_servers.coord]\n\"\"\"\n",
    ],
];

fn give(bed: &Bed, [strict, lenient, toml]: [&str; 3], scope: &str) {
    for (name, text) in [
        ("home/.claude.json", strict),
        (".claude/settings.local.json", strict),
        (".claude/settings.json", strict),
        (".codex/hooks.json", strict),
        (".codex/config.toml", toml),
        (".gemini/settings.json", lenient),
        (".opencode/opencode.jsonc", lenient),
        (".config/opencode/opencode.json", lenient),
    ] {
        let name = match name.strip_prefix("home/") {
            Some(_) => name.to_owned(),
            None => format!("{scope}/{name}"),
        };
        bed.write(&name, text);
    }
    let end = if toml.contains('\r') { "\r\n" } else { "\n" };
    bed.write(
        "home/.config/coord/client.toml",
        format!("# mine{end}project = \"x\""),
    );
}

#[test]
fn removal_leaves_every_file_as_it_was_byte_for_byte() {
    for existing in EXISTING {
        for (scope, flags) in [("repo", &[][..]), ("home", &["--user"][..])] {
            let bed = Bed::alone();
            if !existing[0].is_empty() || scope == "repo" {
                give(&bed, existing, scope);
            }
            let before = bed.everything();
            let words = |more: &[&'static str]| [&["setup"], &CLIS[..], flags, more].concat();
            bed.coord(&words(&[])).check(UNREACHABLE).says("backup: ");
            let after = bed.everything();
            assert!(after.len() > before.len());
            // The second run changes nothing.
            bed.coord(&words(&[])).check(UNREACHABLE);
            assert_eq!(bed.everything(), after, "{existing:?}");
            bed.coord(&words(&["--remove"])).check(0);
            assert_eq!(bed.everything(), before, "{existing:?}");
            bed.coord(&words(&["--remove"]))
                .check(0)
                .says("nothing of coord setup was there");
            assert_eq!(bed.everything(), before);
        }
    }
}

#[test]
fn a_cli_can_go_alone() {
    let bed = Bed::alone();
    let before = bed.everything();
    bed.coord(&["setup", "claude"]).check(UNREACHABLE);
    bed.coord(&["setup", "gemini", "--strict"])
        .check(UNREACHABLE);
    bed.coord(&["setup", "claude", "--remove"]).check(0);
    assert!(!bed.path(CLAUDE).exists());
    assert!(bed.path(GEMINI).exists());
    let config = bed.read("repo/.git/config");
    assert!(
        config.contains("\tproject = repo\n\tstrict = true\n"),
        "{config}"
    );
    bed.coord(&["setup", "--remove"]).check(0);
    assert_eq!(bed.everything(), before);
}

#[test]
fn what_users_changed_meanwhile_stays() {
    let bed = Bed::alone();
    bed.write(CLAUDE, "{\n  \"model\": \"x\"\n}\n");
    bed.coord(&["setup", "claude", "gemini"]).check(UNREACHABLE);
    let ours = bed.json(CLAUDE);
    let mut changed = ours.clone();
    changed["env"] = json!({ "A": "1" });
    let theirs = json!({ "type": "command", "command": "lint" });
    changed["hooks"]["PreToolUse"][0]["hooks"]
        .as_array_mut()
        .unwrap()
        .push(theirs.clone());
    changed["hooks"]["Stop"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "hooks": [theirs] }));
    bed.write(CLAUDE, serde_json::to_string_pretty(&changed).unwrap());
    // Ours are whole, so nothing is to be done; the order does not matter.
    let again = bed.read(CLAUDE);
    bed.coord(&["setup", "claude"]).check(UNREACHABLE);
    assert_eq!(bed.read(CLAUDE), again);
    bed.coord(&["setup", "--remove"]).check(0);
    let left = bed.json(CLAUDE);
    assert_eq!(
        left,
        json!({
            "model": "x",
            "env": { "A": "1" },
            "hooks": {
                "PreToolUse": [{ "matcher": "Edit|MultiEdit|Write|NotebookEdit", "hooks": [theirs] }],
                "Stop": [{ "hooks": [theirs] }],
            },
        })
    );
    assert!(!bed.path(GEMINI).exists());
    assert!(!bed.path("repo/.gemini").exists());
}

/// A permission has no mark that it is ours.
#[test]
fn a_permission_that_the_user_gave_stays() {
    let theirs = json!({ "permissions": { "allow": ["mcp__coord", "Bash"] } });
    for changes in [false, true] {
        let bed = Bed::alone();
        bed.write(CLAUDE, theirs.to_string());
        bed.coord(&["setup", "claude"]).check(UNREACHABLE);
        let mut expected = theirs.clone();
        if changes {
            let mut changed = bed.json(CLAUDE);
            changed["model"] = json!("x");
            expected["model"] = json!("x");
            bed.write(CLAUDE, changed.to_string());
            bed.coord(&["setup", "claude"]).check(UNREACHABLE);
        }
        assert_eq!(
            bed.json(CLAUDE)["permissions"],
            theirs["permissions"],
            "it is there once"
        );
        bed.coord(&["setup", "--remove"]).check(0);
        assert_eq!(bed.json(CLAUDE), expected);
    }
    // One that setup gave goes, whatever else was changed.
    let bed = Bed::alone();
    bed.write(CLAUDE, "{}");
    bed.coord(&["setup", "claude"]).check(UNREACHABLE);
    let mut changed = bed.json(CLAUDE);
    changed["model"] = json!("x");
    bed.write(CLAUDE, changed.to_string());
    bed.coord(&["setup", "--remove"]).check(0);
    assert_eq!(bed.json(CLAUDE), json!({ "model": "x" }));
}

#[test]
fn opencode_starts_soon_without_network() {
    let bed = Bed::alone();
    bed.write(
        "home/.config/opencode/.npmrc",
        "registry=https://npm.example\n",
    );
    bed.coord(&["setup", "opencode"]).check(UNREACHABLE);
    let pauses = "fetch-retry-mintimeout=500\nfetch-retry-maxtimeout=2000\n";
    let of_user = bed.read("home/.config/opencode/.npmrc");
    assert!(
        of_user.starts_with("registry=https://npm.example\n") && of_user.contains(pauses),
        "{of_user}"
    );
    assert!(bed.read("repo/.opencode/.npmrc").contains(pauses));
    let exclude = bed.read("repo/.git/info/exclude");
    assert!(exclude.contains("\n/.opencode/.npmrc\n"), "{exclude}");
}

#[test]
fn a_broken_file_stops_everything_with_its_place() {
    for (name, text, place) in [
        (CLAUDE, "{\n  \"a\": 1\n  \"b\": 2\n}\n", "line 2, column 9"),
        (CLAUDE, "{ // not for this CLI\n}", "line 1, column 3"),
        (
            CLAUDE,
            "{\n  \"hooks\": []\n}",
            "hooks is not an object, at line 2, column 12",
        ),
        ("home/.claude.json", "[]", "it is not an object"),
        ("repo/.codex/config.toml", "a = 1\na = 2\n", "line 2"),
        (
            "repo/.codex/config.toml",
            "[mcp_servers]\ncoord = 1\n",
            "not valid TOML",
        ),
        (
            "home/.config/coord/client.toml",
            "# begin coord setup\n",
            "marks of coord setup",
        ),
        (
            GEMINI,
            "{\"mcpServers\": {\"coord\": {\"command\": \"evil\"}}}",
            "did not write",
        ),
        (
            "repo/.opencode/plugins/coord.js",
            "mine()",
            "did not write it",
        ),
        (GEMINI, "{\"a\": \"\u{0}\"", "not valid JSON"),
    ] {
        let bed = Bed::alone();
        bed.write(name, text);
        let before = bed.everything();
        let said = bed.coord(&[&["setup"], &CLIS[..]].concat());
        said.check(2)
            .says(place)
            .says(bed.path(name).to_str().unwrap());
        assert_eq!(bed.everything(), before, "{name}");
    }
    let bed = Bed::alone();
    bed.write(CLAUDE, b"{\"a\": \"\xff\"}");
    bed.coord(&["setup", "claude"])
        .check(2)
        .says("it is not UTF-8, at line 1, column 8");
}

#[test]
fn a_dry_run_shows_a_diff_and_writes_nothing() {
    let bed = Bed::alone();
    bed.write(CLAUDE, "{\n  \"model\": \"x\"\n}\n");
    let before = bed.everything();
    let said = bed.coord(&["setup", "claude", "codex", "git", "--dry-run"]);
    said.check(0)
        .says("nothing was done: --dry-run")
        .says("would run coord guard install");
    let file = bed.path(CLAUDE);
    for words in [
        &format!("--- {0}\n+++ {0}\n", file.display()),
        "--- /dev/null\n",
        "-  \"model\": \"x\"\n+  \"model\": \"x\",\n",
        "] || exit 0; exec ",
        "+[mcp_servers.coord]",
        "+\tproject = repo",
    ] {
        assert!(said.stdout.contains(words), "{words}: {said:#?}");
    }
    assert_eq!(bed.everything(), before);
    bed.coord(&["setup", "--remove", "--dry-run"]).check(0);
    assert_eq!(bed.everything(), before);
}

/// Nothing that is committed chooses a file outside the repository, a server or a command.
#[test]
fn a_hostile_repository_leads_nowhere() {
    let lead = |from: &str, to: &str, front: &str| {
        let bed = Bed::alone();
        bed.write("home/secret/settings.local.json", "{}");
        bed.write("home/secret/settings.json", "{}");
        let from = bed.path("repo").join(from);
        fs::create_dir_all(from.parent().unwrap()).unwrap();
        symlink(to, from).unwrap();
        let before = bed.everything();
        bed.coord(&["setup", front]).check(2);
        assert_eq!(bed.everything(), before, "{to}");
    };
    lead(".claude", "../home/secret", "claude");
    lead(
        ".claude/settings.local.json",
        "../../home/secret/settings.local.json",
        "claude",
    );
    lead(".claude/settings.local.json", "/nowhere", "claude");
    lead(".gemini", "../home/secret", "gemini");
    lead(".codex", ".git", "codex");
    lead(".opencode/plugins", "/tmp", "opencode");

    let bed = Bed::alone();
    let evil = "{\"mcpServers\": {\"coord\": {\"command\": \"./evil\", \"args\": [\"mcp\"]}}}";
    bed.write("repo/.mcp.json", evil);
    bed.write("repo/client.toml", "url = \"wss://evil.example\"\n");
    bed.write("repo/.coord", "project = evil\n");
    bed.git(&["add", "."]);
    bed.coord(&["setup", "claude"]).check(UNREACHABLE);
    assert_eq!(bed.read("repo/.mcp.json"), evil);
    let settings = bed.read(CLAUDE);
    assert!(
        !settings.contains("Mcpjson") && !settings.contains("evil"),
        "{settings}"
    );
    let server = &bed.json("home/.claude.json")["projects"][bed.path("repo").to_str().unwrap()];
    assert_eq!(
        server["mcpServers"]["coord"]["command"],
        env!("CARGO_BIN_EXE_coord")
    );
}

#[test]
fn files_of_this_machine_are_kept_out_of_commits() {
    let bed = Bed::alone();
    bed.write(GEMINI, "{}\n");
    bed.git(&["add", "."]);
    let said = bed.coord(&["setup", "claude", "gemini"]);
    said.check(UNREACHABLE)
        .says("git tracks it, so the change would be committed")
        .says("git does not commit it");
    let exclude = bed.read("repo/.git/info/exclude");
    assert!(
        exclude.contains("\n/.claude/settings.local.json\n"),
        "{exclude}"
    );
    assert!(!exclude.contains("gemini"), "{exclude}");
    // A link of the user's own is followed, as dotfiles are kept.
    let bed = Bed::alone();
    bed.write("home/dotfiles/gemini.json", "{}\n");
    fs::create_dir(bed.path("home/.gemini")).unwrap();
    symlink(
        "../dotfiles/gemini.json",
        bed.path("home/.gemini/settings.json"),
    )
    .unwrap();
    bed.coord(&["setup", "gemini", "--user"]).check(UNREACHABLE);
    assert!(bed.read("home/dotfiles/gemini.json").contains("mcpServers"));
    assert!(bed.path("home/.gemini/settings.json").is_symlink());
}

#[test]
fn without_a_name_and_a_terminal_it_says_what_to_name() {
    let bed = Bed::alone();
    bed.coord(&["setup"])
        .check(2)
        .says("coord setup claude codex gemini opencode git");
    bed.coord_in("home", &["setup", "claude"])
        .check(2)
        .says("no git repository")
        .says("--user");
    bed.coord_in("home", &["setup", "git"])
        .check(2)
        .says("no git repository");
    bed.coord(&["setup", "emacs"]).check(2);
}
