//! Refuses text that is surely a mistake: variables that a shell should have replaced, and the syntax of
//! another program or system.
//!
//! No name becomes impossible. A name that looks like this can be written as a glob with the characters
//! escaped (`path:x.ts\:12`), and most as `file:`.

use super::glob_meaning;
use super::kind::ResourceKind;
use super::{Unclear, escaped};

/// The text after the kind.
#[derive(Debug)]
pub(super) struct Text<'a> {
    pub(super) kind: ResourceKind,
    pub(super) raw: &'a str,
    /// The same text with `_` for each byte of an escape or a class.
    pub(super) bare: String,
}

impl Text<'_> {
    pub(super) fn resource(&self, rest: &str) -> String {
        format!("{}:{rest}", self.kind)
    }

    /// The resource for a file with exactly this name.
    fn exact(&self) -> String {
        match self.kind {
            ResourceKind::File => format!("path:{}", escaped(self.raw)),
            _ => format!("file:{}", self.raw),
        }
    }
}

pub(super) fn check(kind: ResourceKind, raw: &str) -> Result<(), Unclear> {
    let bare = match kind {
        ResourceKind::Path => glob_meaning::bare(raw),
        _ => raw.to_owned(),
    };
    let text = Text { kind, raw, bare };
    check_wrapping(&text)?;
    match kind {
        ResourceKind::Name => return Ok(()),
        ResourceKind::Port => return check_port(&text),
        ResourceKind::Path | ResourceKind::File => {}
    }
    check_shell(&text)?;
    check_systems(&text)?;
    check_line(&text)?;
    match kind {
        ResourceKind::Path => glob_meaning::check(&text),
        _ => check_backslash(&text),
    }
}

/// Refuses quotes and blanks around a resource, a second kind, and several resources in one.
fn check_wrapping(text: &Text<'_>) -> Result<(), Unclear> {
    let bare = text.bare.as_str();
    if bare.is_empty() {
        let why = Unclear::new(format!("nothing follows `{}:`", text.kind));
        return Err(match text.kind {
            ResourceKind::Path | ResourceKind::File => why.write("path:**"),
            ResourceKind::Name | ResourceKind::Port => why,
        });
    }
    if bare.contains(['\n', '\r']) {
        return Err(Unclear::new(
            "it has several lines: give each resource separately, or a list of files with --files-from",
        ));
    }
    let trimmed = bare.trim();
    if trimmed.len() < bare.len() {
        let start = bare.len() - bare.trim_start().len();
        let inside = &text.raw[start..start + trimmed.len()];
        return Err(Unclear::new("it has blanks around it").write(text.resource(inside)));
    }
    for (open, close) in [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’')] {
        let inside = text
            .raw
            .strip_prefix(open)
            .and_then(|it| it.strip_suffix(close));
        if bare.starts_with(open)
            && bare.ends_with(close)
            && let Some(inside) = inside
        {
            return Err(Unclear::new("it has quotes around it").write(text.resource(inside)));
        }
    }
    check_kinds(text)
}

fn check_kinds(text: &Text<'_>) -> Result<(), Unclear> {
    for kind in ResourceKind::ALL {
        let prefix = format!("{kind}:");
        if let Some(rest) = text.bare.strip_prefix(&prefix) {
            let rest = &text.raw[text.raw.len() - rest.len()..];
            return Err(
                Unclear::new("it has two kinds of resource").write(format!("{prefix}{rest}"))
            );
        }
        let inner = [' ', ',', ';'].map(|before| format!("{before}{prefix}"));
        if let Some(at) = inner.iter().find_map(|it| text.bare.find(it.as_str())) {
            let (one, other) = text.raw.split_at(at);
            let problem = "it contains several resources: give each separately";
            return Err(Unclear::new(problem).write(format!(
                "{}` and `{}",
                text.resource(one),
                other[1..].trim_start()
            )));
        }
    }
    Ok(())
}

fn check_port(text: &Text<'_>) -> Result<(), Unclear> {
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if !text.raw.contains(':') && is_number(text.raw) {
        let why = Unclear::new("a port needs a host");
        return Err(why.write(format!("port:localhost:{}", text.raw)));
    }
    if let Some((scheme, rest)) = text.raw.split_once("://")
        && !scheme.contains(':')
    {
        let host = rest.split('/').next().unwrap_or_default();
        return Err(Unclear::new("it is a URL").write(format!("port:{host}")));
    }
    Ok(())
}

/// Refuses what a shell would have replaced.
fn check_shell(text: &Text<'_>) -> Result<(), Unclear> {
    let bare = text.bare.as_str();
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if let Some(rest) = bare.strip_prefix('~') {
        let after = rest.trim_start_matches(name);
        // `~$report.docx` and `~lock` are names.
        if rest.is_empty() || after.starts_with('/') || rest.starts_with('\\') {
            return Err(of_place(
                text,
                "`~` is a home folder that the shell did not replace",
            ));
        }
    }
    let variable = |rest: &str| {
        let end = rest
            .trim_start_matches(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        // `$lang` and `$postId.tsx` are names that frameworks use.
        end.len() < rest.len() && (end.is_empty() || end.starts_with(['/', '\\']))
    };
    let is_expansion = bare.strip_prefix('$').is_some_and(variable)
        || has_braced_variable(bare)
        || bare.contains("$(")
        || bare.strip_prefix("$env:").is_some();
    if is_expansion {
        return Err(of_place(
            text,
            "`$` begins a variable that was not replaced",
        ));
    }
    let percent = bare.strip_prefix('%').and_then(|rest| rest.split_once('%'));
    if percent.is_some_and(|(inner, _)| {
        !inner.is_empty()
            && inner
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit())
    }) {
        return Err(of_place(
            text,
            "`%` begins a variable that was not replaced",
        ));
    }
    Ok(())
}

/// `${X}`, with nothing between the braces but a name.
fn has_braced_variable(bare: &str) -> bool {
    bare.split("${").skip(1).any(|rest| {
        let inner = rest.split('}').next().unwrap_or_default();
        let is_name = inner
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_');
        !inner.is_empty() && is_name && inner.len() < rest.len()
    })
}

fn of_place(text: &Text<'_>, problem: &str) -> Unclear {
    let problem = format!(
        "{problem}, and paths are relative to the root of the repository; for a name that begins like this write \
         `{}`",
        if text.kind == ResourceKind::File {
            text.exact()
        } else {
            format!("path:{}", escaped(text.raw))
        }
    );
    Unclear::new(problem)
}

/// URLs, drives, and what git and Go add to paths.
fn check_systems(text: &Text<'_>) -> Result<(), Unclear> {
    let (raw, bare) = (text.raw, text.bare.as_str());
    if let Some(at) = bare.find("://") {
        let scheme = &bare[..at];
        if !scheme.is_empty()
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'+')
        {
            return Err(Unclear::new(
                "it is a URL: write the path relative to the root of the repository",
            ));
        }
    }
    // The backslash of `C:\x` is an escape to a glob.
    let mut start = raw.chars();
    if start.next().is_some_and(|c| c.is_ascii_alphabetic())
        && start.next() == Some(':')
        && matches!(start.next(), Some('/' | '\\') | None)
    {
        return Err(Unclear::new(
            "it begins with a drive: write the path relative to the root of the repository, with `/`",
        ));
    }
    if let Some(rest) = bare.strip_prefix(":/") {
        let rest = &raw[raw.len() - rest.len()..];
        let why = Unclear::new("paths are already relative to the root of the repository");
        return Err(why.write(text.resource(rest)));
    }
    if [":(", ":!", ":^"]
        .iter()
        .any(|magic| bare.starts_with(magic))
    {
        return Err(Unclear::new(
            "a pathspec of git is not a path: write the path itself",
        ));
    }
    Ok(())
}

/// Refuses a line number after a name, as compilers and editors print it.
fn check_line(text: &Text<'_>) -> Result<(), Unclear> {
    let Some(at) = line_suffix(&text.bare) else {
        return Ok(());
    };
    let why = Unclear::new(format!(
        "`{}` looks like a line number, but a lease covers whole files; for a name that ends like this write \
         `path:{}`",
        &text.raw[at..],
        escaped(text.raw)
    ));
    Err(why.write(text.resource(&text.raw[..at])))
}

/// Where `:12`, `:12:5`, `:12-20`, `:12: text`, `#L12`, `(12,5)` begins.
fn line_suffix(bare: &str) -> Option<usize> {
    let digits =
        |rest: &str| rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let colon = bare.match_indices(':').find(|(at, _)| {
        let rest = &bare[at + 1..];
        let count = digits(rest);
        *at > 0 && count > 0 && (rest.len() == count || rest[count..].starts_with([':', '-', ',']))
    });
    let hash = bare.match_indices("#L").find(|(at, _)| {
        let rest = &bare[at + 2..];
        let tail = |c: char| c.is_ascii_digit() || matches!(c, '-' | 'L' | 'C');
        *at > 0 && digits(rest) > 0 && rest.chars().all(tail)
    });
    let round = bare.strip_suffix(')').and_then(|rest| {
        let (before, inside) = rest.rsplit_once('(')?;
        let (line, column) = inside.split_once(',')?;
        let is_number = |part: &str| !part.is_empty() && digits(part) == part.len();
        (!before.is_empty() && is_number(line) && is_number(column)).then_some(before.len())
    });
    let found = [colon.map(|it| it.0), hash.map(|it| it.0), round];
    found.into_iter().flatten().min()
}

fn check_backslash(text: &Text<'_>) -> Result<(), Unclear> {
    if !text.raw.contains('\\') {
        return Ok(());
    }
    let why = Unclear::new(format!(
        "separate folders with `/`; for a name with a backslash write `{}`",
        text.exact()
    ));
    Err(why.write(text.resource(&text.raw.replace('\\', "/"))))
}

/// Refuses paths that are absolute, leave their folder, or name nothing.
pub(super) fn check_place(kind: ResourceKind, raw: &str) -> Result<(), Unclear> {
    let tidy = tidied(raw);
    if raw.starts_with('/') {
        return Err(Unclear::new(
            "it begins with `/`, but paths are relative to the root of the repository: remove the part that \
             leads there",
        ));
    }
    if tidy.is_empty() || tidy == "." {
        let why = Unclear::new("it is the root of the repository itself");
        return Err(why.write("path:**"));
    }
    if tidy.split('/').any(|part| part == "..") {
        let why = Unclear::new("`..` is not allowed: a file has only one path");
        return Err(match resolved(&tidy) {
            Some(path) => why.write(format!("{kind}:{path}")),
            None => why,
        });
    }
    if kind == ResourceKind::Path
        && let Some(folder) = raw.strip_suffix("/.")
    {
        return Err(Unclear::new("`.` names no file").write(format!("path:{folder}")));
    }
    Ok(())
}

/// Without `.` and empty parts; a slash at the end, or a dot, stays as a slash.
pub(super) fn tidied(raw: &str) -> String {
    let parts = raw.split('/').filter(|part| !matches!(*part, "" | "."));
    let mut tidy = parts.collect::<Vec<_>>().join("/");
    if !tidy.is_empty() && (raw.ends_with('/') || raw.ends_with("/.")) {
        tidy.push('/');
    }
    tidy
}

/// The path with `..` resolved, unless it leaves the repository or crosses a wildcard.
fn resolved(tidy: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in tidy.split('/') {
        if part != ".." {
            parts.push(part);
        } else if parts.pop()?.contains(['*', '?', '[', '{', '}', ',', '\\']) {
            return None;
        }
    }
    let path = parts.join("/");
    (!path.trim_matches('/').is_empty()).then_some(path)
}
