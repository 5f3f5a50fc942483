//! Resources on the command line: words, and lists of files.
//!
//! In a worktree of git, paths are relative to the current folder as for every other program; the
//! coordinator gets them relative to the root of the worktree ([`worktree`]).

mod file_list;
mod tree;
mod worktree;

use std::path::PathBuf;
use std::str::FromStr;

use super::error::CliError;
use super::output::Output;
use super::table::{joined, one_line};
use crate::engine::resource::ResourceRequest;
use crate::protocol::resource::{
    self, ResourceKind, ResourceParam, ResourceRequestParam, ResourceText, ResourceTextError,
};
pub(super) use tree::{TreeArgs, of_root, tree_of_session};
use worktree::{Base, Place};

/// A resource as it was written: its kind is known, its folder is not resolved yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResourceWord {
    kind: ResourceKind,
    rest: String,
}

/// A list of files to lease.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct FileListArgs {
    /// Also the files named in this file, one a line; - for stdin
    ///
    /// Each line is a file name, not a glob. Names are relative to the root of the worktree, as `git diff
    /// --name-only` prints them; names that begin with ./ or ../ are relative to the current folder. Quoted
    /// names are read as git quotes them. If the list contains NUL bytes, they separate the names.
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    /// The names in --files-from are separated by NUL bytes, as `git diff -z` prints them
    #[arg(long, short = '0', requires = "files_from")]
    null: bool,
    /// The names in --files-from are relative to the current folder, as `git ls-files` prints them
    #[arg(long, requires = "files_from")]
    relative: bool,
}

impl FromStr for ResourceWord {
    type Err = String;

    /// Checks everything that does not depend on the current folder.
    fn from_str(text: &str) -> Result<Self, String> {
        let reason = |error: ResourceTextError| error.reason();
        let (kind, rest) = resource::split(text).map_err(reason)?;
        match kind {
            ResourceKind::Path | ResourceKind::File => {
                let below_root = rest.strip_prefix(worktree::FROM_ROOT).unwrap_or(rest);
                resource::check_meaning(kind, below_root).map_err(reason)?;
            }
            ResourceKind::Name | ResourceKind::Port => {
                text.parse::<ResourceRequestParam>().map_err(reason)?;
            }
        }
        let rest = rest.to_owned();
        Ok(Self { kind, rest })
    }
}

impl ResourceWord {
    fn at(&self, place: &Place) -> Result<ResourceRequestParam, CliError> {
        let text = match self.kind {
            ResourceKind::Path | ResourceKind::File => {
                place.resolved(self.kind, &self.rest, Base::Folder)?
            }
            ResourceKind::Name | ResourceKind::Port => format!("{}:{}", self.kind, self.rest),
        };
        parsed(&text).map_err(|error| unusable(&error))
    }

    /// One resource, resolved from the current folder.
    pub(super) fn one_here(&self) -> Result<ResourceParam, CliError> {
        match self.at(&Place::here()?)?.0 {
            ResourceRequest::One(resource) => Ok(ResourceParam(resource)),
            pool @ ResourceRequest::PortPool { .. } => {
                let what = format!("{pool} is a pool of ports, but this option takes one resource");
                Err(CliError::usage(what, "give one port of it"))
            }
        }
    }
}

/// Parses a resolved text: the typed part was checked before, the folders before it were not.
fn parsed(text: &str) -> Result<ResourceRequestParam, ResourceTextError> {
    match text.strip_prefix("file:") {
        Some(path) => {
            resource::literal(path).map(|it| ResourceRequestParam(ResourceRequest::One(it)))
        }
        None => text.parse(),
    }
}

fn unusable(error: &ResourceTextError) -> CliError {
    CliError::usage(
        error.to_string(),
        "see the forms in `coord lease acquire --help`",
    )
}

/// The resources of arguments and list, without duplicates.
pub(super) fn requested(
    words: &[ResourceWord],
    list: &FileListArgs,
    out: &Output<'_>,
) -> Result<Vec<ResourceRequestParam>, CliError> {
    let place = Place::here()?;
    for doubt in words
        .iter()
        .filter_map(|word| place.doubt(word.kind, &word.rest))
    {
        out.note(one_line(&doubt));
    }
    let mut all: Vec<ResourceRequestParam> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    let words = words.iter().map(|word| word.at(&place));
    for request in words.chain(listed(list, &place)?) {
        let request = request?;
        // Two ports of one pool are two ports.
        let is_new = request.0.one().is_none_or(|it| known.insert(it.clone()));
        if is_new {
            all.push(request);
        }
    }
    Ok(all)
}

/// The same as single resources, to ask about.
pub(super) fn named(
    words: &[ResourceWord],
    list: &FileListArgs,
    out: &Output<'_>,
) -> Result<Vec<ResourceParam>, CliError> {
    let requests = requested(words, list, out)?.into_iter().map(|it| it.0);
    let each = requests.map(|request| match request {
        ResourceRequest::One(resource) => Ok(ResourceParam(resource)),
        pool @ ResourceRequest::PortPool { .. } => {
            let what =
                format!("{pool} is a pool of ports, but this command takes single resources");
            Err(CliError::usage(
                what,
                "give the ports of it that you want to check",
            ))
        }
    });
    each.collect()
}

fn listed(
    list: &FileListArgs,
    place: &Place,
) -> Result<Vec<Result<ResourceRequestParam, CliError>>, CliError> {
    let Some(path) = &list.files_from else {
        return Ok(Vec::new());
    };
    let base = if list.relative {
        Base::Folder
    } else {
        Base::Root
    };
    let names = file_list::read(path, list.null)?;
    let each = names.into_iter().map(|name| {
        let resolved = place.resolved(ResourceKind::File, &name.text, base);
        let in_line = |why: String| {
            let what = format!("{} of {}: {why}", name.place, path.display());
            CliError::usage(
                what,
                "write one file name a line, as `git diff --name-only` prints them",
            )
        };
        let text = resolved.map_err(|error| in_line(error.to_string()))?;
        parsed(&text).map_err(|error| in_line(error.to_string()))
    });
    Ok(each.collect())
}

/// How many resources of a lease are shown on one line.
const SHOWN_MAX: usize = 8;

/// The first resources, and the number of the others.
pub(super) fn shown(resources: &[ResourceText]) -> String {
    let first = &resources[..resources.len().min(SHOWN_MAX)];
    let text = joined(first);
    match resources.len() - first.len() {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_word(text: &str, expected: Result<(), &str>) {
        match (text.parse::<ResourceWord>(), expected) {
            (Ok(_), Ok(())) => {}
            (Err(why), Err(part)) => assert!(why.contains(part), "{text}: {why}"),
            (parsed, _) => panic!("{text}: {parsed:?}"),
        }
    }

    #[test]
    fn words_say_what_they_are() {
        check_word("path:src/*.rs", Ok(()));
        check_word("path:../src", Ok(()));
        check_word("path::/src/*.rs", Ok(()));
        check_word("file:/repo/src/main.rs", Ok(()));
        check_word("name:build", Ok(()));
        check_word("port:box:1-3", Ok(()));
        check_word("src/main.rs", Err("`path:src/main.rs`"));
        check_word("src/*.rs", Err("`path:src/*.rs`"));
        check_word("app/[id]/page.tsx", Err("`file:app/[id]/page.tsx`"));
        check_word("build", Err("`name:build`"));
        check_word("3000", Err("`port:localhost:3000`"));
        check_word("name:", Err("name:"));
        check_word("file:~/x", Err("home folder"));
    }

    #[test]
    fn many_resources_are_shortened() {
        let of = |count: usize| -> Vec<ResourceText> {
            let texts = (0..count).map(|n| format!("file:{n}"));
            let resources = texts.map(|it| it.parse::<ResourceParam>().expect("it is a file"));
            resources.map(|it| ResourceText::from(&it.0)).collect()
        };
        assert_eq!(shown(&of(2)), "file:0,file:1");
        assert!(shown(&of(300)).ends_with("file:7 and 292 more"));
    }
}
