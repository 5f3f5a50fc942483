//! `coord lease acquire` and `check`: files, folders and lists of them, and what is said of conflicts.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::coord::{Cli, Done};
use crate::support::Coordinator;

struct Bed {
    coordinator: Coordinator,
    ann: Cli,
    bob: Cli,
    /// The root of a worktree, with a folder `src`.
    root: PathBuf,
}

impl Bed {
    async fn new() -> Self {
        let coordinator = Coordinator::start().await;
        let root = coordinator.folder().join("work tree");
        fs::create_dir_all(root.join(".git")).unwrap();
        fs::create_dir_all(root.join("src/[id]")).unwrap();
        fs::write(root.join("src/main.rs"), "").unwrap();
        Self {
            ann: Cli::agent(&coordinator, "ann").await,
            bob: Cli::agent(&coordinator, "bob").await,
            coordinator,
            root,
        }
    }

    /// Ann holds this from now on; gives back what it was taken for.
    async fn hold(&self, folder: &Path, words: &[&str]) -> Vec<String> {
        let words = [&["lease", "acquire"], words].concat();
        let lease = self.ann.json(folder, &words).await;
        texts(&lease["resources"])
    }

    /// Bob is refused.
    async fn refused(&self, words: &[&str]) -> Done {
        let words = [&["lease", "acquire"], words].concat();
        let done = self.bob.run(&self.root, &words).await;
        done.check(6);
        done
    }

    async fn granted(&self, words: &[&str]) {
        let words = [&["lease", "acquire"], words].concat();
        self.bob.run(&self.root, &words).await.check(0);
    }
}

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().unwrap().iter();
    all.map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn names_with_special_characters_are_protected() {
    let bed = Bed::new().await;
    bed.hold(&bed.root, &["file:app/[id]/page.tsx"]).await;
    let done = bed.refused(&["file:app/[id]/page.tsx"]).await;
    done.says("file:app/[id]/page.tsx is held by ann");
    bed.refused(&["path:app"]).await;
    bed.refused(&["path:**/*.tsx"]).await;
    // The glob of that text means other files.
    bed.granted(&["path:app/[id]/page.tsx"]).await;
}

#[tokio::test]
async fn folders_protect_what_is_in_them() {
    let bed = Bed::new().await;
    bed.hold(&bed.root, &["path:src"]).await;
    bed.refused(&["path:src/main.rs"]).await;
    bed.refused(&["file:src/main.rs"]).await;
    bed.granted(&["path:srcs"]).await;
    // A folder that is there stands for all in it, however it is written.
    bed.hold(&bed.root, &["file:src/../docs/"]).await;
    bed.refused(&["file:docs/a.md"]).await;
    fs::create_dir(bed.root.join("lib")).unwrap();
    assert_eq!(bed.hold(&bed.root, &["file:lib"]).await, ["file:lib/"]);
    bed.refused(&["path:lib/*.rs"]).await;
}

#[tokio::test]
async fn paths_are_relative_to_the_folder_in_a_repository() {
    let bed = Bed::new().await;
    let src = bed.root.join("src");
    assert_eq!(
        bed.hold(&src, &["file:main.rs"]).await,
        ["file:src/main.rs"]
    );
    bed.refused(&["file:src/main.rs"]).await;
    let inside = src.join("[id]");
    let held = bed
        .hold(&inside, &["path:*.tsx", "file::/top", "file:../up"])
        .await;
    assert_eq!(held, [r"path:src/\[id\]/*.tsx", "file:top", "file:src/up"]);
    let absolute = format!("file:{}", bed.root.join("abs.rs").display());
    assert_eq!(bed.hold(&src, &[&absolute]).await, ["file:abs.rs"]);
    // What would be of another place is refused, with a reason.
    for (words, says) in [
        ("file:../../x", "leads out of the repository"),
        ("file:/etc/passwd", "is not in the repository"),
    ] {
        let words = ["lease", "acquire", words];
        bed.ann.run(&src, &words).await.check(2).says(says);
    }
    // Whoever writes it from the root is asked whether that was meant.
    let words = ["lease", "check", "file:src/main.rs"];
    bed.bob
        .run(&src, &words)
        .await
        .check(0)
        .says("file::/src/main.rs");
    let words = ["lease", "list", "--resource", "file:main.rs"];
    let list = bed.ann.json(&src, &words).await;
    assert_eq!(list["leases"].as_array().unwrap().len(), 1, "{list}");
    // Outside of a repository it is taken as it is written.
    let outside = bed.coordinator.folder();
    assert_eq!(bed.hold(outside, &["file:a/b"]).await, ["file:a/b"]);
}

#[tokio::test]
async fn lists_of_files() {
    let bed = Bed::new().await;
    let src = bed.root.join("src");
    let list = bed.root.join("list");
    let path = list.to_str().unwrap();
    let mut names: Vec<String> = (0..300)
        .map(|n| format!("src/part {n}/[file].rs"))
        .collect();
    names.push(r#""src/a\303\244.rs""#.to_owned());
    names.push("src/a,b:12".to_owned());
    fs::write(&list, names.join("\n") + "\n" + &names[0]).unwrap();
    // From a folder below, as `git diff --name-only` prints names.
    let held = bed.hold(&src, &["--files-from", path, "name:build"]).await;
    assert_eq!(held.len(), 303, "{held:?}");
    assert_eq!(held[..2], ["name:build", "file:src/part 0/[file].rs"]);
    assert_eq!(held[301..], ["file:src/aä.rs", r"path:src/a\,b\:12"]);
    bed.refused(&["file:src/aä.rs"]).await;
    let refused = bed.refused(&["--files-from", path]).await;
    refused
        .says("302 leases of other agents conflict")
        .says("and 238 more");
    let listed = bed.ann.run(&bed.root, &["lease", "list"]).await;
    assert!(listed.stdout.contains("and 295 more"), "{listed:?}");
    // As `git ls-files -z` prints them.
    fs::write(&list, "main.rs\0./x\0../up\0").unwrap();
    let held = bed
        .hold(&src, &["--files-from", path, "--relative", "-0"])
        .await;
    assert_eq!(held, ["file:src/main.rs", "file:src/x", "file:up"]);
    let words = ["lease", "check", "--files-from", path, "--json"];
    let check = bed.bob.run(&src, &words).await;
    let check: Value = serde_json::from_str(&check.check(6).stdout).unwrap();
    assert_eq!(check["conflicts"].as_array().unwrap().len(), 2, "{check}");
    let words = [
        "lease",
        "run",
        "--no-wait",
        "--files-from",
        path,
        "--relative",
        "--",
        "true",
    ];
    bed.bob
        .run(&src, &words)
        .await
        .check(6)
        .says("file:up is held by ann");
}

#[tokio::test]
async fn a_list_on_stdin() {
    let bed = Bed::new().await;
    let coord = env!("CARGO_BIN_EXE_coord");
    let script =
        format!("printf 'a b\\n[c]\\na b\\n' | {coord} lease acquire --files-from - --json");
    let words = ["lease", "run", "name:x", "--", "sh", "-c", &script];
    let done = bed.ann.run(&bed.root, &words).await;
    let lease: Value = serde_json::from_str(&done.check(0).stdout).unwrap();
    assert_eq!(texts(&lease["resources"]), ["file:a b", "file:[c]"]);
}

#[tokio::test]
async fn lists_that_are_of_no_use() {
    let bed = Bed::new().await;
    let list = bed.root.join("list");
    for (bytes, code, says) in [
        ("\n\n", 2, "is empty"),
        ("M\ta\n", 2, "--name-only"),
        ("ok\n../../x\n", 2, "line 2"),
        ("/etc/passwd\n", 2, "line 1"),
    ] {
        fs::write(&list, bytes).unwrap();
        let words = ["lease", "acquire", "--files-from", list.to_str().unwrap()];
        bed.ann.run(&bed.root, &words).await.check(code).says(says);
    }
    let many: Vec<String> = (0..1_025).map(|n| format!("f{n}")).collect();
    fs::write(&list, many.join("\n")).unwrap();
    let words = ["lease", "acquire", "--files-from", list.to_str().unwrap()];
    let done = bed.ann.run(&bed.root, &words).await;
    done.check(8)
        .says("files_per_lease_max (1024)")
        .says("lease whole folders");
    bed.ann.run(&bed.root, &["lease", "acquire"]).await.check(2);
}

/// Every line names what is held and by whom, since when and until when, and what for.
#[tokio::test]
async fn conflicts_tell_what_is_held() {
    let bed = Bed::new().await;
    let note = ["--note", "moving \u{202e}it", "--ttl", "1h"];
    bed.hold(
        &bed.root,
        &[&["file:a/x.rs", "path:b/*"][..], &note].concat(),
    )
    .await;
    let done = bed.refused(&["path:a/*"]).await;
    // Journal time may or may not have come to the next millisecond.
    done.says("file:a/x.rs is held by ann (lease 1, since ")
        .says(" unless renewed)")
        .says("for \"moving ")
        .says("overlaps path:a/*");
    assert!(!done.stderr.contains("path:a/* is held"), "{done:?}");
    // Several at once: from the second on as from the first.
    let done = bed.refused(&["path:a/*", "path:b", "name:free"]).await;
    done.says("2 leases of other agents conflict")
        .says("file:a/x.rs is held by ann")
        .says("path:b/* is held by ann");
    for nobody in ["path:a/* is held", "path:b is held", "name:free is held"] {
        assert!(!done.stderr.contains(nobody), "{done:?}");
    }
    let words = ["--wait", "50ms", "path:a/*", "path:b"];
    let words = [&["lease", "acquire"], &words[..]].concat();
    let done = bed.bob.run(&bed.root, &words).await;
    done.check(124).says("path:b/* is held by ann");
    let words = ["lease", "check", "path:a/*", "path:b/c", "name:free"];
    let check = bed.bob.run(&bed.root, &words).await;
    let rows: Vec<&str> = check.check(6).stdout.lines().collect();
    assert!(
        rows[1].starts_with("WANTED") && rows[1].contains("SINCE"),
        "{rows:?}"
    );
    assert!(
        rows[2].contains("file:a/x.rs") && rows[2].contains("  in "),
        "{rows:?}"
    );
    assert!(rows[3].contains("path:b/*") && rows.len() == 4, "{rows:?}");
}

#[tokio::test]
async fn a_session_that_holds_is_named() {
    let bed = Bed::new().await;
    let script = "exec sleep 1000";
    let words = ["lease", "run", "port:box:1", "--", "sh", "-c", script];
    let holder = bed.ann.start(&bed.root, &words);
    crate::support::until("the lease to be held", async || {
        let list = bed.bob.json(&bed.root, &["lease", "list"]).await;
        (list["leases"].as_array()?.len() == 1).then_some(())
    })
    .await;
    let done = bed.refused(&["port:box:1-1"]).await;
    done.says("port:box:1 is held by ann")
        .says("until session ");
    holder.signal(nix::sys::signal::Signal::SIGTERM);
    holder.done().await;
}
