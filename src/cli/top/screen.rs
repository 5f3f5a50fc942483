//! The terminal: a screen of its own while the view is shown, and as it was afterwards, however the program ends.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::panic;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::termios::{self, LocalFlags, SetArg, SpecialCharacterIndices, Termios};
use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::style::{Color, Modifier};
use tokio::io::{AsyncWriteExt, Stdout};
use tokio::time::timeout;

use super::draw::Frame;
use crate::text::columns;

/// Another screen, without cursor and without wrapping at the end of a line.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l\u{1b}[2J";
const LEAVE: &str = "\u{1b}[0m\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";
/// A terminal that takes nothing does not keep the program from its end.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// What to give back: how the terminal was before. It is global because a panic gives it back too.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The size of the terminal on stdout, if there is one.
pub(super) fn size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// The terminal while the view is shown.
#[derive(Debug)]
pub(super) struct Screen {
    out: Stdout,
    color: bool,
    shown: Buffer,
}

impl Screen {
    pub(super) fn enter(color: bool) -> io::Result<Self> {
        let stdin = io::stdin();
        // Without a keyboard there is nothing to set.
        if let Ok(before) = termios::tcgetattr(&stdin) {
            let mut quiet = before.clone();
            quiet
                .local_flags
                .remove(LocalFlags::ICANON | LocalFlags::ECHO);
            // Stopped, it would leave the shell with this screen.
            quiet.control_chars[SpecialCharacterIndices::VSUSP as usize] = 0;
            let mut held = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
            *held = Some(before);
            termios::tcsetattr(&stdin, SetArg::TCSANOW, &quiet)?;
        }
        let as_ever = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if set_back() {
                // What it says is for the screen that was there before.
                let _ = io::stdout().write_all(LEAVE.as_bytes());
                let _ = io::stdout().flush();
            }
            as_ever(panic);
        }));
        let mut out = io::stdout();
        out.write_all(ENTER.as_bytes())?;
        out.flush()?;
        Ok(Self {
            out: tokio::io::stdout(),
            color,
            shown: Buffer::default(),
        })
    }

    /// Writes what differs from what is shown.
    pub(super) async fn draw(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        let (width, height) = size().unwrap_or((80, 24));
        let picture = frame.picture(width, height);
        let mut text = String::new();
        if self.shown.area != picture.area {
            text.push_str("\u{1b}[0m\u{1b}[2J");
            self.shown = Buffer::empty(picture.area);
        }
        changes(&self.shown, &picture, self.color, &mut text);
        self.shown = picture;
        self.out.write_all(text.as_bytes()).await?;
        self.out.flush().await
    }

    pub(super) async fn leave(mut self) {
        let leaving = async {
            self.out.write_all(LEAVE.as_bytes()).await?;
            self.out.flush().await
        };
        // Whoever closed the terminal needs nothing back.
        let _ = timeout(LEAVE_MAX, leaving).await;
        set_back();
    }
}

/// Sets the keyboard back; whether it was set.
fn set_back() -> bool {
    let mut held = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = held.take();
    if let Some(before) = &before {
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, before);
    }
    before.is_some()
}

/// What makes one picture the other.
fn changes(shown: &Buffer, next: &Buffer, color: bool, text: &mut String) {
    let mut brush = Brush::new(color);
    let mut at = None;
    for (x, y, cell) in shown.diff(next) {
        if at != Some((x, y)) {
            put(text, format_args!("\u{1b}[{};{}H", y + 1, x + 1));
        }
        brush.paint(cell, text);
        // Terminals do not agree how wide some characters are.
        let is_plain = cell.symbol().is_ascii();
        at = is_plain.then_some((x + 1, y));
    }
    brush.rest(text);
}

/// A picture as lines, for any output.
pub(super) fn text(picture: &Buffer, color: bool) -> String {
    let mut text = String::new();
    let width = usize::from(picture.area.width).max(1);
    for row in picture.content.chunks(width) {
        let end = row.iter().rposition(|cell| cell.symbol() != " ");
        let mut brush = Brush::new(color);
        let mut covered = 0;
        for cell in row.iter().take(end.map_or(0, |end| end + 1)) {
            if covered > 0 {
                covered -= 1;
                continue;
            }
            brush.paint(cell, &mut text);
            covered = columns(cell.symbol()).saturating_sub(1);
        }
        brush.rest(&mut text);
        text.push('\n');
    }
    text
}

/// The style that is set in the terminal.
#[derive(Debug)]
struct Brush {
    color: bool,
    set: (Color, Modifier),
}

impl Brush {
    fn new(color: bool) -> Self {
        Self {
            color,
            set: (Color::Reset, Modifier::empty()),
        }
    }

    fn paint(&mut self, cell: &Cell, text: &mut String) {
        let wanted = (cell.fg, cell.modifier);
        if self.color && wanted != self.set {
            self.set = wanted;
            let code = match (cell.fg, cell.modifier) {
                (Color::Red, _) => ";31",
                (Color::Green, _) => ";32",
                (Color::Yellow, _) => ";33",
                (_, Modifier::BOLD) => ";1",
                (_, Modifier::DIM) => ";2",
                _ => "",
            };
            put(text, format_args!("\u{1b}[0{code}m"));
        }
        text.push_str(cell.symbol());
    }

    fn rest(&mut self, text: &mut String) {
        if self.set != (Color::Reset, Modifier::empty()) {
            text.push_str("\u{1b}[0m");
        }
    }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what)
        .expect("a string takes all that is written to it");
}
