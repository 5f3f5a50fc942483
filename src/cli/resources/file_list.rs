//! Lists of files, as git and other programs print them.

use std::path::Path;

use crate::cli::error::CliError;
use crate::cli::input;

/// A name of the list, and its place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) text: String,
    /// `line 3`, or `name 3` of a list that has no lines.
    pub(super) place: String,
}

/// The names in a file, or on stdin for `-`.
pub(super) fn read(path: &Path, is_null_separated: bool) -> Result<Vec<Name>, CliError> {
    let bytes = input::bytes(path)?;
    let failed = |why: String| {
        let what = format!("cannot use the list {}: {why}", path.display());
        CliError::usage(
            what,
            "write one file name a line, as `git diff --name-only` prints them",
        )
    };
    let names = parse(&bytes, is_null_separated).map_err(failed)?;
    if names.is_empty() {
        let what = format!("the list {} is empty", path.display());
        return Err(CliError::usage(
            what,
            "if nothing has changed, do not run the command",
        ));
    }
    Ok(names)
}

fn parse(bytes: &[u8], is_null_separated: bool) -> Result<Vec<Name>, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("it is UTF-16: save it as UTF-8".to_owned());
    }
    let by_null = is_null_separated || bytes.contains(&0);
    let (separator, word) = if by_null {
        (0, "name")
    } else {
        (b'\n', "line")
    };
    let mut names = Vec::new();
    for (index, part) in bytes.split(|b| *b == separator).enumerate() {
        let place = format!("{word} {}", index + 1);
        let bytes = if by_null {
            part.to_vec()
        } else {
            of_line(part).map_err(|why| format!("{place}: {why}"))?
        };
        if bytes.is_empty() {
            continue;
        }
        let text = String::from_utf8(bytes);
        let text =
            text.map_err(|_| format!("{place}: the name is not UTF-8, which resources must be"))?;
        check(&text).map_err(|why| format!("{place}: {why}"))?;
        names.push(Name { text, place });
    }
    Ok(names)
}

/// The name that a line stands for.
fn of_line(line: &[u8]) -> Result<Vec<u8>, String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // Git quotes every name that contains a quote, so a plain name never begins with one.
    match line.strip_prefix(b"\"") {
        Some(quoted) => unquoted(quoted),
        None => Ok(line.to_vec()),
    }
}

/// Undoes git's quoting (`core.quotePath`), which is that of C.
fn unquoted(quoted: &[u8]) -> Result<Vec<u8>, String> {
    let mut name = Vec::with_capacity(quoted.len());
    let mut rest = quoted.iter().copied();
    loop {
        match rest.next() {
            None => return Err("the quote at its beginning is not closed".to_owned()),
            Some(b'"') if rest.len() == 0 => return Ok(name),
            Some(b'"') => return Err("something follows the closing quote".to_owned()),
            Some(b'\\') => name.push(unescaped(&mut rest)?),
            Some(byte) => name.push(byte),
        }
    }
}

fn unescaped(rest: &mut impl Iterator<Item = u8>) -> Result<u8, String> {
    let escape = rest.next().unwrap_or(b' ');
    Ok(match escape {
        b'a' => 7,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 11,
        b'f' => 12,
        b'r' => b'\r',
        b'"' | b'\\' => escape,
        b'0'..=b'3' => {
            let mut value = escape - b'0';
            for _ in 0..2 {
                match rest.next() {
                    Some(digit @ b'0'..=b'7') => value = value * 8 + (digit - b'0'),
                    _ => return Err("an octal escape has three digits".to_owned()),
                }
            }
            value
        }
        _ => {
            return Err(format!(
                "git has no escape `\\{}`",
                char::from(escape).escape_default()
            ));
        }
    })
}

/// Refuses lines of listings that contain more than names.
fn check(text: &str) -> Result<(), String> {
    let is_name_status = text.split_once('\t').is_some_and(|(status, _)| {
        let mut letters = status.chars();
        letters.next().is_some_and(|c| c.is_ascii_uppercase())
            && letters.all(|c| c.is_ascii_digit())
    });
    if is_name_status {
        return Err("it looks like `git diff --name-status`: use --name-only".to_owned());
    }
    let status = |c: char| matches!(c, ' ' | 'M' | 'A' | 'D' | 'R' | 'C' | 'U' | 'T' | '?' | '!');
    let mut start = text.chars();
    let is_porcelain =
        start.by_ref().take(2).filter(|c| status(*c)).count() == 2 && start.next() == Some(' ');
    if is_porcelain {
        return Err("it looks like `git status`: use `git diff --name-only`, and `git ls-files --others` for new files".to_owned());
    }
    if let Some(found) = text.chars().find(|c| c.is_control()) {
        return Err(format!(
            "the name contains the control character {found:?}, which resources cannot contain"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_list(bytes: &[u8], is_null_separated: bool, expected: Result<&[&str], &str>) {
        match (parse(bytes, is_null_separated), expected) {
            (Ok(names), Ok(expected)) => {
                let texts: Vec<&str> = names.iter().map(|name| name.text.as_str()).collect();
                assert_eq!(texts, expected);
            }
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            (parsed, _) => panic!("{parsed:?} is not {expected:?}"),
        }
    }

    #[test]
    fn lines_are_names() {
        check_list(b"src/a.rs\nb c.rs\n", false, Ok(&["src/a.rs", "b c.rs"]));
        check_list(b"src/a.rs\r\n\r\nb", false, Ok(&["src/a.rs", "b"]));
        check_list(b"\xef\xbb\xbfa\n", false, Ok(&["a"]));
        check_list(b"app/[id]/*.tsx\n", false, Ok(&["app/[id]/*.tsx"]));
        check_list(b"\n\n", false, Ok(&[]));
        check_list("größe\n".as_bytes(), false, Ok(&["größe"]));
    }

    #[test]
    fn null_bytes_separate() {
        check_list(b"a\0b\"c\0", false, Ok(&["a", "b\"c"]));
        check_list(b"\"a\"\0", false, Ok(&["\"a\""]));
        check_list(b"one", true, Ok(&["one"]));
        check_list(b"a\nb\0", false, Err("control character"));
    }

    #[test]
    fn quotes_of_git_are_undone() {
        check_list(br#""a\303\244.ts""#, false, Ok(&["aä.ts"]));
        check_list(br#""say \"hi\" \\.ts""#, false, Ok(&[r#"say "hi" \.ts"#]));
        check_list(br#""a\tb""#, false, Err("control character"));
        check_list(br#""a"#, false, Err("not closed"));
        check_list(br#""a"b"#, false, Err("follows"));
        check_list(br#""a\q""#, false, Err("no escape"));
        check_list(br#""a\30""#, false, Err("octal"));
        check_list(br#""\377""#, false, Err("UTF-8"));
    }

    #[test]
    fn other_listings_are_refused() {
        check_list(b"M\tsrc/a.rs\n", false, Err("--name-only"));
        check_list(b"R100\ta\tb\n", false, Err("--name-only"));
        check_list(b" M src/a.rs\n", false, Err("git status"));
        check_list(b"?? src/a.rs\n", false, Err("git status"));
        check_list(b"ok\n\xff\n", false, Err("line 2"));
        check_list(b"\xff\xfea\0", false, Err("UTF-16"));
    }
}
