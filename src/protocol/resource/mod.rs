//! Resources as people and clients write them.
//!
//! `path:GLOB`, `file:PATH`, `name:NAME`, `port:HOST:NUMBER`, and as a request any port of a pool,
//! `port:HOST:FIRST-LAST`. The journal has texts of its own (`engine/resource.rs`), so what is refused
//! here was not always refused, and what was granted then still loads.
//!
//! Two spellings of a name are one name: text is brought to Unicode's normalisation form C, and in
//! names of files `./` and repeated slashes are dropped. Case is not folded. Text that cannot mean
//! what was meant is refused with the right spelling (`meaning`).

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

/// A resource of an answer: its text, whatever it is, since a lease may be older than the rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceText(String);

/// Why a text is no resource, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: {problem}{}", advice(write))]
pub struct ResourceTextError {
    /// The text, shortened.
    text: String,
    problem: String,
    /// Spellings that would be right, the likeliest first.
    pub write: Vec<String>,
}

/// What of a text an error shows, and of what is said of it.
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
    /// The same without the text, for whoever shows that anyway.
    pub fn reason(&self) -> String {
        format!("{}{}", self.problem, advice(&self.write))
    }

    fn new(text: &str, why: Unclear) -> Self {
        let shown = shortened(text, SHOWN_CHARS_MAX);
        let is_whole = shown == text;
        let mut write = why.write;
        // Of a text that nobody typed, nobody needs the right spelling. Nor one that is wrong as well.
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

/// What is wrong with the part after the kind, and what that part should be.
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

/// Refuses what cannot mean what was meant, wherever in the repository it is said: all that
/// [`ResourceRequestParam`] refuses but for paths that are absolute or lead out of their folder.
pub fn check_meaning(kind: ResourceKind, rest: &str) -> Result<(), ResourceTextError> {
    meaning::check(kind, rest).map_err(|why| ResourceTextError::new(&format!("{kind}:{rest}"), why))
}

/// A resource that is just this file, whatever characters its name has: `file:`, or where that could
/// be taken for something else, a glob in which all is escaped.
pub fn literal(path: &str) -> Result<Resource, ResourceTextError> {
    if meaning::check(ResourceKind::File, path).is_ok() {
        return format!("file:{path}").parse().map(|ResourceParam(it)| it);
    }
    format!("path:{}", escaped(path))
        .parse()
        .map(|ResourceParam(it)| it)
}

/// A name with all that is special in globs, or could be taken for something else, escaped.
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

/// Whether part of a glob stands for several names.
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

/// Reads a text; what is proposed for a wrong one has not been looked at.
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
                let problem = "a pool of ports is not one resource: name one port of it";
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
