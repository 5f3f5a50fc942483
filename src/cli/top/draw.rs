//! The view as lines, and the lines as a picture.

use std::collections::BTreeMap;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};
use ratatui_core::text::{Line, Span as Part};

use super::super::output::Paint;
use super::attention::{self, Item, plural};
use super::world::World;
use crate::engine::ids::{AgentName, Note, TaskId};
use crate::protocol::agent::{AgentView, PresenceView};
use crate::protocol::span::Span;
use crate::text::{columns, one_line};

const NAME: usize = 20;
const NAME_WIDE: usize = 32;
const STATE: usize = 7;
const SINCE: usize = 4;
/// From this width on there is room for long names.
const WIDE: u16 = 120;
/// An end that was left out.
const CUT: &str = "…";

type Lines = Vec<Line<'static>>;

/// What there is to draw.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    /// `None`: nothing was read yet.
    pub(super) world: Option<&'a World>,
    pub(super) is_lost: bool,
}

impl<'a> Frame<'a> {
    pub(super) fn lost(world: Option<&'a World>) -> Self {
        Self {
            world,
            is_lost: true,
        }
    }

    /// A picture of exactly this size.
    pub(super) fn picture(&self, width: u16, height: u16) -> Buffer {
        let mut lines = Lines::new();
        let rows = usize::from(height);
        if let Some(world) = self.world {
            lines = body(world, width, rows.saturating_sub(2));
        }
        lines.resize(rows.saturating_sub(1), Line::default());
        let link = if self.is_lost {
            part(
                Paint::Bad,
                "not connected: trying again, what you see may be old",
            )
        } else {
            part(Paint::Good, "live")
        };
        lines.push(Line::from(vec![
            link,
            plain("  "),
            part(Paint::Faint, "q quits"),
        ]));
        buffer(&lines, width, height)
    }
}

/// A picture with every line that there is.
pub(super) fn whole(world: &World, width: u16) -> Buffer {
    let lines = body(world, width, usize::from(u16::MAX));
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    buffer(&lines, width, height)
}

fn buffer(lines: &[Line<'_>], width: u16, height: u16) -> Buffer {
    let mut picture = Buffer::empty(Rect::new(0, 0, width, height));
    for (y, line) in (0..height).zip(lines) {
        picture.set_line(0, y, line, width);
    }
    picture
}

/// At most `rows` lines: a part of the attention, and as many agents as have room.
fn body(world: &World, width: u16, rows: usize) -> Lines {
    let items = attention::items(world);
    let mut lines = vec![title(world), numbers(world, width)];
    let heading = match items.len() {
        0 => part(Paint::Good, "Nothing needs you."),
        count => part(
            Paint::Bad,
            &format!("{} a person", plural(count, "thing needs", "things need")),
        ),
    };
    lines.extend([Line::default(), Line::from(heading)]);
    let crew = agents(world, width);
    // Headings and gaps take three more lines.
    let left = rows.saturating_sub(lines.len() + 3);
    let shown = left.saturating_sub(crew.len()).max(left / 2);
    lines.extend(capped(
        items
            .iter()
            .map(|item| attention_line(item, width))
            .collect(),
        shown,
    ));
    lines.extend([Line::default(), head_line(width)]);
    let left = rows.saturating_sub(lines.len());
    lines.extend(capped(crew, left));
    lines
}

/// The first of the lines, and how many more there are.
fn capped(mut lines: Lines, rows: usize) -> Lines {
    if lines.len() > rows {
        let kept = rows.saturating_sub(1);
        let more = lines.len() - kept;
        lines.truncate(kept);
        if rows > 0 {
            lines.push(Line::from(part(
                Paint::Faint,
                &format!("  and {more} more"),
            )));
        }
    }
    lines
}

fn title(world: &World) -> Line<'static> {
    let status = &world.status;
    let status_of = match &*status.status {
        "" | "ready" => part(Paint::Good, "ready"),
        other => part(Paint::Bad, &other.replace('_', " ")),
    };
    Line::from(vec![
        part(Paint::Heading, &format!("coord {}", status.project.project)),
        plain(&format!("  {} profile, ", status.environment)),
        status_of,
        plain(&format!(", up for {}", Span(status.uptime_ms))),
    ])
}

fn numbers(world: &World, width: u16) -> Line<'static> {
    let project = &world.status.project;
    let here = world
        .agents
        .values()
        .filter(|agent| agent.presence != PresenceView::Gone);
    let working = here.clone().filter(|agent| !agent.tasks.is_empty()).count();
    let text = format!(
        "{} here, {working} at work; tasks: {} blocked, {} ready, {} running, {} dead; {}; {} unread",
        here.count(),
        project.tasks_blocked,
        project.tasks_ready,
        project.tasks_claimed,
        project.tasks_dead,
        plural(world.leases.len(), "lease", "leases"),
        project.messages_waiting,
    );
    Line::from(plain(&cut(&text, width.into())))
}

fn attention_line(item: &Item, width: u16) -> Line<'static> {
    let room = usize::from(width).saturating_sub(2);
    let what = one_line(&item.what);
    // On a narrow terminal the reason has a third at least.
    let most = if item.why.is_empty() {
        room
    } else {
        room - room / 3
    };
    let what = cut(&what, most);
    let left = room.saturating_sub(columns(&what) + 2);
    let mut parts = vec![part(item.paint, "! "), plain(&what)];
    if !item.why.is_empty() {
        parts.push(part(
            Paint::Faint,
            &format!("  {}", cut(&one_line(&item.why), left)),
        ));
    }
    Line::from(parts)
}

/// The widths of the columns; what an agent does has more than half of the rest.
fn widths(width: u16) -> [usize; 5] {
    let name = if width >= WIDE { NAME_WIDE } else { NAME };
    let left = usize::from(width).saturating_sub(name + STATE + SINCE + 6);
    let work = left * 3 / 5;
    [name, STATE, SINCE, work, left.saturating_sub(work + 2)]
}

fn head_line(width: u16) -> Line<'static> {
    let words = ["AGENT", "STATE", "FOR", "DOES", "HOLDS"];
    let cells = words.iter().zip(widths(width));
    let text: Vec<_> = cells.map(|(word, width)| padded(word, width)).collect();
    Line::from(part(Paint::Heading, text.join("  ").trim_end()))
}

/// Each principal that is here or holds something, with its seats below it; then who is not here.
fn agents(world: &World, width: u16) -> Lines {
    let mut groups: BTreeMap<&str, Vec<&AgentView>> = BTreeMap::new();
    for agent in world.agents.values() {
        let principal = agent.name.as_str().split('/').next().unwrap_or_default();
        groups.entry(principal).or_default().push(agent);
    }
    let mut gone = Vec::new();
    let mut lines = Lines::new();
    for (principal, group) in groups {
        let matters = |agent: &&AgentView| {
            agent.presence != PresenceView::Gone
                || !agent.tasks.is_empty()
                || world.held(&agent.name).next().is_some()
        };
        let shown: Vec<_> = group.iter().copied().filter(matters).collect();
        if shown.is_empty() {
            gone.push(principal);
            continue;
        }
        let is_seated = shown.iter().any(|agent| agent.name.as_str() != principal);
        if is_seated && shown[0].name.as_str() != principal {
            lines.push(Line::from(plain(&one_line(principal))));
        }
        for agent in shown {
            let name = agent.name.as_str();
            let seat = name.strip_prefix(principal).filter(|rest| !rest.is_empty());
            let label = seat.map_or_else(|| name.to_owned(), |seat| format!("  {seat}"));
            lines.push(agent_line(world, agent, &label, width));
        }
    }
    if lines.is_empty() {
        let next = "Nobody is here. `coord setup` in a repository sets agents up.";
        lines.push(Line::from(part(Paint::Faint, next)));
    }
    if !gone.is_empty() {
        let text = format!("not here: {}", gone.join(", "));
        let text = cut(&one_line(&text), width.into());
        lines.push(Line::from(part(Paint::Faint, &text)));
    }
    lines
}

fn agent_line(world: &World, agent: &AgentView, label: &str, width: u16) -> Line<'static> {
    let [name, state, since, work, held] = widths(width);
    let (paint, presence) = match agent.presence {
        PresenceView::Online => (Paint::Good, "online"),
        PresenceView::Idle => (Paint::Good, "idle"),
        PresenceView::Busy => (Paint::Busy, "busy"),
        PresenceView::Away => (Paint::Faint, "away"),
        PresenceView::Gone => (Paint::Bad, "gone"),
    };
    let age = Span(world.now().since_ms(agent.since_ms) / 1_000 * 1_000).to_string();
    Line::from(vec![
        plain(&padded(&one_line(label), name)),
        plain("  "),
        part(paint, &padded(presence, state)),
        part(Paint::Faint, &format!("  {age:>since$}  ")),
        plain(&padded(&one_line(&does(world, agent)), work)),
        part(
            Paint::Faint,
            &format!("  {}", cut(&one_line(&holds(world, &agent.name)), held)),
        ),
    ])
}

fn does(world: &World, agent: &AgentView) -> String {
    let note = agent.note.as_ref().map(Note::as_str);
    let tasks: Vec<_> = agent.tasks.iter().map(|task| work(world, *task)).collect();
    match (tasks.is_empty(), note) {
        (true, note) => note.unwrap_or("no task").to_owned(),
        (false, None) => tasks.join("; "),
        (false, Some(note)) => format!("{} – {note}", tasks.join("; ")),
    }
}

fn work(world: &World, id: TaskId) -> String {
    let Some(task) = world.tasks.get(&id) else {
        return format!("#{id}");
    };
    let percent = task.progress.as_ref().and_then(|progress| progress.percent);
    let percent = percent.map_or_else(String::new, |percent| format!(" {percent} %"));
    format!("#{id}{percent} {}", task.title)
}

fn holds(world: &World, agent: &AgentName) -> String {
    let resources = world.held(agent).flat_map(|lease| &lease.resources);
    // What is a path needs no word for it.
    let short = |text: &str| {
        let bare = text
            .strip_prefix("file:")
            .or_else(|| text.strip_prefix("path:"));
        bare.unwrap_or(text).to_owned()
    };
    let names: Vec<_> = resources
        .map(|resource| short(&resource.to_string()))
        .collect();
    match names.len() {
        0 | 1 => names.concat(),
        count => format!("{count}: {}", names.join(", ")),
    }
}

fn part(paint: Paint, text: &str) -> Part<'static> {
    let style = Style::new();
    let style = match paint {
        Paint::Heading => style.add_modifier(Modifier::BOLD),
        Paint::Good => style.fg(Color::Green),
        Paint::Busy => style.fg(Color::Yellow),
        Paint::Bad => style.fg(Color::Red),
        Paint::Faint => style.add_modifier(Modifier::DIM),
    };
    Part::styled(one_line(text), style)
}

fn plain(text: &str) -> Part<'static> {
    Part::raw(one_line(text))
}

/// As much of a safe text as fits.
fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += columns(c.encode_utf8(&mut [0; 4]));
        if used >= width {
            break;
        }
        kept.push(c);
    }
    if width > 0 {
        kept.push_str(CUT);
    }
    kept
}

fn padded(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let gap = width.saturating_sub(columns(&text));
    text + &" ".repeat(gap)
}
