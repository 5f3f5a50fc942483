//! Resources as people and clients write them.
//!
//! `path:GLOB`, `file:PATH`, `name:NAME`, `port:HOST:NUMBER`, and as a request any port of a pool,
//! `port:HOST:FIRST-LAST`. The journal has its own text form (`engine/resource.rs`), so leases that were
//! granted before a rule was added here still load.
//!
//! Different spellings of a name are one name: text is converted to Unicode's normalisation form C, and `./`
//! and repeated slashes are removed from file names. Case is not folded. Text that is surely a mistake is
//! refused with the right spelling (`meaning`).

mod glob_meaning;
mod kind;
mod meaning;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use icu_normalizer::ComposingNormalizerBorrowed;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::file_path::FilePath;
use crate::engine::glob::{Coverage, Glob};
use crate::engine::resource::{Resource, ResourceRequest};
pub use kind::ResourceKind;

/// A resource of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceParam(pub Resource);

/// A resource of a request, or any port of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRequestParam(pub ResourceRequest);

/// A resource of an answer: any text, since a lease may be older than the rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceText(String);

/// Why a text is not a resource, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: {problem}{}", advice(write))]
pub struct ResourceTextError {
    /// The text, shortened.
    text: String,
    problem: String,
    /// Valid spellings, the most likely first.
    pub write: Vec<String>,
}

/// How much of a text, and of its problem, an error shows.
const SHOWN_CHARS_MAX: usize = 200;
const PROBLEM_CHARS_MAX: usize = 800;

/// The text, or its beginning.
fn shortened(text: &str, chars_max: usize) -> String {
    let mut shown: String = text.chars().take(chars_max).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn advice(write: &[String]) -> String {
    if write.is_empty() {
        return String::new();
    }
    let quoted: Vec<String> = write.iter().map(|text| format!("`{text}`")).collect();
    format!("; write {}", quoted.join(" or "))
}

impl ResourceTextError {
    /// The same without the text, for callers that show the text themselves.
    pub fn reason(&self) -> String {
        format!("{}{}", self.problem, advice(&self.write))
    }

    fn new(text: &str, why: Unclear) -> Self {
        let shown = shortened(text, SHOWN_CHARS_MAX);
        let is_whole = shown == text;
        let mut write = why.write;
        // A text too long to be typed needs no suggestion. A suggestion must itself be valid.
        let is_right = |one: &str| read(one).is_ok();
        write.retain(|texts| is_whole && texts.split(AND).all(is_right));
        Self {
            text: shown,
            problem: shortened(&why.problem, PROBLEM_CHARS_MAX),
            write,
        }
    }
}

/// Between two resources that are proposed together.
const AND: &str = "` and `";

/// The problem of the part after the kind, and what that part should be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unclear {
    problem: String,
    /// Whole resources.
    write: Vec<String>,
}

impl Unclear {
    fn new(problem: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            write: Vec::new(),
        }
    }

    fn write(mut self, text: impl Into<String>) -> Self {
        self.write.push(text.into());
        self
    }
}

/// Refuses what is surely a mistake, in any folder of the repository: all that [`ResourceRequestParam`]
/// refuses, except paths that are absolute or leave their folder.
pub fn check_meaning(kind: ResourceKind, rest: &str) -> Result<(), ResourceTextError> {
    meaning::check(kind, rest).map_err(|why| ResourceTextError::new(&format!("{kind}:{rest}"), why))
}

/// The resource for exactly this file, with any characters in its name: `file:`, or a glob with everything
/// escaped where `file:` would be refused.
pub fn literal(path: &str) -> Result<Resource, ResourceTextError> {
    if meaning::check(ResourceKind::File, path).is_ok() {
        return format!("file:{path}").parse().map(|ResourceParam(it)| it);
    }
    format!("path:{}", escaped(path))
        .parse()
        .map(|ResourceParam(it)| it)
}

/// A name with all characters escaped that are special in globs, or would be refused.
pub fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        let is_plain =
            !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.' | '-');
        // A blank is special at the ends only.
        if !is_plain && c != ' ' || (c == ' ' && text.is_empty()) {
            text.push('\\');
        }
        text.push(c);
    }
    if name.ends_with(' ') && name.len() > 1 {
        text.insert(text.len() - 1, '\\');
    }
    text
}

/// Whether part of a glob matches several names.
pub fn has_wildcard(glob: &str) -> bool {
    let mut characters = glob.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                characters.next();
            }
            '*' | '?' | '[' | '{' | '}' => return true,
            _ => {}
        }
    }
    false
}

/// Unicode's normalisation form C.
fn nfc(text: &str) -> Cow<'_, str> {
    const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();
    NFC.normalize(text)
}

/// Parses a text; the suggestions of an error are not checked yet.
fn read(text: &str) -> Result<ResourceRequest, Unclear> {
    let (kind, rest) = kind::parts(text)?;
    meaning::check(kind, rest)?;
    let failed = |problem: &dyn fmt::Display| Unclear::new(problem.to_string());
    match kind {
        ResourceKind::Path => {
            meaning::check_place(kind, rest)?;
            let glob = Glob::new(&nfc(rest), Coverage::Covering);
            let glob = glob.map_err(|error| failed(&error))?;
            Ok(ResourceRequest::One(Resource::Path(glob)))
        }
        ResourceKind::File => {
            meaning::check_place(kind, rest)?;
            let file = FilePath::new(&nfc(&meaning::tidied(rest)));
            let file = file.map_err(|error| failed(&error))?;
            Ok(ResourceRequest::One(Resource::File(file)))
        }
        ResourceKind::Name => ResourceRequest::name(rest).map_err(|error| failed(&error)),
        ResourceKind::Port => ResourceRequest::ports(rest).map_err(|error| failed(&error)),
    }
}

/// The kind of a text, and what stands after it.
pub fn split(text: &str) -> Result<(ResourceKind, &str), ResourceTextError> {
    kind::parts(text).map_err(|why| ResourceTextError::new(text, why))
}

impl FromStr for ResourceRequestParam {
    type Err = ResourceTextError;

    fn from_str(text: &str) -> Result<Self, ResourceTextError> {
        read(text)
            .map(Self)
            .map_err(|why| ResourceTextError::new(text, why))
    }
}

impl FromStr for ResourceParam {
    type Err = ResourceTextError;

    fn from_str(text: &str) -> Result<Self, ResourceTextError> {
        match text.parse()? {
            ResourceRequestParam(ResourceRequest::One(resource)) => Ok(Self(resource)),
            ResourceRequestParam(ResourceRequest::PortPool { .. }) => {
                let problem = "a pool of ports is not one resource: give one port of it";
                Err(ResourceTextError::new(text, Unclear::new(problem)))
            }
        }
    }
}

macro_rules! params {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

params!(ResourceParam, ResourceRequestParam);

impl From<&Resource> for ResourceText {
    fn from(resource: &Resource) -> Self {
        Self(resource.to_string())
    }
}

impl fmt::Display for ResourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ResourceText {
    /// Host and number, if it is a port.
    pub fn port(&self) -> Option<(&str, u16)> {
        let (host, port) = self.0.strip_prefix("port:")?.rsplit_once(':')?;
        Some((host, port.parse().ok()?))
    }
}

#[cfg(test)]
mod tests;
