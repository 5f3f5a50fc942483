//! Who looks at the page: sessions by cookie, codes that begin one, and addresses that guess.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::driver::Identity;
use crate::driver::core::Moment;

/// How long a session lasts.
const SESSION_MS: u64 = 12 * 60 * 60 * 1_000;
/// How long a link can be used.
pub(super) const CODE_MS: u64 = 120_000;
const SESSIONS_MAX: usize = 512;
/// With one token; the oldest ends for a new one.
const SESSIONS_PER_TOKEN_MAX: usize = 16;
const CODES_MAX: usize = 256;
/// For one token; a new one takes the place of the oldest.
const CODES_PER_TOKEN_MAX: usize = 8;
/// Wrong tokens and codes from one address; after these, one more each [`FAILURE_MS`].
const FAILURES_MAX: u64 = 10;
const FAILURE_MS: u64 = 6_000;
const ADDRESSES_MAX: usize = 1_024;

/// Makes secrets.
pub(super) type Random = fn() -> [u8; 32];

/// A session that a request belongs to.
#[derive(Debug, Clone)]
pub struct Session {
    pub identity: Identity,
    pub left: Duration,
    /// Its sender is dropped when the session ends.
    pub ended: watch::Receiver<()>,
}

/// All sessions, in memory only: a restart ends them.
#[derive(Debug, Clone)]
pub struct Sessions {
    held: Arc<Mutex<Held>>,
    random: Random,
    /// Cookies do not know ports, so the port is in the name: two coordinators of one host do not mix.
    cookie: Arc<str>,
}

/// A browser takes a cookie of such a name only over TLS, and from this very host.
const SECURE_PREFIX: &str = "__Host-";

/// Secrets are known by their digest, which also makes the time of a comparison tell nothing about them.
type Key = [u8; 32];

#[derive(Debug, Default)]
struct Held {
    sessions: BTreeMap<Key, Kept>,
    codes: BTreeMap<Key, (Identity, Moment)>,
    failures: BTreeMap<IpAddr, Moment>,
}

#[derive(Debug)]
struct Kept {
    identity: Identity,
    until: Moment,
    /// Its cookie has the prefix.
    is_secure: bool,
    ended: watch::Sender<()>,
}

impl Kept {
    fn session(&self, now: Moment) -> Session {
        Session {
            identity: self.identity.clone(),
            left: Duration::from_micros(self.until.since_us(now)),
            ended: self.ended.subscribe(),
        }
    }
}

impl Sessions {
    pub fn new(random: Random, port: u16) -> Self {
        Self {
            held: Arc::default(),
            random,
            cookie: format!("coord-{port}").into(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secret(&self) -> (String, Key) {
        let secret = URL_SAFE_NO_PAD.encode((self.random)());
        let key = key_of(&secret);
        (secret, key)
    }

    /// A code that begins one session; `None` when too many are out.
    pub(super) fn code(&self, identity: Identity, now: Moment) -> Option<String> {
        let mut held = self.lock();
        held.codes.retain(|_, (_, until)| *until > now);
        let of_token = held.codes.iter();
        let of_token = of_token.filter(|(_, (known, _))| known.token == identity.token);
        let oldest = of_token.clone().min_by_key(|(_, (_, until))| *until);
        if let Some((&oldest, _)) = oldest
            && of_token.count() >= CODES_PER_TOKEN_MAX
        {
            held.codes.remove(&oldest);
        }
        if held.codes.len() >= CODES_MAX {
            return None;
        }
        let (secret, key) = self.secret();
        held.codes.insert(key, (identity, now.after_ms(CODE_MS)));
        Some(secret)
    }

    /// Uses a code up.
    pub(super) fn redeem(&self, code: &str, now: Moment) -> Option<Identity> {
        let (identity, until) = self.lock().codes.remove(&key_of(code))?;
        (until > now).then_some(identity)
    }

    /// The cookie of a new session; `None` when there are too many. `is_secure`: the browser came by TLS, ours or that
    /// of a proxy, so the cookie never goes without.
    pub(super) fn begin(
        &self,
        identity: Identity,
        is_secure: bool,
        now: Moment,
    ) -> Option<(String, Session)> {
        let mut held = self.lock();
        held.sessions.retain(|_, kept| kept.until > now);
        let of_token = held.sessions.iter();
        let of_token = of_token.filter(|(_, kept)| kept.identity.token == identity.token);
        let oldest = of_token.clone().min_by_key(|(_, kept)| kept.until);
        if let Some((&oldest, _)) = oldest
            && of_token.count() >= SESSIONS_PER_TOKEN_MAX
        {
            held.sessions.remove(&oldest);
        }
        if held.sessions.len() >= SESSIONS_MAX {
            return None;
        }
        let (secret, key) = self.secret();
        let kept = Kept {
            identity,
            until: now.after_ms(SESSION_MS),
            is_secure,
            ended: watch::Sender::new(()),
        };
        let session = kept.session(now);
        held.sessions.insert(key, kept);
        let cookie = self.cookie(&secret, SESSION_MS / 1_000, is_secure);
        Some((cookie, session))
    }

    /// Takes the cookie from the browser.
    pub(super) fn no_cookie(&self, is_secure: bool) -> String {
        self.cookie("", 0, is_secure)
    }

    fn cookie(&self, value: &str, seconds: u64, is_secure: bool) -> String {
        let (prefix, secure) = if is_secure {
            (SECURE_PREFIX, "; Secure")
        } else {
            ("", "")
        };
        let name = &self.cookie;
        format!(
            "{prefix}{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}"
        )
    }

    pub(super) fn find(&self, headers: &HeaderMap, now: Moment) -> Option<Session> {
        let (key, is_secure) = self.key_in(headers)?;
        let held = self.lock();
        let kept = held.sessions.get(&key)?;
        // Another host of the same domain can set a cookie for us, but none with the prefix.
        let is_ours = kept.is_secure == is_secure;
        (is_ours && kept.until > now).then(|| kept.session(now))
    }

    pub(super) fn end(&self, headers: &HeaderMap) {
        if let Some((key, _)) = self.key_in(headers) {
            self.lock().sessions.remove(&key);
        }
    }

    /// The session that the cookie names, and whether the cookie has the prefix.
    fn key_in(&self, headers: &HeaderMap) -> Option<(Key, bool)> {
        let lines = headers.get_all(COOKIE).into_iter();
        let texts = lines.filter_map(|value| value.to_str().ok());
        let pairs = texts
            .flat_map(|text| text.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let ours = pairs.filter_map(|(name, secret)| {
            let bare = name.strip_prefix(SECURE_PREFIX);
            let is_ours = bare.unwrap_or(name) == &*self.cookie;
            is_ours.then(|| (key_of(secret), bare.is_some()))
        });
        ours.max_by_key(|(_, is_secure)| *is_secure)
    }

    /// How long an address that guessed too often has to wait. What is kept of it is the moment at which all
    /// its failures are forgotten.
    pub(super) fn must_wait(&self, peer: IpAddr, now: Moment) -> Option<Duration> {
        let held = self.lock();
        let forgotten = held.failures.get(&peer)?;
        let allowed = now.after_ms((FAILURES_MAX - 1) * FAILURE_MS);
        (*forgotten > allowed).then(|| Duration::from_micros(forgotten.since_us(allowed)))
    }

    pub(super) fn failed(&self, peer: IpAddr, now: Moment) {
        let mut held = self.lock();
        if held.failures.len() >= ADDRESSES_MAX {
            held.failures.retain(|_, forgotten| *forgotten > now);
        }
        // Whoever has so many addresses is not held up by this; secrets have 256 bits.
        if held.failures.len() < ADDRESSES_MAX || held.failures.contains_key(&peer) {
            let forgotten = held.failures.entry(peer).or_insert(now);
            *forgotten = (*forgotten).max(now).after_ms(FAILURE_MS);
        }
    }
}

fn key_of(secret: &str) -> Key {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::engine::command::{ProjectScope, Role};

    fn random() -> [u8; 32] {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        bytes
    }

    fn identity(token: &str) -> Identity {
        Identity {
            token: token.parse().expect("a token's id"),
            agent: "ana".parse().expect("a name"),
            role: Role::Agent,
            projects: ProjectScope::All,
            seats: false,
        }
    }

    fn with(cookie: &str) -> HeaderMap {
        let pair = cookie.split(';').next().expect("it has a first part");
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(pair).expect("it is ASCII"));
        headers
    }

    #[test]
    fn a_session_ends_by_itself() {
        let (sessions, now) = (Sessions::new(random, 8766), Moment(5));
        let (cookie, _) = sessions
            .begin(identity("t-1"), true, now)
            .expect("there is room");
        assert!(cookie.starts_with("__Host-coord-8766="), "{cookie}");
        assert!(cookie.ends_with("; Secure"), "{cookie}");
        assert!(sessions.find(&with(&cookie), now).is_some());
        let last = now.after_ms(SESSION_MS - 1);
        assert!(sessions.find(&with(&cookie), last).is_some());
        assert!(
            sessions
                .find(&with(&cookie), now.after_ms(SESSION_MS))
                .is_none()
        );
        let other = cookie.replace("8766", "8767");
        assert!(sessions.find(&with(&other), now).is_none());
    }

    #[test]
    fn a_cookie_of_a_neighbour_is_none_of_ours() {
        let (sessions, now) = (Sessions::new(random, 8766), Moment(5));
        let begin = |is_secure| {
            let begun = sessions.begin(identity("t-1"), is_secure, now);
            begun.expect("there is room").0
        };
        let (secure, plain) = (begin(true), begin(false));
        assert!(plain.starts_with("coord-8766="), "{plain}");
        assert!(!plain.contains("Secure"), "{plain}");
        assert!(sessions.find(&with(&plain), now).is_some());
        // A neighbour has a session of its own, but cannot set the prefix.
        let planted = secure.trim_start_matches(SECURE_PREFIX);
        assert!(sessions.find(&with(planted), now).is_none());
        let pair = |cookie: &str| cookie.split(';').next().unwrap_or_default().to_owned();
        let both = format!("{}; {}", pair(planted), pair(&secure)).replace("; ", ";");
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, both.parse().expect("it is ASCII"));
        assert!(sessions.find(&headers, now).is_some());
    }

    #[test]
    fn a_token_has_so_many_sessions_and_the_oldest_makes_room() {
        let sessions = Sessions::new(random, 8766);
        let at = |i: usize| Moment(1).after_ms(i as u64);
        let begin = |i| {
            sessions
                .begin(identity("t-1"), false, at(i))
                .expect("there is room")
        };
        let all: Vec<_> = (0..=SESSIONS_PER_TOKEN_MAX).map(begin).collect();
        let now = at(SESSIONS_PER_TOKEN_MAX);
        let there = |at: usize| sessions.find(&with(&all[at].0), now).is_some();
        assert!(!there(0) && there(1) && there(SESSIONS_PER_TOKEN_MAX));
        assert!(
            all[0].1.ended.has_changed().is_err(),
            "its connections go on"
        );
        let mut count = SESSIONS_PER_TOKEN_MAX;
        while sessions
            .begin(identity(&format!("t-{count}")), false, now)
            .is_some()
        {
            count += 1;
        }
        assert_eq!(count, SESSIONS_MAX);
    }

    #[test]
    fn a_code_is_over_after_a_while() {
        let (sessions, now) = (Sessions::new(random, 8766), Moment(5));
        let code = sessions.code(identity("t-1"), now).expect("there is room");
        assert_eq!(sessions.redeem(&code, now.after_ms(CODE_MS)), None);
        let code = sessions.code(identity("t-1"), now).expect("there is room");
        assert_eq!(sessions.redeem(&code, now), Some(identity("t-1")));
        assert_eq!(sessions.redeem(&code, now), None);
        let make = |i: usize| sessions.code(identity("t-1"), Moment(i as u64));
        let codes: Vec<_> = (0..=CODES_PER_TOKEN_MAX).map(make).collect();
        let good = codes
            .iter()
            .flatten()
            .filter(|code| sessions.redeem(code, now).is_some());
        assert_eq!(good.count(), CODES_PER_TOKEN_MAX);
    }

    #[test]
    fn failures_are_forgotten_one_by_one() {
        let (sessions, now) = (Sessions::new(random, 8766), Moment(5));
        let peer: IpAddr = "192.0.2.7".parse().expect("an address");
        for _ in 0..FAILURES_MAX {
            assert_eq!(sessions.must_wait(peer, now), None);
            sessions.failed(peer, now);
        }
        let wait = sessions.must_wait(peer, now);
        assert_eq!(wait, Some(Duration::from_millis(FAILURE_MS)));
        assert_eq!(sessions.must_wait(peer, now.after_ms(FAILURE_MS)), None);
        let other = "192.0.2.8".parse().expect("an address");
        assert_eq!(sessions.must_wait(other, now), None);
    }
}
