//! What the view knows. Lists fill it once; after that events say what to ask for again.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::super::client::{Client, ClientError, Notice};
use crate::engine::ids::{AgentName, JournalTime, LeaseId, TaskId};
use crate::protocol::admin::ServerStatusResult;
use crate::protocol::agent::{AgentListParams, AgentListResult, AgentView};
use crate::protocol::events::{ChangeView, EventsSubscribeParams};
use crate::protocol::lease::{LeaseListParams, LeaseListResult, LeaseView};
use crate::protocol::operations::Operation;
use crate::protocol::session::Empty;
use crate::protocol::task::{StateName, TaskListParams, TaskListResult, TaskView};

const PAGE: u64 = 1_000;
/// What more than so many changes touched is read whole.
const CHANGED_MAX: usize = 100;
/// Numbers that are so close to each other are one request.
const GAP: u64 = 8;

#[derive(Debug)]
pub(super) struct World {
    pub(super) status: ServerStatusResult,
    pub(super) agents: BTreeMap<AgentName, AgentView>,
    /// Those that are not done.
    pub(super) tasks: BTreeMap<TaskId, TaskView>,
    pub(super) leases: BTreeMap<LeaseId, LeaseView>,
    told: JournalTime,
    told_at: Instant,
    changed: Changed,
}

/// What to ask for again.
#[derive(Debug, Default)]
struct Changed {
    all: bool,
    agents: bool,
    tasks: BTreeSet<u64>,
    leases: BTreeSet<u64>,
}

impl World {
    /// Reads everything, and subscribes to what changes from then on.
    pub(super) async fn read(client: &mut Client) -> Result<Self, ClientError> {
        client.subscribe(EventsSubscribeParams::default()).await?;
        let status = status(client).await?;
        let told = status.project.now_ms;
        let mut world = Self {
            status,
            agents: BTreeMap::new(),
            tasks: BTreeMap::new(),
            leases: BTreeMap::new(),
            told,
            told_at: Instant::now(),
            changed: Changed::default(),
        };
        world.read_all(client).await?;
        Ok(world)
    }

    /// Journal time now, as well as can be told from the last answer.
    pub(super) fn now(&self) -> JournalTime {
        let since = self.told_at.elapsed().as_millis();
        self.told.after_ms(u64::try_from(since).unwrap_or(u64::MAX))
    }

    pub(super) fn heard(&mut self, notice: Notice) {
        match notice {
            Notice::Event(event, _) => event.changes.iter().for_each(|change| self.touch(change)),
            // Events are missing.
            Notice::EventsClosed(..) | Notice::Resumed => self.changed.all = true,
            Notice::LeaseLost(_) | Notice::TaskLost(_) | Notice::SessionClosed(_) => {}
        }
    }

    fn touch(&mut self, change: &ChangeView) {
        let changed = &mut self.changed;
        changed.agents |= change.agent.is_some() || !change.to.is_empty();
        changed.tasks.extend(change.task.map(|task| task.0));
        changed.leases.extend(change.lease.map(|lease| lease.0));
        changed.all |= matches!(&*change.kind, "epoch.started" | "project.created");
    }

    /// Asks again for what changed.
    pub(super) async fn refresh(&mut self, client: &mut Client) -> Result<(), ClientError> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.all |= changed.tasks.len() > CHANGED_MAX || changed.leases.len() > CHANGED_MAX;
        if changed.all {
            client.resubscribe().await?;
        }
        self.status = status(client).await?;
        (self.told, self.told_at) = (self.status.project.now_ms, Instant::now());
        if changed.all {
            return self.read_all(client).await;
        }
        if changed.agents {
            self.read_agents(client).await?;
        }
        for (from, to) in runs(&changed.tasks) {
            self.tasks.retain(|task, _| !(from..=to).contains(&task.0));
            self.read_tasks(client, before(from).map(TaskId), Some(to))
                .await?;
        }
        for (from, to) in runs(&changed.leases) {
            self.leases
                .retain(|lease, _| !(from..=to).contains(&lease.0));
            self.read_leases(client, before(from).map(LeaseId), Some(to))
                .await?;
        }
        Ok(())
    }

    async fn read_all(&mut self, client: &mut Client) -> Result<(), ClientError> {
        self.read_agents(client).await?;
        self.tasks.clear();
        self.read_tasks(client, None, None).await?;
        self.leases.clear();
        self.read_leases(client, None, None).await
    }

    async fn read_agents(&mut self, client: &mut Client) -> Result<(), ClientError> {
        self.agents.clear();
        let mut params = AgentListParams {
            count_max: Some(PAGE),
            ..AgentListParams::default()
        };
        loop {
            let page = client.call(Operation::AgentList, &params).await?;
            let AgentListResult {
                agents, next_after, ..
            } = page.value;
            let named = agents.into_iter().map(|agent| (agent.name.clone(), agent));
            self.agents.extend(named);
            params.after = next_after;
            if params.after.is_none() {
                return Ok(());
            }
        }
    }

    async fn read_tasks(
        &mut self,
        client: &mut Client,
        after: Option<TaskId>,
        to: Option<u64>,
    ) -> Result<(), ClientError> {
        use StateName::{Blocked, Cancelled, Claimed, Dead, Ready};
        let mut params = TaskListParams {
            states: [Blocked, Ready, Claimed, Dead, Cancelled].into(),
            after,
            ..TaskListParams::default()
        };
        loop {
            params.count_max = Some(count(params.after.map(|it| it.0), to));
            let page = client.call(Operation::TaskList, &params).await?;
            let TaskListResult {
                tasks, next_after, ..
            } = page.value;
            let wanted = tasks
                .into_iter()
                .filter(|it| to.is_none_or(|to| it.task.0 <= to));
            self.tasks.extend(wanted.map(|task| (task.task, task)));
            params.after = next_after.filter(|next| to.is_none_or(|to| next.0 < to));
            if params.after.is_none() {
                return Ok(());
            }
        }
    }

    async fn read_leases(
        &mut self,
        client: &mut Client,
        after: Option<LeaseId>,
        to: Option<u64>,
    ) -> Result<(), ClientError> {
        let mut params = LeaseListParams {
            after,
            ..LeaseListParams::default()
        };
        loop {
            params.count_max = Some(count(params.after.map(|it| it.0), to));
            let page = client.call(Operation::LeaseList, &params).await?;
            let LeaseListResult {
                leases, next_after, ..
            } = page.value;
            let wanted = leases
                .into_iter()
                .filter(|it| to.is_none_or(|to| it.lease.0 <= to));
            self.leases.extend(wanted.map(|lease| (lease.lease, lease)));
            params.after = next_after.filter(|next| to.is_none_or(|to| next.0 < to));
            if params.after.is_none() {
                return Ok(());
            }
        }
    }

    /// The leases of an agent.
    pub(super) fn held<'a>(&'a self, agent: &'a AgentName) -> impl Iterator<Item = &'a LeaseView> {
        self.leases
            .values()
            .filter(move |lease| lease.agent == *agent)
    }
}

async fn status(client: &mut Client) -> Result<ServerStatusResult, ClientError> {
    let reply = client.call(Operation::ServerStatus, &Empty {}).await?;
    Ok(reply.value)
}

fn before(from: u64) -> Option<u64> {
    from.checked_sub(1)
}

fn count(after: Option<u64>, to: Option<u64>) -> u64 {
    let left = to.map(|to| to.saturating_sub(after.unwrap_or_default()));
    left.unwrap_or(PAGE).clamp(1, PAGE)
}

/// Numbers close to each other, from the first to the last.
fn runs(numbers: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if number - *last <= GAP => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_close_are_one_request() {
        let numbers = [1, 2, 9, 18, 40].into();
        assert_eq!(runs(&numbers), [(1, 9), (18, 18), (40, 40)]);
        assert_eq!(runs(&BTreeSet::new()), []);
        assert_eq!((count(Some(3), Some(9)), count(None, None)), (6, PAGE));
    }
}
