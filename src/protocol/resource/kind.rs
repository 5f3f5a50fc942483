//! The kind of resource that a text names; for a text without a kind, which one it looks like.

use std::fmt;

use super::{Unclear, read};

/// The word before the first colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    Path,
    File,
    Name,
    Port,
}

impl ResourceKind {
    pub const ALL: [Self; 4] = [Self::Path, Self::File, Self::Name, Self::Port];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::File => "file",
            Self::Name => "name",
            Self::Port => "port",
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const FORMS: &str = "`path:GLOB`, `file:PATH`, `name:NAME` or `port:HOST:NUMBER`";

/// The kind, and the text after it.
pub(super) fn parts(text: &str) -> Result<(ResourceKind, &str), Unclear> {
    let known = text.split_once(':').and_then(|(kind, rest)| {
        let kind = ResourceKind::ALL
            .into_iter()
            .find(|it| it.as_str() == kind)?;
        Some((kind, rest))
    });
    known.ok_or_else(|| no_kind(text))
}

fn no_kind(text: &str) -> Unclear {
    let guesses = guesses(text);
    if guesses.iter().any(|guess| read(guess).is_ok()) {
        let why = Unclear::new("it has no kind of resource");
        return guesses.into_iter().fold(why, Unclear::write);
    }
    // A second problem beside the missing kind brings its own suggestion.
    let wrong = guesses.first().and_then(|guess| read(guess).err());
    match wrong {
        Some(mut why) => {
            why.problem = format!("it has no kind of resource, and {}", why.problem);
            why
        }
        None => Unclear::new(format!("it has no kind of resource: write {FORMS}")),
    }
}

/// Other words for the kinds.
const ALIASES: [(&str, ResourceKind); 16] = [
    ("paths", ResourceKind::Path),
    ("glob", ResourceKind::Path),
    ("globs", ResourceKind::Path),
    ("pattern", ResourceKind::Path),
    ("dir", ResourceKind::Path),
    ("directory", ResourceKind::Path),
    ("folder", ResourceKind::Path),
    ("files", ResourceKind::File),
    ("filename", ResourceKind::File),
    ("names", ResourceKind::Name),
    ("slot", ResourceKind::Name),
    ("lock", ResourceKind::Name),
    ("mutex", ResourceKind::Name),
    ("ports", ResourceKind::Port),
    ("tcp", ResourceKind::Port),
    ("udp", ResourceKind::Port),
];

fn guesses(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    if let Some((word, rest)) = text.split_once([':', '='])
        && let Some(kind) = kind_like(word)
        && !rest.is_empty()
    {
        return vec![format!("{kind}:{rest}")];
    }
    if let Some(ports) = ports_like(text) {
        return ports;
    }
    if text.contains(['*', '?']) {
        return vec![format!("path:{text}")];
    }
    if text.contains(['[', ']', '{', '}']) {
        return vec![format!("file:{text}"), format!("path:{text}")];
    }
    if text.contains(['/', '.', '\\', '~', '$', '%']) {
        return vec![format!("path:{text}"), format!("file:{text}")];
    }
    vec![format!("name:{text}"), format!("path:{text}")]
}

/// The kind that a word probably means.
fn kind_like(word: &str) -> Option<ResourceKind> {
    let word = word.trim().to_ascii_lowercase();
    // A single letter is a drive.
    if word.len() < 3 {
        return None;
    }
    let alias = ALIASES.iter().find(|(alias, _)| *alias == word);
    let near = |kind: &ResourceKind| strsim::osa_distance(kind.as_str(), &word) <= 1;
    alias
        .map(|(_, kind)| *kind)
        .or_else(|| ResourceKind::ALL.into_iter().find(near))
}

/// `3000`, `:3000`, `localhost:3000`, `box:3000-3010`.
fn ports_like(text: &str) -> Option<Vec<String>> {
    let (host, ports) = text.rsplit_once(':').unwrap_or(("", text));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_range = match ports.split_once('-') {
        Some((from, to)) => is_number(from) && is_number(to),
        None => is_number(ports),
    };
    if !is_range
        || host.contains([
            '/', '\\', ':', '*', '?', '[', '{', '~', '$', '%', ',', '@', ' ',
        ])
    {
        return None;
    }
    if host.is_empty() {
        return Some(vec![format!("port:localhost:{ports}")]);
    }
    let port = format!("port:{host}:{ports}");
    let is_address = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    // `main.rs:12` is more likely a line of a file.
    if host.contains('.') && !is_address {
        return Some(vec![format!("path:{host}"), port]);
    }
    Some(vec![port])
}
