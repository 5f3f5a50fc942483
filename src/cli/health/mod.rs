//! `coord health`: is each service of the configuration running?

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

mod mqtt;
mod push;

use crate::cli::client::ClientError;
use crate::cli::duration::Millis;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, Paint};
use crate::cli::reader;
use crate::cli::shell::Shell;
use crate::cli::table::{Table, or_nothing};
use crate::config::{
    ClientConfig, Config, Fingerprint, Flags, Invoker, RedisConfig, RedisTopology, Secret,
    TlsConfig, Trust, settings,
};
use crate::edge::ports::{PortFingerprint, Profile, Service};
use crate::edge::probe::{
    self, Credentials, Expected, PROBE_MS_MAX, ProbeFinding, ProbeTarget, ServiceState,
};
use crate::journal::redis::RedisConnector;
use crate::link::tls;

/// The shortest pause between two rounds.
const INTERVAL_MS_MIN: u64 = 100;
/// The longest that one probe may be given.
const TIMEOUT_MS_MAX: u64 = 60_000;

/// Clears the terminal and goes to its first line.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct HealthArgs {
    #[command(subcommand)]
    part: Option<HealthPart>,
    /// Repeat until interrupted: redraw a table on a terminal; elsewhere print a line for each service that
    /// changed
    #[arg(long)]
    watch: bool,
    /// The pause between two rounds of --watch
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5s",
        requires = "watch"
    )]
    interval: Millis,
    /// How long each service has to answer [default: 3s]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Millis>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Subcommand)]
enum HealthPart {
    /// Tries the MQTT broker that this coordinator shows itself at
    ///
    /// Connects as the coordinator would, with the same name, TLS, credentials and rights, but with a client id of its
    /// own, and says what is wrong and what to do. Exits with 0 when the broker would take it, with 1 when not, with 2
    /// when the configuration is wrong or names no broker.
    Mqtt(mqtt::MqttArgs),
    /// Tries the receiver that the metrics are written to
    ///
    /// Connects as the coordinator would, with the same name, TLS and credentials, sends a request without samples,
    /// and compares the clocks. Says what is wrong and what to do. Exits with 0 when the receiver would take
    /// metrics, with 1 when not, with 2 when the configuration is wrong or names no receiver.
    Push(push::PushArgs),
}

/// One round, as it is printed with `--json`.
#[derive(Debug, Serialize)]
struct HealthReport {
    well: bool,
    profile: Profile,
    port_fingerprint: PortFingerprint,
    services: Vec<ProbeFinding>,
}

/// Everything that the probes need, computed once.
struct HealthPlan {
    config: Config,
    websocket: ProbeTarget,
    metrics: ProbeTarget,
    /// Shown where the metrics are not for everybody.
    metrics_token: Option<Secret>,
    redis: Option<ProbeTarget>,
    credentials: Credentials,
    expected: Expected,
}

/// How long one service has to answer.
fn limit_ms(timeout: Option<Millis>) -> Result<u64, CliError> {
    let timeout_ms = timeout.map_or(PROBE_MS_MAX, |timeout| timeout.0);
    if !(1..=TIMEOUT_MS_MAX).contains(&timeout_ms) {
        let next = "give --timeout between 1ms and 60s";
        return Err(CliError::usage("--timeout is out of range", next));
    }
    Ok(timeout_ms)
}

pub(super) async fn run(args: HealthArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    match args.part {
        Some(HealthPart::Mqtt(args)) => return mqtt::run(&args, shell).await,
        Some(HealthPart::Push(args)) => return push::run(&args, shell).await,
        None => {}
    }
    let timeout_ms = limit_ms(args.timeout)?;
    if args.interval.0 < INTERVAL_MS_MIN {
        let next = "give --interval at least 100ms";
        return Err(CliError::usage("--interval is too short", next));
    }
    if shell.connection.url.is_some() {
        let next = "give --websocket-host and --websocket-port";
        let what = "--url has no effect here: the addresses come from the configuration";
        return Err(CliError::usage(what, next));
    }
    let plan = plan(&args.flags, timeout_ms, shell)?;
    if args.watch {
        return watch(&plan, args.interval.duration(), &mut shell.out).await;
    }
    let report = plan.probe().await;
    if shell.out.style().json {
        shell.out.json(&report)?;
    } else {
        show(&report, &mut shell.out)?;
    }
    Ok(report.exit())
}

fn plan(flags: &Flags, timeout_ms: u64, shell: &Shell<'_>) -> Result<HealthPlan, CliError> {
    // Nothing is bound here, so privileged ports are no problem.
    let config = Config::load(flags, shell.environment, Invoker::from(0))?;
    let encrypted = config.websocket.tls.is_some();
    let websocket = ProbeTarget {
        endpoint: config.websocket.endpoint.clone(),
        tls: None,
    };
    let mut websocket = probe::reachable(&websocket);
    let scheme = if encrypted { "wss" } else { "ws" };
    let url = format!("{scheme}://{}/ws", websocket.endpoint);
    // If plain text beyond loopback were not allowed, this configuration would not have loaded.
    let mut client = (shell.connection.flags()?)
        .with(&settings::CLIENT_URL, url)
        .with(&settings::CLIENT_ALLOW_PLAINTEXT, "true");
    client.set(&settings::PROFILE, flags.get(&settings::PROFILE));
    client.set(&settings::STATE_DIR, flags.get(&settings::STATE_DIR));
    let client = ClientConfig::load(&client, shell.environment)?;
    for warning in config.warnings.iter().chain(&client.warnings) {
        shell.out.note(format_args!("warning: {warning}"));
    }
    let with = |trust: &Trust| {
        let tls = tls::config(trust).map_err(ClientError::Certificates);
        tls.map(|tls| Some(Arc::new(tls)))
    };
    if encrypted {
        websocket.tls = with(&trust(&config, client.trust, shell))?;
    }
    let redis = match &config.redis {
        Some(redis) => Some(ProbeTarget {
            endpoint: redis.endpoint.clone(),
            tls: if redis.tls {
                let authorities = redis.ca_file.clone().map(Trust::Authorities);
                with(&authorities.unwrap_or(Trust::Machine))?
            } else {
                None
            },
        }),
        None => None,
    };
    let metrics_tls = match metrics_fingerprint(&config)? {
        Some(fingerprint) => with(&Trust::Fingerprint(fingerprint))?,
        None => None,
    };
    let metrics_token = config.metrics.web.token.clone();
    Ok(HealthPlan {
        websocket,
        metrics: ProbeTarget {
            endpoint: config.metrics.endpoint.clone(),
            tls: metrics_tls,
        },
        metrics_token: metrics_token.or_else(|| client.token.clone()),
        redis,
        credentials: Credentials {
            token: client.token,
            project: client.project.map(|project| project.to_string()),
        },
        expected: Expected {
            profile: config.profile,
            port_fingerprint: config.port_fingerprint().to_string(),
            time_max: Duration::from_millis(timeout_ms),
        },
        config,
    })
}

/// The certificate that the metrics port presents, if it encrypts.
fn metrics_fingerprint(config: &Config) -> Result<Option<Fingerprint>, CliError> {
    let Some(tls) = &config.metrics.web.tls else {
        return Ok(None);
    };
    let wrong = |what: String| CliError::input("read the certificate of the metrics port", what);
    let (text, place) = tls.certificate.text().map_err(|e| wrong(e.to_string()))?;
    let shown = tls::fingerprint_in(&text);
    let shown = shown.map_err(|error| wrong(format!("{place}: {error}")))?;
    Ok(Some(shown))
}

/// The coordinator presents the configured certificate, which may be self-signed. Explicit flags take
/// precedence.
fn trust(config: &Config, given: Trust, shell: &Shell<'_>) -> Trust {
    let certificate = match (&config.websocket.tls, given) {
        (Some(TlsConfig::Files { certificate, .. }), Trust::Machine) => certificate.clone(),
        (Some(TlsConfig::SelfSigned), Trust::Machine) => {
            config.state_dir.join("tls").join("certificate.pem")
        }
        (_, given) => return given,
    };
    match tls::fingerprint_of(&certificate) {
        Ok(shown) => Trust::Fingerprint(shown),
        Err(error) => {
            let path = certificate.display();
            shell.out.note(format_args!(
                "warning: cannot read {path} ({error}): checking certificates against the authorities this \
                 machine trusts"
            ));
            Trust::Machine
        }
    }
}

impl HealthPlan {
    /// One round; all services are asked at the same time.
    async fn probe(&self) -> HealthReport {
        let redis = async {
            match (&self.redis, &self.config.redis) {
                (Some(target), Some(config)) => self.redis(target, config).await,
                _ => probe::redis_not_used(),
            }
        };
        let path = self.config.metrics.path.as_str();
        let (redis, websocket, metrics) = tokio::join!(
            redis,
            probe::websocket(&self.websocket, &self.credentials, &self.expected),
            probe::metrics(
                &self.metrics,
                path,
                self.metrics_token.as_ref(),
                &self.expected
            ),
        );
        let services = vec![redis, websocket, metrics];
        HealthReport {
            well: services.iter().all(|finding| finding.state.is_well()),
            profile: self.config.profile,
            port_fingerprint: self.config.port_fingerprint(),
            services,
        }
    }

    /// Sentinels or cluster nodes first say where Redis is.
    async fn redis(&self, target: &ProbeTarget, config: &RedisConfig) -> ProbeFinding {
        let Expected {
            profile, time_max, ..
        } = &self.expected;
        let mut target = target.clone();
        if !matches!(config.topology, RedisTopology::Single) {
            let connector = match RedisConnector::new(config, *profile) {
                Ok(connector) => connector,
                Err(error) => return nowhere(error.to_string()),
            };
            let located = tokio::time::timeout(*time_max, connector.locate()).await;
            target.endpoint = match located {
                Ok(Ok(endpoint)) => endpoint,
                Ok(Err(error)) => return nowhere(error.to_string()),
                Err(_) => {
                    return nowhere(
                        "no sentinel or cluster node answered in time where Redis is".to_owned(),
                    );
                }
            };
        }
        probe::redis(&target, config, &self.expected).await
    }
}

fn nowhere(detail: String) -> ProbeFinding {
    ProbeFinding {
        service: Service::Redis,
        address: None,
        state: ServiceState::Unreachable,
        latency_us: None,
        detail,
        next: Some("check redis.sentinels, redis.sentinel_master or redis.cluster".to_owned()),
        identity: None,
    }
}

impl HealthReport {
    fn exit(&self) -> Exit {
        if self.well { Exit::Ok } else { Exit::Failed }
    }
}

/// Rounds until interrupted; the exit code is that of the last one.
async fn watch(plan: &HealthPlan, pause: Duration, out: &mut Output<'_>) -> Result<Exit, CliError> {
    let redraws = io::stdout().is_terminal() && !out.style().json;
    let mut rounds = interval(pause);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last: Option<HealthReport> = None;
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let report = tokio::select! {
            report = async { rounds.tick().await; plan.probe().await } => report,
            stopped = interrupted.as_mut() => {
                stopped?;
                return Ok(last.map_or(Exit::Failed, |last| last.exit()));
            }
            gone = reader::gone() => return Err(gone),
        };
        if redraws {
            write!(out.sink(), "{CLEAR}")?;
            show(&report, out)?;
        } else {
            tell_changes(last.as_ref(), &report, out)?;
        }
        last = Some(report);
    }
}

fn tell_changes(
    last: Option<&HealthReport>,
    report: &HealthReport,
    out: &mut Output<'_>,
) -> io::Result<()> {
    for (i, now) in report.services.iter().enumerate() {
        let before = last.and_then(|last| last.services.get(i));
        // A different latency is not a change.
        if before.is_some_and(|was| was.state == now.state && was.detail == now.detail) {
            continue;
        }
        if out.style().json {
            out.json(now)?;
        } else {
            let (service, address) = (now.service, or_nothing(now.address.as_ref()));
            out.line(format_args!(
                "{service} {address}: {}: {}",
                now.state, now.detail
            ))?;
        }
    }
    Ok(())
}

fn show(report: &HealthReport, out: &mut Output<'_>) -> io::Result<()> {
    let mut table = Table::new(&["SERVICE", "ADDRESS", "STATE", "LATENCY", "DETAIL"]);
    for finding in &report.services {
        table.row(&[
            finding.service.to_string(),
            or_nothing(finding.address.as_ref()),
            finding.state.to_string(),
            or_nothing(finding.latency_us.map(milliseconds)),
            finding.detail.clone(),
        ]);
    }
    out.table(&table, "no services")?;
    if out.style().quiet {
        return Ok(());
    }
    for finding in &report.services {
        if let Some(next) = &finding.next {
            let name = out.paint(paint(finding.state), finding.service.title());
            out.line(format_args!("next for {name}: {next}"))?;
        }
    }
    let profile = report.profile;
    let ports = report.port_fingerprint;
    out.line(out.paint(Paint::Faint, &format!("{profile} profile, ports {ports}")))
}

fn paint(state: ServiceState) -> Paint {
    match state {
        ServiceState::Running | ServiceState::NotUsed => Paint::Good,
        ServiceState::NotReady | ServiceState::Unauthorised => Paint::Busy,
        _ => Paint::Bad,
    }
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{:01} ms", micros / 1_000, micros % 1_000 / 100)
}
