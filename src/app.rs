//! The composition root: binds, recovers, serves, drains. The only part that knows every other.

mod firewall;
mod gauges;
mod listen;
mod operator;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::build_info::VERSION;
use crate::clock::Clock;
use crate::config::Config;
use crate::driver::DriverLimits;
use crate::driver::core::{Core, CoreConfig};
use crate::driver::recover::{RecoverError, recover};
use crate::driver::secret::Entropy;
use crate::driver::shell::Driver;
use crate::engine::ids::{NodeId, PortFingerprint};
use crate::engine::limits::Limits;
use crate::http::access::{self, Access, Denied};
use crate::http::health::Health;
use crate::http::tls::{self, TlsError};
use crate::http::{self, ListenerOptions};
use crate::journal::disk::RealDisk;
use crate::journal::segments::{Recovery, SegmentJournal, SegmentOptions};
use crate::journal::{Journal, JournalError};
use crate::metrics::Metrics;
use crate::ports;
use crate::ws::{self, Admitted, SocketOptions};
use operator::OperatorError;

pub use listen::ListenError;

/// A command in the journal can be a little larger than the request it came from.
const RECORD_HEADROOM_BYTES: usize = 64 * 1024;
/// Connections to the metrics port at once: scrapers, not agents.
const METRICS_CONNECTIONS_MAX: usize = 64;
/// How long a stop waits for what is under way.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the coordinator did not start, or ended in failure.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("failed to open the state directory {path}")]
    StateDir {
        path: String,
        #[source]
        source: std::io::Error,
    },
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
    #[error("the journal failed, so nothing more can be made durable: {0}")]
    JournalFailed(String),
}

/// Runs a coordinator until it is told to stop. `out` gets the lines for the person who started it.
pub fn run(config: &Config, out: &mut dyn Write) -> Result<(), AppError> {
    listen::raise_file_limit();
    let started = |what| move |source| AppError::Start { what, source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(started("the runtime"))?;
    runtime.block_on(async {
        let listeners = Listeners {
            websocket: listen::bind(&config.websocket.endpoint, "WebSocket").await?,
            metrics: listen::bind(&config.metrics.endpoint, "metrics").await?,
        };
        serve(config, listeners, out, signalled()).await
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
    let clock = Clock::start();
    let metrics = Metrics::new(&[
        ("version", VERSION),
        ("environment", config.profile.name()),
        ("journal", "embedded"),
    ]);
    let (mut journal, recovery) = open_journal(config)?;
    let path = config.state_dir.display().to_string();
    let limits = Limits::default();
    let recovered = recover(&mut journal, &limits).map_err(|source| AppError::Recover {
        path: path.clone(),
        source,
    })?;
    tell_recovery(&recovery, recovered.records, &metrics);
    let core_config = core_config(config, limits)?;
    let mut core = Core::new(
        core_config,
        Entropy(Box::new(operator::random)),
        metrics.clone(),
        recovered.engines,
        journal.status(),
        clock.now(),
    );
    let operator = operator::prepare(&config.state_dir, &core)?;
    core.start(clock.now(), operator.new_token);
    let backups = operator::backup_writer(&config.state_dir);
    let driver = Driver::start(core, Box::new(journal), backups, clock, metrics.clone()).map_err(
        |source| AppError::Start {
            what: "the journal's thread",
            source,
        },
    )?;
    driver.settled().await;

    let tls = match &config.websocket.tls {
        Some(tls) => Some(tls::load(
            tls,
            &config.state_dir,
            &certificate_names(config),
        )?),
        None => None,
    };
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
    let front = ListenerOptions {
        connections_max: config.websocket.connections_max,
        handshake_timeout: config.websocket.handshake_timeout,
        tls: tls.as_ref().map(|tls| tls.acceptor.clone()),
        refused: Arc::clone(&refused),
    };
    let scrapes = ListenerOptions {
        connections_max: METRICS_CONNECTIONS_MAX,
        handshake_timeout: config.websocket.handshake_timeout,
        tls: None,
        refused: Arc::clone(&refused),
    };
    let routes = front_routes(config, &driver, &refused);
    let gauges = gauges::source(driver.clone(), metrics, config.firewall.status_file.clone());
    let metrics_routes = http::metrics::routes(config.metrics.path.as_str(), gauges);
    tokio::spawn(http::serve(
        listeners.websocket,
        named(routes),
        front,
        closing.clone(),
    ));
    tokio::spawn(http::serve(
        listeners.metrics,
        named(metrics_routes),
        scrapes,
        closing,
    ));
    greet(
        config,
        tls.as_ref().map(|tls| tls.fingerprint.as_str()),
        &operator.token_file,
        out,
    );
    wait_and_drain(&driver, stop, &close).await
}

/// The system's wish that this process ends.
async fn signalled() -> Result<(), AppError> {
    let handler = |kind| {
        signal(kind).map_err(|source| AppError::Start {
            what: "the signal handlers",
            source,
        })
    };
    let mut terminate = handler(SignalKind::terminate())?;
    let mut interrupt = handler(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Waits for the wish to stop or a failure; a stop drains, so that no request is left without an answer.
async fn wait_and_drain(
    driver: &Driver,
    stop: impl Future<Output = Result<(), AppError>>,
    close: &watch::Sender<bool>,
) -> Result<(), AppError> {
    let mut failure = driver.failure();
    tokio::select! {
        stopped = stop => stopped?,
        failed = failure.wait_for(Option::is_some) => {
            let text = failed.ok().and_then(|text| text.clone()).unwrap_or_default();
            return Err(AppError::JournalFailed(text));
        }
    }
    tracing::info!("stopping: what is under way is finished first");
    close.send_replace(true);
    driver.drain();
    let drained = async {
        driver.settled().await;
        driver.end_all("the coordinator is stopping");
        driver.emptied().await;
        driver.settled().await;
    };
    let left = tokio::select! {
        () = drained => 0,
        () = tokio::time::sleep(DRAIN_TIMEOUT) => driver.inspect(Core::connection_count),
        failed = failure.wait_for(Option::is_some) => {
            let text = failed.ok().and_then(|text| text.clone()).unwrap_or_default();
            return Err(AppError::JournalFailed(text));
        }
    };
    if left > 0 {
        tracing::warn!(
            connections = left,
            "stopped with connections that did not close in time"
        );
    }
    Ok(())
}

fn open_journal(config: &Config) -> Result<(SegmentJournal, Recovery), AppError> {
    let path = || config.state_dir.display().to_string();
    let disk = RealDisk::create(&config.state_dir).map_err(|source| AppError::StateDir {
        path: path(),
        source,
    })?;
    SegmentJournal::open(Arc::new(disk), segment_options(config)).map_err(|source| {
        AppError::Journal {
            path: path(),
            source,
        }
    })
}

/// The sizes of the journal that a configuration asks for.
pub fn segment_options(config: &Config) -> SegmentOptions {
    SegmentOptions {
        segment_bytes: config.journal.segment_bytes,
        reserve_bytes: config.journal.reserve_bytes,
        record_bytes_max: record_bytes_max(config),
        ..SegmentOptions::default()
    }
}

fn record_bytes_max(config: &Config) -> usize {
    config.websocket.message_bytes_max + RECORD_HEADROOM_BYTES
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
        journal: "embedded",
        version: VERSION,
        message_bytes_max: config.websocket.message_bytes_max as u64,
        record_bytes_max: record_bytes_max(config),
        grace_ms: u64::try_from(config.session.grace.as_millis()).unwrap_or(u64::MAX),
        engine,
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

fn front_routes(
    config: &Config,
    driver: &Driver,
    refused: &Arc<dyn Fn(&'static str) + Send + Sync>,
) -> Router {
    let websocket = &config.websocket;
    let access = Access::new(
        &websocket.endpoint,
        &websocket.allowed_hosts,
        &websocket.allowed_origins,
    );
    let options = SocketOptions {
        message_bytes_max: websocket.message_bytes_max,
        ping_interval: websocket.ping_interval,
    };
    let refused = Arc::clone(refused);
    let admitting = driver.clone();
    let admit = move |headers: &axum::http::HeaderMap| {
        let identity = access
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
    let inspected = driver.clone();
    let health = http::health::routes(Arc::new(move || health_of(&inspected)));
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

fn health_of(driver: &Driver) -> Health {
    let failed = driver.failure().borrow().is_some();
    driver.inspect(|core| Health {
        status: match () {
            () if failed => "failed",
            () if core.is_draining() => "draining",
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
        connections_port_mismatch: core.port_mismatches(),
        uptime_ms: core.uptime_ms(driver.now()),
    })
}

fn certificate_names(config: &Config) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let host = &config.websocket.endpoint.host;
    if !host.is_wildcard() && !host.is_loopback() {
        names.push(host.to_string());
    }
    let allowed = config.websocket.allowed_hosts.iter();
    names.extend(allowed.map(|allowed| allowed.host.to_string()));
    names
}

fn tell_recovery(recovery: &Recovery, records: u64, metrics: &Metrics) {
    metrics
        .recovered_torn_bytes
        .set(i64::try_from(recovery.torn_bytes).unwrap_or(i64::MAX));
    if recovery.torn_bytes > 0 {
        tracing::warn!(
            bytes = recovery.torn_bytes,
            "cut off an unfinished write at the end of the journal; nothing acknowledged was in it"
        );
    }
    tracing::info!(records, "recovered");
}

/// One line each: what runs, where, where its state is, and the next step.
fn greet(config: &Config, fingerprint: Option<&str>, token_file: &Path, out: &mut dyn Write) {
    let scheme = if fingerprint.is_some() { "wss" } else { "ws" };
    let endpoint = &config.websocket.endpoint;
    let url = format!("{scheme}://{}:{}/ws", endpoint.host.in_url(), endpoint.port);
    let scrape = &config.metrics.endpoint;
    let mut lines = vec![
        format!(
            "coord {VERSION}, {} profile, embedded journal",
            config.profile.name()
        ),
        format!("agents   {url}"),
        format!(
            "metrics  http://{}:{}{}",
            scrape.host.in_url(),
            scrape.port,
            config.metrics.path.as_str()
        ),
        format!("state    {}", config.state_dir.display()),
        format!("operator token in {}", token_file.display()),
    ];
    lines.extend(fingerprint.map(|hex| format!("certificate SHA-256 {hex}")));
    lines.push("first agent: coord token create alice --out alice.token".to_owned());
    for line in lines {
        // Whoever started it may have closed the terminal; that is no reason to stop.
        let _ = writeln!(out, "{line}");
    }
    let _ = out.flush();
    tracing::info!(url, "serving");
}
