//! Texts that stand where a token should and cannot be one: what they are is said, and nothing of them.
//!
//! An operator may choose a token of any visible characters, so a form of those alone has to be one that
//! nobody chooses and no generator makes.

use std::path::Path;

use super::problem::Misfit;

const RIGHT: &str = "give only the token, as `coord token create NAME --out FILE` writes it";

/// Marks of the two ends of a quotation.
const QUOTES: [(char, char); 6] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('“', '”'),
    ('„', '“'),
    ('‘', '’'),
];
/// What shells print before what is typed.
const PROMPTS: [&str; 4] = ["$ ", "# ", "> ", "% "];
/// How shells and batch files begin what sets a variable.
const SETTERS: [&str; 5] = ["export ", "set ", "setenv ", "setx ", "$env:"];
/// What people call a variable that holds a token.
const NAMES: [&str; 6] = ["TOKEN", "SECRET", "BEARER", "PASSWORD", "KEY", "COORD"];
/// What a base64 text that begins with `/` does not have, and names of files mostly do.
const OF_PATHS: [char; 3] = ['.', '_', '-'];

/// Why a text, without the blanks after it, is no token, if that can be told.
pub(super) fn misfit(text: &str) -> Option<Misfit> {
    let (what, right) = form(text)?;
    Some(Misfit::new(what, right))
}

fn form(text: &str) -> Option<(&'static str, &'static str)> {
    let file =
        "save it as UTF-8 without a byte order mark; `coord token create NAME --out FILE` does";
    let lower = text.to_ascii_lowercase();
    let begins = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
    let what = if text.contains('\0') {
        return Some(("it is UTF-16 text, as PowerShell's > writes", file));
    } else if text.starts_with('\u{feff}') {
        return Some(("it begins with a byte order mark (BOM)", file));
    } else if begins(&["-----begin"]) {
        "it is a certificate or a key in PEM"
    } else if text.starts_with("{\"") || text.starts_with("[\"") || text.starts_with("{ ") {
        "it is JSON, not the token alone"
    } else if begins(&["bearer ", "authorization:", "basic "]) {
        "it begins like the header Authorization (Bearer …)"
    } else if begins(&SETTERS) || is_assignment(text) {
        "it is an assignment (NAME=…)"
    } else if begins(&PROMPTS) {
        "it begins with a shell prompt"
    } else if is_labelled(text) {
        "it begins with a name (token: …)"
    } else if is_unexpanded(text) {
        "it is an expression that the shell did not expand"
    } else if text.contains(['\n', '\r']) {
        "it has several lines"
    } else if is_quoted(text) {
        "it has quotes around it"
    } else if is_path(text) {
        return Some((
            "it is a file name",
            "give the file in COORD_TOKEN_FILE or with --token-file",
        ));
    } else if is_placeholder(text) {
        "it is a placeholder"
    } else if text.contains(char::is_whitespace) {
        "it contains blanks"
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        "it contains characters that no token contains"
    } else {
        return None;
    };
    Some((what, RIGHT))
}

fn is_quoted(text: &str) -> bool {
    let within = |(first, last): &(char, char)| {
        let rest = text.strip_prefix(*first);
        rest.is_some_and(|rest| rest.ends_with(*last))
    };
    QUOTES.iter().any(within)
}

/// `NAME=…`, where NAME is what people call such a variable; base64 ends with `=` and has none before.
fn is_assignment(text: &str) -> bool {
    let Some((name, value)) = text.split_once('=') else {
        return false;
    };
    let name = name.trim_end().to_ascii_uppercase();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let known = NAMES.iter().any(|known| name.contains(known));
    let value = value.trim_start_matches(['=', ' ', '"', '\'']);
    name.chars().all(word) && !value.is_empty() && (known || value.starts_with("coord_"))
}

/// `token: …`, as YAML and headers have it.
fn is_labelled(text: &str) -> bool {
    text.split_once(':').is_some_and(|(name, value)| {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
        value.starts_with(char::is_whitespace) && name.chars().all(word)
    })
}

fn is_unexpanded(text: &str) -> bool {
    let between = |first: &str, last: &str| {
        let rest = text.strip_prefix(first);
        rest.and_then(|rest| rest.strip_suffix(last))
    };
    let name = |name: &str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    between("$(", ")").or(between("${", "}")).is_some()
        || between("$", "").is_some_and(name)
        || between("%", "%").is_some_and(name)
}

fn is_path(text: &str) -> bool {
    let of_path =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '~') || OF_PATHS.contains(&c);
    let begins = ["./", "../", "~/"]
        .iter()
        .any(|start| text.starts_with(start));
    let absolute = text.starts_with('/') && text.contains(OF_PATHS);
    text.chars().all(of_path) && (begins || absolute || has_extension(text, "token"))
}

fn has_extension(text: &str, expected: &str) -> bool {
    let extension = Path::new(text).extension();
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case(expected))
}

fn is_placeholder(text: &str) -> bool {
    let bracketed = text.starts_with('<') && text.ends_with('>');
    bracketed || text.contains('…') || text.chars().all(|c| matches!(c, '*' | '.' | 'x' | 'X'))
}

/// Whether a text that should name a file looks like a secret put there by mistake, which no error may
/// repeat: a long word without what names of files have.
pub(super) fn is_secret_itself(name: &str) -> bool {
    const SECRET_CHARS_MIN: usize = 20;
    name.starts_with("coord_") && !name.contains(['.', '/'])
        || name.chars().count() >= SECRET_CHARS_MIN && !name.contains(['/', '.', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "coord_3q2-7wAbCdEfGhIjKlMnOpQrStUvWxYz0123456789a";

    #[track_caller]
    fn check(text: &str, part: &str) {
        let misfit = misfit(text)
            .unwrap_or_else(|| panic!("{text:?} passes"))
            .to_string();
        assert!(misfit.contains(part), "{text:?}: {misfit}");
        assert!(!misfit.contains("3q2-7w"), "the secret is told: {misfit}");
    }

    #[test]
    fn tokens_pass() {
        for text in [
            TOKEN,
            "3f1d9c0e5b7a48f29d6c1b0a3e5f7d9c",
            "/abc+defABCDEF0123456789abcdefABCDEF0123456=",
            "abc+def/ABCDEF0123456789abcdefABCDEF012345==",
            "$Kd8{f=Q~x'7Lp/2_w-R.t#Zb9\"vN&hY5*",
            "{9f=Q~x'7Lp/2_w-R.t#Zb9vN&hY5*Kd8}",
            "A=f=Q~x'7Lp/2_w-R.t#Zb9vN&hY5*Kd8$",
        ] {
            assert_eq!(misfit(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_named() {
        for (form, part) in [
            ("\u{feff}{}", "byte order mark"),
            ("{}\0", "UTF-16"),
            ("\"{}\"", "quotes"),
            ("'{}'", "quotes"),
            ("“{}”", "quotes"),
            ("Bearer {}", "Bearer"),
            ("bearer {}", "Bearer"),
            ("Authorization: Bearer {}", "Bearer"),
            ("COORD_TOKEN={}", "assignment"),
            ("TOKEN={}", "assignment"),
            ("export COORD_TOKEN={}", "assignment"),
            ("export COORD_TOKEN=\"{}\"", "assignment"),
            ("$env:COORD_TOKEN = '{}'", "assignment"),
            ("token={}", "assignment"),
            ("token: {}", "a name"),
            ("{\"secret\":\"{}\"}", "JSON"),
            ("$ {}", "prompt"),
            ("$(cat alice.token)", "expand"),
            ("${TOKEN}", "expand"),
            ("%TOKEN%", "expand"),
            ("{}\n{}", "several lines"),
            ("{} alice", "blanks"),
            (" {}", "blanks"),
            ("./alice", "a file name"),
            ("alice.token", "a file name"),
            ("/run/secrets/coord_token", "a file name"),
            ("<your token>", "placeholder"),
            ("********", "placeholder"),
            ("-----BEGIN PRIVATE KEY-----", "PEM"),
            ("{}é", "characters"),
        ] {
            check(&form.replace("{}", TOKEN), part);
        }
    }

    #[test]
    fn a_secret_in_place_of_a_name_is_noticed() {
        assert!(is_secret_itself(TOKEN));
        assert!(is_secret_itself("3f1d9c0e5b7a48f29d6c1b0a3e5f7d9c"));
        for name in [
            "alice.token",
            "/run/secrets/a-very-long-name-of-a-secret",
            "alice",
        ] {
            assert!(!is_secret_itself(name), "{name}");
        }
    }
}
