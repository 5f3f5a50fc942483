//! The composition root: binds, recovers, serves, drains. The only part that knows every other.

mod durability;
mod firewall;
mod gauges;
mod greeting;
mod journal;
mod listen;
mod live;
mod manage;
mod operator;
mod reload;
mod restore;
mod running;
mod state_dir;
mod supervise;
mod surroundings;
mod wall_clock;

use std::io::Write;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::build_info::VERSION;
use crate::clock::Clock;
use crate::config::{Config, Environment, MapEnvironment};
use crate::driver::DriverLimits;
use crate::driver::core::CoreConfig;
use crate::driver::recover::RecoverError;
use crate::driver::shell::Driver;
use crate::engine::ids::{NodeId, PortFingerprint};
use crate::engine::limits::Limits;
use crate::http::access::{self, Denied};
use crate::http::health::Health;
use crate::http::tls::TlsError;
use crate::http::{self, Accepting, Handshake, ListenerOptions};
use crate::journal::JournalError;
use crate::metrics::Metrics;
use crate::ports;
use crate::systemd::{ActivationError, Inherited, Manager, NotifyError};
use crate::ws::{self, Admitted, SocketOptions};
use live::{Live, Values};
use operator::OperatorError;
use running::Running;

pub use journal::segment_options;
pub use listen::ListenError;
pub use restore::{RestoreError, restore_into_redis};
pub use state_dir::{StateDirError, open_state_dir};
pub use surroundings::{Hangup, Surroundings};

/// A command in the journal can be a little larger than the request it came from.
const RECORD_HEADROOM_BYTES: usize = 64 * 1024;
/// Connections to the metrics port at once: scrapers, not agents.
const METRICS_CONNECTIONS_MAX: usize = 64;

/// Why the coordinator did not start, or ended in failure.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Activation(#[from] ActivationError),
    #[error(transparent)]
    Notify(#[from] NotifyError),
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    #[error("failed to open the journal in {path}")]
    Journal {
        path: String,
        #[source]
        source: JournalError,
    },
    #[error("failed to recover the state from {path}")]
    Recover {
        path: String,
        #[source]
        source: RecoverError,
    },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Operator(#[from] OperatorError),
    #[error("failed to get random bytes from the system: {0}")]
    Entropy(String),
    #[error("failed to start {what}")]
    Start {
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("the shared journal cannot be used: {0}")]
    SharedJournal(String),
    #[error("the journal failed, so nothing more can be made durable: {0}")]
    JournalFailed(String),
}

/// Runs a coordinator until it is told to stop. `out` gets the lines for the person who started it.
pub fn run(
    config: &Config,
    surroundings: &Surroundings<'_>,
    out: &mut dyn Write,
) -> Result<(), AppError> {
    let pid = std::process::id();
    let manager = Arc::new(Manager::from_environment(surroundings.environment, pid)?);
    let ended = run_managed(config, surroundings, &manager, out);
    if let Err(error) = &ended {
        manager.status(&format!("failed: {}", one_line(error)));
    }
    ended
}

fn run_managed(
    config: &Config,
    surroundings: &Surroundings<'_>,
    manager: &Arc<Manager>,
    out: &mut dyn Write,
) -> Result<(), AppError> {
    // Before there is any thread.
    let mut inherited = Inherited::from_environment(surroundings.environment, std::process::id())?;
    manager.status("recovering the journal");
    listen::raise_file_limit();
    let started = |what| move |source| AppError::Start { what, source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(started("the runtime"))?;
    runtime.block_on(async {
        let (websocket, metrics) = (&config.websocket.endpoint, &config.metrics.endpoint);
        let listeners = Listeners {
            websocket: listen::take(&mut inherited, "websocket", websocket, "WebSocket").await?,
            metrics: listen::take(&mut inherited, "metrics", metrics, "metrics").await?,
        };
        listen::tell_left(&inherited);
        let elsewhere = greeting::another_terminal(surroundings.environment);
        let running = start(config, listeners, &elsewhere, out).await?;
        manage::serve(running, config, surroundings, manager).await
    })
}

/// The sockets that a coordinator listens on.
#[derive(Debug)]
pub struct Listeners {
    pub websocket: TcpListener,
    pub metrics: TcpListener,
}

/// Runs a coordinator on sockets that are bound already, within the caller's runtime, until `stop`
/// is ready; then it drains.
pub async fn serve(
    config: &Config,
    listeners: Listeners,
    out: &mut dyn Write,
    stop: impl Future<Output = Result<(), AppError>>,
) -> Result<(), AppError> {
    let elsewhere = MapEnvironment::default();
    let running = start(config, listeners, &elsewhere, out).await?;
    running.until(stop).await??;
    running.end().await
}

/// Recovers, and serves from then on. `elsewhere` is what a client of this machine is told by nobody.
async fn start(
    config: &Config,
    listeners: Listeners,
    elsewhere: &dyn Environment,
    out: &mut dyn Write,
) -> Result<Running, AppError> {
    let Listeners {
        websocket,
        metrics: metrics_listener,
    } = listeners;
    let clock = Clock::start();
    let metrics = Metrics::new(&[
        ("version", VERSION),
        ("environment", config.profile.name()),
        ("journal", journal::kind(config)),
    ]);
    let (driver, operator) = journal::start(config, clock, &metrics).await?;

    let live = Live::new(Values::read(config)?);
    let (close, closing) = watch::channel(false);
    let refused = {
        let metrics = metrics.clone();
        move |reason: &'static str| {
            metrics
                .connections_refused
                .with_label_values(&[reason])
                .inc();
        }
    };
    let refused: Arc<dyn Fn(&'static str) + Send + Sync> = Arc::new(refused);
    let accepting = |what, listener| {
        let made = Accepting::new(listener).map_err(|source| AppError::Start { what, source });
        made.map(Arc::new)
    };
    let front = ListenerOptions {
        connections_max: config.websocket.connections_max,
        handshake: handshake(&live, true),
        accepting: accepting("the agents' listener", &websocket)?,
        refused: Arc::clone(&refused),
    };
    let scrapes = ListenerOptions {
        connections_max: METRICS_CONNECTIONS_MAX,
        handshake: handshake(&live, false),
        accepting: accepting("the metrics' listener", &metrics_listener)?,
        refused: Arc::clone(&refused),
    };
    let listeners = vec![
        ("the agents' port", Arc::clone(&front.accepting)),
        ("the metrics port", Arc::clone(&scrapes.accepting)),
    ];
    let routes = front_routes(config, &driver, &live, &refused);
    let gauges = gauges::source(
        driver.clone(),
        metrics.clone(),
        config.firewall.status_file.clone(),
    );
    let metrics_routes = http::metrics::routes(config.metrics.path.as_str(), gauges);
    let mut serving = JoinSet::new();
    let front = http::serve(websocket, named(routes), front, closing.clone());
    serving.spawn(front);
    let scrapes = http::serve(metrics_listener, named(metrics_routes), scrapes, closing);
    serving.spawn(scrapes);
    let values = live.values();
    let fingerprint = values.tls.as_ref().map(|tls| tls.fingerprint.as_str());
    greeting::greet(config, fingerprint, &operator, elsewhere, out);
    Ok(Running {
        driver,
        live,
        metrics,
        accepting: listeners,
        serving,
        close,
    })
}

fn core_config(config: &Config, engine: Limits) -> Result<CoreConfig, AppError> {
    let run = operator::random();
    let run = u32::from_le_bytes([run[0], run[1], run[2], run[3]]);
    // Every run is a node of its own, so that sessions of an earlier one are known to be lost.
    let name: String = config.node.as_str().chars().take(20).collect();
    let node: NodeId = format!("{name}-{run:08x}")
        .parse()
        .map_err(|error| AppError::Entropy(format!("a node id: {error}")))?;
    Ok(CoreConfig {
        node,
        environment: config.profile.name().to_owned(),
        port_fingerprint: wire(config.port_fingerprint()),
        journal: journal::kind(config),
        version: VERSION,
        message_bytes_max: config.websocket.message_bytes_max as u64,
        record_bytes_max: journal::record_bytes_max(config),
        grace_ms: u64::try_from(config.session.grace.as_millis()).unwrap_or(u64::MAX),
        engine,
        sharing: None,
        driver: DriverLimits {
            live_bytes_max: config.journal.live_bytes_max,
            ..DriverLimits::default()
        },
    })
}

fn wire(fingerprint: ports::PortFingerprint) -> PortFingerprint {
    let text = fingerprint.to_string();
    text.parse().expect("it displays as 16 hexadecimal digits")
}

/// How new connections shake hands, by what holds at the moment.
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

fn front_routes(
    config: &Config,
    driver: &Driver,
    live: &Live,
    refused: &Arc<dyn Fn(&'static str) + Send + Sync>,
) -> Router {
    let (message_bytes_max, asked) = (config.websocket.message_bytes_max, live.clone());
    let options = Arc::new(move || SocketOptions {
        message_bytes_max,
        ping_interval: asked.values().ping_interval,
    });
    let asked = live.clone();
    let refused = Arc::clone(refused);
    let admitting = driver.clone();
    let admit = move |headers: &axum::http::HeaderMap| {
        let identity = asked
            .values()
            .access
            .check(headers)
            .and_then(|()| access::token(headers))
            .and_then(|token| admitting.authenticate(token).ok_or(Denied::BadToken));
        match identity {
            Ok(identity) => Ok(Admitted {
                identity,
                subprotocol: access::offers_subprotocol(headers).then_some(access::SUBPROTOCOL),
            }),
            Err(denied) => {
                refused(denied.reason());
                Err(Box::new(axum::response::IntoResponse::into_response(
                    denied,
                )))
            }
        }
    };
    let (inspected, asked) = (driver.clone(), live.clone());
    let health = http::health::routes(Arc::new(move || health_of(&inspected, &asked)));
    let guarded = axum::middleware::map_request(hold_place);
    ws::routes(driver.clone(), Arc::new(admit), options)
        .layer(guarded)
        .merge(health)
}

/// Every answer says whose it is, a refusal too, so that a probe can tell us from a stranger.
fn named(router: Router) -> Router {
    router.layer(axum::middleware::map_response(http::access::name_product))
}

/// Lets the socket keep the connection's place among the listener's.
async fn hold_place(mut request: axum::extract::Request) -> axum::extract::Request {
    if let Some(peer) = request.extensions().get::<http::Peer>().cloned() {
        request.extensions_mut().insert(ws::PeerGuard::new(peer));
    }
    request
}

fn health_of(driver: &Driver, live: &Live) -> Health {
    let reading = supervise::reading(live);
    let failed = driver.failure().borrow().is_some();
    driver.inspect(|core| Health {
        status: match () {
            () if failed => "failed",
            () if core.is_draining() => "draining",
            () if !core.is_reachable() => "journal_unreachable",
            () if core.storage_full() => "storage_full",
            () => "ready",
        },
        service: "cli-coordinator",
        version: VERSION,
        node: core.config().node.to_string(),
        environment: core.config().environment.clone(),
        port_fingerprint: core.config().port_fingerprint.to_string(),
        journal: core.config().journal,
        draining: core.is_draining(),
        storage_full: core.storage_full(),
        durability_warnings: driver.metrics().shared.durability_warnings.get(),
        connections_port_mismatch: core.port_mismatches(),
        coordinators_port_mismatch: core.other_ports_nodes(),
        clock: reading.clock(),
        certificate: reading.certificate,
        uptime_ms: core.uptime_ms(driver.now()),
    })
}

/// An error with its causes, on one line.
fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
