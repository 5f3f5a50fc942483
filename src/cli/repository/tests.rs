use std::os::unix::fs::symlink;

use super::*;

/// A repository at `main`, a second worktree of it inside, a submodule, and another repository.
fn folders() -> (tempfile::TempDir, PathBuf) {
    let kept = tempfile::tempdir().expect("a folder");
    let top = kept.path().canonicalize().expect("it is there");
    let folder = |path: &str| fs::create_dir_all(top.join(path)).expect("a folder");
    let file = |path: &str, text: &str| fs::write(top.join(path), text).expect("a file");
    for path in [
        "main/src",
        "main/.git/worktrees/w",
        "main/w/src",
        "main/sub",
        "main/.git/modules/sub",
        "other/.git",
    ] {
        folder(path);
    }
    for path in [
        "main/.git/HEAD",
        "main/.git/worktrees/w/HEAD",
        "main/.git/modules/sub/HEAD",
        "other/.git/HEAD",
        "main/src/a.rs",
    ] {
        file(path, "");
    }
    file("main/w/.git", "gitdir: ../.git/worktrees/w\n");
    file("main/.git/worktrees/w/commondir", "../..\n");
    file("main/sub/.git", "gitdir: ../.git/modules/sub\n");
    (kept, top)
}

#[test]
fn a_file_belongs_to_the_nearest_worktree_of_the_repository() {
    let (_kept, top) = folders();
    let main = Repository::around(&top.join("main/src")).expect("a repository");
    let worktree = Repository::around(&top.join("main/w/deleted/since")).expect("a repository");
    assert_eq!(main.common, worktree.common);
    symlink(top.join("other/x"), top.join("main/out")).expect("a link");
    symlink(top.join("main"), top.join("link")).expect("a link");
    fs::write(top.join("other/x"), "").expect("a file");
    for (path, expected) in [
        ("main/src/a.rs", Some(("main", "file:src/a.rs"))),
        ("link/src/a.rs", Some(("main", "file:src/a.rs"))),
        (
            "main/new/folder/b.rs",
            Some(("main", "file:new/folder/b.rs")),
        ),
        ("main/none/../src/b.rs", Some(("main", "file:src/b.rs"))),
        ("main/w/src/a.rs", Some(("main/w", "file:src/a.rs"))),
        ("main/sub/a.rs", Some(("main", "file:sub/a.rs"))),
        ("main/a\nb", Some(("main", "path:a?b"))),
        ("main/.git/config", None),
        ("main/w/.git", None),
        ("main/out", None),
        ("main/../x", None),
        ("other/x", None),
        ("main", None),
    ] {
        for repository in [&main, &worktree] {
            let found = repository.file(&top.join(path));
            let found = found.map(|it| (it.root, it.resource.0.to_string()));
            let expected = expected.map(|(root, text)| (top.join(root), text.to_owned()));
            assert_eq!(found, expected, "{path}");
        }
    }
    assert_eq!(Repository::around(&top), None);
}

#[test]
fn a_folder_that_is_only_called_git_makes_no_repository() {
    let kept = tempfile::tempdir().expect("a folder");
    fs::create_dir(kept.path().join(".git")).expect("a folder");
    assert_eq!(Repository::around(kept.path()), None);
}
