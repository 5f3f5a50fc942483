//! Resolves paths on the command line: from the current folder to the root of the worktree.
//!
//! A worktree has `.git` in its root, a folder or a file that names one. Git is not run, and its files are
//! not read. Outside of a worktree, paths are used as written.

use std::path::{Path, PathBuf};

use crate::cli::error::CliError;
use crate::protocol::resource::{ResourceKind, escaped, has_wildcard};

/// The prefix of a path that is relative to the root of the worktree, as in git's pathspecs.
pub(super) const FROM_ROOT: &str = ":/";

/// What a path is relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// The current folder.
    Folder,
    /// The root of the worktree, unless the path begins with `./` or `../`.
    Root,
}

/// Where the command runs.
#[derive(Debug)]
pub(super) enum Place {
    Worktree {
        root: PathBuf,
        /// The folders from the root to the current one.
        inside: Vec<String>,
    },
    Elsewhere,
}

impl Place {
    pub(super) fn here() -> Result<Self, CliError> {
        let folder = std::env::current_dir()
            .map_err(|error| CliError::input("tell the current folder", error))?;
        Self::of(&folder)
    }

    pub(super) fn of(folder: &Path) -> Result<Self, CliError> {
        let root = folder
            .ancestors()
            .find(|it| it.join(".git").symlink_metadata().is_ok());
        let Some(root) = root else {
            return Ok(Self::Elsewhere);
        };
        let inside = folder.strip_prefix(root).unwrap_or(Path::new(""));
        let inside: Option<Vec<String>> = inside
            .iter()
            .map(|part| part.to_str().map(str::to_owned))
            .collect();
        let inside = inside.ok_or_else(|| {
            let what = format!(
                "the path of the current folder is not UTF-8: {}",
                folder.display()
            );
            CliError::usage(what, "run the command in the root of the worktree")
        })?;
        let root = root.to_owned();
        Ok(Self::Worktree { root, inside })
    }

    /// The root of the worktree, as the file system has it.
    pub(super) fn root(&self) -> Result<Option<PathBuf>, CliError> {
        let Self::Worktree { root, .. } = self else {
            return Ok(None);
        };
        let root = root.canonicalize();
        let root = root.map_err(|error| CliError::input("look at the repository", error))?;
        Ok(Some(root))
    }

    /// The resource that a path means here, as text.
    pub(super) fn resolved(
        &self,
        kind: ResourceKind,
        path: &str,
        base: Base,
    ) -> Result<String, CliError> {
        let Self::Worktree { root, inside } = self else {
            return Ok(format!("{kind}:{path}"));
        };
        let is_near =
            path == "." || path == ".." || path.starts_with("./") || path.starts_with("../");
        let (from, rest) = if let Some(rest) = path.strip_prefix(FROM_ROOT) {
            (&[][..], rest.to_owned())
        } else if path.starts_with('/') {
            (&[][..], below(root, path, kind)?)
        } else if base == Base::Root && !is_near {
            (&[][..], path.to_owned())
        } else {
            (&inside[..], path.to_owned())
        };
        let followed = follow(kind, from, &rest).map_err(|why| {
            CliError::usage(
                format!("{kind}:{path} {why}"),
                "paths are relative to the current folder, and must not leave the repository",
            )
        })?;
        // The root itself.
        if followed.is_empty() {
            return Ok("path:**".to_owned());
        }
        let is_folder = kind == ResourceKind::File && !followed.ends_with('/') && {
            let found = root.join(&followed).symlink_metadata();
            found.is_ok_and(|it| it.is_dir())
        };
        Ok(format!(
            "{kind}:{followed}{}",
            if is_folder { "/" } else { "" }
        ))
    }

    /// A warning that a path was probably meant from the root: the name exists there, and not in the current
    /// folder.
    pub(super) fn doubt(&self, kind: ResourceKind, path: &str) -> Option<String> {
        let Self::Worktree { root, inside } = self else {
            return None;
        };
        let is_pattern = kind == ResourceKind::Path && (has_wildcard(path) || path.contains('\\'));
        if inside.is_empty() || is_pattern || path.starts_with(['/', ':', '.']) {
            return None;
        }
        let is_there = |folder: &Path| folder.join(path).symlink_metadata().is_ok();
        let folder = inside
            .iter()
            .fold(root.clone(), |folder, part| folder.join(part));
        let is_doubtful = !is_there(&folder) && is_there(root);
        is_doubtful.then(|| {
            format!(
                "paths are relative to the current folder, which has no {path}; for the one in the repository's \
                 root write {kind}:{FROM_ROOT}{path}"
            )
        })
    }
}

/// Follows `.` and `..`.
fn follow(kind: ResourceKind, from: &[String], rest: &str) -> Result<String, &'static str> {
    let is_glob = kind == ResourceKind::Path;
    let mut parts: Vec<String> = from
        .iter()
        .map(|part| if is_glob { escaped(part) } else { part.clone() })
        .collect();
    for (index, part) in rest.split('/').enumerate() {
        match part {
            "" | "." => {}
            ".." => {
                let left = parts.pop().ok_or("leads out of the repository")?;
                // The parts of the current folder are escaped, so they have no wildcards.
                if is_glob && index > 0 && has_wildcard(&left) {
                    return Err("has `..` behind a wildcard");
                }
            }
            part => parts.push(part.to_owned()),
        }
    }
    let names_folder = rest.ends_with('/')
        || (!is_glob
            && (matches!(rest, "." | "..") || rest.ends_with("/.") || rest.ends_with("/..")));
    let mut path = parts.join("/");
    if names_folder && !path.is_empty() {
        path.push('/');
    }
    Ok(path)
}

/// Makes an absolute path relative to the root of the worktree.
fn below(root: &Path, path: &str, kind: ResourceKind) -> Result<String, CliError> {
    let real_root = root.canonicalize();
    let real_root =
        real_root.map_err(|error| CliError::input("read the repository's folder", error))?;
    // The path may reach the root through a symbolic link; links below the root are names in the repository.
    let cuts = path
        .match_indices('/')
        .map(|(at, _)| at)
        .chain([path.len()]);
    for cut in cuts.filter(|cut| *cut > 0) {
        let is_root = Path::new(&path[..cut]).canonicalize();
        if is_root.is_ok_and(|it| it == real_root) {
            return Ok(path[cut..].trim_start_matches('/').to_owned());
        }
    }
    let what = format!(
        "{kind}:{path} is not in the repository at {}",
        root.display()
    );
    Err(CliError::usage(
        what,
        "paths are relative to the current folder; a path that begins with :/, as in file::/src/main.rs, is \
         relative to the root of the repository",
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A worktree with a folder `app/[id]`, and a command that runs in it.
    fn repository() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("it is there");
        fs::create_dir_all(root.join("app/[id]")).expect("a folder");
        fs::create_dir(root.join("src")).expect("a folder");
        fs::write(root.join(".git"), "gitdir: elsewhere").expect("a file");
        (folder, root)
    }

    #[track_caller]
    fn check(folder: &Path, text: &str, base: Base, expected: Result<&str, &str>) {
        let (kind, path) = text.split_once(':').expect("it has a kind");
        let kind = if kind == "file" {
            ResourceKind::File
        } else {
            ResourceKind::Path
        };
        let place = Place::of(folder).expect("a place");
        match (place.resolved(kind, path, base), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn paths_are_relative_to_the_folder() {
        let (_kept, root) = repository();
        let at = |text: &str, expected| check(&root.join("src"), text, Base::Folder, expected);
        at("file:main.rs", Ok("file:src/main.rs"));
        at("path:*.rs", Ok("path:src/*.rs"));
        at("path:**/*.rs", Ok("path:src/**/*.rs"));
        at("file:./x//y", Ok("file:src/x/y"));
        at("file:../Cargo.toml", Ok("file:Cargo.toml"));
        at("path:../src/../tests/*.rs", Ok("path:tests/*.rs"));
        at("path:.", Ok("path:src"));
        at("file:.", Ok("file:src/"));
        at("path:..", Ok("path:**"));
        at("file::/app/x", Ok("file:app/x"));
        at("path::/", Ok("path:**"));
        at("file:../../x", Err("leads out of the repository"));
        at("path:*/../x", Err("behind a wildcard"));
    }

    #[test]
    fn special_characters_of_folders_are_escaped_in_globs() {
        let (_kept, root) = repository();
        let at = |text: &str, expected| check(&root.join("app/[id]"), text, Base::Folder, expected);
        at("path:*.tsx", Ok(r"path:app/\[id\]/*.tsx"));
        at("file:page.tsx", Ok("file:app/[id]/page.tsx"));
        at("path:../*.tsx", Ok("path:app/*.tsx"));
    }

    #[test]
    fn absolute_paths_are_made_relative_within_the_repository() {
        let (_kept, root) = repository();
        let inside = format!("{}/src/main.rs", root.display());
        let elsewhere = tempfile::tempdir().expect("a folder");
        let link = elsewhere.path().join("link");
        std::os::unix::fs::symlink(&root, &link).expect("a link");
        for folder in [root.clone(), root.join("src")] {
            check(
                &folder,
                &format!("file:{inside}"),
                Base::Folder,
                Ok("file:src/main.rs"),
            );
            let glob = format!("path:{}/src/*.rs", root.display());
            check(&folder, &glob, Base::Folder, Ok("path:src/*.rs"));
            check(
                &folder,
                "file:/etc/passwd",
                Base::Folder,
                Err("is not in the repository"),
            );
            let root_itself = format!("file:{}", root.display());
            check(&folder, &root_itself, Base::Folder, Ok("path:**"));
        }
        let by_link = format!("file:{}/src/main.rs", link.display());
        check(&root, &by_link, Base::Folder, Ok("file:src/main.rs"));
    }

    #[test]
    fn lists_are_relative_to_the_root() {
        let (_kept, root) = repository();
        let at = |text: &str, expected| check(&root.join("src"), text, Base::Root, expected);
        at("file:src/main.rs", Ok("file:src/main.rs"));
        at("file:./main.rs", Ok("file:src/main.rs"));
        at("file:../Cargo.toml", Ok("file:Cargo.toml"));
    }

    #[test]
    fn folders_stand_for_what_is_in_them() {
        let (_kept, root) = repository();
        check(&root, "file:src", Base::Folder, Ok("file:src/"));
        check(&root, "file:src/", Base::Folder, Ok("file:src/"));
        check(&root, "file:app/[id]", Base::Root, Ok("file:app/[id]/"));
        check(&root, "path:src", Base::Folder, Ok("path:src"));
    }

    #[test]
    fn a_path_that_was_meant_from_the_root_is_doubted() {
        let (_kept, root) = repository();
        fs::write(root.join("src/main.rs"), "").expect("a file");
        let place = Place::of(&root.join("src")).expect("a place");
        let doubt = place
            .doubt(ResourceKind::File, "src/main.rs")
            .unwrap_or_default();
        assert!(doubt.contains("file::/src/main.rs"), "{doubt}");
        assert_eq!(place.doubt(ResourceKind::File, "main.rs"), None);
        assert_eq!(place.doubt(ResourceKind::File, "new.rs"), None);
        assert_eq!(place.doubt(ResourceKind::Path, "src/*.rs"), None);
    }

    #[test]
    fn elsewhere_paths_are_taken_as_written() {
        let place = Place::Elsewhere;
        let found = place.resolved(ResourceKind::Path, "a/../b", Base::Folder);
        assert_eq!(found.ok().as_deref(), Some("path:a/../b"));
    }
}
