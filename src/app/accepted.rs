//! The running listeners: they accept from now on, and report the state of the start until their routes are
//! ready.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::live::{Live, Values};
use super::starting::Starting;
use super::supervise::Listener;
use super::{AppError, Listeners};
use crate::config::Config;
use crate::http::access::{self, Access, RefusalObserver};
use crate::http::scrape::{Opening, Security};
use crate::http::{self, Accepting, Door, Ends, Handshake, HandshakeSource, ListenerOptions};
use crate::metrics::Metrics;

/// Connections to the metrics port at once: scrapers, not agents.
const METRICS_CONNECTIONS_MAX: usize = 32;
/// Of one source, so that four must work together to keep another scraper out.
const METRICS_CONNECTIONS_PER_SOURCE_MAX: usize = 8;
/// A scraper that takes longer to shake hands holds a place for nothing, whatever agents may take.
const METRICS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

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
        security: &Arc<Security>,
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
            per_source_max: config.websocket.connections_max,
            handshake: agents_handshake(live),
            accepting: accepting("the agents' listener", &websocket)?,
            refused: Arc::clone(&refused),
        };
        let scrapes = ListenerOptions {
            connections_max: METRICS_CONNECTIONS_MAX,
            per_source_max: METRICS_CONNECTIONS_PER_SOURCE_MAX,
            handshake: scrape_handshake(live, security),
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

/// The handshake of agents, from the present settings.
fn agents_handshake(live: &Live) -> HandshakeSource {
    let live = live.clone();
    Arc::new(move |_| {
        let values = live.values();
        let handshake = Handshake {
            timeout: values.handshake_timeout,
            tls: values.tls.as_ref().map(|tls| tls.acceptor.clone()),
            certificate: None,
        };
        Box::pin(std::future::ready(Ok(handshake)))
    })
}

/// The handshake of scrapers, from the security that is written down now.
fn scrape_handshake(live: &Live, security: &Arc<Security>) -> HandshakeSource {
    let (live, security) = (live.clone(), Arc::clone(security));
    Arc::new(move |ends: Ends| {
        let timeout = live.values().handshake_timeout;
        let security = Arc::clone(&security);
        Box::pin(async move {
            let opening = security.open(ends.peer.ip(), ends.own.ip()).await;
            let (tls, certificate) = match opening {
                Opening::Plain => (None, None),
                Opening::Tls(acceptor, check) => (Some(acceptor), Some(check)),
                Opening::Refused(reason) => return Err(reason),
            };
            Ok(Handshake {
                timeout: timeout.min(METRICS_HANDSHAKE_TIMEOUT),
                tls,
                certificate,
            })
        })
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
