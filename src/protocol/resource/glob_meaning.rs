//! Refuses patterns of other syntaxes, which would mean something else as a glob: other shells, regular
//! expressions, lists, other systems.

use super::Unclear;
use super::meaning::Text;

/// The glob with `_` for each byte of an escape or a class.
pub(super) fn bare(raw: &str) -> String {
    let mut bare = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            '[' => class_bytes(rest).unwrap_or(0),
            _ => 0,
        };
        if length == 0 {
            bare.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            bare.push_str(&"_".repeat(length));
            rest = &rest[length..];
        }
    }
    bare
}

/// The length of the class that a text begins with.
fn class_bytes(text: &str) -> Option<usize> {
    let mut characters = text.char_indices().skip(1).peekable();
    characters.next_if(|(_, c)| matches!(c, '!' | '^'));
    // Right after the beginning, it is a member.
    characters.next_if(|(_, c)| *c == ']');
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => {
                characters.next();
            }
            ']' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

pub(super) fn check(text: &Text<'_>) -> Result<(), Unclear> {
    check_regex(text)?;
    check_escapes(text)?;
    check_extended(text)?;
    check_lists(text)?;
    check_braces(text)?;
    check_stars(text)?;
    let folder = text.bare.strip_suffix("...");
    if let Some(folder) = folder.filter(|it| it.is_empty() || it.ends_with('/')) {
        let why = Unclear::new("`...` is a plain name in a glob, not a pattern");
        return Err(why.write(format!("path:{folder}**")));
    }
    if text.bare.contains(':') {
        let problem = "a colon has no meaning in a glob";
        return Err(Unclear::new(problem).write(text.resource(&text.raw.replace(':', "\\:"))));
    }
    Ok(())
}

fn check_regex(text: &Text<'_>) -> Result<(), Unclear> {
    let raw = text.raw;
    let is_class = |c: char| matches!(c, '.' | 'd' | 'w' | 's' | 'b' | 'S' | 'W' | 'D');
    let escapes_dot = raw.match_indices('\\').any(|(at, _)| {
        raw[at + 1..].starts_with(is_class) && raw[..at].ends_with(['*', '+', ')', ']', '^'])
    });
    let is_regex = text.bare.starts_with('^')
        || text.bare.ends_with('$')
        || text.bare.contains("(?:")
        || escapes_dot;
    if !is_regex {
        return Ok(());
    }
    let glob = raw.trim_start_matches('^').trim_end_matches('$');
    let glob = glob
        .replace(".*", "*")
        .replace(".+", "*")
        .replace("\\.", ".")
        .replace("\\/", "/");
    let problem =
        "it looks like a regular expression; in a glob `*` matches any characters and `.` is a dot";
    let why = Unclear::new(problem);
    Err(
        if glob.is_empty() || glob.contains(['\\', '^', '$', '(', '+', '|']) {
            why
        } else {
            why.write(text.resource(&glob))
        },
    )
}

/// A backslash escapes special characters; as a separator of folders it would silently disappear.
fn check_escapes(text: &Text<'_>) -> Result<(), Unclear> {
    let raw = text.raw;
    let special = |c: char| c == ' ' || c.is_ascii_punctuation() && !matches!(c, '_' | '.' | '/');
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        let mut after = rest[at + 1..].chars();
        let escaped_one = after.next();
        if !escaped_one.is_some_and(special) {
            let why = Unclear::new("separate folders with `/`, and escape only special characters");
            return Err(why.write(text.resource(&with_slashes(raw))));
        }
        // `src\*.rs` is one name in a glob, but the author means a folder.
        let is_star = matches!(escaped_one, Some('*' | '?'));
        let is_lone = !text.bare.contains(['*', '?', '{']);
        if is_star && (is_lone || after.as_str().starts_with('*')) {
            let why = Unclear::new("the backslash escapes the next character");
            let why = why.write(text.resource(&with_slashes(raw)));
            return Err(match unescaped(raw) {
                Some(name) if is_lone => why.write(format!("file:{name}")),
                _ => why,
            });
        }
        rest = after.as_str();
    }
    Ok(())
}

/// With slashes for the backslashes that separate something.
fn with_slashes(raw: &str) -> String {
    raw.replace("\\\\", "/")
        .replace('\\', "/")
        .replace("//", "/")
}

fn unescaped(raw: &str) -> Option<String> {
    let mut name = String::new();
    let mut characters = raw.chars();
    while let Some(c) = characters.next() {
        name.push(if c == '\\' { characters.next()? } else { c });
    }
    (!name.contains('\\')).then_some(name)
}

/// `@(a|b)` and similar patterns of ksh and bash.
fn check_extended(text: &Text<'_>) -> Result<(), Unclear> {
    for (at, _) in text.bare.match_indices('(') {
        let sign = text.bare[..at].chars().next_back();
        let Some(sign) = sign.filter(|c| matches!(c, '@' | '!' | '?' | '*' | '+')) else {
            continue;
        };
        let inside = &text.bare[at + 1..];
        let Some(length) = inside.find(')') else {
            continue;
        };
        let names = text.raw[at + 1..at + 1 + length].replace('|', ",");
        let (before, after) = (&text.raw[..at - 1], &text.raw[at + 2 + length..]);
        let braces = match sign {
            _ if names.contains(['(', ')']) => None,
            '@' if names.contains(',') => Some(format!("{{{names}}}")),
            '@' => Some(names),
            '?' => Some(format!("{{{names},}}")),
            _ => None,
        };
        let problem = match sign {
            '!' => {
                "`!(…)` is a pattern of other shells, and a glob cannot exclude: write what you need"
            }
            '@' | '?' => "alternatives are written in braces",
            _ => {
                "`*(…)` and `+(…)` are patterns of other shells: write `*`, or alternatives in braces"
            }
        };
        let why = Unclear::new(format!(
            "{problem}; for a parenthesis in a name write `{}`",
            text.resource(&text.raw.replace('(', "\\(").replace(')', "\\)"))
        ));
        return Err(match braces {
            Some(braces) => why.write(text.resource(&format!("{before}{braces}{after}"))),
            None => why,
        });
    }
    Ok(())
}

/// Several names in one text.
fn check_lists(text: &Text<'_>) -> Result<(), Unclear> {
    if let Some(at) = text.bare.find('|') {
        let grouped = text.bare[..at].rfind('(').zip(text.bare[at..].find(')'));
        let why = Unclear::new("write alternatives in braces, with commas");
        return Err(match grouped {
            Some((open, length)) => {
                let (before, after) = (&text.raw[..open], &text.raw[at + length + 1..]);
                let names = text.raw[open + 1..at + length].replace('|', ",");
                why.write(text.resource(&format!("{before}{{{names}}}{after}")))
            }
            None => why.write(text.resource(&format!("{{{}}}", text.raw.replace('|', ",")))),
        });
    }
    let mut depth = 0_u32;
    let mut cuts = Vec::new();
    for (at, c) in text.bare.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' | ';' if depth == 0 => cuts.push(at),
            _ => {}
        }
    }
    if cuts.is_empty() {
        return Ok(());
    }
    let starts = std::iter::once(0).chain(cuts.iter().map(|at| at + 1));
    let ends = cuts.iter().copied().chain(std::iter::once(text.raw.len()));
    let parts = starts.zip(ends).map(|(from, to)| text.raw[from..to].trim());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let why = Unclear::new(format!(
        "a list of names is not a glob: give each name as its own resource, or write them in braces; for a name \
         with a comma write `file:{}` or `{}`",
        text.raw,
        text.resource(&text.raw.replace(',', "\\,").replace(';', "\\;"))
    ));
    Err(match parts.as_slice() {
        [] => why,
        [one] => why.write(text.resource(one)),
        several => why.write(text.resource(&format!("{{{}}}", several.join(",")))),
    })
}

fn check_braces(text: &Text<'_>) -> Result<(), Unclear> {
    for (open, _) in text.bare.match_indices('{') {
        let Some(group) = Group::at(&text.bare, open) else {
            continue;
        };
        let inside = &text.raw[open + 1..group.close];
        let (before, after) = (&text.raw[..open], &text.raw[group.close + 1..]);
        let whole = |inside: &str| text.resource(&format!("{before}{inside}{after}"));
        if group.commas.is_empty() && !inside.is_empty() {
            if let Some((from, to)) = inside.split_once("..") {
                let why = Unclear::new(
                    "ranges in braces are not supported: write a class, or the alternatives",
                );
                return Err(match range(from, to) {
                    Some(text) => why.write(whole(&text)),
                    None => why,
                });
            }
            let why = Unclear::new("braces around a single name have no effect");
            let literal = format!("{before}\\{{{inside}\\}}{after}");
            return Err(why.write(text.resource(&literal)).write(whole(inside)));
        }
        let blank = |part: &str| part.starts_with(' ') || part.ends_with(' ');
        let parts: Vec<&str> = group.parts(text.raw, open).collect();
        if parts.iter().any(|part| blank(part)) {
            let trimmed: Vec<&str> = parts.iter().map(|part| part.trim()).collect();
            let why = Unclear::new("a blank beside a comma would be part of the name");
            return Err(why.write(whole(&format!("{{{}}}", trimmed.join(",")))));
        }
    }
    Ok(())
}

/// Where a brace is closed, and its own commas.
struct Group {
    close: usize,
    commas: Vec<usize>,
}

impl Group {
    fn at(bare: &str, open: usize) -> Option<Self> {
        let (mut depth, mut commas) = (0_u32, Vec::new());
        for (at, c) in bare.char_indices().skip_while(|(at, _)| *at < open) {
            match c {
                '{' => depth += 1,
                '}' if depth == 1 => return Some(Self { close: at, commas }),
                '}' => depth -= 1,
                ',' if depth == 1 => commas.push(at),
                _ => {}
            }
        }
        None
    }

    fn parts<'a>(&'a self, raw: &'a str, open: usize) -> impl Iterator<Item = &'a str> {
        let starts = std::iter::once(open + 1).chain(self.commas.iter().map(|at| at + 1));
        let ends = self
            .commas
            .iter()
            .copied()
            .chain(std::iter::once(self.close));
        starts.zip(ends).map(|(from, to)| &raw[from..to])
    }
}

/// The most alternatives that are suggested for a range.
const RANGE_MAX: u32 = 32;

/// `1..9` as a class, `8..12` as alternatives.
fn range(from: &str, to: &str) -> Option<String> {
    let one = |text: &str| {
        text.chars()
            .next()
            .filter(|c| c.is_ascii_alphanumeric() && text.len() == 1)
    };
    if let (Some(a), Some(z)) = (one(from), one(to)) {
        return (a <= z && a.is_ascii_digit() == z.is_ascii_digit()).then(|| format!("[{a}-{z}]"));
    }
    let (a, z): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
    if a > z || z - a >= RANGE_MAX {
        return None;
    }
    let padded = from.starts_with('0') || to.starts_with('0');
    let width = if padded { from.len().max(to.len()) } else { 0 };
    let numbers: Vec<String> = (a..=z).map(|n| format!("{n:0width$}")).collect();
    Some(format!("{{{}}}", numbers.join(",")))
}

/// `**` beside other characters is the same as `*`, but the author means all folders below.
fn check_stars(text: &Text<'_>) -> Result<(), Unclear> {
    let bytes = text.bare.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|b| **b == b'*').count();
        let end = at + length;
        let begins = at == 0 || matches!(bytes[at - 1], b'/' | b'{' | b',');
        let ends = end == bytes.len() || matches!(bytes[end], b'/' | b'}' | b',');
        if length > 1 && !(begins && ends) {
            let (before, after) = (&text.raw[..at], &text.raw[end..]);
            let deep = match (begins, ends) {
                (true, _) => format!("{before}**/*{after}"),
                (_, true) => format!("{before}*/**{after}"),
                _ => format!("{before}*/**/*{after}"),
            };
            let why = Unclear::new("`**` beside other characters does not match folders");
            let why = why.write(text.resource(&deep));
            return Err(why.write(text.resource(&format!("{before}*{after}"))));
        }
        at = end.max(at + 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::escaped;
    use super::*;

    #[test]
    fn what_is_escaped_or_in_a_class_is_masked_byte_for_byte() {
        for (raw, expected) in [
            ("a*b", "a*b"),
            (r"a\*ä", "a__ä"),
            ("[a,b]c", "_____c"),
            ("[]:]x[", "____x["),
            (r"[\]:]x", "_____x"),
            (r"\ä", "___"),
            ("a\\", "a_"),
        ] {
            let masked = bare(raw);
            assert_eq!((masked.as_str(), masked.len()), (expected, raw.len()));
        }
        assert_eq!(escaped("a b[c]"), r"a b\[c\]");
        assert_eq!(escaped(" a "), r"\ a\ ");
    }
}
