//! Keeps what an agent holds over HTTP while anything is heard of it.
//!
//! A renewal is a record, so it is made only where less than half of the time is left.

use super::caller::Caller;
use super::tools::held;
use crate::engine::ids::JournalTime;
use crate::protocol::error::RpcError;
use crate::protocol::lease::{LeaseListParams, LeaseListResult, LeaseRenewParams, LeaseView};
use crate::protocol::operations::Operation;
use crate::protocol::task::{RenewResult, TaskProgressParams, TaskView};

/// Renews the tasks and leases of the caller that are due.
pub(super) async fn renew(caller: &mut dyn Caller) -> Result<(), RpcError> {
    let me = held::myself(caller).await?;
    let own = LeaseListParams {
        agent: Some(me.name.clone()),
        count_max: Some(u64::MAX),
        ..LeaseListParams::default()
    };
    let own: LeaseListResult = caller.run(Operation::LeaseList, &own).await?;
    for lease in &own.leases {
        renew_lease(caller, lease, own.now_ms).await?;
    }
    if me.tasks.is_empty() {
        return Ok(());
    }
    let tasks = held::tasks_of(caller, &me.name).await?;
    for task in &tasks.tasks {
        renew_task(caller, task, tasks.now_ms).await?;
    }
    Ok(())
}

async fn renew_lease(
    caller: &mut dyn Caller,
    lease: &LeaseView,
    now: JournalTime,
) -> Result<(), RpcError> {
    if !is_due(caller, lease.expires_at_ms, now) || lease.opens_at_ms.is_some() {
        return Ok(());
    }
    let renewal = LeaseRenewParams {
        lease: lease.lease,
        fence: lease.fence,
        ttl_ms: None,
        request_id: None,
    };
    let _: RenewResult = caller.run(Operation::LeaseRenew, &renewal).await?;
    Ok(())
}

async fn renew_task(
    caller: &mut dyn Caller,
    task: &TaskView,
    now: JournalTime,
) -> Result<(), RpcError> {
    let Some(attempt) = &task.attempt else {
        return Ok(());
    };
    if !is_due(caller, attempt.expires_at_ms, now) {
        return Ok(());
    }
    // A report replaces the one before it, so what was reported is said again.
    let known = task.progress.as_ref();
    let renewal = TaskProgressParams {
        task: task.task,
        fence: attempt.fence,
        percent: known.and_then(|it| it.percent),
        note: known.and_then(|it| it.note.clone()),
        request_id: None,
    };
    let _: RenewResult = caller.run(Operation::TaskProgress, &renewal).await?;
    Ok(())
}

/// Whether less than half of the time is left. What a session holds is never due.
fn is_due(caller: &dyn Caller, expires_at: Option<JournalTime>, now: JournalTime) -> bool {
    let left_ms = expires_at.map(|at| at.since_ms(now));
    let half_ms = caller.hold_ms().unwrap_or_default() / 2;
    left_ms.is_some_and(|left_ms| left_ms < half_ms)
}
