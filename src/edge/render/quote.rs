//! How a text stands in each format, whatever it holds: nothing in it may end the quotation.

use std::path::Path;

use super::{RenderError, push};

/// One word for a POSIX shell: in double quotes when nothing in it means anything there, or else in
/// single quotes, where nothing does.
pub(super) fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:,@%+=-".contains(c);
    if text.chars().all(plain) {
        format!("\"{text}\"")
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Text for a comment that ends with its line: what might end the line is shown as `?`.
pub(super) fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if ends_a_line(c) { '?' } else { c })
        .collect()
}

/// A double-quoted scalar of YAML, the same in versions 1.1 and 1.2.
pub(super) fn yaml(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c if ends_a_line(c) => push(&mut quoted, format_args!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The same for a compose file, where a dollar would begin a variable.
pub(super) fn compose(text: &str) -> String {
    yaml(&text.replace('$', "$$"))
}

/// A path in double quotes for a load balancer's file. Neither `HAProxy` nor nginx can quote all that
/// a path may hold, so what would mean something there is refused.
pub(super) fn path(form: &'static str, path: &Path) -> Result<String, RenderError> {
    let text = path.to_string_lossy();
    let special = |c: char| ends_a_line(c) || "\"'$\\`{};#".contains(c);
    if text.contains(special) {
        let what = format!("{text:?} contains characters that are special in that file");
        return Err(RenderError::new(form, what, "give the file another name"));
    }
    Ok(format!("\"{text}\""))
}

/// The cell of a Markdown table.
pub(super) fn cell(text: &str) -> String {
    let mut quoted = String::new();
    for c in text.chars() {
        if "\\`*_<>[]|&".contains(c) {
            quoted.push('\\');
        }
        quoted.push(if ends_a_line(c) { ' ' } else { c });
    }
    quoted
}

/// Control characters, and what YAML 1.1 takes for a line break or does not print.
fn ends_a_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a'b\"c$(d)\\\n`e`\u{2028}| <f>";

    fn check(found: &str, expected: &str) {
        assert_eq!(found, expected);
    }

    #[test]
    fn nothing_ends_the_quotation() {
        check(&shell("6380"), "\"6380\"");
        check(&shell(""), "\"\"");
        check(&shell("$(x)'"), r"'$(x)'\'''");
        check(&comment(HOSTILE), "a'b\"c$(d)\\?`e`?| <f>");
        check(&compose(HOSTILE), r#""a'b\"c$$(d)\\\n`e`\u2028| <f>""#);
        check(&yaml("\u{7f}\t"), r#""\u007F\u0009""#);
        check(&cell("a|b\n<c>"), r"a\|b \<c\>");
        check(
            &path("x", Path::new("/a b/c.pem")).expect("a space is no harm"),
            "\"/a b/c.pem\"",
        );
        for bad in ["/a\"", "/a$b", "/a\n", "/a;"] {
            assert!(path("x", Path::new(bad)).is_err(), "{bad}");
        }
    }
}
