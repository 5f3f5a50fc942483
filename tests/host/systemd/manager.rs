//! A service manager that only listens, and a coordinator that tells it how it is.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread;

use tokio::sync::mpsc;

use crate::support::coordinator::Start;
use crate::support::within;

/// Far more than any test causes.
const MESSAGES_MAX: usize = 100_000;

/// The socket that a service is told to report to. A thread empties it, as a real manager does:
/// what finds it full is lost.
#[derive(Debug)]
pub struct Manager(mpsc::Receiver<String>);

impl Manager {
    /// Listens in a folder.
    pub fn listen(folder: &Path) -> Self {
        let socket = UnixDatagram::bind(folder.join("notify")).unwrap();
        let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
        thread::spawn(move || {
            let mut buffer = vec![0; 4096];
            // It ends with the process of the test, or at the first message after the test.
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if sender.try_send(text).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// Lets a coordinator report to it, with a watchdog of `watchdog_ms`.
    pub fn of(start: Start, watchdog_ms: u64) -> (Self, Start) {
        let manager = Self::listen(start.folder());
        let path = start.folder().join("notify");
        let start = start
            .variable("NOTIFY_SOCKET", path.display())
            .variable("WATCHDOG_USEC", watchdog_ms * 1_000);
        (manager, start)
    }

    /// The next message.
    pub async fn next(&mut self) -> String {
        within("a message to the manager", self.0.recv())
            .await
            .unwrap()
    }

    /// The next message that has all these parts.
    pub async fn until(&mut self, parts: &[&str]) -> String {
        within(&format!("a message with {parts:?}"), async {
            loop {
                let message = self.next().await;
                if parts.iter().all(|part| message.contains(part)) {
                    return message;
                }
            }
        })
        .await
    }

    /// Waits for signs of life that were sent from now on.
    pub async fn alive(&mut self, times: usize) {
        self.forget();
        for _ in 0..times {
            self.until(&["WATCHDOG=1"]).await;
        }
    }

    /// The next message of those that have come already.
    pub fn waiting(&mut self) -> Option<String> {
        self.0.try_recv().ok()
    }

    /// Forgets what has come so far.
    pub fn forget(&mut self) {
        while self.waiting().is_some() {}
    }
}
