//! Words of agents: what goes into an answer that a model reads, and what comes out of its arguments.
//!
//! What another agent wrote stands only in fields named `words` or `…_words`, which the instructions explain.
//! It is cut to a bound, and what acts or hides in it is shown by its number.

use serde_json::value::RawValue;

use crate::engine::payload::Payload;
use crate::text;

/// A title, a note or a reason.
pub(crate) const LINE_CHARS_MAX: usize = 160;
/// A text in a list.
pub(crate) const TEXT_CHARS_MAX: usize = 1_200;
/// A text that was asked for by itself.
pub(crate) const WHOLE_CHARS_MAX: usize = 16_000;

/// A text on one line.
pub(crate) fn line(words: &str) -> String {
    cut(&text::one_line(words), LINE_CHARS_MAX).0
}

/// A longer text, and whether something of it is missing.
pub(crate) fn body(payload: &Payload, chars_max: usize) -> (String, bool) {
    let json = payload.as_json();
    // Most payloads are one text. Others are shown as JSON.
    let words: Option<String> = serde_json::from_str(json).ok();
    cut(&text::lines(words.as_deref().unwrap_or(json)), chars_max)
}

fn cut(words: &str, chars_max: usize) -> (String, bool) {
    let Some((at, _)) = words.char_indices().nth(chars_max) else {
        return (words.to_owned(), false);
    };
    let left = words[at..].chars().count();
    (format!("{} … ({left} more characters)", &words[..at]), true)
}

/// What a model wrote, as a payload: JSON objects and lists as they are, anything else as text.
pub(super) fn payload_of(words: &str) -> Payload {
    let trimmed = words.trim();
    if trimmed.starts_with(['{', '['])
        && let Ok(raw) = serde_json::from_str::<Box<RawValue>>(trimmed)
    {
        return Payload::new(raw);
    }
    let raw = serde_json::value::to_raw_value(words).expect("a text always encodes as JSON");
    Payload::new(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_and_what_hides_in_them_is_shown() {
        assert_eq!(line("a\nb\u{202e}c"), "a\\nb\\u{202e}c");
        let long = "é".repeat(LINE_CHARS_MAX + 7);
        assert!(line(&long).ends_with("é … (7 more characters)"));
        let (words, is_cut) = body(&payload_of("one\ntwo"), 100);
        assert_eq!((words.as_str(), is_cut), ("one\ntwo", false));
        assert!(body(&payload_of("one two"), 3).1);
    }

    #[test]
    fn json_stays_json_and_text_stays_text() {
        for (words, json) in [
            ("{\"a\": 1.0}", "{\"a\": 1.0}"),
            ("[1]", "[1]"),
            ("17", "\"17\""),
            ("{not json", "\"{not json\""),
            ("plain", "\"plain\""),
        ] {
            assert_eq!(payload_of(words).as_json(), json);
        }
    }
}
