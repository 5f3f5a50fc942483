//! How often each source was wrong: who guesses is stopped before a guess costs anything.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::http::places::source;

/// Attempts of one source within [`WINDOW`] that may be wrong.
const FAILURES_MAX: u32 = 5;
const WINDOW: Duration = Duration::from_mins(1);
/// Sources that are remembered; the one that was wrong longest ago is forgotten first.
const SOURCES_MAX: usize = 256;

/// The sources that were wrong lately.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<IpAddr, Window>);

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Instant,
    count: u32,
}

impl Failures {
    /// Counts an attempt as wrong until [`Self::forgive`] says otherwise, so that attempts at the same time count
    /// too. `false`: there were too many.
    pub(super) fn attempt(&mut self, peer: IpAddr) -> bool {
        let (source, now) = (source(peer), Instant::now());
        self.0.retain(|_, window| now - window.since < WINDOW);
        if !self.0.contains_key(&source) && self.0.len() >= SOURCES_MAX {
            let oldest = self.0.iter().min_by_key(|(_, window)| window.since);
            if let Some(oldest) = oldest.map(|(source, _)| *source) {
                self.0.remove(&oldest);
            }
        }
        let fresh = Window {
            since: now,
            count: 0,
        };
        let window = self.0.entry(source).or_insert(fresh);
        window.count = window.count.saturating_add(1);
        window.count <= FAILURES_MAX
    }

    /// The attempt was right, or was never made.
    pub(super) fn forgive(&mut self, peer: IpAddr) {
        if let Some(window) = self.0.get_mut(&source(peer)) {
            window.count = window.count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_source_is_wrong_five_times_a_minute() {
        let peer = |text: &str| text.parse::<IpAddr>().expect("an address");
        let mut failures = Failures::default();
        let wrong = |failures: &mut Failures, text: &str| {
            (0..9).filter(|_| failures.attempt(peer(text))).count()
        };
        assert_eq!(wrong(&mut failures, "192.0.2.1"), 5);
        assert_eq!(wrong(&mut failures, "::ffff:192.0.2.1"), 0);
        assert_eq!(wrong(&mut failures, "2001:db8::1"), 5);
        assert_eq!(wrong(&mut failures, "2001:db8::2"), 0);
        assert_eq!(wrong(&mut failures, "2001:db8:0:1::1"), 5);
        tokio::time::advance(WINDOW).await;
        assert_eq!(wrong(&mut failures, "192.0.2.1"), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_right_is_never_stopped_and_memory_has_a_bound() {
        let mut failures = Failures::default();
        let peer = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..100 {
            assert!(failures.attempt(peer));
            failures.forgive(peer);
        }
        for number in 0..2_000_u32 {
            failures.attempt(std::net::Ipv4Addr::from_bits(number).into());
        }
        assert_eq!(failures.0.len(), SOURCES_MAX);
    }
}
