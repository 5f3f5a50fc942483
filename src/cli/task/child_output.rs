//! The output of a task's command: passed on at once; its end is kept for the report.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::engine::ids::Note;

/// The end of stdout that goes into a task's result. Escaped as JSON it may grow sixfold, which still fits a
/// payload.
pub(super) const STDOUT_TAIL_BYTES_MAX: usize = 8 * 1024;

/// The end of stderr that goes into the report of a failure, beside the exit code.
pub(super) const STDERR_TAIL_BYTES_MAX: usize = Note::BYTES_MAX - 64;

/// How long to wait for output after the command ended: a background process may hold the pipe open for ever.
const DRAIN_MS_MAX: u64 = 500;

const READ_BYTES: usize = 16 * 1024;

/// The longest line that is checked for progress.
const PROGRESS_LINE_BYTES_MAX: usize = 2_048;

/// The prefix of a progress line.
const PROGRESS_MARK: &str = "::progress ";

/// A progress report of a command: `::progress 40 building`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ChildProgress {
    pub(super) percent: Option<u8>,
    pub(super) note: Option<Note>,
}

/// The end of an output.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: VecDeque<u8>,
    bytes_max: usize,
    /// Its beginning was dropped.
    pub(super) cut: bool,
}

/// One output stream being copied.
#[derive(Debug)]
pub(super) struct Tee {
    tail: Arc<Mutex<Tail>>,
    task: JoinHandle<()>,
}

impl Tee {
    /// Reads `from` to its end; each line of progress goes to `progress`, and all goes to `to`.
    pub(super) fn start<R, W>(
        from: R,
        to: Option<W>,
        bytes_max: usize,
        progress: Option<mpsc::Sender<ChildProgress>>,
    ) -> Self
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let tail = Arc::new(Mutex::new(Tail::new(bytes_max)));
        let task = tokio::spawn(copy(from, to, Arc::clone(&tail), progress));
        Self { tail, task }
    }

    /// The end of the output, after the command ended.
    pub(super) async fn finish(mut self) -> Tail {
        let limit = Duration::from_millis(DRAIN_MS_MAX);
        if timeout(limit, &mut self.task).await.is_err() {
            self.task.abort();
        }
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *tail, Tail::new(0))
    }
}

async fn copy<R, W>(
    mut from: R,
    mut to: Option<W>,
    tail: Arc<Mutex<Tail>>,
    progress: Option<mpsc::Sender<ChildProgress>>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0_u8; READ_BYTES];
    let mut line = Vec::new();
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..read];
        tail.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(bytes);
        if let Some(progress) = &progress {
            for found in progress_in(bytes, &mut line) {
                // Only the latest report matters: if the queue is full, this one is dropped.
                let _ = progress.try_send(found);
            }
        }
        let Some(sink) = &mut to else { continue };
        if sink.write_all(bytes).await.is_err() || sink.flush().await.is_err() {
            // The reader is gone, but the command must continue.
            to = None;
        }
    }
}

/// `line` holds the beginning of a line whose end has not come yet.
fn progress_in(bytes: &[u8], line: &mut Vec<u8>) -> Vec<ChildProgress> {
    let mut found = Vec::new();
    for byte in bytes {
        if *byte == b'\n' {
            found.extend(String::from_utf8_lossy(line).parse());
            line.clear();
        } else if line.len() < PROGRESS_LINE_BYTES_MAX {
            line.push(*byte);
        }
    }
    found
}

impl std::str::FromStr for ChildProgress {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let rest = line.strip_prefix(PROGRESS_MARK).ok_or(())?.trim();
        let (first, others) = rest.split_once(' ').unwrap_or((rest, ""));
        let percent: Option<u8> = first.trim_end_matches('%').parse().ok();
        let percent = percent.filter(|percent| *percent <= 100);
        let note = if percent.is_some() { others } else { rest };
        Ok(Self {
            percent,
            note: note_of(note.trim()),
        })
    }
}

/// As much of a text as fits a note; `None` if nothing is left.
pub(super) fn note_of(text: &str) -> Option<Note> {
    let clean = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => ' ',
        c => c,
    };
    let mut text: String = text.chars().map(clean).collect();
    text.truncate(text.floor_char_boundary(Note::BYTES_MAX));
    text.parse().ok()
}

impl Tail {
    fn new(bytes_max: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            bytes_max,
            cut: false,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(self.bytes_max)..];
        self.bytes.extend(kept);
        let over = self.bytes.len().saturating_sub(self.bytes_max);
        self.cut |= over > 0 || kept.len() < bytes.len();
        self.bytes.drain(..over);
    }

    /// As text; a character that was cut in the middle is left out.
    pub(super) fn text(mut self) -> String {
        let bytes = self.bytes.make_contiguous();
        let is_inside = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
        let start = if self.cut {
            bytes.iter().take(3).take_while(|b| is_inside(b)).count()
        } else {
            0
        };
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(bytes_max: usize, pieces: &[&str]) -> (String, bool) {
        let mut tail = Tail::new(bytes_max);
        for piece in pieces {
            tail.push(piece.as_bytes());
        }
        let cut = tail.cut;
        (tail.text(), cut)
    }

    #[test]
    fn the_end_is_kept() {
        assert_eq!(tail(8, &["abc", "def"]), ("abcdef".into(), false));
        assert_eq!(tail(4, &["abc", "def"]), ("cdef".into(), true));
        assert_eq!(tail(4, &["abcdefgh"]), ("efgh".into(), true));
        assert_eq!(tail(4, &["ab", "ü", "cde"]), ("cde".into(), true));
    }

    #[test]
    fn lines_of_progress_are_found_over_reads() {
        let mut line = Vec::new();
        assert!(progress_in(b"hello\n::prog", &mut line).is_empty());
        let found = progress_in(b"ress 40% building\n::progress linking\n", &mut line);
        let texts: Vec<_> = found
            .iter()
            .map(|p| (p.percent, p.note.as_ref().map_or("", Note::as_str)))
            .collect();
        assert_eq!(texts, [(Some(40), "building"), (None, "linking")]);
    }

    #[test]
    fn any_text_makes_a_note() {
        let long = "ü\u{1b}".repeat(Note::BYTES_MAX);
        assert!(note_of(&long).is_some());
        assert!(note_of("").is_none());
    }

    #[test]
    fn a_tail_fits_a_payload_however_it_is_escaped() {
        let worst = "\u{1}".repeat(STDOUT_TAIL_BYTES_MAX);
        let json = serde_json::to_string(&worst).expect("text encodes");
        let payload_bytes_max = crate::engine::limits::Limits::default().payload_bytes_max;
        assert!((json.len() as u64) < payload_bytes_max - 1_024);
    }

    #[tokio::test]
    async fn a_pipe_that_stays_open_is_not_waited_for() {
        let (ours, theirs) = tokio::io::duplex(64);
        let tee = Tee::start(ours, None::<tokio::io::Sink>, 16, None);
        let mut theirs = theirs;
        theirs.write_all(b"said").await.expect("there is room");
        tokio::task::yield_now().await;
        assert_eq!(tee.finish().await.text(), "said");
    }
}
