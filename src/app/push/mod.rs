//! Runs the pushing of metrics on a thread of its own: neither a slow receiver nor a slow disk delays an agent.
//! Of the coordinator it needs what a scrape needs, once an interval.

mod pusher;

use std::sync::Arc;
use std::time::Duration;

use prometheus::proto::MetricFamily;
use tokio::sync::watch;

use super::AppError;
use crate::build_info::VERSION;
use crate::config::{Config, PushConfig};
use crate::metrics::PushMetrics;
use crate::push::encode::ExternalLabels;
use crate::push::spool::{SharedSpool, Spool, SpoolOptions, StateShelf};
use crate::push::transport::Transport;
use pusher::Pusher;

/// How long a stop waits for the thread.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What the thread asks the coordinator.
#[derive(Clone)]
pub(super) struct Source {
    /// All metrics as they are now.
    pub(super) gather: Arc<dyn Fn() -> Vec<MetricFamily> + Send + Sync>,
    /// Whether the journal has no space left: then the backlog gives its own back.
    pub(super) storage_full: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// What the thread is told.
#[derive(Debug, Clone)]
pub(super) enum Order {
    Push(Arc<PushConfig>, ExternalLabels),
    Stop,
}

/// The thread that pushes.
#[derive(Debug)]
pub(super) struct Pushing {
    pub(super) orders: watch::Sender<Order>,
    thread: std::thread::JoinHandle<()>,
}

impl Pushing {
    /// `None`: the configuration names no receiver.
    pub(super) fn start(
        config: &Config,
        metrics: &PushMetrics,
        source: Source,
    ) -> Result<Option<Self>, AppError> {
        let Some(push) = &config.push else {
            return Ok(None);
        };
        let started = |source| AppError::Start {
            what: "pushing the metrics",
            source,
        };
        let (push, labels) = (Arc::new(push.clone()), labels(config, push));
        let (orders, told) = watch::channel(Order::Push(Arc::clone(&push), labels.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(started)?;
        let metrics = metrics.clone();
        let shelf = Box::new(StateShelf::new(&config.state_dir));
        let run = move || {
            let transport = Transport::new(Arc::clone(&push), &user_agent());
            // What the sender hands over it has kept in memory for long enough.
            let options = SpoolOptions::new(push.max_bytes).at_once();
            let spool = SharedSpool::new(Spool::open(shelf, options));
            let pusher = Pusher::new(&push, labels, spool, metrics, source);
            runtime.block_on(pusher.run(transport, told));
        };
        let thread = std::thread::Builder::new()
            .name("push".to_owned())
            .spawn(run);
        let thread = thread.map_err(started)?;
        Ok(Some(Self { orders, thread }))
    }

    /// Lets the thread keep what was not sent, and waits for it.
    pub(super) async fn stop(self) {
        self.orders.send_replace(Order::Stop);
        let joined = tokio::task::spawn_blocking(move || self.thread.join());
        let joined = tokio::time::timeout(STOP_TIMEOUT, joined).await;
        if !matches!(joined, Ok(Ok(Ok(())))) {
            tracing::warn!("stopped before all metrics that were not pushed were kept");
        }
    }
}

/// What the receiver sees of us.
pub fn user_agent() -> String {
    format!("coord/{VERSION}")
}

/// The labels that a scrape with the job of `coord render prometheus` gives, and those of the configuration.
pub(super) fn labels(config: &Config, push: &PushConfig) -> ExternalLabels {
    let endpoint = &config.metrics.endpoint;
    let node = config.node.to_string();
    // An address that every box has names none of them.
    let shared = endpoint.host.is_loopback() || endpoint.host.is_wildcard();
    let instance = if shared {
        node.clone()
    } else {
        endpoint.to_string()
    };
    let own = [
        ("job", "coord".to_owned()),
        ("instance", instance),
        ("environment", config.profile.name().to_owned()),
        ("node", node),
    ];
    let own = own
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let further = push.labels.iter();
    let further = further.map(|label| (label.name.clone(), label.value.clone()));
    own.chain(further).collect()
}
