//! What a command prints: results on stdout, for people or as JSON; everything else on stderr.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::client::Reply;
use super::table::{NOTHING, Table};
use super::text;
use crate::protocol::session::SessionOpenResult;

/// Whether notes are JSON. It is global, as stderr is: tasks beside the command print notes too.
static REMARKS_ARE_JSON: AtomicBool = AtomicBool::new(false);

/// The prefix of a note that asks for an action.
const WARNING: &str = "warning: ";

/// Where results go, and in which form. Everything printed here is made safe for a terminal first ([`text`]);
/// only [`Output::sink`] takes bytes as they are, for files that are printed.
pub(super) struct Output<'a> {
    sink: &'a mut dyn Write,
    style: Style,
    /// Whether JSON was printed.
    answered: bool,
}

/// How results look.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    /// Print the result as it came over the wire.
    pub(super) json: bool,
    pub(super) color: bool,
    /// Print only the result.
    pub(super) quiet: bool,
}

/// The meaning of a text, which a terminal shows as a colour.
#[derive(Debug, Clone, Copy)]
pub(super) enum Paint {
    Heading,
    Good,
    Busy,
    Bad,
    Faint,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Heading => "1",
            Self::Good => "32",
            Self::Busy => "33",
            Self::Bad => "31",
            Self::Faint => "2",
        }
    }
}

/// Shows any answer as a sentence; prints nothing with `--quiet`.
pub(super) fn done<R>(
    sentence: impl Display,
) -> impl FnOnce(&mut Output<'_>, &R) -> io::Result<()> {
    move |out, _| out.done(sentence)
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("style", &self.style)
            .finish()
    }
}

impl<'a> Output<'a> {
    pub(super) fn new(sink: &'a mut dyn Write, style: Style) -> Self {
        Self {
            sink,
            style,
            answered: false,
        }
    }

    pub(super) fn style(&self) -> Style {
        self.style
    }

    /// Whether JSON was printed.
    pub(super) fn has_answered(&self) -> bool {
        self.answered
    }

    pub(super) fn sink(&mut self) -> &mut dyn Write {
        self.sink
    }

    /// The reply verbatim with `--json`, or what `human` makes of it.
    pub(super) fn reply<R>(
        &mut self,
        reply: &Reply<R>,
        human: impl FnOnce(&mut Self, &R) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.style.json {
            return self.raw(&reply.raw);
        }
        human(self, &reply.value)
    }

    /// Something was made: a sentence, or its number alone with `--quiet`.
    pub(super) fn made(&mut self, id: impl Display, sentence: impl Display) -> io::Result<()> {
        if self.style.quiet {
            self.line(id)
        } else {
            self.line(sentence)
        }
    }

    /// Something was done: a sentence, or nothing with `--quiet`.
    pub(super) fn done(&mut self, sentence: impl Display) -> io::Result<()> {
        if self.style.quiet {
            Ok(())
        } else {
            self.line(sentence)
        }
    }

    /// JSON as it came, on one line.
    pub(super) fn raw(&mut self, raw: &RawValue) -> io::Result<()> {
        self.answered = true;
        writeln!(self.sink, "{}", text::json(raw.get()))?;
        self.sink.flush()
    }

    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.answered = true;
        let value = serde_json::to_string(value).map_err(io::Error::from)?;
        writeln!(self.sink, "{}", text::json(&value))?;
        self.sink.flush()
    }

    /// Text for people. Control characters of other agents' text cannot reach the terminal.
    pub(super) fn line(&mut self, text: impl Display) -> io::Result<()> {
        let text = painted(&text.to_string(), text::lines);
        writeln!(self.sink, "{text}")?;
        self.sink.flush()
    }

    /// A complete page of text, its last line break included.
    pub(super) fn page(&mut self, text: &str) -> io::Result<()> {
        write!(self.sink, "{}", text::lines(text))?;
        self.sink.flush()
    }

    pub(super) fn field(&mut self, name: &str, value: impl Display) -> io::Result<()> {
        let name = self.paint(Paint::Faint, &format!("{name:<14}"));
        let name = painted(&name, text::one_line);
        let value = painted(&value.to_string(), text::one_line);
        let value = if value.is_empty() { NOTHING } else { &value };
        writeln!(self.sink, "{name} {value}")
    }

    /// The table, or `nothing` as a line if the table is empty.
    pub(super) fn table(&mut self, table: &Table, none: &str) -> io::Result<()> {
        if table.is_empty() {
            let none = self.paint(Paint::Faint, none);
            return if self.style.quiet {
                Ok(())
            } else {
                self.line(none)
            };
        }
        let (heading, body) = table.render();
        let heading = self.paint(Paint::Heading, &heading);
        let heading = painted(&heading, text::one_line);
        write!(self.sink, "{heading}\n{body}")?;
        self.sink.flush()
    }

    /// A coloured text, for use in a [`Self::line`] or [`Self::field`].
    pub(super) fn paint(&self, paint: Paint, text: &str) -> String {
        if self.style.color {
            let (code, brush) = (paint.code(), brush());
            return format!("\u{1b}[{code};{brush}m{text}\u{1b}[0;{brush}m");
        }
        text.to_owned()
    }

    /// The coordinator's warnings from opening the session.
    pub(super) fn warn_of(&self, opened: &SessionOpenResult) {
        for warning in &opened.warnings {
            let text = text::one_line(&warning.message);
            self.note(format_args!("{WARNING}{text}"));
        }
    }

    /// A note on stderr, hidden by `--quiet`. A command does not fail because stderr is closed.
    pub(super) fn note(&self, text: impl Display) {
        if !self.style.quiet {
            note(text);
        }
    }
}

/// Switches JSON notes on stderr on or off.
pub(super) fn remark_in_json(json: bool) {
    REMARKS_ARE_JSON.store(json, Ordering::Relaxed);
}

/// A note on stderr: a line, or with `--json` an object with `level` and `message`.
pub(super) fn note(text: impl Display) {
    let text = text.to_string();
    let line = if REMARKS_ARE_JSON.load(Ordering::Relaxed) {
        remark(&text)
    } else {
        format!("coord: {}", text::lines(&text))
    };
    // One write, so that lines of several processes do not mix.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

fn remark(text: &str) -> String {
    let (level, message) = match text.strip_prefix(WARNING) {
        Some(message) => ("warning", message),
        None => ("note", text),
    };
    let remark = json!({ "level": level, "message": message }).to_string();
    text::json(&remark).into_owned()
}

/// Marks our own colours: a random number, so that no foreign text can contain colours.
fn brush() -> u64 {
    static BRUSH: OnceLock<u64> = OnceLock::new();
    // Without random bytes, a foreign text could at most add colours.
    *BRUSH.get_or_init(|| getrandom::u64().unwrap_or_default())
}

/// A text made safe by `safe`, with our own colours as a terminal knows them.
fn painted(text: &str, safe: impl Fn(&str) -> String) -> String {
    let end = format!(";{}m", brush());
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, code, after)) = next_colour(rest, &end) {
        whole.extend([&safe(before), "\u{1b}[", code, "m"]);
        rest = after;
    }
    whole + &safe(rest)
}

/// The text before our first colour, the colour's code, and the text after it.
fn next_colour<'t>(text: &'t str, end: &str) -> Option<(&'t str, &'t str, &'t str)> {
    let (start, after) = text.split_once(end)?;
    let (before, code) = start.rsplit_once("\u{1b}[")?;
    Some((before, code, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct ClosedPipe;

    impl Write for ClosedPipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_told_as_one() {
        let mut sink = ClosedPipe;
        let mut out = Output::new(&mut sink, Style::default());
        let error = out.line("x").expect_err("the pipe is closed");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let error = out.json(&1).expect_err("the pipe is closed");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn colour_only_where_wanted() {
        let mut sink = Vec::new();
        let plain = Output::new(&mut sink, Style::default());
        assert_eq!(plain.paint(Paint::Good, "ok"), "ok");
        let mut sink = Vec::new();
        let style = Style {
            color: true,
            ..Style::default()
        };
        let colored = Output::new(&mut sink, style);
        let text = colored.paint(Paint::Good, "ok");
        assert_eq!(painted(&text, text::lines), "\u{1b}[32mok\u{1b}[0m");
    }

    #[test]
    fn nobody_elses_colours_reach_the_terminal() {
        let mut sink = Vec::new();
        let style = Style {
            color: true,
            ..Style::default()
        };
        let mut out = Output::new(&mut sink, style);
        let good = out.paint(Paint::Good, "a\u{1b}[0m\u{202e}b");
        out.line(format_args!("{good} \u{1b}[31mred"))
            .expect("a vector takes it");
        out.field("state", out.paint(Paint::Bad, "gone"))
            .expect("a vector takes it");
        let text = String::from_utf8(sink).expect("it is text");
        let expected = "\u{1b}[32ma\\u{1b}[0m\\u{202e}b\u{1b}[0m \\u{1b}[31mred\n\
                        \u{1b}[2mstate         \u{1b}[0m \u{1b}[31mgone\u{1b}[0m\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_is_one_safe_line() {
        let mut sink = Vec::new();
        let mut out = Output::new(&mut sink, Style::default());
        out.json(&"a\u{9b}\u{202e}").expect("a vector takes it");
        let raw = RawValue::from_string("{\n\"a\u{7f}\":1}".to_owned()).expect("it is JSON");
        out.raw(&raw).expect("a vector takes it");
        let text = String::from_utf8(sink).expect("it is text");
        assert_eq!(text, "\"a\\u009b\\u202e\"\n{ \"a\\u007f\":1}\n");
    }

    #[test]
    fn a_remark_has_a_level() {
        let check = |text: &str, expected: &str| assert_eq!(remark(text), expected);
        check("x\u{202e}", r#"{"level":"note","message":"x\u202e"}"#);
        check("warning: y", r#"{"level":"warning","message":"y"}"#);
    }
}
