//! Paths that would make a file of a name that nobody meant: what a shell or a service manager would have
//! replaced, and had not.

use super::problem::{Misfit, quoted};

/// Why a path cannot be what was meant, if that can be told, with the right spelling.
pub fn misspelt_path(text: &str) -> Option<Misfit> {
    let first = text.split('/').next().unwrap_or_default();
    if let Some(user) = first.strip_prefix('~') {
        return Some(of_home(text, user));
    }
    if let Some(variable) = text.split('/').find_map(unexpanded) {
        let what = format!(
            "{} contains {variable}, which is not replaced here",
            quoted(text)
        );
        return Some(Misfit::new(what, "write the whole path"));
    }
    if is_specifier(first) {
        let what = format!(
            "{} begins with a specifier of systemd, which is not replaced here",
            quoted(text)
        );
        return Some(Misfit::new(what, "write the whole path"));
    }
    let what = odd(text, first)?;
    let right = "write only the path, as in /var/lib/coord";
    Some(Misfit::new(format!("{} {what}", quoted(text)), right))
}

/// Only a shell knows homes, and only where the path is not in quotes and has nothing before it.
fn of_home(text: &str, user: &str) -> Misfit {
    let rest = text.split_once('/').map_or("", |(_, rest)| rest);
    let what = format!(
        "{} would be a folder called ~{user}: only a shell replaces ~",
        quoted(text)
    );
    let home = if user.is_empty() {
        "$HOME".to_owned()
    } else {
        format!("/home/{user}")
    };
    let right = format!(
        "write the whole path (in a shell \"{home}/{rest}\", or ~{user}/{rest} without quotes), or ./{text} if \
         that is its name"
    );
    Misfit::new(what, right)
}

/// A reference to a variable, as `$HOME`, `${HOME}` or `%APPDATA%`.
fn unexpanded(part: &str) -> Option<&str> {
    let of_shell = part.find('$').filter(|at| {
        let next = part[at + 1..].chars().next();
        next.is_some_and(|c| matches!(c, '{' | '(' | '_') || c.is_ascii_uppercase())
    });
    let of_windows = part.strip_prefix('%').and_then(|rest| rest.split_once('%'));
    let name = |c: char| c.is_ascii_uppercase() || c == '_';
    let of_windows = of_windows.filter(|(word, _)| word.len() > 1 && word.chars().all(name));
    (of_shell.is_some() || of_windows.is_some()).then_some(part)
}

/// `%h`, `%S`: one letter, and then the next folder.
fn is_specifier(first: &str) -> bool {
    let letter = first.strip_prefix('%').map(str::as_bytes);
    letter.is_some_and(|rest| rest.len() == 1 && rest[0].is_ascii_alphabetic())
}

fn odd(text: &str, first: &str) -> Option<&'static str> {
    let quotes = ['"', '\''];
    let drive = |rest: &str| rest.starts_with([':']) && rest[1..].starts_with(['\\', '/']);
    if text.contains(char::is_control) {
        Some("contains control characters")
    } else if text.starts_with(quotes) && text.ends_with(quotes) && text.len() > 1 {
        Some("has quotes around it, which would be part of the name")
    } else if text.trim() != text {
        Some("begins or ends with a blank, which would be part of the name")
    } else if first.eq_ignore_ascii_case("file:") {
        Some("is a URL, not a path")
    } else if text.starts_with(|c: char| c.is_ascii_alphabetic()) && drive(&text[1..]) {
        Some("is a Windows path")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_nobody_means_are_told_with_the_right_spelling() {
        for (text, part) in [
            ("~", "only a shell replaces ~"),
            ("~/coord", "\"$HOME/coord\""),
            ("~/coord", "./~/coord"),
            ("~ana/coord", "\"/home/ana/coord\""),
            ("$HOME/coord", "contains $HOME"),
            ("${HOME}/coord", "contains ${HOME}"),
            ("/srv/${NAME}/x", "contains ${NAME}"),
            ("$(pwd)/x", "contains $(pwd)"),
            ("%h/coord", "specifier"),
            ("%S", "specifier"),
            ("%LOCALAPPDATA%/coord", "contains %LOCALAPPDATA%"),
            ("\"/var/lib/coord\"", "quotes"),
            ("'/var/lib/coord'", "quotes"),
            ("/var/lib/coord ", "blank"),
            ("/var/lib/coord\r", "control"),
            ("file:///var/lib/coord", "URL"),
            ("C:\\coord", "Windows"),
            ("c:/coord", "Windows"),
        ] {
            let misfit = misspelt_path(text).unwrap_or_else(|| panic!("{text:?} passes"));
            assert!(misfit.to_string().contains(part), "{text:?}: {misfit}");
        }
    }

    #[test]
    fn names_that_are_odd_and_right_pass() {
        for text in [
            "/var/lib/coord",
            "state",
            "./~/x",
            "/srv/a~b",
            "x~",
            "/srv/a$b",
            "/srv/100%",
            "/a b/c",
            "a:b",
            "/srv/%2f",
            "/srv/größer",
            "it's",
            "/srv/cash$",
        ] {
            assert_eq!(misspelt_path(text), None, "{text}");
        }
    }
}
