//! The TOML file: read with line numbers, every unknown key named together with the one that was
//! probably meant.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::given::{GivenValue, RawValue};
use super::problem::{Misfit, Problem};
use super::secret::Secret;
use super::settings::Spec;
use super::source::Source;
use super::spelling;
use super::suggest;

/// Far more than any configuration; keeps a device or a log from being read as one.
const CONFIG_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// One setting found in the file.
pub(super) struct FileEntry {
    pub(super) spec: &'static Spec,
    pub(super) value: RawValue,
    /// The value is the path of a file that holds the secret.
    pub(super) names_file: bool,
}

/// All settings of the table that the file holds.
pub(super) fn read(
    path: &Path,
    table: &[&'static Spec],
    problems: &mut Vec<Problem>,
) -> Vec<FileEntry> {
    let text = match text(path) {
        Ok(text) => text,
        Err(error) => {
            let misspelt = path.to_str().and_then(spelling::misspelt_path);
            let misfit = misspelt.unwrap_or_else(|| {
                let what = format!("cannot read the configuration file: {error}");
                Misfit::new(what, "name a TOML file that this user may read")
            });
            problems.push(Problem {
                key: "config".to_owned(),
                origin: source(path, 0, ""),
                what: misfit.what,
                right: misfit.right,
            });
            return Vec::new();
        }
    };
    let before = problems.len();
    let mut walk = Walk {
        path,
        text: &text,
        table,
        broken_lines: Vec::new(),
        problems,
        entries: Vec::new(),
    };
    let (document, errors) = DeTable::parse_recoverable(&text);
    for error in errors {
        walk.syntax_error(&error);
    }
    walk.section(None, document.get_ref());
    let Walk {
        problems, entries, ..
    } = walk;
    // The parser sorts keys by name; people read a file from the top.
    problems[before..].sort_by_key(|problem| match problem.origin {
        Source::File { line, .. } => line,
        _ => 0,
    });
    entries
}

/// One pass over a parsed file.
struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    table: &'a [&'static Spec],
    /// What stands there was guessed by the parser, so it is not judged a second time.
    broken_lines: Vec<usize>,
    problems: &'a mut Vec<Problem>,
    entries: Vec<FileEntry>,
}

impl Walk<'_> {
    /// The parser's own text repeats the line, which may hold a password: only its message is used.
    fn syntax_error(&mut self, error: &toml::de::Error) {
        let line = self.line(error.span().map_or(0, |span| span.start));
        if self.broken_lines.contains(&line) {
            return;
        }
        self.broken_lines.push(line);
        self.problems.push(Problem {
            key: "config".to_owned(),
            origin: source(self.path, line, ""),
            what: format!("it is not TOML: {}", error.message().replace('\n', ", ")),
            right: "write key = value, text in quotes".to_owned(),
        });
    }

    fn section(&mut self, section: Option<&str>, table: &DeTable<'_>) {
        for (key, value) in table {
            let line = self.line(key.span().start);
            let leaf: &str = key.get_ref();
            match (section, value.get_ref()) {
                (None, DeValue::Table(inner)) if self.is_section(leaf) => {
                    self.section(Some(leaf), inner);
                }
                _ if self.broken_lines.contains(&line) => {}
                (_, value) => self.entry(section, leaf, line, value),
            }
        }
    }

    fn entry(&mut self, section: Option<&str>, leaf: &str, line: usize, value: &DeValue<'_>) {
        let key = joined(section, leaf);
        let source = source(self.path, line, &key);
        let found = self.table.iter().find(|spec| spec.key == key);
        let secret_of = |file: &str| file.strip_suffix("_file").map(str::to_owned);
        if let Some(spec) = found {
            let given = given(spec, value);
            self.push(spec, RawValue { given, source }, false);
        } else if let Some(spec) = secret_of(&key)
            .and_then(|key| self.table.iter().find(|s| s.is_secret() && s.key == key))
        {
            let given = plain(value);
            self.push(spec, RawValue { given, source }, true);
        } else {
            let (what, right) = if section.is_none() && self.is_section(leaf) {
                let right = format!("write [{leaf}] and its keys below");
                ("it is a section, not a value", right)
            } else {
                ("this key does not exist", self.suggestion(section, leaf))
            };
            self.problems.push(Problem {
                what: what.to_owned(),
                right,
                origin: source,
                key,
            });
        }
    }

    fn push(&mut self, spec: &'static Spec, value: RawValue, names_file: bool) {
        self.entries.push(FileEntry {
            spec,
            value,
            names_file,
        });
    }

    /// The nearest key of the section; or that key in another section; or what there is.
    fn suggestion(&self, section: Option<&str>, leaf: &str) -> String {
        let of_section = |spec: &&&'static Spec| spec.section_and_leaf().0 == section;
        let here: Vec<&str> = self
            .table
            .iter()
            .filter(of_section)
            .map(|spec| spec.section_and_leaf().1)
            .chain(self.sections().filter(|_| section.is_none()))
            .collect();
        if let Some(near) = suggest::nearest(leaf, here.iter().copied()) {
            return format!("did you mean {}?", joined(section, near));
        }
        let elsewhere = self
            .table
            .iter()
            .find(|spec| spec.section_and_leaf().1 == leaf);
        if let Some(spec) = elsewhere {
            return format!("did you mean {}?", spec.key);
        }
        format!("keys of this section: {}", here.join(", "))
    }

    fn is_section(&self, name: &str) -> bool {
        self.sections().any(|section| section == name)
    }

    /// The sections of the table, each once.
    fn sections(&self) -> impl Iterator<Item = &'static str> {
        let mut sections: Vec<&'static str> = self
            .table
            .iter()
            .filter_map(|spec| spec.section_and_leaf().0)
            .collect();
        sections.dedup();
        sections.into_iter()
    }

    fn line(&self, offset: usize) -> usize {
        1 + self
            .text
            .bytes()
            .take(offset)
            .filter(|byte| *byte == b'\n')
            .count()
    }
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(CONFIG_FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > CONFIG_FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "longer than {CONFIG_FILE_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}

/// A secret is put behind its mask as soon as it is met.
fn given(spec: &Spec, value: &DeValue<'_>) -> GivenValue {
    match value {
        DeValue::String(text) if spec.is_secret() => GivenValue::Secret(Secret::new(text.as_ref())),
        _ if spec.is_secret() => GivenValue::Unfit("not a text"),
        _ => plain(value),
    }
}

fn plain(value: &DeValue<'_>) -> GivenValue {
    match value {
        DeValue::String(text) => GivenValue::Text(text.to_string()),
        DeValue::Boolean(truth) => GivenValue::Boolean(*truth),
        DeValue::Integer(number) => {
            GivenValue::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
        }
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect::<Option<Vec<String>>>()
            .map_or(
                GivenValue::Unfit("a list that contains more than texts"),
                GivenValue::List,
            ),
        DeValue::Float(_) => GivenValue::Unfit("a number with a fraction"),
        DeValue::Datetime(_) => GivenValue::Unfit("a date"),
        DeValue::Table(_) => GivenValue::Unfit("a section"),
    }
}

fn source(path: &Path, line: usize, key: &str) -> Source {
    Source::File {
        path: path.to_owned(),
        line,
        key: key.to_owned(),
    }
}

fn joined(section: Option<&str>, leaf: &str) -> String {
    section.map_or_else(|| leaf.to_owned(), |section| format!("{section}.{leaf}"))
}
