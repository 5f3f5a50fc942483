//! Lets a request pass to the page: the rate first, then who asks.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Attempt, Loaded, Security, lock};
use crate::http::AdmittedPeer;
use crate::http::access::{RefusalObserver, refusal};

/// Whether a token is an operator's.
pub type OperatorCheck = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// How long who is turned away for a while is told to wait: a source, and the whole port.
const SOURCE_RETRY_S: u64 = 60;
const BUSY_RETRY_S: u64 = 1;
/// No token of ours is shorter: it need not be looked up.
const TOKEN_CHARS_MIN: usize = 32;

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The configured rate limit.
    Rate,
    /// The source was wrong too often.
    Source,
    /// Too many passwords wait to be checked.
    Busy,
    NothingShown,
    Wrong,
}

/// What the request shows.
enum Shown {
    Nothing,
    Token(String),
    Password { user: Vec<u8>, password: Vec<u8> },
    Unreadable,
}

/// The page behind the security of its port. The operator's token opens it too, for `coord health`.
pub fn guarded(
    router: Router,
    security: Arc<Security>,
    operator: OperatorCheck,
    refused: RefusalObserver,
) -> Router {
    router.layer(from_fn(move |request: Request, next: Next| {
        let security = Arc::clone(&security);
        let (operator, refused) = (Arc::clone(&operator), Arc::clone(&refused));
        async move {
            let loaded = security.now().await;
            // A request cannot be looked at across a wait: its body is for one thread.
            let peer = request.extensions().get::<AdmittedPeer>().cloned();
            let shown = shown(request.headers());
            let entered = security.enter(&loaded, peer, shown, &operator).await;
            let mut response = match entered {
                Ok(()) => next.run(request).await,
                Err(why) => {
                    refused(why.reason());
                    why.response(&loaded)
                }
            };
            let further = loaded.headers.iter();
            let further = further.map(|(name, value)| (name.clone(), value.clone()));
            response.headers_mut().extend(further);
            response
        }
    }))
}

impl Security {
    async fn enter(
        &self,
        loaded: &Loaded,
        peer: Option<AdmittedPeer>,
        shown: Shown,
        operator: &OperatorCheck,
    ) -> Result<(), Refusal> {
        if !self.passes(loaded) {
            return Err(Refusal::Rate);
        }
        let lacks_certificate = peer.as_ref().is_some_and(|peer| peer.lacks_certificate);
        if !loaded.config.asks() && !lacks_certificate {
            return Ok(());
        }
        // Every connection of the listener has one.
        let peer = peer.map(|peer| peer.address.ip()).ok_or(Refusal::Wrong)?;
        match shown {
            Shown::Nothing => Err(Refusal::NothingShown),
            Shown::Token(token) if !lacks_certificate && loaded.is_token(&token) => Ok(()),
            Shown::Token(token) => self.guessed(peer, is_operator(operator, &token)),
            // A password does not stand in for a certificate.
            Shown::Password { user, password } if !lacks_certificate => {
                self.check_password(loaded, peer, &user, &password).await
            }
            Shown::Password { .. } | Shown::Unreadable => self.guessed(peer, || false),
        }
    }

    /// Something that costs little to check: who is right passes, whatever came before from the same source.
    fn guessed(&self, peer: IpAddr, is_right: impl FnOnce() -> bool) -> Result<(), Refusal> {
        if is_right() {
            return Ok(());
        }
        if lock(&self.failures).attempt(peer) {
            return Err(Refusal::Wrong);
        }
        Err(Refusal::Source)
    }

    async fn check_password(
        &self,
        loaded: &Loaded,
        peer: IpAddr,
        user: &[u8],
        password: &[u8],
    ) -> Result<(), Refusal> {
        if loaded.config.users.is_empty() {
            return self.guessed(peer, || false);
        }
        let (hash, exists) = loaded.hash_of(user);
        let attempt = Attempt {
            user,
            password,
            hash,
        };
        // Who was right before never waits for those who guess.
        let known = self.passwords.known(&attempt);
        if known == Some(true) && exists {
            return Ok(());
        }
        if !lock(&self.failures).attempt(peer) {
            return Err(Refusal::Source);
        }
        let checked = match known {
            Some(right) => Ok(right),
            None => self.passwords.check(&attempt).await,
        };
        let Ok(right) = checked else {
            lock(&self.failures).forgive(peer);
            return Err(Refusal::Busy);
        };
        if right && exists {
            lock(&self.failures).forgive(peer);
            return Ok(());
        }
        Err(Refusal::Wrong)
    }
}

fn is_operator<'a>(operator: &'a OperatorCheck, token: &'a str) -> impl FnOnce() -> bool + 'a {
    move || token.len() >= TOKEN_CHARS_MIN && operator(token)
}

fn shown(headers: &HeaderMap) -> Shown {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Shown::Nothing;
    };
    let text = value.to_str().unwrap_or_default();
    let Some((scheme, rest)) = text.split_once(' ') else {
        return Shown::Unreadable;
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        return Shown::Token(rest.trim().to_owned());
    }
    let decoded = scheme
        .eq_ignore_ascii_case("basic")
        .then(|| STANDARD.decode(rest.trim()).ok())
        .flatten();
    let colon = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b':');
    match decoded.map(|bytes| (colon(&bytes), bytes)) {
        Some((Some(end), mut user)) => {
            let password = user.split_off(end).split_off(1);
            Shown::Password { user, password }
        }
        _ => Shown::Unreadable,
    }
}

impl Refusal {
    fn reason(self) -> &'static str {
        match self {
            Self::Rate => "metrics_rate",
            Self::Source => "metrics_source",
            Self::Busy => "metrics_busy",
            Self::NothingShown => "metrics_no_credentials",
            Self::Wrong => "metrics_credentials",
        }
    }

    fn response(self, loaded: &Loaded) -> Response {
        let later = |message, seconds: u64| {
            let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, "overloaded", message);
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            response
        };
        match self {
            Self::Rate => later("too many requests", BUSY_RETRY_S),
            Self::Source => later("too many wrong passwords or tokens", SOURCE_RETRY_S),
            Self::Busy => later("too many passwords to check at once", BUSY_RETRY_S),
            Self::NothingShown | Self::Wrong => {
                let ways = if loaded.config.users.is_empty() {
                    "a token"
                } else {
                    "a user and password, or a token"
                };
                let message = match self {
                    Self::NothingShown => format!("{ways} is needed for the metrics"),
                    _ => "the password or token is wrong".to_owned(),
                };
                let mut response = refusal(StatusCode::UNAUTHORIZED, "unauthenticated", &message);
                if !loaded.config.users.is_empty() {
                    let basic = HeaderValue::from_static("Basic realm=\"coord\"");
                    response.headers_mut().append(WWW_AUTHENTICATE, basic);
                }
                response
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &'static str, expected: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static(header));
        let found = match shown(&headers) {
            Shown::Nothing => "nothing".to_owned(),
            Shown::Unreadable => "unreadable".to_owned(),
            Shown::Token(token) => format!("token {token}"),
            Shown::Password { user, password } => {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                format!("{} / {}", text(&user), text(&password))
            }
        };
        assert_eq!(found, expected, "{header}");
    }

    #[test]
    fn what_a_request_shows_is_read() {
        check("Bearer abc", "token abc");
        check("bearer  abc ", "token abc");
        check("Basic YW5hOnNlY3JldA==", "ana / secret");
        check("BASIC YW5hOnNlY3JldA==", "ana / secret");
        // A password may have colons in it and a name may be empty.
        check("Basic OmE6Yg==", " / a:b");
        check("Basic YW5h", "unreadable");
        check("Basic !", "unreadable");
        check("Digest x", "unreadable");
        check("Bearer", "unreadable");
    }
}
