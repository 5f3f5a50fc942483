//! Which commit and target this build is of, for `coord --version`; and the files of the page, compressed.
//!
//! The commit comes from `COORD_COMMIT`, else from the repository that this folder is the root of, else
//! from what `cargo package` writes into an archive; it is "unknown" in any other folder. A debug build
//! does not ask: it would have to be made anew after every commit, and so would all tests.

#![allow(
    clippy::disallowed_methods,
    reason = "cargo tells a build script everything by its environment"
)]

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::write::GzEncoder;
use flate2::{Compression, Crc};

/// Digits of a commit's hash that are shown; git itself begins with seven.
const COMMIT_DIGITS: usize = 12;
/// Set by who builds from an archive without a repository.
const COMMIT_VARIABLE: &str = "COORD_COMMIT";
/// Written by `cargo package`.
const PACKAGED: &str = ".cargo_vcs_info.json";
/// What goes into the program; a change of it can make the tree differ from its commit.
const SOURCES: &[&str] = &["src", "Cargo.toml", "Cargo.lock", "build.rs"];

/// The files of the page.
const PAGE: &str = "src/page/assets";

fn main() {
    println!("cargo::rerun-if-env-changed={COMMIT_VARIABLE}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={PAGE}");
    pack_page();
    let folder = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    println!("cargo::rustc-env=COORD_BUILD_COMMIT={}", commit(&folder));
    println!("cargo::rustc-env=COORD_BUILD_TARGET={}", variable("TARGET"));
}

/// Compresses each file of the page, and writes the table that `src/page/assets.rs` includes.
fn pack_page() {
    let (from, to) = (
        Path::new(&variable("CARGO_MANIFEST_DIR")).join(PAGE),
        PathBuf::from(variable("OUT_DIR")),
    );
    let listed = fs::read_dir(&from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    let mut paths: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut table = "const ASSETS: &[Asset] = &[\n".to_owned();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_else(|| panic!("{} has no name", path.display()));
        let kind = match name.rsplit_once('.').map(|(_, kind)| kind) {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => panic!("{name}: which media type is that?"),
        };
        let content = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let content = without_remarks(&content).into_bytes();
        let mut crc = Crc::new();
        crc.update(&content);
        let tag = format!("\"{:08x}-{:x}\"", crc.sum(), content.len());
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let packed = encoder.write_all(&content).and_then(|()| encoder.finish());
        let packed = packed.unwrap_or_else(|error| panic!("{name}: {error}"));
        let file = to.join(format!("page-{name}.gz"));
        fs::write(&file, packed).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let file = file.to_str().expect("the folder has a name in UTF-8");
        writeln!(
            table,
            "Asset {{ name: {name:?}, kind: {kind:?}, tag: {tag:?}, packed: include_bytes!({file:?}) }},"
        )
        .expect("a text takes what is written");
    }
    table.push_str("];\n");
    let file = to.join("page_assets.rs");
    fs::write(&file, table).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

/// Without indentation, and without lines that are only a comment: a browser needs neither. No text of the page
/// goes over more than one line.
fn without_remarks(text: &str) -> String {
    let lines = text.lines().map(str::trim_start);
    let is_remark = |line: &&str| {
        line.is_empty() || line.starts_with("//") || line.starts_with("/*") && line.ends_with("*/")
    };
    let kept = lines.filter(|line| !is_remark(line));
    kept.flat_map(|line| [line, "\n"]).collect()
}

fn commit(folder: &Path) -> String {
    if let Ok(given) = env::var(COMMIT_VARIABLE)
        && !given.is_empty()
    {
        assert!(
            given
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-'),
            "{COMMIT_VARIABLE} is {given:?}: a commit has letters, digits and hyphens only"
        );
        return given;
    }
    if variable("PROFILE") == "debug" {
        return "debug".to_owned();
    }
    of_repository(folder)
        .or_else(|| of_package(folder))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The commit of the repository whose root is `folder`, with a mark when what is built differs from it.
/// A repository further up is somebody else's.
fn of_repository(folder: &Path) -> Option<String> {
    let root = PathBuf::from(git(folder, &["rev-parse", "--show-toplevel"])?);
    if fs::canonicalize(root).ok()? != fs::canonicalize(folder).ok()? {
        return None;
    }
    // Where HEAD, and the branch that it names, change.
    let mut watched = vec!["HEAD".to_owned(), "packed-refs".to_owned()];
    watched.extend(git(folder, &["symbolic-ref", "--quiet", "HEAD"]));
    for name in watched {
        let path = folder.join(git(folder, &["rev-parse", "--git-path", &name])?);
        // A file that is not there would make every build run this again.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let commit = git(folder, &["rev-parse", "HEAD"])?;
    let commit = commit.get(..COMMIT_DIGITS)?;
    let mut look = vec!["status", "--porcelain", "--untracked-files=all", "--"];
    look.extend(SOURCES);
    let changed = !git(folder, &look)?.is_empty();
    Some(format!(
        "{commit}{}",
        if changed { "-modified" } else { "" }
    ))
}

/// The commit that an archive of `cargo package` names.
fn of_package(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join(PACKAGED)).ok()?;
    let (_, rest) = text.split_once("\"sha1\": \"")?;
    let commit = rest.get(..COMMIT_DIGITS)?;
    let is_hash = commit.bytes().all(|b| b.is_ascii_hexdigit());
    is_hash.then(|| commit.to_owned())
}

/// What git says, without the line's end; `None` when there is no git, or no repository for it.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    // It only looks: an index that could be refreshed stays as it is, for others may be using it.
    let mut command = Command::new("git");
    let command = command.arg("--no-optional-locks").arg("-C").arg(folder);
    let output = command.args(arguments).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim_end().to_owned())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo sets {name} for build scripts: {error}"))
}
