//! Wire types of the task operations, one file for what an agent does: submit, claim, work, cancel, look.

mod attempt;
mod cancel;
mod claim;
mod list;
mod submit;
mod view;

pub use attempt::{
    HANDOFF_OFFER_MS_DEFAULT, RenewResult, TaskCompleteParams, TaskCompleteResult, TaskFailParams,
    TaskFailResult, TaskHandoffParams, TaskProgressParams, TaskReleaseParams,
};
pub use cancel::{TaskCancelParams, TaskQueuedResult, TaskRetryParams};
pub(super) use claim::hold;
pub use claim::{ClaimView, TaskClaimParams, TaskClaimResult};
pub use list::{FinishedTasks, TaskGetParams, TaskListParams, TaskListResult};
pub use submit::{
    ATTEMPTS_MAX_DEFAULT, BACKOFF_MS_DEFAULT, ConcurrencyParam, TaskInGraph, TaskSubmitManyParams,
    TaskSubmitManyResult, TaskSubmitParams, TaskSubmitResult,
};
pub use view::{AttemptView, CancelledView, HandoffView, ProgressView, StateName, TaskView};
