//! The composition root: binds, recovers, serves, drains. The only part that depends on every other.

mod accepted;
mod durability;
mod firewall;
mod fleet;
mod gauges;
mod greeting;
mod journal;
mod listen;
mod live;
mod looking;
mod manage;
mod operator;
mod process;
mod push;
mod reload;
mod restore;
mod running;
mod starting;
mod state_dir;
mod supervise;
mod surroundings;
mod wall_clock;

use std::io::Write;
use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use tokio::net::TcpListener;

use crate::build_info::VERSION;
use crate::causes;
use crate::clock::Clock;
use crate::config::{Config, Environment, MapEnvironment};
use crate::driver::core::{Core, CoreConfig, Moment};
use crate::driver::recover::RecoverError;
use crate::driver::shell::Driver;
use crate::driver::{DriverLimits, Identity};
use crate::edge::ports;
use crate::edge::systemd::{ActivationError, Inherited, Manager, NotifyError};
use crate::engine::command::Role;
use crate::engine::ids::{NodeId, PortFingerprint};
use crate::engine::limits::Limits;
use crate::http;
use crate::http::access::{self, Denied};
use crate::http::health::Health;
use crate::http::scrape::{self, LoadError, Prepared, Security};
use crate::http::tls::TlsError;
use crate::journal::JournalError;
use crate::mcp;
use crate::metrics::{Metrics, MetricsScope};
use crate::page;
use crate::ws::{self, CliSession, SocketOptions};
use accepted::Accepted;
use fleet::Fleet;
use gauges::Gauges;
use live::{Live, Values};
use operator::OperatorError;
use push::Pushing;
use running::RunningCoordinator;
use starting::Starting;

pub use journal::segment_options;
pub use listen::ListenError;
pub use push::user_agent;
pub use restore::{RestoreError, restore_into_redis};
pub use state_dir::{StateDirError, open_state_dir};
pub use surroundings::{Hangup, Surroundings};

/// A command in the journal can be a little larger than the request it came from.
const RECORD_HEADROOM_BYTES: usize = 64 * 1024;

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
    #[error("cannot open the journal in {path}")]
    Journal {
        path: String,
        #[source]
        source: JournalError,
    },
    #[error("cannot recover the state from {path}")]
    Recover {
        path: String,
        #[source]
        source: RecoverError,
    },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot secure the metrics port: {0}")]
    Scrape(#[from] LoadError),
    #[error(transparent)]
    Operator(#[from] OperatorError),
    #[error("cannot get random bytes from the system: {0}")]
    Entropy(String),
    #[error("cannot start {what}")]
    Start {
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot use the shared journal: {0}")]
    SharedJournal(String),
    #[error("the journal failed, so no change can be saved any more: {0}")]
    JournalFailed(String),
}

/// Runs a coordinator until it is told to stop. `out` gets the greeting.
pub fn run(
    config: &Config,
    surroundings: &Surroundings<'_>,
    out: &mut dyn Write,
) -> Result<(), AppError> {
    let pid = std::process::id();
    let manager = Arc::new(Manager::from_environment(surroundings.environment, pid)?);
    let ended = run_managed(config, surroundings, &manager, out);
    if let Err(error) = &ended {
        manager.status(&format!("failed: {}", causes::one_line(error)));
    }
    ended
}

fn run_managed(
    config: &Config,
    surroundings: &Surroundings<'_>,
    manager: &Arc<Manager>,
    out: &mut dyn Write,
) -> Result<(), AppError> {
    // Before any thread starts.
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
        let running = Box::pin(start(config, listeners, Some(manager), &elsewhere, out)).await?;
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
    let running = Box::pin(start(config, listeners, None, &elsewhere, out)).await?;
    running.until(stop).await??;
    running.end().await
}

/// Recovers, then serves. `elsewhere` is the environment of a client on this machine without settings.
async fn start(
    config: &Config,
    listeners: Listeners,
    manager: Option<&Manager>,
    elsewhere: &dyn Environment,
    out: &mut dyn Write,
) -> Result<RunningCoordinator, AppError> {
    let clock = Clock::start();
    let build = [
        ("version", VERSION),
        ("environment", config.profile.name()),
        ("journal", journal::kind(config)),
    ];
    let scope = MetricsScope {
        shared: config.redis.is_some(),
        detail: config.metrics.detail,
        push: config.push.is_some(),
        mqtt: config.mqtt.is_some(),
    };
    let metrics = Metrics::new(&build, scope);
    let core = core_config(config, Limits::default())?;
    // It contains the generated TLS certificate.
    let disk = open_state_dir(&config.state_dir)?;
    let live = Live::new(Values::read(config)?);
    let security = Arc::new(secure_scrapes(config, &metrics)?);
    let starting = Starting::new(core.clone(), clock, live.clone());
    let accepted = Accepted::new(config, listeners, &live, &security, &metrics, &starting)?;
    let recovering = journal::start(config, core, clock, &metrics, &starting, disk);
    let (driver, operator) = starting.telling(recovering, manager).await?;
    let gauges = Arc::new(Gauges {
        driver: driver.clone(),
        metrics: metrics.clone(),
        live: live.clone(),
        security: Arc::clone(&security),
        firewall_file: config.firewall.status_file.clone(),
        shown: std::sync::Mutex::default(),
    });
    let source = Arc::clone(&gauges).source();
    let routes = front_routes(config, &driver, &live, &accepted.refused, source.clone());
    accepted.front_door.open(routes);
    let push = Pushing::start(config, &metrics.push, push_source(&gauges))?;
    let page = http::metrics::routes(config.metrics.path.as_str(), source);
    let (secured, refused) = (Arc::clone(&security), Arc::clone(&accepted.refused));
    let page = scrape::guarded(page, secured, operator_check(&driver), refused);
    accepted.scrape_door.open(page);
    let fleet = Fleet::start(config, &driver, &live, clock, &metrics)?;
    let values = live.values();
    let fingerprint = values.tls.as_ref().map(|tls| tls.fingerprint.as_str());
    greeting::greet(config, fingerprint, &operator, elsewhere, out);
    Ok(RunningCoordinator {
        driver,
        live,
        security,
        metrics,
        push,
        fleet,
        accepting: accepted.accepting,
        serving: accepted.serving,
        close: accepted.close,
    })
}

/// Reads the security of the metrics port for the first time: what is wrong with it stops the start.
fn secure_scrapes(config: &Config, metrics: &Metrics) -> Result<Security, AppError> {
    let prepared = Prepared::read(config.metrics.security.clone())?;
    let gauge = metrics.config.web_config_ok.clone();
    let in_use = Box::new(move |in_use| gauge.set(i64::from(in_use)));
    Ok(Security::new(prepared, operator::random(), in_use))
}

fn push_source(gauges: &Arc<Gauges>) -> push::Source {
    let (gathered, driver) = (Arc::clone(gauges), gauges.driver.clone());
    push::Source {
        gather: Arc::new(move || gathered.gather()),
        storage_full: Arc::new(move || driver.inspect(Core::storage_full)),
    }
}

/// The operator's token opens the metrics too, so that `coord health` can look at a secured port.
fn operator_check(driver: &Driver) -> scrape::OperatorCheck {
    let driver = driver.clone();
    Arc::new(move |token| {
        let identity = driver.authenticate(token);
        identity.is_some_and(|identity| identity.role == Role::Operator)
    })
}

fn core_config(config: &Config, engine: Limits) -> Result<CoreConfig, AppError> {
    let run = operator::random();
    let run = u32::from_le_bytes([run[0], run[1], run[2], run[3]]);
    // Every run is a new node, so that sessions of an earlier run are known to be lost.
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

fn front_routes(
    config: &Config,
    driver: &Driver,
    live: &Live,
    refused: &access::RefusalObserver,
    metrics: page::MetricsSource,
) -> Router {
    let (message_bytes_max, asked) = (config.websocket.message_bytes_max, live.clone());
    let options = Arc::new(move || SocketOptions {
        message_bytes_max,
        ping_interval: asked.values().ping_interval,
    });
    let who = identify(driver, live, refused);
    let page = looking::front(config, driver, live, &who, refused, metrics);
    let admit = looking::admit(&page);
    let (inspected, asked) = (driver.clone(), live.clone());
    let health = http::health::routes(Arc::new(move || health_of(&inspected, &asked)));
    let guarded = axum::middleware::map_request(hold_place);
    let presences = mcp::Presences::new(driver.clone());
    let hooks = presences.clone();
    let hooked = Arc::new(
        move |identity: &Identity, project: Option<&str>, session| match session {
            CliSession::Present(kind) => hooks.hooked(identity, project, kind),
            CliSession::Ended => hooks.left(identity, project),
        },
    );
    let tools = mcp::routes(driver.clone(), presences, who, message_bytes_max);
    ws::routes(driver.clone(), admit, options, hooked, page::landing)
        .layer(guarded)
        .merge(tools)
        .merge(page::routes(page))
        .merge(health)
}

/// Who sends a request, by its headers; the same for every front.
fn identify(driver: &Driver, live: &Live, refused: &access::RefusalObserver) -> mcp::Admit {
    let (driver, live, refused) = (driver.clone(), live.clone(), Arc::clone(refused));
    Arc::new(move |headers| {
        let values = live.values();
        let identity = values
            .access
            .check_origin(headers)
            .and_then(|()| access::token(headers))
            .and_then(|token| driver.authenticate(token).ok_or(Denied::BadToken));
        identity.map_err(|denied| {
            refused(denied.reason());
            Box::new(denied.into_response())
        })
    })
}

/// Keeps the connection counted by the listener as long as the socket lives.
async fn hold_place(mut request: axum::extract::Request) -> axum::extract::Request {
    if let Some(peer) = request.extensions().get::<http::AdmittedPeer>().cloned() {
        request.extensions_mut().insert(ws::PeerGuard::new(peer));
    }
    request
}

fn health_of(driver: &Driver, live: &Live) -> Health {
    let reading = supervise::reading(live);
    let failed = driver.failure().borrow().is_some();
    let now = driver.now();
    driver.inspect(|core| health_of_core(core, driver, now, failed, &reading))
}

fn health_of_core(
    core: &Core,
    driver: &Driver,
    now: Moment,
    failed: bool,
    reading: &wall_clock::Reading,
) -> Health {
    let readiness = core.readiness(now);
    let (stage, waiting_for) = readiness.waiting_for.unzip();
    Health {
        status: if failed {
            "failed"
        } else {
            readiness.condition.as_str()
        },
        stage,
        waiting_for,
        retry_after_ms: readiness.retry_after_ms,
        service: http::health::SERVICE,
        version: VERSION,
        node: core.config().node.to_string(),
        environment: core.config().environment.clone(),
        port_fingerprint: core.config().port_fingerprint.to_string(),
        journal: core.config().journal,
        draining: core.is_draining(),
        storage_full: core.storage_full(),
        durability_warnings: driver.metrics().shared.durability.warnings.get(),
        connections_port_mismatch: core.port_mismatches(),
        coordinators_port_mismatch: core.other_ports_nodes(),
        clock: reading.clock(),
        certificate: reading.certificate,
        uptime_ms: core.uptime_ms(now),
    }
}
