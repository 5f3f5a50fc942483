//! What a file of a CLI gets, and how it is put in and taken out.

use std::path::PathBuf;

use super::entries::{self, Entry};
use super::front::Front;
use super::text::{Block, Dialect, Fault, JsonText, Place};

/// One file that setup writes to.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Target {
    /// `None`: of all fronts, such as git's own files.
    pub(in crate::cli) front: Option<Front>,
    pub(in crate::cli) path: PathBuf,
    /// The folder that the file must lie in with links followed; `None` for files of the user.
    pub(in crate::cli) within: Option<PathBuf>,
    pub(in crate::cli) content: Content,
}

/// What is put into a file.
#[derive(Debug, Clone)]
pub(in crate::cli) enum Content {
    Json {
        dialect: Dialect,
        entries: Vec<Entry>,
    },
    /// Lines between marks.
    Block {
        lines: Vec<String>,
        place: Place,
        /// Finds a fault of the file with our lines, or without them.
        check: fn(&str) -> Result<(), Fault>,
    },
    /// Lines between marks that several runs of setup share.
    Shared(Vec<String>),
    /// The whole file, which begins with [`OWN_FILE`].
    Whole(String),
}

/// How a file begins that is ours alone.
pub(in crate::cli) const OWN_FILE: &str =
    "// Written by coord setup, and removed by coord setup --remove.";

const FOREIGN: Fault = Fault::Whole("it is there, and coord setup did not write it");

impl Target {
    /// A file that another program changed because setup asked it to: only the backup undoes that.
    pub(in crate::cli) fn restoring(path: PathBuf) -> Self {
        Self {
            front: None,
            path,
            within: None,
            content: Content::Shared(Vec::new()),
        }
    }

    /// The same without the words that a file has already: it is not setup that put them there.
    pub(in crate::cli) fn sparing(&self, bytes: Option<&[u8]>) -> Result<Self, Fault> {
        let mut spared = self.clone();
        if let (Content::Json { dialect, entries }, Some(bytes)) = (&mut spared.content, bytes) {
            let is_word = |entry: &Entry| matches!(entry, Entry::Word { .. });
            let words: Vec<Entry> = entries.iter().filter(|it| is_word(it)).cloned().collect();
            let there = entries::found(&JsonText::read(bytes, *dialect)?, &words, None)?;
            entries.retain(|entry| !there.contains(entry));
        }
        Ok(spared)
    }

    /// Whether the file has everything as it should be.
    pub(in crate::cli) fn is_in(&self, bytes: &[u8]) -> Result<bool, Fault> {
        Ok(match &self.content {
            Content::Json { dialect, entries } => {
                let json = JsonText::read(bytes, *dialect)?;
                let found = entries::found(&json, entries, self.front)?;
                found.len() == entries.len() && entries.iter().all(|entry| found.contains(entry))
            }
            Content::Block { lines, .. } => {
                let block = Block::read(bytes)?;
                block.lines().is_some_and(|found| found == *lines)
            }
            Content::Shared(lines) => {
                let block = Block::read(bytes)?;
                let found = block.lines().unwrap_or_default();
                lines.iter().all(|line| found.contains(&line.as_str()))
            }
            Content::Whole(text) => bytes == text.as_bytes(),
        })
    }

    /// The file with everything of ours in it; `None` stands for no file.
    pub(in crate::cli) fn put_in(&self, bytes: Option<&[u8]>) -> Result<Vec<u8>, Fault> {
        let bytes = bytes.unwrap_or_default();
        if self.is_in(bytes)? {
            return Ok(bytes.to_owned());
        }
        match &self.content {
            Content::Json { dialect, entries } => {
                let mut json = JsonText::read(bytes, *dialect)?;
                // Tried one by one first: a fault is told with its place in the file as it is.
                for entry in entries {
                    entries::put_in(&mut json.clone(), std::slice::from_ref(entry))?;
                }
                entries::take_out(&mut json, entries, self.front)?;
                entries::put_in(&mut json, entries)?;
                Ok(json.into_bytes())
            }
            Content::Block {
                lines,
                place,
                check,
            } => {
                let block = Block::read(bytes)?;
                check(&block.rest())?;
                let bytes = block.put(lines, *place).into_bytes();
                check(&String::from_utf8_lossy(&bytes))?;
                Ok(bytes)
            }
            Content::Shared(lines) => {
                let block = Block::read(bytes)?;
                let mut all = owned(block.lines());
                all.extend(
                    lines
                        .iter()
                        .filter(|line| !owned(block.lines()).contains(line))
                        .cloned(),
                );
                Ok(block.put(&all, Place::End).into_bytes())
            }
            Content::Whole(text) if bytes.is_empty() || bytes.starts_with(OWN_FILE.as_bytes()) => {
                Ok(text.clone().into_bytes())
            }
            Content::Whole(_) => Err(FOREIGN),
        }
    }

    /// The file without it.
    pub(in crate::cli) fn take_out(&self, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        match &self.content {
            Content::Json { dialect, entries } => {
                let mut json = JsonText::read(bytes, *dialect)?;
                entries::take_out(&mut json, entries, self.front)?;
                Ok(json.into_bytes())
            }
            Content::Block { place, .. } => Ok(Block::read(bytes)?.put(&[], *place).into_bytes()),
            Content::Shared(lines) => {
                let block = Block::read(bytes)?;
                let mut rest = owned(block.lines());
                rest.retain(|line| !lines.contains(line));
                Ok(block.put(&rest, Place::End).into_bytes())
            }
            Content::Whole(_) if bytes.starts_with(OWN_FILE.as_bytes()) => Ok(Vec::new()),
            Content::Whole(_) => Ok(bytes.to_owned()),
        }
    }

    /// Whether nothing of ours is left in a file, of any run.
    pub(in crate::cli) fn is_free(&self, bytes: &[u8]) -> bool {
        match &self.content {
            Content::Shared(_) => Block::read(bytes).is_ok_and(|block| block.lines().is_none()),
            _ => true,
        }
    }

    /// Whether a file without ours says nothing at all.
    pub(in crate::cli) fn is_blank(&self, bytes: &[u8]) -> bool {
        match &self.content {
            Content::Json { dialect, .. } => {
                JsonText::read(bytes, *dialect).is_ok_and(|json| json.is_blank())
            }
            _ => bytes.trim_ascii().is_empty(),
        }
    }
}

fn owned(lines: Option<Vec<&str>>) -> Vec<String> {
    let lines = lines.unwrap_or_default().into_iter();
    lines.map(str::to_owned).collect()
}
