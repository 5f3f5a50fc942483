//! Edits configuration files of others in place: an edit inserts text or takes out what was inserted, and every
//! other byte stays, comments, order, line ends and indentation too.

mod block;
mod json;
mod splice;

pub(in crate::cli) use block::{Block, Place};
pub(in crate::cli) use json::{Dialect, JsonText, Step};

/// Files that are longer are not read.
pub(in crate::cli) const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why a file is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum Fault {
    #[error("{what}, at line {line}, column {column}")]
    At {
        what: String,
        line: usize,
        column: usize,
    },
    #[error("{0}")]
    Whole(&'static str),
}

impl Fault {
    /// A fault at a byte of the text.
    fn at(text: &str, byte: usize, what: impl Into<String>) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self::At {
            what: what.into(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The text of a file, without the mark that some editors put at its beginning.
fn decoded(bytes: &[u8]) -> Result<(&'static str, &str), Fault> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let valid = &bytes[..error.valid_up_to()];
        let valid = str::from_utf8(valid).unwrap_or_default();
        Fault::at(valid, valid.len(), "it is not UTF-8")
    })?;
    Ok(match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => (BYTE_ORDER_MARK, rest),
        None => ("", text),
    })
}

/// How the lines of a text end.
fn line_end(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// Whether a text is TOML.
pub(in crate::cli) fn toml_fault(text: &str) -> Result<(), Fault> {
    let parsed = text
        .trim_start_matches(BYTE_ORDER_MARK)
        .parse::<toml::Table>();
    parsed.map(drop).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Fault::at(
            text,
            at,
            format!("it is not valid TOML: {}", error.message().trim()),
        )
    })
}
