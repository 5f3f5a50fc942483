//! Socket activation: listening sockets that systemd opened and keeps open over restarts.
//!
//! `LISTEN_FDNAMES` says which is which: `FileDescriptorName=` of the socket units.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use nix::sys::socket::{getsockopt, sockopt};

use crate::config::Environment;

const PID_VARIABLE: &str = "LISTEN_PID";
const COUNT_VARIABLE: &str = "LISTEN_FDS";
const NAMES_VARIABLE: &str = "LISTEN_FDNAMES";
/// A service has two; a wrong count must not make us look at thousands of descriptors.
const SOCKETS_MAX: usize = 16;

/// Sockets that were opened for this process and not taken yet.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(String, TcpListener)>,
}

/// Why inherited sockets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    #[error("{COUNT_VARIABLE} is {text}, which is not a number from 0 to {SOCKETS_MAX}")]
    Count { text: String },
    #[error(
        "{NAMES_VARIABLE} has {names} names for {count} sockets: give every socket unit a \
         FileDescriptorName="
    )]
    Names { names: usize, count: usize },
    #[error(
        "the inherited socket {name} is not a listening TCP socket: use ListenStream= with a port"
    )]
    Kind {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "{count} inherited sockets are called {name}, but one is needed: {}; keep one ListenStream= in the \
         socket unit", join(.addresses)
    )]
    Several {
        name: String,
        count: usize,
        addresses: Vec<SocketAddr>,
    },
}

impl Inherited {
    /// Takes over what was opened for the process `pid`; nothing when that is another one. Must be
    /// called once, and before there are threads, since the variables are removed.
    pub fn from_environment(
        environment: &dyn Environment,
        pid: u32,
    ) -> Result<Self, ActivationError> {
        let Some((text, names)) = told_of(environment, pid) else {
            return Ok(Self::default());
        };
        let count = text.parse().ok().filter(|count| *count <= SOCKETS_MAX);
        let count: usize = count.ok_or(ActivationError::Count { text })?;
        if names.len() != count {
            let names = names.len();
            return Err(ActivationError::Names { names, count });
        }
        let mut descriptors = ListenFd::from_env();
        let mut sockets = Vec::with_capacity(count);
        for (index, name) in names.into_iter().enumerate() {
            let taken = descriptors.take_tcp_listener(index);
            let checked = taken.and_then(|socket| socket.map(listening).transpose());
            let socket = checked.map_err(|source| ActivationError::Kind {
                name: name.clone(),
                source,
            })?;
            sockets.extend(socket.map(|socket| (name, socket)));
        }
        Ok(Self { sockets })
    }

    /// The socket of a name; `None` when there is none.
    pub fn take(&mut self, name: &str) -> Result<Option<TcpListener>, ActivationError> {
        let of_name = |(own, _): &(String, TcpListener)| own == name;
        let addresses: Vec<SocketAddr> = self
            .sockets
            .iter()
            .filter(|socket| of_name(socket))
            .filter_map(|(_, socket)| socket.local_addr().ok())
            .collect();
        if addresses.len() > 1 {
            return Err(ActivationError::Several {
                name: name.to_owned(),
                count: addresses.len(),
                addresses,
            });
        }
        let at = self.sockets.iter().position(of_name);
        Ok(at.map(|at| self.sockets.remove(at).1))
    }

    /// The names of the sockets that nobody took.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.sockets.iter().map(|(name, _)| name.as_str())
    }
}

/// The names of the sockets that were opened for the process `pid` and not taken over yet.
pub fn names(environment: &dyn Environment, pid: u32) -> Vec<String> {
    told_of(environment, pid).map_or_else(Vec::new, |(_, names)| names)
}

/// What it is told of them: their count, in the words of whoever opened them, and their names.
fn told_of(environment: &dyn Environment, pid: u32) -> Option<(String, Vec<String>)> {
    let variable = |name| environment.variable(name).ok().flatten();
    // A parent that was started this way hands its variables on, but not its sockets.
    let meant = variable(PID_VARIABLE)?;
    let count = variable(COUNT_VARIABLE).filter(|_| meant == pid.to_string())?;
    let names = variable(NAMES_VARIABLE).unwrap_or_default();
    let names = names.split(':').filter(|name| !name.is_empty());
    Some((count, names.map(str::to_owned).collect()))
}

/// A connection, or a socket that was only bound, is of the right kind and of no use.
fn listening(socket: TcpListener) -> io::Result<TcpListener> {
    if !getsockopt(&socket, sockopt::AcceptConn)? {
        return Err(io::Error::other("it is not in the listening state"));
    }
    // systemd leaves it blocking; the runtime must never wait in accept.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn join(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MapEnvironment;

    fn check(variables: &[(&str, &str)]) -> Result<Inherited, ActivationError> {
        let mut environment = MapEnvironment::default();
        for (name, text) in variables {
            let entry = ((*name).to_owned(), (*text).to_owned());
            environment.variables.extend([entry]);
        }
        Inherited::from_environment(&environment, 42)
    }

    #[test]
    fn sockets_of_another_process_are_not_ours() {
        for variables in [
            &[][..],
            &[(COUNT_VARIABLE, "1")],
            &[(COUNT_VARIABLE, "1"), (PID_VARIABLE, "43")],
        ] {
            let inherited = check(variables).expect("nothing is wrong with that");
            assert_eq!(inherited.left().count(), 0);
        }
    }

    #[test]
    fn counts_and_names_must_fit() {
        let ours = (PID_VARIABLE, "42");
        for text in ["-1", "many", "17", "99999999999999999999"] {
            let error = check(&[ours, (COUNT_VARIABLE, text)]).expect_err("it is no count");
            assert!(error.to_string().contains(text), "{error}");
        }
        let one = check(&[ours, (COUNT_VARIABLE, "2"), (NAMES_VARIABLE, "websocket")]);
        let text = one.expect_err("a name is missing").to_string();
        assert!(text.contains("1 names for 2 sockets"), "{text}");
    }

    #[test]
    fn several_of_one_name_are_refused() {
        let socket = || TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let mut inherited = Inherited {
            sockets: vec![
                ("metrics".to_owned(), socket()),
                ("metrics".to_owned(), socket()),
                ("websocket".to_owned(), socket()),
            ],
        };
        let text = inherited.take("metrics").expect_err("there are two");
        assert!(text.to_string().contains("2 inherited sockets"), "{text}");
        assert!(inherited.take("websocket").expect("one").is_some());
        assert!(inherited.take("websocket").expect("none").is_none());
        assert_eq!(inherited.left().count(), 2);
    }

    #[test]
    fn a_socket_that_does_not_listen_is_told_apart() {
        let connection = std::net::TcpListener::bind("127.0.0.1:0").and_then(|server| {
            let client = std::net::TcpStream::connect(server.local_addr()?)?;
            Ok(TcpListener::from(std::os::fd::OwnedFd::from(client)))
        });
        let error = listening(connection.expect("loopback is there"));
        assert!(error.is_err());
    }
}
