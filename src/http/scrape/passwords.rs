//! Checks passwords against bcrypt hashes, away from the thread that serves the agents.
//!
//! One check takes 60 ms on a PC and up to a second on a small box. So there is one thread for them, one check at a
//! time, a short queue, and a memory of the last results: a scraper with the right password is checked once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::config::web::PasswordHash;

/// Checks that wait behind the one that runs.
const QUEUE_MAX: usize = 4;
/// Right answers that are remembered, until the hash changes.
const RIGHT_MAX: usize = 64;
/// Wrong answers that are remembered, and for how long.
const WRONG_MAX: usize = 16;
const WRONG_KEPT: Duration = Duration::from_mins(1);

/// A user, a hash and a password as one, without telling any of them.
type Fingerprint = [u8; 32];

/// Checks passwords and remembers.
#[derive(Debug)]
pub(super) struct Passwords {
    /// Of this process, so that nobody outside can compute a fingerprint.
    key: [u8; 32],
    known: Mutex<Known>,
    worker: OnceLock<Option<SyncSender<Job>>>,
    checked: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Known {
    right: VecDeque<Fingerprint>,
    wrong: VecDeque<(Fingerprint, Instant)>,
}

#[derive(Debug)]
struct Job {
    hash: PasswordHash,
    password: Vec<u8>,
    answer: oneshot::Sender<bool>,
}

/// One password of one user, and the hash that it should have.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    pub(super) user: &'a [u8],
    pub(super) password: &'a [u8],
    pub(super) hash: &'a PasswordHash,
}

/// Too many checks wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Busy;

impl Passwords {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self {
            key,
            known: Mutex::default(),
            worker: OnceLock::new(),
            checked: Arc::default(),
        }
    }

    /// Checks that took the time of bcrypt.
    pub(super) fn checked(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }

    /// What is remembered of an attempt.
    pub(super) fn known(&self, attempt: &Attempt<'_>) -> Option<bool> {
        let wanted = self.fingerprint(attempt);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.right.iter().any(|right| is_same(right, &wanted)) {
            return Some(true);
        }
        let fresh = |at: &Instant| at.elapsed() < WRONG_KEPT;
        let mut wrong = known.wrong.iter();
        wrong
            .any(|(wrong, at)| is_same(wrong, &wanted) && fresh(at))
            .then_some(false)
    }

    /// Checks, and remembers. It may wait for a few checks that came before.
    pub(super) async fn check(&self, attempt: &Attempt<'_>) -> Result<bool, Busy> {
        let (answer, answered) = oneshot::channel();
        let job = Job {
            hash: attempt.hash.clone(),
            password: attempt.password.to_vec(),
            answer,
        };
        let worker = self.worker.get_or_init(|| start(&self.checked));
        match worker.as_ref().map(|worker| worker.try_send(job)) {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => {
                return Err(Busy);
            }
        }
        let right = answered.await.map_err(|_| Busy)?;
        self.remember(self.fingerprint(attempt), right);
        Ok(right)
    }

    fn remember(&self, fingerprint: Fingerprint, right: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if right {
            if known.right.len() >= RIGHT_MAX {
                known.right.pop_front();
            }
            known.right.push_back(fingerprint);
        } else {
            if known.wrong.len() >= WRONG_MAX {
                known.wrong.pop_front();
            }
            known.wrong.push_back((fingerprint, Instant::now()));
        }
    }

    /// Each part with its length: or one attempt could be read as another (CVE-2022-46146).
    fn fingerprint(&self, attempt: &Attempt<'_>) -> Fingerprint {
        let mut digest = Sha256::new_with_prefix(self.key);
        for part in [
            attempt.user,
            attempt.hash.expose().as_bytes(),
            attempt.password,
        ] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

fn is_same(one: &Fingerprint, other: &Fingerprint) -> bool {
    one.ct_eq(other).into()
}

/// Without a thread nobody with a password gets in; the next start may have one.
fn start(checked: &Arc<AtomicU64>) -> Option<SyncSender<Job>> {
    let (send, receive) = sync_channel(QUEUE_MAX);
    let checked = Arc::clone(checked);
    let named = std::thread::Builder::new().name("passwords".to_owned());
    let started = named.spawn(move || work(&receive, &checked));
    if let Err(error) = started {
        tracing::error!(%error, "cannot start the thread that checks passwords");
        return None;
    }
    Some(send)
}

/// Ends when nobody can ask any more.
fn work(jobs: &Receiver<Job>, checked: &AtomicU64) {
    // Agents come first where the system lets a thread say so; a sandbox may forbid it.
    let _ = rustix::process::nice(19);
    for job in jobs {
        // Who asked may have gone, and the time is better spent on the next.
        if job.answer.is_closed() {
            continue;
        }
        checked.fetch_add(1, Ordering::Relaxed);
        let right = bcrypt::verify(&job.password, job.hash.expose());
        let _ = job.answer.send(right.unwrap_or(false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(password: &str) -> PasswordHash {
        let text = bcrypt::hash_with_salt(password, 4, [7; 16]).expect("the cost is allowed");
        PasswordHash::new("ana", &text.to_string()).expect("it is a hash")
    }

    fn attempt<'a>(hash: &'a PasswordHash, user: &'a str, password: &'a str) -> Attempt<'a> {
        Attempt {
            user: user.as_bytes(),
            password: password.as_bytes(),
            hash,
        }
    }

    #[tokio::test]
    async fn a_right_password_is_checked_once_and_a_wrong_one_once_a_minute() {
        let (passwords, hash) = (Passwords::new([1; 32]), hash("secret"));
        let (good, bad) = (
            attempt(&hash, "ana", "secret"),
            attempt(&hash, "ana", "Secret"),
        );
        assert_eq!(passwords.known(&good), None);
        assert_eq!(passwords.check(&good).await, Ok(true));
        assert_eq!(passwords.check(&bad).await, Ok(false));
        assert_eq!(passwords.known(&good), Some(true));
        assert_eq!(passwords.known(&bad), Some(false));
        tokio::time::pause();
        tokio::time::advance(WRONG_KEPT).await;
        assert_eq!(passwords.known(&good), Some(true));
        assert_eq!(passwords.known(&bad), None);
        // Neither another user nor another hash has the same answer.
        assert_eq!(passwords.known(&attempt(&hash, "bob", "secret")), None);
        let other = PasswordHash::of_nobody(4);
        assert_eq!(passwords.known(&attempt(&other, "ana", "secret")), None);
        assert_eq!(passwords.checked(), 2);
    }

    #[tokio::test]
    async fn parts_of_an_attempt_cannot_be_moved_into_each_other() {
        let (passwords, hash) = (Passwords::new([1; 32]), hash("secret"));
        assert_eq!(
            passwords.check(&attempt(&hash, "ana", "secret")).await,
            Ok(true)
        );
        for (user, password) in [("an", "asecret"), ("anas", "ecret"), ("", "anasecret")] {
            assert_eq!(passwords.known(&attempt(&hash, user, password)), None);
        }
    }

    #[tokio::test]
    async fn a_flood_costs_no_more_than_the_queue() {
        // Dear enough that the first one still runs when all others have come.
        let passwords = Passwords::new([1; 32]);
        let hash = PasswordHash::of_nobody(11);
        let words: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let attempts: Vec<_> = words
            .iter()
            .map(|word| attempt(&hash, "ana", word))
            .collect();
        let checks = attempts.iter().map(|attempt| passwords.check(attempt));
        let answers = futures_util::future::join_all(checks).await;
        let busy = answers
            .iter()
            .filter(|answer| **answer == Err(Busy))
            .count();
        // One runs at most, and the queue is full.
        assert!(busy >= 100 - QUEUE_MAX - 1, "{busy} of 100 were refused");
        assert!(!answers.contains(&Ok(true)));
        assert!(passwords.checked() <= QUEUE_MAX as u64 + 1);
    }

    #[tokio::test]
    async fn what_is_remembered_has_a_bound() {
        let passwords = Passwords::new([1; 32]);
        for number in 0..=255 {
            passwords.remember([number; 32], true);
            passwords.remember([number; 32], false);
        }
        let known = passwords.known.lock().expect("nobody panicked");
        assert_eq!(
            (known.right.len(), known.wrong.len()),
            (RIGHT_MAX, WRONG_MAX)
        );
    }
}
