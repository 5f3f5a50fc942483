//! Lines of ours in a file whose comments begin with `#`, between two lines that mark them.

use super::{Fault, decoded, line_end};

const BEGIN: &str = "# begin coord setup";
const END: &str = "# end coord setup";

/// Where new lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Place {
    /// Before all tables of a TOML file.
    Beginning,
    End,
}

/// A file with, perhaps, lines of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Block {
    mark: &'static str,
    before: String,
    ours: Option<String>,
    after: String,
}

impl Block {
    pub(in crate::cli) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let (mark, text) = decoded(bytes)?;
        let begins = lines_like(text, BEGIN);
        let ends = lines_like(text, END);
        let damaged = |at: usize| Fault::at(text, at, "the marks of coord setup are damaged");
        match (&begins[..], &ends[..]) {
            ([], []) => Ok(Self {
                mark,
                before: text.to_owned(),
                ours: None,
                after: String::new(),
            }),
            ([begin], [end]) if begin.1 <= end.0 => Ok(Self {
                mark,
                before: text[..begin.0].to_owned(),
                ours: Some(text[begin.1..end.0].to_owned()),
                after: text[end.1..].to_owned(),
            }),
            _ => Err(damaged(
                begins.iter().chain(&ends).map(|it| it.0).max().unwrap_or(0),
            )),
        }
    }

    /// The lines between the marks.
    pub(in crate::cli) fn lines(&self) -> Option<Vec<&str>> {
        self.ours.as_ref().map(|ours| ours.lines().collect())
    }

    /// The file without our lines.
    pub(in crate::cli) fn rest(&self) -> String {
        format!("{}{}", self.before, self.after)
    }

    /// Puts these lines in place of ours; none removes the marks too.
    pub(in crate::cli) fn put(mut self, lines: &[String], place: Place) -> Self {
        let end = line_end(&self.rest());
        if lines.is_empty() {
            self.ours = None;
            return self;
        }
        if self.ours.is_none() {
            match place {
                Place::Beginning => self.after = std::mem::take(&mut self.before),
                Place::End if !self.before.is_empty() && !self.before.ends_with('\n') => {
                    self.before.push_str(end);
                }
                Place::End => {}
            }
        }
        let lines = lines.iter().map(|line| format!("{line}{end}"));
        self.ours = Some(lines.collect());
        self
    }

    pub(in crate::cli) fn into_bytes(self) -> Vec<u8> {
        let end = line_end(&self.rest());
        let ours = self
            .ours
            .map(|ours| format!("{BEGIN}{end}{ours}{END}{end}"));
        let parts = [
            self.mark,
            &self.before,
            &ours.unwrap_or_default(),
            &self.after,
        ];
        parts.concat().into_bytes()
    }
}

/// Where the lines that say exactly this begin and end, their line breaks included.
fn lines_like(text: &str, wanted: &str) -> Vec<(usize, usize)> {
    let mut at = 0;
    let lines = text.split_inclusive('\n').map(|line| {
        let begin = at;
        at += line.len();
        (line, begin, at)
    });
    let found = lines.filter(|(line, ..)| line.trim_end() == wanted);
    found.map(|(_, begin, end)| (begin, end)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, place: Place, expected: &str) {
        let lines = ["a = 1".to_owned()];
        let read = |text: &str| Block::read(text.as_bytes()).expect("it is whole");
        let put = read(before).put(&lines, place).into_bytes();
        let put = String::from_utf8(put).expect("it is text");
        assert_eq!(put, expected);
        assert_eq!(read(&put).lines(), Some(vec!["a = 1"]));
        assert_eq!(read(&put).put(&lines, place).into_bytes(), put.as_bytes());
        let removed = read(&put).put(&[], place).into_bytes();
        let removed = String::from_utf8(removed).expect("it is text");
        assert_eq!(removed.trim_end(), before.trim_end());
    }

    #[test]
    fn lines_are_put_between_marks_and_taken_out() {
        let ours = "# begin coord setup\na = 1\n# end coord setup\n";
        check("", Place::End, ours);
        check("x = 2\n", Place::End, &format!("x = 2\n{ours}"));
        check("x = 2", Place::End, &format!("x = 2\n{ours}"));
        check("[t]\n", Place::Beginning, &format!("{ours}[t]\n"));
        let windows = ours.replace('\n', "\r\n");
        check("x = 2\r\n", Place::End, &format!("x = 2\r\n{windows}"));
        check(
            "\u{feff}[t]\n",
            Place::Beginning,
            &format!("\u{feff}{ours}[t]\n"),
        );
    }

    #[test]
    fn damaged_marks_are_told_with_their_line() {
        for text in [
            "a\n# begin coord setup\nb\n",
            "a\n# end coord setup\n",
            "# end coord setup\n# begin coord setup\n",
        ] {
            let fault = Block::read(text.as_bytes())
                .expect_err("it is damaged")
                .to_string();
            assert!(
                fault.contains("at line 2") || fault.contains("at line 1"),
                "{fault}"
            );
        }
        let fault = Block::read(b"a\n\xff").expect_err("no text").to_string();
        assert_eq!(fault, "it is not UTF-8, at line 2, column 1");
    }
}
