//! What the load balancers have in common: where they listen, whom they serve, who is to be trusted.

use std::path::{Path, PathBuf};

use super::RenderError;
use crate::config::{Config, Endpoint, Host, TlsConfig, settings};
use crate::edge::ports::Service;

/// What may be asked of a coordinator; everything else, the metrics above all, is not passed on.
pub(super) const PATHS: [&str; 5] = ["/", "/ws", "/mcp", "/healthz", "/readyz"];
/// The files and the way in of the page for people are below this.
pub(super) const PREFIX: &str = "/page/";
/// What a coordinator says about whether it takes work.
pub(super) const READY: &str = "/readyz";
pub(super) const CONNECT_TIMEOUT_S: u64 = 5;
/// A tunnel that is silent for so long is dead: both sides are heard far more often.
const TUNNEL_TIMEOUT_S_MIN: u64 = 3_600;
/// How many pings may be lost before a tunnel counts as silent.
const PINGS_LOST_MAX: u64 = 4;

/// What a load balancer can be asked for.
#[derive(Debug, Clone, Default)]
pub struct ProxyOptions {
    /// Where it listens; without it, where the configuration does, on the standard port.
    pub listen: Option<Endpoint>,
    /// The coordinators; without any, the configured one.
    pub backends: Vec<Endpoint>,
    /// What signed the coordinators' certificates, as PEM.
    pub backend_ca: Option<PathBuf>,
    /// The file with chain and key together that `HAProxy` shows clients.
    pub certificate: Option<PathBuf>,
}

/// Everything worked out.
pub(super) struct ProxyPlan {
    pub(super) listen: Endpoint,
    pub(super) backends: Vec<Endpoint>,
    pub(super) front: Option<Certificate>,
    pub(super) back: Option<BackendTrust>,
    pub(super) tunnel_timeout_s: u64,
    pub(super) handshake_timeout_s: u64,
    /// Of each coordinator.
    pub(super) connections_max: usize,
}

/// What clients are shown.
pub(super) struct Certificate {
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

/// How a coordinator is recognised.
pub(super) struct BackendTrust {
    /// `None`: the machine's.
    pub(super) ca: Option<PathBuf>,
    /// The name that its certificate bears.
    pub(super) name: String,
}

impl ProxyPlan {
    pub(super) fn new(
        form: &'static str,
        config: &Config,
        folder: &Path,
        options: &ProxyOptions,
    ) -> Result<Self, RenderError> {
        let websocket = &config.websocket;
        let backends: Vec<Endpoint> = match options.backends.as_slice() {
            [] => vec![websocket.endpoint.from_here()],
            given => given.iter().map(Endpoint::from_here).collect(),
        };
        let listen = options.listen.clone().unwrap_or_else(|| Endpoint {
            host: websocket.endpoint.host.clone(),
            port: Service::WebSocket.standard_port(),
        });
        check_backends(form, config, &listen, &backends)?;
        check_plaintext(form, config, &listen, &backends)?;
        let front = websocket
            .tls
            .as_ref()
            .map(|tls| certificate(config, folder, tls));
        let back = match &websocket.tls {
            Some(tls) => Some(trust(form, config, folder, tls, &backends, options)?),
            None => None,
        };
        let silence_s = websocket.ping_interval.as_secs() * PINGS_LOST_MAX;
        Ok(Self {
            listen,
            backends,
            front,
            back,
            tunnel_timeout_s: silence_s.max(TUNNEL_TIMEOUT_S_MIN),
            handshake_timeout_s: websocket.handshake_timeout.as_secs().max(1),
            connections_max: websocket.connections_max,
        })
    }
}

/// What clients should know who address it by a name, as a comment.
pub(super) fn host_remark(config: &Config) -> &'static str {
    if config.websocket.allowed_hosts.is_empty() {
        "# The Host header is passed on. Clients that use a name, not an address, need it in\n\
         # websocket.allowed_hosts (COORD_ALLOWED_HOSTS) of every coordinator.\n"
    } else {
        "# The Host header is passed on, and checked by the coordinator.\n"
    }
}

fn check_backends(
    form: &'static str,
    config: &Config,
    listen: &Endpoint,
    backends: &[Endpoint],
) -> Result<(), RenderError> {
    let itself = backends.iter().find(|backend| {
        let here = backend.host.is_loopback() && listen.host.is_wildcard();
        backend.port == listen.port && (backend.host == listen.host || here)
    });
    if let Some(backend) = itself {
        let what = format!("it would listen on {listen}, which is the address of {backend}");
        let next =
            "set another address or port with --listen, or give the coordinators with --backend";
        return Err(RenderError::new(form, what, next));
    }
    let twice = |(index, backend)| backends[..index].contains(backend);
    if let Some((_, backend)) = backends.iter().enumerate().find(|it| twice(*it)) {
        let what = format!("the coordinator {backend} is given twice");
        return Err(RenderError::new(form, what, "give each --backend once"));
    }
    if backends.len() > 1 && config.redis.is_none() {
        let what = format!(
            "{} coordinators with embedded journals do not share tasks and leases",
            backends.len()
        );
        let next = "let them share a Redis (REDIS_HOST), or give only one --backend";
        return Err(RenderError::new(form, what, next));
    }
    Ok(())
}

/// The rule of the coordinator holds for who stands in front of it too: a token never travels in the
/// clear to another machine unless somebody said so.
fn check_plaintext(
    form: &'static str,
    config: &Config,
    listen: &Endpoint,
    backends: &[Endpoint],
) -> Result<(), RenderError> {
    let allowed = config.origins.shown(&settings::ALLOW_PLAINTEXT) == true;
    let all = std::iter::once(listen).chain(backends);
    let far = all.clone().find(|endpoint| !endpoint.host.is_loopback());
    match far {
        Some(endpoint) if config.websocket.tls.is_none() && !allowed => {
            let what =
                format!("{endpoint} is not loopback, and connections would not be encrypted");
            let next = "set websocket.tls = true (WEBSOCKET_SSL_ENABLED=true), or \
                        websocket.allow_plaintext = true (COORD_ALLOW_PLAINTEXT=true)";
            Err(RenderError::new(form, what, next))
        }
        _ => Ok(()),
    }
}

/// The load balancer shows the certificate of the coordinator, so that pinned ones still fit.
fn certificate(config: &Config, folder: &Path, tls: &TlsConfig) -> Certificate {
    match tls {
        TlsConfig::Files { certificate, key } => Certificate {
            chain: folder.join(certificate),
            key: folder.join(key),
        },
        TlsConfig::SelfSigned => {
            let kept = folder.join(&config.state_dir).join("tls");
            Certificate {
                chain: kept.join("certificate.pem"),
                key: kept.join("key.pem"),
            }
        }
    }
}

fn trust(
    form: &'static str,
    config: &Config,
    folder: &Path,
    tls: &TlsConfig,
    backends: &[Endpoint],
    options: &ProxyOptions,
) -> Result<BackendTrust, RenderError> {
    let given = options.backend_ca.as_ref().map(|file| folder.join(file));
    if *tls == TlsConfig::SelfSigned {
        let near = backends.iter().all(|backend| backend.host.is_loopback());
        if given.is_none() && !near {
            let what = "coordinators on other machines have their own certificates";
            let next = "copy their tls/certificate.pem into one file and give it with --backend-ca";
            return Err(RenderError::new(form, what, next));
        }
        let own = certificate(config, folder, tls).chain;
        return Ok(BackendTrust {
            ca: Some(given.unwrap_or(own)),
            // Every certificate that a coordinator makes for itself bears this name.
            name: "localhost".to_owned(),
        });
    }
    let name = certificate_name(config, backends).ok_or_else(|| {
        let what = "the name in the coordinators' certificate is unknown";
        let next = "set websocket.allowed_hosts (COORD_ALLOWED_HOSTS) to that name";
        RenderError::new(form, what, next)
    })?;
    Ok(BackendTrust { ca: given, name })
}

/// The name that all coordinators share: the first that clients use, or the only one there is.
fn certificate_name(config: &Config, backends: &[Endpoint]) -> Option<String> {
    let name = |host: &Host| match host {
        Host::Name(name) if !host.is_loopback() => Some(name.clone()),
        _ => None,
    };
    let allowed = config.websocket.allowed_hosts.iter();
    let one_host = backends.windows(2).all(|pair| pair[0].host == pair[1].host);
    allowed
        .map(|allowed| &allowed.host)
        .chain(
            backends
                .first()
                .filter(|_| one_host)
                .map(|backend| &backend.host),
        )
        .chain([&config.websocket.endpoint.host])
        .find_map(name)
}
