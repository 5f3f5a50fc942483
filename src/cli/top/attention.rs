//! What waits for a person, the worst first: the same as on the page.

use std::collections::BTreeMap;

use super::super::output::Paint;
use super::world::World;
use crate::engine::ids::{Note, TaskId};
use crate::protocol::agent::{AgentView, PresenceView};
use crate::protocol::span::Span;
use crate::protocol::task::{StateName, TaskView};

/// More mail than this is not read.
const MAIL_MANY: u64 = 20;

#[derive(Debug)]
pub(super) struct Item {
    rank: u8,
    pub(super) paint: Paint,
    pub(super) what: String,
    pub(super) why: String,
}

fn item(rank: u8, paint: Paint, what: String, why: String) -> Item {
    Item {
        rank,
        paint,
        what,
        why,
    }
}

pub(super) fn items(world: &World) -> Vec<Item> {
    let mut items = Vec::new();
    let status = &world.status;
    if !status.status.is_empty() && status.status != "ready" {
        let what = format!("The coordinator is {}", status.status.replace('_', " "));
        let why = status.waiting_for.as_ref();
        let why = why.map_or_else(
            || "agents cannot begin new work".to_owned(),
            |waits| format!("it waits for {waits}"),
        );
        items.push(item(0, Paint::Bad, what, why));
    }
    let waiters = waiters(world);
    items.extend(
        world
            .tasks
            .values()
            .filter_map(|task| of_task(task, &waiters)),
    );
    items.extend(
        world
            .agents
            .values()
            .filter_map(|agent| of_agent(agent, world)),
    );
    items.extend(world.leases.values().filter_map(|lease| {
        let left = lease.opens_at_ms?.since_ms(world.now());
        let what = format!("A lapsed lease of {}", lease.agent);
        let first = lease.resources.first().map(ToString::to_string);
        let first = first.unwrap_or_default();
        let more = match lease.resources.len() {
            0 | 1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let why = format!("{first}{more}, open to others in {}", Span(left));
        Some(item(6, Paint::Busy, what, why))
    }));
    items.sort_by_key(|item| item.rank);
    items
}

/// How many tasks wait for each.
fn waiters(world: &World) -> BTreeMap<TaskId, usize> {
    let mut waiters = BTreeMap::new();
    for task in world.tasks.values() {
        for stuck in task.stuck.iter().filter(|stuck| stuck.root != task.task) {
            *waiters.entry(stuck.root).or_default() += 1;
        }
    }
    waiters
}

fn of_task(task: &TaskView, waiters: &BTreeMap<TaskId, usize>) -> Option<Item> {
    let (id, title) = (task.task, &task.title);
    let count = waiters.get(&id).copied().unwrap_or_default();
    let blocks = match count {
        0 => String::new(),
        count => format!("; {} for it", plural(count, "task waits", "tasks wait")),
    };
    let quoted = |words: Option<&str>| words.map_or_else(String::new, |it| format!("“{it}”"));
    let with_blocks = |why: String| format!("{why}{blocks}").trim_start_matches("; ").to_owned();
    match task.state {
        StateName::Dead => {
            let failures = plural(task.failures as usize, "failed attempt", "failed attempts");
            let what = format!("Dead after {failures}: #{id} {title}");
            let why = quoted(task.last_error.as_ref().map(Note::as_str));
            Some(item(
                if count > 0 { 1 } else { 3 },
                Paint::Bad,
                what,
                with_blocks(why),
            ))
        }
        StateName::Cancelled if count > 0 => {
            let reason = task.cancelled.as_ref().and_then(|it| it.reason.as_ref());
            let why = quoted(reason.map(Note::as_str));
            let what = format!("Cancelled, but needed: #{id} {title}");
            Some(item(2, Paint::Bad, what, with_blocks(why)))
        }
        StateName::Cancelled => None,
        _ => {
            let own = task.stuck.iter().find(|stuck| stuck.root == id)?;
            let what = format!("Nobody can do: #{id} {title}");
            let why = format!("{}{blocks}; next: {}", own.text, own.next);
            Some(item(2, Paint::Bad, what, why))
        }
    }
}

fn of_agent(agent: &AgentView, world: &World) -> Option<Item> {
    let name = &agent.name;
    let (tasks, leases) = (agent.tasks.len(), world.held(name).count());
    let holds = [(tasks, "task", "tasks"), (leases, "lease", "leases")];
    let holds = holds.into_iter().filter(|(count, ..)| *count > 0);
    let holds: Vec<_> = holds
        .map(|(count, one, many)| plural(count, one, many))
        .collect();
    let holds = holds.join(" and ");
    let lost = agent
        .sessions
        .iter()
        .find_map(|session| session.grace_until_ms);
    match (agent.presence, lost) {
        (PresenceView::Away, Some(until)) if !holds.is_empty() => {
            let left = Span(until.since_ms(world.now()));
            let why = format!("it holds {holds}, for {left} more unless it comes back");
            return Some(item(
                4,
                Paint::Busy,
                format!("{name} lost its connection"),
                why,
            ));
        }
        (PresenceView::Gone, _) if !holds.is_empty() => {
            let why = format!("it still holds {holds}");
            return Some(item(4, Paint::Busy, format!("{name} is not here"), why));
        }
        _ => {}
    }
    let mail = usize::try_from(agent.mailbox).unwrap_or(usize::MAX);
    let mail = plural(mail, "unread message", "unread messages");
    if agent.mailbox > 0 && agent.presence == PresenceView::Gone && agent.seats_present == 0 {
        let why = "they wait until it comes back, or expire".to_owned();
        return Some(item(
            5,
            Paint::Busy,
            format!("{mail} for {name}, which is not here"),
            why,
        ));
    }
    (agent.mailbox >= MAIL_MANY).then(|| {
        let why = "it is here, but does not read its mail".to_owned();
        item(5, Paint::Busy, format!("{name} has {mail}"), why)
    })
}

/// A count with its noun.
pub(super) fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
