//! The security of the metrics port: encryption, client certificates, passwords and a token.
//!
//! It is read again when its files change, at a connection or a request, so certificates and passwords change
//! without a signal. All of a new state is taken or nothing: what is wrong leaves the last good one in use.

mod bucket;
mod failures;
mod guard;
mod names;
mod passwords;
mod tls;
mod watched;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio_rustls::TlsAcceptor;

use super::{CertificateCheck, Validity};
use crate::config::web::{PasswordHash, RateLimit, WebConfig, WebSource};
use bucket::Bucket;
use failures::Failures;
use passwords::{Attempt, Passwords};
use tls::LoadedTls;
use watched::Watched;

pub use guard::{OperatorCheck, guarded};
pub use tls::LoadError;

/// TLS handshakes that begin at once, and how soon one more may. Each costs milliseconds of the thread that
/// serves the agents.
const HANDSHAKES_BURST: u32 = 40;
const HANDSHAKE_INTERVAL: Duration = Duration::from_millis(50);

/// The present security of the port, and what it remembers of those who ask.
pub struct Security {
    present: RwLock<Arc<Loaded>>,
    watched: Mutex<Watched>,
    /// One reads the files, the others wait for it.
    reading: tokio::sync::Mutex<()>,
    passwords: Passwords,
    failures: Mutex<Failures>,
    handshakes: Mutex<Bucket>,
    /// The bucket of the rate limit, and the limit that it is for.
    rate: Mutex<Option<(RateLimit, Bucket)>>,
    /// Told whether what is written down is in use.
    in_use: Box<dyn Fn(bool) + Send + Sync>,
}

/// One state of the security, ready to use.
struct Loaded {
    tls: Option<LoadedTls>,
    config: WebConfig,
    headers: HeaderMap,
    /// What an unknown user's password is compared with: no cheaper than that of a known one.
    nobody: PasswordHash,
}

/// A state that was read, and where it came from.
pub struct Prepared {
    loaded: Loaded,
    watched: Watched,
}

/// How a connection to the port begins.
pub enum Opening {
    Plain,
    Tls(TlsAcceptor, CertificateCheck),
    /// With the reason.
    Refused(&'static str),
}

impl Prepared {
    /// Reads what is written down. At a start and at a reload, what is wrong is an error.
    pub fn read(source: WebSource) -> Result<Self, LoadError> {
        let (watched, loaded) = Watched::read(Arc::new(source), &[]);
        Ok(Self {
            loaded: loaded?,
            watched,
        })
    }
}

impl Security {
    /// `key` is random.
    pub fn new(prepared: Prepared, key: [u8; 32], in_use: Box<dyn Fn(bool) + Send + Sync>) -> Self {
        prepared.loaded.remark();
        Self {
            present: RwLock::new(Arc::new(prepared.loaded)),
            watched: Mutex::new(prepared.watched),
            reading: tokio::sync::Mutex::default(),
            passwords: Passwords::new(key),
            failures: Mutex::default(),
            handshakes: Mutex::new(Bucket::new(HANDSHAKE_INTERVAL, HANDSHAKES_BURST)),
            rate: Mutex::default(),
            in_use,
        }
    }

    /// Another configuration holds from now on.
    pub fn replace(&self, prepared: Prepared) {
        prepared.loaded.remark();
        *lock(&self.watched) = prepared.watched;
        self.set(prepared.loaded);
    }

    /// When the served certificate expires.
    pub fn validity(&self) -> Option<Validity> {
        self.last().tls.as_ref().and_then(|tls| tls.validity)
    }

    /// Passwords that were checked at the cost of bcrypt.
    pub fn passwords_checked(&self) -> u64 {
        self.passwords.checked()
    }

    /// The state that was read last.
    fn last(&self) -> Arc<Loaded> {
        Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, loaded: Loaded) {
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        *present = Arc::new(loaded);
        (self.in_use)(true);
    }

    /// The state that is written down now, or the last good one.
    async fn now(&self) -> Arc<Loaded> {
        if !lock(&self.watched).has_changed() {
            return self.last();
        }
        let _one = self.reading.lock().await;
        let before = lock(&self.watched).clone();
        // Another connection may have read it meanwhile.
        if !before.has_changed() {
            return self.last();
        }
        let source = Arc::clone(&before.source);
        let files = before.files();
        // Off the agents' thread: a slow disk would hold all of them.
        let read = tokio::task::spawn_blocking(move || Watched::read(source, &files)).await;
        let Ok((watched, loaded)) = read else {
            return self.last();
        };
        let mut current = lock(&self.watched);
        // A reload of the whole configuration may have come between.
        if !Arc::ptr_eq(&current.source, &watched.source) {
            return self.last();
        }
        let place = watched.source.place();
        *current = watched;
        drop(current);
        match loaded {
            Ok(loaded) => {
                tracing::info!(place, "the security of the metrics port was read again");
                loaded.remark();
                self.set(loaded);
            }
            Err(error) => {
                tracing::error!(
                    place, error = %error,
                    "the security of the metrics port cannot be used as it is now; the last good one stays"
                );
                (self.in_use)(false);
            }
        }
        self.last()
    }

    /// How a connection begins. Too many handshakes are refused before they cost anything.
    pub async fn open(&self, peer: IpAddr, own: IpAddr) -> Opening {
        let loaded = self.now().await;
        let Some(tls) = &loaded.tls else {
            return Opening::Plain;
        };
        if !lock(&self.handshakes).take() {
            return Opening::Refused("handshake_rate");
        }
        let from_this_machine = peer.to_canonical().is_loopback() || peer == own;
        let acceptor = tls.acceptor(from_this_machine);
        let checking = Arc::clone(&loaded);
        let check = move |connection: &_| match &checking.tls {
            Some(tls) => tls.lacks_certificate(connection),
            None => Ok(false),
        };
        Opening::Tls(acceptor, Arc::new(check))
    }

    /// Whether the rate limit of the configuration lets one more request pass.
    fn passes(&self, loaded: &Loaded) -> bool {
        let Some(limit) = loaded.config.rate else {
            return true;
        };
        let mut rate = lock(&self.rate);
        let fresh = || (limit, Bucket::new(limit.interval, limit.burst));
        let (known, _) = rate.get_or_insert_with(fresh);
        if *known != limit {
            *rate = Some(fresh());
        }
        rate.as_mut().is_none_or(|(_, bucket)| bucket.take())
    }
}

impl Loaded {
    fn read(config: WebConfig) -> Result<Self, LoadError> {
        let tls = config.tls.as_ref().map(LoadedTls::new).transpose()?;
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            // They were checked when they were read.
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        let costs = config.users.values().map(PasswordHash::cost);
        let nobody = PasswordHash::of_nobody(costs.max().unwrap_or_default());
        Ok(Self {
            tls,
            config,
            headers,
            nobody,
        })
    }

    fn remark(&self) {
        for remark in &self.config.remarks {
            tracing::warn!("metrics port: {remark}");
        }
    }

    fn is_token(&self, shown: &str) -> bool {
        let Some(token) = &self.config.token else {
            return false;
        };
        let digest = |text: &str| <[u8; 32]>::from(Sha256::digest(text));
        digest(token.expose()).ct_eq(&digest(shown)).into()
    }

    /// The hash to compare with, and whether there is such a user at all.
    fn hash_of(&self, user: &[u8]) -> (&PasswordHash, bool) {
        let user = std::str::from_utf8(user).ok();
        let found = user.and_then(|user| self.config.users.get(user));
        (found.unwrap_or(&self.nobody), found.is_some())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Security")
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prepared")
    }
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opening")
    }
}
