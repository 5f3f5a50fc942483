//! Waiting for a state, never for a fixed time to pass; it gives up loudly.

use std::time::Duration;

/// Longer than anything that works takes, shorter than anybody's patience.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two looks at a state that nobody announces.
pub const POLL: Duration = Duration::from_millis(5);

/// Waits for a future that must come; says what did not when it does not.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// Looks again and again until `look` finds something.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
    })
    .await
}
