//! How long a command waits for ports, and how often it looks.

use tokio::time::Instant;

use crate::cli::duration::Millis;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;

/// The pause between two attempts while waiting for ports.
pub(super) const LOOK_MS: u64 = 100;

/// A deadline for waiting.
pub(super) struct Patience {
    limit: Option<Millis>,
    started: Instant,
}

impl Patience {
    pub(super) fn of(limit: Option<Millis>) -> Self {
        let started = Instant::now();
        Self { limit, started }
    }

    /// An error when no time is left, or when there was to be no wait.
    pub(super) fn check(&self, why: impl FnOnce() -> String) -> Result<(), CliError> {
        match self.limit {
            Some(limit) if self.started.elapsed() < limit.duration() => Ok(()),
            Some(limit) => {
                let what = format!("waited {limit}: {}", why());
                Err(CliError::unmet(Exit::TimedOut, what))
            }
            None => Err(CliError::unmet(Exit::Conflict, why())),
        }
    }
}
