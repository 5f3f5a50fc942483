//! Asks the Redis of a shared journal at intervals how durable acknowledged writes are. Changes are logged;
//! metrics and the health pages always show it.

use std::time::Duration;

use crate::driver::core::SYSTEM_PROJECT;
use crate::engine::ids::ProjectName;
use crate::journal::redis::{Durability, RedisConnector};
use crate::metrics::Metrics;

/// Settings change seldom, replicas come and go.
const ASK_INTERVAL: Duration = Duration::from_secs(30);

/// Runs as long as the coordinator. While Redis cannot be reached, the last answer is kept.
pub(super) async fn watch(connector: RedisConnector, metrics: Metrics) {
    let project: ProjectName = SYSTEM_PROJECT.parse().expect("the name is valid");
    let mut told = Vec::new();
    loop {
        match connector.durability(&project).await {
            Ok(found) => tell(&found, &metrics, &mut told),
            Err(error) => tracing::debug!(%error, "cannot ask Redis how durable writes are"),
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}

fn tell(found: &Durability, metrics: &Metrics, told: &mut Vec<String>) {
    let metrics = &metrics.shared.durability;
    let always = found.appendonly == Some(true) && found.appendfsync.as_deref() == Some("always");
    metrics.fsync_always.set(i64::from(always));
    let replicas = i64::try_from(found.replicas).unwrap_or(i64::MAX);
    metrics.replicas.set(replicas);
    let now = found.warnings();
    let count = i64::try_from(now.len()).unwrap_or(i64::MAX);
    metrics.warnings.set(count);
    if *told != now {
        for warning in &now {
            tracing::warn!("{warning}");
        }
        *told = now;
    }
}
