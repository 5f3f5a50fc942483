//! Text from elsewhere, made safe to show: what agents, peers, programs and files say reaches a terminal
//! or a log as text that can be seen, and as nothing else.
//!
//! Control characters move the cursor, bidirectional ones reorder the line, invisible ones hide in it.
//! All are shown by their number, as in `\u{202e}`. That includes the joiners within emoji and within
//! Persian or Indic words: a program cannot tell a word from a disguise, and a number hurts nobody.
//! In JSON the same characters are escaped by its own rules, so a reader gets back what was written.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How many marks may sit on one letter; no script needs more.
const MARKS_MAX: usize = 6;

/// The categories Cf, Zl and Zp, what Unicode calls default ignorable, and the blank of Braille, which is
/// a pattern without dots. In order, without overlaps; a test compares it with the Unicode tables.
const UNSEEN: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fdd0}', '\u{fdef}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a character is not to be seen for itself: it acts, hides, or is nothing.
fn is_unseen(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let in_table = || {
        let at = UNSEEN.partition_point(|(_, last)| *last < c);
        UNSEEN.get(at).is_some_and(|(first, _)| *first <= c)
    };
    // The last two numbers of each plane are no characters.
    c.is_control() || u32::from(c) & 0xfffe == 0xfffe || in_table()
}

/// The one choice between two looks of a symbol that a reader can see: text or emoji.
fn chooses_look(c: char, before: Option<char>) -> bool {
    let symbol = |c: char| {
        matches!(c, '#' | '*' | '0'..='9') || (c >= '\u{a9}' && !c.is_alphanumeric() && is_wide(c))
    };
    matches!(c, '\u{fe0e}' | '\u{fe0f}') && before.is_some_and(symbol)
}

/// Whether it takes a column of its own.
fn is_wide(c: char) -> bool {
    c.width().is_some_and(|columns| columns > 0)
}

/// One line: breaks and tabs are shown by their escapes too.
pub fn one_line(text: &str) -> String {
    shown(text, |_| false)
}

/// The same, but lines and tabs stay. Lines may end as those of Windows do.
pub fn lines(text: &str) -> String {
    let keep = |c| matches!(c, '\n' | '\t');
    if text.contains("\r\n") {
        return shown(&text.replace("\r\n", "\n"), keep);
    }
    shown(text, keep)
}

fn shown(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    let (mut before, mut marks) = (None, 0);
    for c in text.chars() {
        // A mark needs a letter to sit on, and a heap of them reaches over the lines around.
        let sits = !is_wide(c) && before.is_some_and(|before| !is_blank(before));
        let seen = !is_unseen(c) && (is_wide(c) || (sits && marks < MARKS_MAX));
        marks = if is_wide(c) { 0 } else { marks + 1 };
        if seen || keep(c) || chooses_look(c, before) {
            safe.push(c);
        } else {
            escape(c, &mut safe);
        }
        before = Some(c);
    }
    safe
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

fn escape(c: char, into: &mut String) {
    match c {
        '\n' => into.push_str("\\n"),
        '\r' => into.push_str("\\r"),
        '\t' => into.push_str("\\t"),
        c => into.extend(c.escape_unicode()),
    }
}

/// Lines that another writer coloured, after it had escaped what would be colours of others.
fn coloured_lines(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for (i, part) in text.split("\u{1b}[").enumerate() {
        let code = part.split_once('m');
        let code = code.filter(|(code, _)| code.bytes().all(|b| b.is_ascii_digit() || b == b';'));
        match code.filter(|_| i > 0) {
            Some((code, rest)) => whole.extend(["\u{1b}[", code, "m", &lines(rest)]),
            None if i > 0 => whole.extend(["\\u{1b}[", &lines(part)]),
            None => whole += &lines(part),
        }
    }
    whole
}

/// JSON on one line, with nothing in it that a terminal would act on.
pub fn json(text: &str) -> Cow<'_, str> {
    // Between two values a break means nothing, and within a string there is none.
    let text = if text.contains(['\n', '\r']) {
        Cow::Owned(text.replace(['\n', '\r'], " "))
    } else {
        Cow::Borrowed(text)
    };
    match json_lines(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(safe) => Cow::Owned(safe),
    }
}

/// The same, but lines stay. JSON has such characters within its strings alone, so what it means stays.
pub fn json_lines(text: &str) -> Cow<'_, str> {
    let unsafe_here = |c: char| is_unseen(c) && !matches!(c, '\n' | '\r' | '\t');
    if !text.chars().any(unsafe_here) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if unsafe_here(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(safe, "\\u{unit:04x}").expect("a string takes all that is written to it");
            }
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// How many columns a terminal gives a text that is safe to show.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// A writer whose text is made safe on its way. Each write has whole characters, as `write!` has.
#[derive(Debug)]
pub struct Safe<W> {
    inner: W,
    safe: fn(&str) -> String,
}

impl<W: Write> Safe<W> {
    /// Of JSON, one value a line.
    pub fn json(inner: W) -> Self {
        let safe = |text: &str| json_lines(text).into_owned();
        Self { inner, safe }
    }

    /// Of lines for people.
    pub fn lines(inner: W) -> Self {
        Self { inner, safe: lines }
    }

    /// Of a log's lines; with colours where it is told that it has them.
    pub fn log(json: bool, colours: bool, inner: W) -> Self {
        match (json, colours) {
            (false, true) => Self {
                inner,
                safe: coloured_lines,
            },
            (json, _) => Self::of(json, inner),
        }
    }

    /// Of the one or the other.
    pub fn of(json: bool, inner: W) -> Self {
        if json {
            Self::json(inner)
        } else {
            Self::lines(inner)
        }
    }
}

impl<W: Write> Write for Safe<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.inner.write_all((self.safe)(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use regex_syntax::hir::{Class, HirKind};

    use super::*;

    /// Every character of a class, by the tables of another crate.
    fn class(pattern: &str) -> Vec<char> {
        let hir = regex_syntax::parse(pattern).expect("it is a class");
        let HirKind::Class(Class::Unicode(class)) = hir.into_kind() else {
            panic!("{pattern} is no class of characters");
        };
        let ranges = class.ranges().iter();
        ranges
            .flat_map(|range| range.start()..=range.end())
            .collect()
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(one_line(text), expected);
    }

    #[test]
    fn every_character_of_the_hidden_categories_is_escaped() {
        let hidden = class(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]");
        assert!(hidden.len() > 4_000, "only {}", hidden.len());
        for c in hidden {
            assert!(is_unseen(c), "U+{:04X}", u32::from(c));
            let shown = one_line(&format!("a{c}b"));
            assert!(
                shown.is_ascii() && !shown.contains(c),
                "U+{:04X}",
                u32::from(c)
            );
        }
    }

    /// The other direction: what is escaped is one of those, and none of it is a letter or a sign.
    #[test]
    fn nothing_else_is_escaped() {
        let hidden = class(
            r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\x{2800}]",
        );
        let unseen = (char::MIN..=char::MAX).filter(|c| is_unseen(*c));
        assert!(unseen.eq(hidden), "the table is another than Unicode's");
    }

    #[test]
    fn the_table_is_in_order() {
        let apart = |pair: &[(char, char)]| pair[0].0 <= pair[0].1 && pair[0].1 < pair[1].0;
        assert!(UNSEEN.windows(2).all(apart));
    }

    #[test]
    fn what_acts_on_a_terminal_is_shown_by_its_number() {
        check("a\u{1b}[31mb\nc\td\re", "a\\u{1b}[31mb\\nc\\td\\re");
        check("user\u{202e}gnp.exe", "user\\u{202e}gnp.exe");
        check("\u{9b}31m\u{7f}\u{feff}", "\\u{9b}31m\\u{7f}\\u{feff}");
        check("a\u{e0061}\u{e0062}", "a\\u{e0061}\\u{e0062}");
        check("pass\u{200b}word \u{3164}", "pass\\u{200b}word \\u{3164}");
        check("👨\u{200d}👩", "👨\\u{200d}👩");
        assert_eq!(lines("a\n\tb\r\u{2028}"), "a\n\tb\\r\\u{2028}");
        assert_eq!(lines("a\r\nb\r\r\n"), "a\nb\\r\n");
    }

    #[test]
    fn text_of_every_script_stays() {
        for text in [
            "größer",
            "漢字 かな　全角",
            "한국어",
            "नमस्ते",
            "ไม่เป็นไร",
            "שָׁלוֹם",
            "e\u{301}",
            "❤\u{fe0f}",
            "1\u{fe0f}\u{20e3}",
            "🇨🇭 🦀",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn marks_do_not_pile_up_and_need_a_letter() {
        let heap = format!("a{}", "\u{301}".repeat(50));
        let shown = one_line(&heap);
        assert_eq!(shown.matches('\u{301}').count(), MARKS_MAX);
        check("\u{301}a", "\\u{301}a");
        check("a \u{301}", "a \\u{301}");
        check("a\u{fe0f}", "a\\u{fe0f}");
        check("❤\u{fe0f}\u{fe0f}", "❤\u{fe0f}\\u{fe0f}");
    }

    #[test]
    fn json_means_what_it_meant() {
        let value = serde_json::json!({"a\u{202e}": "\u{85}\u{7f}\u{e0041}\u{2028}é漢\n"});
        let safe = json(&value.to_string()).into_owned();
        assert!(!safe.chars().any(is_unseen), "{safe}");
        assert!(safe.contains("\\udb40\\udc41"), "{safe}");
        let read: serde_json::Value = serde_json::from_str(&safe).expect("it is JSON");
        assert_eq!(read, value);
        assert_eq!(json("{\n\"a\":\r\n1}"), "{ \"a\":  1}");
        assert!(matches!(json("{\"a\":\"é\"}"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_log_has_its_own_colours_alone() {
        let safe = coloured_lines("\u{1b}[2mtime\u{1b}[0m a\u{1b}[2Jb\u{1b}]0;x\u{202e}\n");
        assert_eq!(
            safe,
            "\u{1b}[2mtime\u{1b}[0m a\\u{1b}[2Jb\\u{1b}]0;x\\u{202e}\n"
        );
    }

    #[test]
    fn columns_are_those_of_a_terminal() {
        assert_eq!(columns("größer"), 6);
        assert_eq!(columns("漢字"), 4);
        assert_eq!(columns("🦀"), 2);
        assert_eq!(columns("e\u{301}"), 1);
    }
}
