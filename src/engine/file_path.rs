//! Literal file names: no character is special, except a slash at the end.

use std::fmt;
use std::sync::Arc;

use super::glob::{Glob, is_path};
use crate::planted::{Bug, is_on};

/// The most bytes a file's name may have, its folders included.
pub const FILE_BYTES_MAX: usize = 1024;

/// The name of one file, relative to the root of the repository; with a slash at its end, of a folder
/// and all in it. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePath {
    text: Arc<str>,
    /// Whether it ends with a slash. Stored beside the text: most names differ in length, and then the texts
    /// need not be read.
    is_folder: bool,
}

/// Why a text is not a file name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilePathError {
    #[error("a file name must not be empty")]
    Empty,
    #[error("the file name is {length} bytes long, at most {max} are allowed")]
    TooLong { length: usize, max: usize },
    #[error("control character {found:?} in the file name")]
    ControlCharacter { found: char },
    #[error(
        "a file name must be relative to the root of the repository, without empty parts, '.' and '..'"
    )]
    NotAPath,
}

impl FilePath {
    pub fn new(text: &str) -> Result<Self, FilePathError> {
        if text.is_empty() {
            return Err(FilePathError::Empty);
        }
        if text.len() > FILE_BYTES_MAX {
            return Err(FilePathError::TooLong {
                length: text.len(),
                max: FILE_BYTES_MAX,
            });
        }
        if let Some(found) = text.chars().find(|c| c.is_control()) {
            return Err(FilePathError::ControlCharacter { found });
        }
        if !is_path(text.strip_suffix('/').unwrap_or(text)) {
            return Err(FilePathError::NotAPath);
        }
        Ok(Self {
            text: text.into(),
            is_folder: text.ends_with('/'),
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The folder without its slash, if the name covers a folder.
    fn folder(&self) -> Option<&str> {
        self.text.strip_suffix('/').filter(|_| self.is_folder)
    }

    /// The name without the slash of a folder.
    pub(super) fn place(&self) -> Arc<str> {
        self.folder()
            .map_or_else(|| Arc::clone(&self.text), Into::into)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// Whether both names cover a common path.
    pub fn overlaps(&self, other: &Self) -> bool {
        if !self.is_folder && !other.is_folder {
            return self.text == other.text;
        }
        self.holds(other) || other.holds(self)
    }

    /// Whether this is a folder, and the other name is the folder or in it.
    fn holds(&self, other: &Self) -> bool {
        let is_it = |folder: &str| folder == &*other.text;
        self.is_folder && (other.text.starts_with(&*self.text) || self.folder().is_some_and(is_it))
    }

    /// Whether the glob matches a path that this name covers.
    pub fn overlaps_glob(&self, glob: &Glob) -> bool {
        if is_on(Bug::FileReadAsGlob) {
            let read = Glob::new(&self.text, glob.coverage());
            return read.is_ok_and(|read| read.overlaps(glob));
        }
        match self.folder() {
            Some(folder) => glob.overlaps_tree(folder),
            None => glob.matches(&self.text),
        }
    }

    /// An example of a path that both this name and the glob cover.
    pub fn witness(&self, glob: &Glob) -> Option<String> {
        match self.folder() {
            Some(folder) => glob.tree_witness(folder),
            None => glob.matches(&self.text).then(|| self.text.to_string()),
        }
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::glob::Coverage;

    fn file(text: &str) -> FilePath {
        FilePath::new(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    #[track_caller]
    fn check(one: &str, other: &str, expected: bool) {
        let (one, other) = (file(one), file(other));
        assert_eq!(one.overlaps(&other), expected, "{one} and {other}");
        assert_eq!(other.overlaps(&one), expected, "{other} and {one}");
    }

    #[track_caller]
    fn check_glob(name: &str, glob: &str, witness: Option<&str>) {
        let glob = Glob::new(glob, Coverage::Covering).expect("it is a glob");
        let found = file(name).witness(&glob);
        assert_eq!(found.as_deref(), witness, "{name} and {glob}");
        let overlaps = file(name).overlaps_glob(&glob);
        assert_eq!(overlaps, witness.is_some(), "{name} and {glob}");
    }

    #[test]
    fn names_are_literal() {
        check("app/[id]/page.tsx", "app/[id]/page.tsx", true);
        check("app/[id]/page.tsx", "app/i/page.tsx", false);
        check("a*", "ab", false);
        check("a", "A", false);
        check("a", "a/b", false);
    }

    #[test]
    fn a_slash_at_the_end_means_all_below() {
        check("src/", "src/a/b.rs", true);
        check("src/", "src", true);
        check("src/", "src/a/", true);
        check("src/", "srcs", false);
        check("src/a/", "src/b/", false);
    }

    #[test]
    fn names_and_globs() {
        check_glob("app/[id]/page.tsx", "app/[id]/page.tsx", None);
        check_glob(
            "app/[id]/page.tsx",
            r"app/\[id\]/page.tsx",
            Some("app/[id]/page.tsx"),
        );
        check_glob(
            "app/[id]/page.tsx",
            "app/*/*.tsx",
            Some("app/[id]/page.tsx"),
        );
        check_glob("app/[id]/page.tsx", "app", Some("app/[id]/page.tsx"));
        check_glob("src", "src/**", None);
        check_glob("src/", "src/**", Some("src/a"));
        check_glob("src/", "**/*.rs", Some("src/.rs"));
        check_glob("src/", "*", Some("src"));
        check_glob("src/", "srcs/*", None);
        check_glob("src/a/", "src", Some("src/a"));
    }

    #[test]
    fn what_is_no_name() {
        for text in ["", "/a", "a//b", "./a", "a/.", "a/../b", "..", "/", "a//"] {
            assert!(FilePath::new(text).is_err(), "{text:?}");
        }
        assert!(FilePath::new("a\nb").is_err());
        assert!(FilePath::new(&"a".repeat(FILE_BYTES_MAX + 1)).is_err());
        for text in ["a b", ".a", "...", "a,b", "~", "*", "größe/", "a\\b"] {
            assert!(FilePath::new(text).is_ok(), "{text:?}");
        }
    }
}
