//! Reads one section of git's configuration of a clone.
//!
//! Running git would cost a hook several milliseconds. Includes are not followed: `coord` writes its settings into
//! the file itself.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most bytes of the file that are read.
const BYTES_MAX: u64 = 1024 * 1024;

/// The keys of a section, in lower case, with their values in the order of the file.
pub(super) type Section = Vec<(String, String)>;

/// The text of the file; an absent file is empty.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a section without a subsection says. Names of sections and keys have no case.
pub(super) fn section(text: &str, name: &str) -> Section {
    let mut found = Section::new();
    let mut is_in = false;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.peek().copied() {
        match c {
            '[' => {
                let head = header(&mut characters);
                is_in = head.eq_ignore_ascii_case(name);
            }
            '#' | ';' => skip_line(&mut characters),
            c if c.is_whitespace() => {
                characters.next();
            }
            _ => {
                let (key, value) = entry(&mut characters);
                if is_in {
                    found.push((key, value));
                }
            }
        }
    }
    found
}

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// What stands in the brackets; a subsection keeps its quotes, so that it is no plain name.
fn header(characters: &mut Characters<'_>) -> String {
    characters.next();
    let mut head = String::new();
    let mut is_quoted = false;
    while let Some(c) = characters.next() {
        match c {
            ']' if !is_quoted => break,
            '\n' => break,
            '\\' if is_quoted => head.extend(characters.next()),
            c => {
                is_quoted ^= c == '"';
                head.push(c);
            }
        }
    }
    head.trim().to_owned()
}

fn skip_line(characters: &mut Characters<'_>) {
    characters.find(|c| *c == '\n');
}

/// A key and its value. A key alone is a yes.
fn entry(characters: &mut Characters<'_>) -> (String, String) {
    let mut key = String::new();
    while let Some(c) = characters.next_if(|c| !matches!(c, '=' | '\n' | '#' | ';')) {
        key.push(c);
    }
    let key = key.trim().to_ascii_lowercase();
    if characters.next_if_eq(&'=').is_none() {
        return (key, "true".to_owned());
    }
    (key, value(characters))
}

fn value(characters: &mut Characters<'_>) -> String {
    let mut value = String::new();
    // Blanks at the end count only inside quotes.
    let mut kept = 0;
    let mut is_quoted = false;
    while let Some(c) = characters.next() {
        match c {
            '\n' => break,
            '#' | ';' if !is_quoted => {
                skip_line(characters);
                break;
            }
            '"' => {
                is_quoted = !is_quoted;
                kept = value.len();
            }
            '\\' => {
                match characters.next() {
                    None | Some('\n') => continue,
                    Some('n') => value.push('\n'),
                    Some('t') => value.push('\t'),
                    Some(other) => value.push(other),
                }
                kept = value.len();
            }
            c if c.is_whitespace() && !is_quoted => {
                if !value.is_empty() {
                    value.push(c);
                }
            }
            c => {
                value.push(c);
                kept = value.len();
            }
        }
    }
    value.truncate(kept);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let found = section(text, "coord");
        let found: Vec<(&str, &str)> = found.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn a_section_is_read_as_git_reads_it() {
        check("", &[]);
        check("[coord]\n\tproject = web\n", &[("project", "web")]);
        check("[Coord] Project=a b  # why\n", &[("project", "a b")]);
        check(
            "[coord]\n sameTree = \"off \" ;x\n",
            &[("sametree", "off ")],
        );
        check("[coord]\nstrict\n", &[("strict", "true")]);
        check("[coord]\nproject = a\\\nb\n", &[("project", "ab")]);
        check("[coord]\r\nproject = a\r\n", &[("project", "a")]);
        let others = "[core]\nproject = no\n[coord \"x\"]\nproject = no\n[coord]\nproject = yes\n[remote \"a]b\"]\nproject = no\n";
        check(others, &[("project", "yes")]);
        check(
            "[coord]\na=1\n[x]\na=2\n[coord]\na=3",
            &[("a", "1"), ("a", "3")],
        );
        check("[coord\nproject = x", &[("project", "x")]);
        check("; [coord]\n#[coord]\nproject = x", &[]);
    }
}
