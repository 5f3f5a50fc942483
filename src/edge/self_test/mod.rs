//! The self-test: tests every part on this machine, and describes the machine.
//!
//! It works in a temporary folder and on its own loopback sockets; the coordinator's state directory is only
//! read. A check that needs a coordinator, a Redis or a TLS peer starts one in this process. Each check has
//! bounded time.

mod coordinator;
mod firewall;
mod journal;
mod machine;
mod network;
mod permissions;
mod redis;
mod system;
mod tls;

use std::fmt;
use std::fs::Permissions;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tempfile::TempDir;

use crate::causes;
use crate::clock::Clock;
use crate::config::Config;
pub use journal::SyncLatency;
pub use machine::{Machine, Medium};

/// How long one check may take.
const CHECK_MS_MAX: u64 = 10_000;
/// How long all of them may take together; those that are left then have failed.
const ALL_MS_MAX: u64 = 30_000;
/// Mode of the folder that is made.
const FOLDER_MODE: u32 = 0o700;

/// The configuration and the place of the test.
#[derive(Debug)]
pub struct Plan {
    /// What `coord serve` would be configured with.
    pub config: Config,
    /// Where a folder may be made, the first choice first. Which medium is measured depends on it.
    pub folders: Vec<PathBuf>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    Ok,
    /// The coordinator works, but something outside it does not.
    Warning,
    Failed,
}

/// The result for one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub state: CheckState,
    pub took_ms: u64,
    /// For people, on one line.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// All results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether no check failed.
    pub well: bool,
    #[serde(rename = "box")]
    pub machine: Machine,
    pub checks: Vec<Check>,
}

/// Why the test could not run.
#[derive(Debug, thiserror::Error)]
#[error("cannot create a test folder in {tried}")]
pub struct SelfTestError {
    tried: String,
    #[source]
    source: io::Error,
}

/// Runs every check, one after the other.
pub async fn run(plan: &Plan) -> Result<Report, SelfTestError> {
    let folder = make_folder(&plan.folders)?;
    let root = folder.path();
    let latency = journal::Measured::default();
    let mut series = Series::begin();
    series.run("entropy", blocking(system::entropy)).await;
    series.run("clock", blocking(|| Ok(system::clock()))).await;
    series.run("timers", system::timers()).await;
    let (own, state) = (root.to_owned(), plan.config.state_dir.clone());
    let permissions = blocking(move || permissions::check(&own, &state));
    series.run("permissions", permissions).await;
    let (own, measured) = (root.join("journal"), latency.clone());
    let journal = blocking(move || journal::check(&own, &measured));
    series.run("journal", journal).await;
    series.run("tls", tls::check(root)).await;
    series
        .run("websocket", Box::pin(coordinator::check(root)))
        .await;
    series.run("redis", redis::check(root)).await;
    series.run("ports", network::check(&plan.config)).await;
    series.run("nft", firewall::check()).await;
    let machine = Machine::look(root, latency.taken());
    Ok(Report {
        well: series
            .checks
            .iter()
            .all(|it| it.state != CheckState::Failed),
        machine,
        checks: series.checks,
    })
}

/// Readable by nobody else: it holds a private key and tokens, if only for a moment.
fn make_folder(folders: &[PathBuf]) -> Result<TempDir, SelfTestError> {
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    for folder in folders {
        let mut builder = tempfile::Builder::new();
        builder
            .prefix("coord-self-test-")
            .permissions(Permissions::from_mode(FOLDER_MODE));
        match builder.tempdir_in(folder) {
            Ok(made) => return Ok(made),
            Err(error) => refused = error,
        }
    }
    let tried: Vec<String> = folders.iter().map(|it| it.display().to_string()).collect();
    Err(SelfTestError {
        tried: tried.join(", "),
        source: refused,
    })
}

/// What a check found.
#[derive(Debug)]
struct CheckFound {
    state: CheckState,
    detail: String,
    next: Option<String>,
}

/// Why a check could not be made: that is a failure too, with its causes.
type CheckError = Box<dyn std::error::Error + Send + Sync>;

type CheckResult = Result<CheckFound, CheckError>;

impl CheckFound {
    fn ok(detail: impl Into<String>) -> Self {
        Self {
            state: CheckState::Ok,
            detail: detail.into(),
            next: None,
        }
    }

    fn warning(detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            state: CheckState::Warning,
            detail: detail.into(),
            next: Some(next.into()),
        }
    }

    fn failed(detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            state: CheckState::Failed,
            ..Self::warning(detail, next)
        }
    }

    fn of_error(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::failed(causes::one_line(error), "send this report to support")
    }
}

/// The checks so far, and how much time is left.
struct Series {
    clock: Clock,
    checks: Vec<Check>,
}

impl Series {
    fn begin() -> Self {
        Self {
            clock: Clock::start(),
            checks: Vec::new(),
        }
    }

    fn now_ms(&self) -> u64 {
        self.clock.now().0 / 1_000
    }

    async fn run(&mut self, name: &'static str, check: impl Future<Output = CheckResult>) {
        let begun = self.now_ms();
        let time_ms = CHECK_MS_MAX.min(ALL_MS_MAX.saturating_sub(begun));
        let limit = Duration::from_millis(time_ms);
        let found = match tokio::time::timeout(limit, check).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => CheckFound::of_error(&*error),
            Err(_) => CheckFound::failed(
                format!("it did not finish within {time_ms} ms"),
                "check whether the machine is overloaded or its flash storage hangs, and try again",
            ),
        };
        self.checks.push(Check {
            name,
            state: found.state,
            took_ms: self.now_ms() - begun,
            detail: found.detail,
            next: found.next,
        });
    }
}

/// Runs what blocks on a thread of its own, so that its time can be bounded.
async fn blocking(check: impl FnOnce() -> CheckResult + Send + 'static) -> CheckResult {
    tokio::task::spawn_blocking(check).await?
}

/// The file of the kernel, trimmed; `None` when it is not there.
fn told(path: impl AsRef<Path>) -> Option<String> {
    let text = std::fs::read(path).ok()?;
    // Device trees end their texts with a zero byte.
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_matches(['\0', '\n', ' ']);
    (!text.is_empty()).then(|| text.to_owned())
}

impl CheckState {
    /// As people read it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for CheckState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

#[cfg(test)]
mod tests;
