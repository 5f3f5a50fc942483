//! `sd_notify(3)`: what a service tells its manager, as datagrams of `NAME=value` lines.

use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::config::Environment;

const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";
const WATCHDOG_VARIABLE: &str = "WATCHDOG_USEC";
const WATCHDOG_PID_VARIABLE: &str = "WATCHDOG_PID";
/// How long an important message waits for a busy manager.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longer texts are cut: `systemctl status` shows one line.
const STATUS_CHARS_MAX: usize = 300;

/// The service manager, if there is one. A failed notification never fails the service; it is logged.
#[derive(Debug)]
pub struct Manager {
    socket: Option<Sockets>,
    watchdog: Option<Duration>,
}

/// Two ways to the same place.
#[derive(Debug)]
struct Sockets {
    /// Waits, because the manager waits for this message.
    patient: UnixDatagram,
    /// Never waits: a lost heartbeat is replaced by the next one.
    hasty: UnixDatagram,
}

/// Why the service manager cannot be notified.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    #[error("cannot reach the service manager at {address} ({SOCKET_VARIABLE})")]
    Connect {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error("{SOCKET_VARIABLE} is {address}, which is neither a path nor an abstract name")]
    Address { address: String },
    #[error("{name} is {text}, which is not a number")]
    Number { name: &'static str, text: String },
}

impl Manager {
    /// The manager that the environment names; `pid` is this process.
    pub fn from_environment(environment: &dyn Environment, pid: u32) -> Result<Self, NotifyError> {
        let variable = |name| environment.variable(name).ok().flatten();
        let socket = variable(SOCKET_VARIABLE).map(|address| Sockets::connect(&address));
        let number = |name| {
            let parse = |text: String| {
                let number = text.parse::<u64>();
                number.map_err(|_| NotifyError::Number { name, text })
            };
            variable(name).map(parse).transpose()
        };
        let meant = number(WATCHDOG_PID_VARIABLE)?.is_none_or(|meant| meant == u64::from(pid));
        let watchdog = number(WATCHDOG_VARIABLE)?.filter(|period_us| meant && *period_us > 0);
        Ok(Self {
            socket: socket.transpose()?,
            watchdog: watchdog.map(Duration::from_micros),
        })
    }

    /// The watchdog's timeout after a heartbeat.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.socket.is_some())
    }

    /// It serves; after a reload, with the new configuration.
    pub fn ready(&self, status: &str) {
        self.insist(&format!("READY=1\n{}", status_line(status)));
    }

    /// It is reloading its configuration; [`Manager::ready`] says when it is done. `monotonic_us` is the time
    /// of the machine's monotonic clock.
    pub fn reloading(&self, monotonic_us: u64, status: &str) {
        self.insist(&format!(
            "RELOADING=1\nMONOTONIC_USEC={monotonic_us}\n{}",
            status_line(status)
        ));
    }

    /// It is stopping.
    pub fn stopping(&self, status: &str) {
        self.insist(&format!("STOPPING=1\n{}", status_line(status)));
    }

    /// It is still starting, and needs up to this much more time.
    pub fn extend_timeout(&self, time: Duration) {
        self.tell(&format!("EXTEND_TIMEOUT_USEC={}", time.as_micros()));
    }

    /// The text for `systemctl status`. It may be lost.
    pub fn status(&self, status: &str) {
        self.tell(&status_line(status));
    }

    /// A heartbeat for the watchdog.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, message: &str) {
        self.send(message, |sockets| &sockets.hasty);
    }

    fn insist(&self, message: &str) {
        self.send(message, |sockets| &sockets.patient);
    }

    fn send(&self, message: &str, by: impl FnOnce(&Sockets) -> &UnixDatagram) {
        let Some(sockets) = &self.socket else { return };
        if let Err(error) = by(sockets).send(message.as_bytes()) {
            tracing::warn!(%error, "cannot notify the service manager");
        }
    }
}

impl Sockets {
    fn connect(address: &str) -> Result<Self, NotifyError> {
        let failed = |source| NotifyError::Connect {
            address: address.to_owned(),
            source,
        };
        let (patient, hasty) = (connect(address)?, connect(address)?);
        patient
            .set_write_timeout(Some(PATIENCE))
            .and_then(|()| hasty.set_nonblocking(true))
            .map_err(failed)?;
        Ok(Self { patient, hasty })
    }
}

fn status_line(status: &str) -> String {
    let mut line = String::from("STATUS=");
    let shown = status.chars().take(STATUS_CHARS_MAX);
    // A line break would begin another assignment.
    line.extend(shown.map(|c| if c.is_control() { ' ' } else { c }));
    if status.chars().nth(STATUS_CHARS_MAX).is_some() {
        // A string takes all that is written to it.
        let _ = write!(line, "…");
    }
    line
}

fn connect(address: &str) -> Result<UnixDatagram, NotifyError> {
    let failed = |source| NotifyError::Connect {
        address: address.to_owned(),
        source,
    };
    let target = match address.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(address),
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => {
            return Err(NotifyError::Address {
                address: address.to_owned(),
            });
        }
    };
    let socket = UnixDatagram::unbound().map_err(failed)?;
    socket
        .connect_addr(&target.map_err(failed)?)
        .map_err(failed)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MapEnvironment;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).expect("something was sent");
        String::from_utf8(buffer[..length].to_vec()).expect("it is text")
    }

    fn manager(variables: &[(&str, &str)]) -> Result<Manager, NotifyError> {
        let mut environment = MapEnvironment::default();
        for (name, text) in variables {
            let entry = ((*name).to_owned(), (*text).to_owned());
            environment.variables.extend([entry]);
        }
        Manager::from_environment(&environment, 42)
    }

    #[test]
    fn each_message_is_one_datagram() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("notify");
        let server = UnixDatagram::bind(&path).expect("it can be bound");
        let path = path.to_str().expect("it is text");
        let manager = manager(&[(SOCKET_VARIABLE, path)]).expect("it is there");
        manager.ready("serving");
        assert_eq!(received(&server), "READY=1\nSTATUS=serving");
        manager.reloading(7, "again");
        assert_eq!(
            received(&server),
            "RELOADING=1\nMONOTONIC_USEC=7\nSTATUS=again"
        );
        manager.status("two\nREADY=1");
        assert_eq!(received(&server), "STATUS=two READY=1");
        manager.status(&"x".repeat(STATUS_CHARS_MAX + 1));
        let cut = received(&server);
        assert!(cut.ends_with("x…"), "{cut}");
        manager.alive();
        assert_eq!(received(&server), "WATCHDOG=1");
        manager.extend_timeout(Duration::from_mins(1));
        assert_eq!(received(&server), "EXTEND_TIMEOUT_USEC=60000000");
        manager.stopping("bye");
        assert_eq!(received(&server), "STOPPING=1\nSTATUS=bye");
    }

    #[test]
    fn a_manager_that_does_not_read_holds_no_sign_of_life_up() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("notify");
        let server = UnixDatagram::bind(&path).expect("it can be bound");
        let path = path.to_str().expect("it is text");
        let manager = manager(&[(SOCKET_VARIABLE, path)]).expect("it is there");
        // Far more than the kernel keeps.
        (0..10_000).for_each(|_| manager.alive());
        assert_eq!(received(&server), "WATCHDOG=1");
    }

    #[test]
    fn an_abstract_name_is_an_address_too() {
        let name = format!("coord-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("the name is short");
        let server = UnixDatagram::bind_addr(&address).expect("nobody has it");
        let manager = manager(&[(SOCKET_VARIABLE, &format!("@{name}"))]).expect("it is there");
        manager.alive();
        assert_eq!(received(&server), "WATCHDOG=1");
    }

    #[test]
    fn without_a_manager_nothing_is_said() {
        let alone = manager(&[]).expect("that is the usual case");
        alone.ready("to nobody");
        assert_eq!(alone.watchdog(), None);
        let unheard = manager(&[(WATCHDOG_VARIABLE, "3000000")]).expect("the number is right");
        assert_eq!(unheard.watchdog(), None);
    }

    #[test]
    fn a_watchdog_is_for_the_process_it_names() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("notify");
        let _server = UnixDatagram::bind(&path).expect("it can be bound");
        let path = path.to_str().expect("it is text");
        let watchdog = |pid: &str| {
            let variables = [
                (SOCKET_VARIABLE, path),
                (WATCHDOG_VARIABLE, "3000000"),
                (WATCHDOG_PID_VARIABLE, pid),
            ];
            manager(&variables).expect("all is right").watchdog()
        };
        assert_eq!(watchdog("42"), Some(Duration::from_secs(3)));
        assert_eq!(watchdog("43"), None);
    }

    #[test]
    fn what_cannot_be_understood_is_told() {
        let error = |variables: &[(&str, &str)]| match manager(variables) {
            Err(error) => error.to_string(),
            Ok(manager) => panic!("{manager:?}"),
        };
        assert!(error(&[(SOCKET_VARIABLE, "vsock:2:1")]).contains("vsock:2:1"));
        assert!(error(&[(SOCKET_VARIABLE, "/nowhere/at/all")]).contains("/nowhere/at/all"));
        assert!(error(&[(WATCHDOG_VARIABLE, "soon")]).contains("WATCHDOG_USEC is soon"));
    }
}
