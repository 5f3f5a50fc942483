//! A spool for tasks: its calls run where blocking harms nobody.

use std::sync::{Arc, Mutex, PoisonError};

use super::Spool;

/// A spool that a task may use. Clones are the same spool.
#[derive(Debug, Clone)]
pub struct SharedSpool(Arc<Mutex<Spool>>);

impl SharedSpool {
    pub fn new(spool: Spool) -> Self {
        Self(Arc::new(Mutex::new(spool)))
    }

    /// Runs this with the spool, on a thread for blocking work. One call runs at a time; others wait on threads of
    /// their own, so few tasks should use a spool. A call that is not awaited to its end runs to it all the same.
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spool) -> T + Send + 'static,
    ) -> T {
        let spool = Arc::clone(&self.0);
        let run = move || work(&mut spool.lock().unwrap_or_else(PoisonError::into_inner));
        match tokio::task::spawn_blocking(run).await {
            Ok(answer) => answer,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
}
