//! What a command prints: results on stdout, for people or as JSON; everything else on stderr.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;

use super::client::Reply;
use super::table::{NOTHING, Table, one_line};
use crate::protocol::session::SessionOpenResult;

/// Where results go, and how they look.
pub(super) struct Output<'a> {
    sink: &'a mut dyn Write,
    style: Style,
}

/// How results look.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    /// The wire result, verbatim.
    pub(super) json: bool,
    pub(super) color: bool,
    /// Only what was asked for.
    pub(super) quiet: bool,
}

/// What a text means, as a terminal shows it.
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

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("style", &self.style)
            .finish()
    }
}

impl<'a> Output<'a> {
    pub(super) fn new(sink: &'a mut dyn Write, style: Style) -> Self {
        Self { sink, style }
    }

    pub(super) fn style(&self) -> Style {
        self.style
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
    pub(super) fn made<R>(
        &mut self,
        reply: &Reply<R>,
        id: impl Display,
        sentence: impl Display,
    ) -> io::Result<()> {
        let quiet = self.style.quiet;
        self.reply(reply, |out, _| {
            if quiet {
                out.line(id)
            } else {
                out.line(sentence)
            }
        })
    }

    /// Something was done: a sentence, or nothing with `--quiet`.
    pub(super) fn done<R>(&mut self, reply: &Reply<R>, sentence: impl Display) -> io::Result<()> {
        let quiet = self.style.quiet;
        self.reply(
            reply,
            |out, _| if quiet { Ok(()) } else { out.line(sentence) },
        )
    }

    /// JSON as it came, on one line.
    pub(super) fn raw(&mut self, raw: &RawValue) -> io::Result<()> {
        writeln!(self.sink, "{raw}")?;
        self.sink.flush()
    }

    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut *self.sink, value).map_err(io::Error::from)?;
        writeln!(self.sink)?;
        self.sink.flush()
    }

    /// One line for people. Control characters of what others wrote do not reach the terminal.
    pub(super) fn line(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.sink, "{text}")?;
        self.sink.flush()
    }

    pub(super) fn field(&mut self, name: &str, value: impl Display) -> io::Result<()> {
        let name = self.paint(Paint::Faint, &format!("{name:<14}"));
        let value = one_line(&value.to_string());
        let value = if value.is_empty() { NOTHING } else { &value };
        writeln!(self.sink, "{name} {value}")
    }

    /// The table, or a line that says there is nothing.
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
        write!(self.sink, "{heading}\n{body}")?;
        self.sink.flush()
    }

    pub(super) fn paint(&self, paint: Paint, text: &str) -> String {
        if self.style.color {
            return format!("\u{1b}[{}m{text}\u{1b}[0m", paint.code());
        }
        text.to_owned()
    }

    /// What the coordinator warned of when it opened a session.
    pub(super) fn warn_of(&self, opened: &SessionOpenResult) {
        for warning in &opened.warnings {
            self.note(format_args!("warning: {}", one_line(&warning.message)));
        }
    }

    /// A remark on stderr, not with `--quiet`. Nobody is served by failing when stderr is gone.
    pub(super) fn note(&self, text: impl Display) {
        if !self.style.quiet {
            note(text);
        }
    }
}

/// A remark on stderr.
pub(super) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "coord: {text}");
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
        assert_eq!(colored.paint(Paint::Good, "ok"), "\u{1b}[32mok\u{1b}[0m");
    }
}
