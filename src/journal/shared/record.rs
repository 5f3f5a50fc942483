//! A record of the stream: a batch of commands that one coordinator appended at once.
//!
//! Records are numbered without gaps, and each has [`RECORD_COMMANDS_MAX`] positions of its own. The last command
//! has the last of them, and the others have those right before it. So a coordinator that appends need not know
//! how many commands came before, and the number of a record shows whether one is missing.
//!
//! In the stream, a batch is one value, so that neither the store nor its followers handle each command by
//! itself:
//!
//! ```text
//! <journal time in ms> <bytes of the command>\n<the command, as JSON>\n        and so on for each command
//! ```

use std::fmt;

use crate::engine::ids::{Cursor, JournalTime, Position};
use crate::journal::Entry;

/// The most commands in a record.
pub const RECORD_COMMANDS_MAX: usize = 1_024;
/// How many positions belong to one record.
const RECORD_POSITIONS: u64 = RECORD_COMMANDS_MAX as u64;

/// One record of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    /// The cursor of its last command.
    pub at: Cursor,
    pub batch: Batch,
}

/// One command of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamCommand<'a> {
    pub at: Cursor,
    pub at_ms: JournalTime,
    /// As JSON.
    pub body: &'a [u8],
}

/// One or more commands that are appended at once, in the form of the stream.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    text: Vec<u8>,
    count: usize,
}

/// A value in the stream is not a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a batch of commands")]
pub struct NoBatch;

/// Reserved bytes for a command's time and length.
const HEAD_BYTES: usize = 32;

impl StreamRecord {
    pub fn commands(&self) -> impl Iterator<Item = StreamCommand<'_>> {
        let positions = positions(self.at.position, self.batch.count);
        let commands = positions.zip(self.batch.commands());
        commands.map(|(position, (at_ms, body))| StreamCommand {
            at: Cursor {
                position,
                ..self.at
            },
            at_ms,
            body,
        })
    }
}

/// The number of the record that a position belongs to. The first record has number 1.
pub fn number_of(position: Position) -> u64 {
    position.0.div_ceil(RECORD_POSITIONS)
}

/// The position of a record's last command.
pub fn end_of(number: u64) -> Position {
    Position(number.saturating_mul(RECORD_POSITIONS))
}

/// The end of the record that a cursor belongs to.
pub fn record_end(at: Cursor) -> Cursor {
    Cursor {
        position: end_of(number_of(at.position)),
        ..at
    }
}

/// The end of the record after the one that this position belongs to.
pub fn next_end(position: Position) -> Position {
    end_of(number_of(position) + 1)
}

/// The positions of the commands of a record that ends at `end`.
pub fn positions(end: Position, count: usize) -> impl Iterator<Item = Position> {
    let before = end.0.saturating_sub(count as u64);
    (before + 1..=end.0).map(Position)
}

impl Batch {
    /// A batch of one command.
    pub fn of(entry: &Entry) -> Self {
        Self::of_all([(entry.at_ms, &*entry.body)]).expect("it has a command")
    }

    /// `None` if there are no commands, or more than a record may have.
    pub fn of_all<'a>(
        commands: impl IntoIterator<Item = (JournalTime, &'a [u8]), IntoIter: Clone>,
    ) -> Option<Self> {
        use std::io::Write;
        let commands = commands.into_iter();
        let bytes = commands.clone().map(|(_, body)| body.len() + HEAD_BYTES);
        let mut text = Vec::with_capacity(bytes.sum());
        let mut count = 0;
        for (at_ms, body) in commands {
            writeln!(text, "{at_ms} {}", body.len()).expect("memory takes it");
            text.extend_from_slice(body);
            text.push(b'\n');
            count += 1;
        }
        is_count(count).then_some(Self { text, count })
    }

    pub fn parse(text: Vec<u8>) -> Result<Self, NoBatch> {
        let (mut rest, mut count) = (&*text, 0);
        while !rest.is_empty() {
            (_, _, rest) = split(rest).ok_or(NoBatch)?;
            count += 1;
        }
        if is_count(count) {
            Ok(Self { text, count })
        } else {
            Err(NoBatch)
        }
    }

    /// How many commands there are.
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// Each command with the journal time at which it was proposed.
    pub fn commands(&self) -> impl Iterator<Item = (JournalTime, &[u8])> {
        let mut rest = &*self.text;
        std::iter::from_fn(move || {
            let (at_ms, body, behind) = split(rest)?;
            rest = behind;
            Some((at_ms, body))
        })
    }
}

fn is_count(count: usize) -> bool {
    (1..=RECORD_COMMANDS_MAX).contains(&count)
}

/// Splits off the first command.
fn split(text: &[u8]) -> Option<(JournalTime, &[u8], &[u8])> {
    let (at_ms, rest) = number(text, b' ')?;
    let (bytes, rest) = number(rest, b'\n')?;
    let (body, rest) = rest.split_at_checked(usize::try_from(bytes).ok()?)?;
    let rest = rest.strip_prefix(b"\n")?;
    Some((JournalTime(at_ms), body, rest))
}

fn number(text: &[u8], end: u8) -> Option<(u64, &[u8])> {
    let digits = text.iter().position(|byte| *byte == end)?;
    let (digits, rest) = text.split_at(digits);
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((number, &rest[1..]))
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.text);
        f.debug_tuple("Batch").field(&text).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch(commands: &[(u64, Vec<u8>)]) -> Option<Batch> {
        let commands = commands.iter();
        Batch::of_all(commands.map(|(at_ms, body)| (JournalTime(*at_ms), &**body)))
    }

    proptest! {
        #[test]
        fn a_batch_comes_back_as_it_was(commands: Vec<(u64, Vec<u8>)>, number in 1..u64::MAX >> 11) {
            let Some(batch) = batch(&commands) else {
                prop_assert!(commands.is_empty());
                return Ok(());
            };
            prop_assert_eq!(batch.count(), commands.len());
            let parsed = Batch::parse(batch.as_bytes().to_vec());
            prop_assert_eq!(parsed.as_ref(), Ok(&batch));
            let at = Cursor { position: end_of(number), ..Cursor::default() };
            let record = StreamRecord { at, batch };
            let found: Vec<_> = record.commands().collect();
            for command in &found {
                prop_assert_eq!(number_of(command.at.position), number);
                prop_assert_eq!(next_end(command.at.position), end_of(number + 1));
            }
            prop_assert_eq!(found.last().map(|command| command.at), Some(record.at));
            let found = found.iter().map(|command| (command.at_ms.0, command.body.to_vec()));
            prop_assert_eq!(found.collect::<Vec<_>>(), commands);
        }

        #[test]
        fn what_was_cut_off_is_not_taken_for_the_whole(commands: Vec<(u64, Vec<u8>)>, cut in 1_usize..) {
            let Some(batch) = batch(&commands) else { return Ok(()) };
            let mut text = batch.as_bytes().to_vec();
            text.truncate(text.len() - 1 - cut % text.len());
            if let Ok(rest) = Batch::parse(text) {
                prop_assert!(rest.count() < batch.count());
            }
        }

        #[test]
        fn anything_is_read_without_harm(text: Vec<u8>, lines in "([0-9]{0,3}[ \n]){0,9}") {
            for text in [text, lines.into_bytes()] {
                if let Ok(batch) = Batch::parse(text) {
                    prop_assert_eq!(batch.commands().count(), batch.count());
                }
            }
        }
    }
}
