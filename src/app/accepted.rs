//! The running listeners: they accept from now on, and report the state of the start until their routes are
//! ready.

use std::sync::Arc;

use axum::Router;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::live::{Live, Values};
use super::starting::Starting;
use super::supervise::Listener;
use super::{AppError, Listeners};
use crate::config::Config;
use crate::http::access::{self, Access, RefusalObserver};
use crate::http::{self, Accepting, Door, Handshake, ListenerOptions};
use crate::metrics::Metrics;

/// Connections to the metrics port at once: scrapers, not agents.
const METRICS_CONNECTIONS_MAX: usize = 64;

pub(super) struct Accepted {
    pub(super) front_door: Door,
    pub(super) scrape_door: Door,
    /// Called with the reason when a connection or a request is refused.
    pub(super) refused: RefusalObserver,
    /// Checks that each listener accepts.
    pub(super) accepting: Vec<Listener>,
    pub(super) serving: JoinSet<()>,
    pub(super) close: watch::Sender<bool>,
}

impl Accepted {
    pub(super) fn new(
        config: &Config,
        listeners: Listeners,
        live: &Live,
        metrics: &Metrics,
        starting: &Starting,
    ) -> Result<Self, AppError> {
        let Listeners {
            websocket,
            metrics: metrics_listener,
        } = listeners;
        let refused = counted(metrics);
        let front = ListenerOptions {
            connections_max: config.websocket.connections_max,
            handshake: handshake(live, true),
            accepting: accepting("the agents' listener", &websocket)?,
            refused: Arc::clone(&refused),
        };
        let scrapes = ListenerOptions {
            connections_max: METRICS_CONNECTIONS_MAX,
            handshake: handshake(live, false),
            accepting: accepting("the metrics' listener", &metrics_listener)?,
            refused: Arc::clone(&refused),
        };
        let accepting = vec![
            ("the agents' port", Arc::clone(&front.accepting)),
            ("the metrics port", Arc::clone(&scrapes.accepting)),
        ];
        let (front_door, scrape_door) = (Door::default(), Door::default());
        let (close, closing) = watch::channel(false);
        let mut serving = JoinSet::new();
        let routes = front_door.routes(starting.front(&front_door));
        let routes = guarded(routes, live, &refused, |values| values.access.clone());
        serving.spawn(http::serve(websocket, routes, front, closing.clone()));
        let routes = scrape_door.routes(starting.scrapes());
        let routes = guarded(routes, live, &refused, |values| {
            values.scrape_access.clone()
        });
        serving.spawn(http::serve(metrics_listener, routes, scrapes, closing));
        Ok(Self {
            front_door,
            scrape_door,
            refused,
            accepting,
            serving,
            close,
        })
    }
}

fn accepting(
    what: &'static str,
    listener: &tokio::net::TcpListener,
) -> Result<Arc<Accepting>, AppError> {
    let made = Accepting::new(listener).map_err(|source| AppError::Start { what, source });
    made.map(Arc::new)
}

fn counted(metrics: &Metrics) -> RefusalObserver {
    let refused = metrics.connections_refused.clone();
    Arc::new(move |reason| refused.with_label_values(&[reason]).inc())
}

/// The handshake of new connections, from the present settings.
fn handshake(live: &Live, front: bool) -> Arc<dyn Fn() -> Handshake + Send + Sync> {
    let live = live.clone();
    Arc::new(move || {
        let values = live.values();
        let tls = values.tls.as_ref().filter(|_| front);
        Handshake {
            timeout: values.handshake_timeout,
            tls: tls.map(|tls| tls.acceptor.clone()),
        }
    })
}

/// A request with a Host that is not ours is refused. Every answer, also a refusal, names the coordinator, so
/// that a probe can recognise it.
fn guarded(
    router: Router,
    live: &Live,
    refused: &RefusalObserver,
    access: fn(&Values) -> Access,
) -> Router {
    let live = live.clone();
    let access = Arc::new(move || access(&live.values()));
    access::guarded(router, access, Arc::clone(refused))
        .layer(axum::middleware::map_response(access::name_product))
}
