//! Three coordinators and what they share.

use serde_json::{Value, json};

use crate::support::coordinator::Start;
use crate::support::load::check;
use crate::support::load::record::Record;
use crate::support::redis::Redis;
use crate::support::{Coordinator, http, until};

/// Coordinators that share one Redis.
#[derive(Debug)]
pub struct Deployment {
    pub coordinators: Vec<Coordinator>,
}

impl Deployment {
    /// Starts `count` coordinators on the Redis at this port.
    pub async fn on(redis: &Redis, count: usize) -> Self {
        let settings = [
            ("REDIS_HOST", "127.0.0.1".to_owned()),
            ("REDIS_PORT", redis.port().to_string()),
        ];
        Self::with(&settings, count).await
    }

    /// Starts `count` coordinators with these variables.
    pub async fn with(settings: &[(&str, String)], count: usize) -> Self {
        let starts = (0..count).map(|number| start(settings, number).run());
        let coordinators = futures_util::future::join_all(starts).await;
        Self { coordinators }
    }

    pub fn ports(&self) -> Vec<u16> {
        self.coordinators.iter().map(Coordinator::port).collect()
    }

    /// Waits until all of them take work.
    pub async fn ready(&mut self) {
        for coordinator in &mut self.coordinators {
            coordinator.ready().await;
        }
    }

    /// Waits until one of them says this on its health page.
    pub async fn says(&self, number: usize, status: &str) {
        let port = self.coordinators[number].port();
        until(&format!("the status {status}"), async || {
            let page = http::get(port, "/readyz").await.ok()?;
            page.rest
                .contains(&format!("\"status\":\"{status}\""))
                .then_some(())
        })
        .await;
    }

    /// What a metric comes to over all of them.
    pub async fn metric(&self, name: &str) -> u64 {
        let mut sum = 0;
        for coordinator in &self.coordinators {
            let page = http::get(coordinator.metrics_port(), "/metrics").await;
            let page = page.unwrap().rest;
            let lines = page.lines().filter_map(|line| line.strip_prefix(name));
            sum += lines
                .filter_map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok())
                .sum::<u64>();
        }
        sum
    }

    /// Waits until all have applied the same records; they must have come to the same state.
    pub async fn agree(&self) -> Value {
        until("one state everywhere", async || {
            let mut seen: Vec<Value> = Vec::new();
            for coordinator in &self.coordinators {
                let mut operator = coordinator.operator().await;
                let status = operator.call("server.status", json!({})).await.ok()?;
                seen.push(json!([status["project"]["cursor"], status["state_hash"]]));
            }
            let cursors: Vec<&Value> = seen.iter().map(|seen| &seen[0]).collect();
            cursors.windows(2).all(|two| two[0] == two[1]).then(|| {
                assert!(seen.windows(2).all(|two| two[0] == two[1]), "{seen:?}");
                assert!(seen[0][1].is_string(), "{seen:?}");
                seen[0].clone()
            })
        })
        .await
    }

    /// What clients were told is so, on every coordinator.
    pub async fn check(&self, record: &Record) {
        self.agree().await;
        for coordinator in &self.coordinators {
            check::everything(coordinator, record).await;
        }
        self.agree().await;
    }
}

fn start(settings: &[(&str, String)], number: usize) -> Start {
    let start = Start::new()
        .variable("COORD_NODE_NAME", format!("box-{number}"))
        .variable("COORD_SESSION_GRACE_MS", 2_000);
    let settings = settings.iter();
    settings.fold(start, |start, (name, value)| start.variable(name, value))
}
