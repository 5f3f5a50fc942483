//! Listeners: bound once and kept, so that no other program can take a port between a check and its use.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use crate::config::{Endpoint, Host};
use crate::edge::holders::{self, COORDINATOR};
use crate::edge::probe::{self, ProbeTarget};
use crate::edge::systemd::{ActivationError, Inherited};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long the holder of a port has to say whether it is a coordinator.
const ASKED_MS_MAX: u64 = 500;

/// Why listening on a port failed.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot resolve {host} for {service}")]
    Resolve {
        service: &'static str,
        host: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "{endpoint} for {service} is in use by {holder}: {advice}, or set another port; see `coord ports who {port}`"
    )]
    Taken {
        service: &'static str,
        endpoint: String,
        port: u16,
        holder: String,
        /// How to free the port.
        advice: String,
    },
    #[error(
        "this user may not use {endpoint} for {service}: a port below 1024 needs root or CAP_NET_BIND_SERVICE; \
         set a port from 1024 to 65535"
    )]
    Denied {
        service: &'static str,
        endpoint: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "{endpoint} for {service} is not an address of this host: `ip address` lists its addresses"
    )]
    NotHere {
        service: &'static str,
        endpoint: String,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Inherited(#[from] ActivationError),
    #[error(
        "systemd opened {found} for {service}, but the configuration says {endpoint}: run `coord \
         install` again to update the socket unit, or set {name}.host and {name}.port to the unit's address"
    )]
    OtherAddress {
        service: &'static str,
        name: &'static str,
        endpoint: String,
        found: SocketAddr,
    },
    #[error("cannot use the socket that systemd opened for {service}")]
    Take {
        service: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("cannot listen on {endpoint} for {service}")]
    Bind {
        service: &'static str,
        endpoint: String,
        #[source]
        source: io::Error,
    },
}

/// The socket that systemd opened under a name, if it has the configured address; without one, the endpoint
/// is bound. A socket unit must not bypass the checks of the configuration.
pub(super) async fn take(
    inherited: &mut Inherited,
    name: &'static str,
    endpoint: &Endpoint,
    service: &'static str,
) -> Result<TcpListener, ListenError> {
    let Some(socket) = inherited.take(name)? else {
        return bind(endpoint, service).await;
    };
    let failed = |source| ListenError::Take { service, source };
    let found = socket.local_addr().map_err(failed)?;
    let port = endpoint.port.number();
    let same = match &endpoint.host {
        Host::Address(address) => found == SocketAddr::new(*address, port),
        Host::Name(host) => {
            let failed = |source| ListenError::Resolve {
                service,
                host: host.clone(),
                source,
            };
            let mut named = lookup_host((host.as_str(), port)).await.map_err(failed)?;
            named.any(|address| address == found)
        }
    };
    if !same {
        return Err(ListenError::OtherAddress {
            service,
            name,
            endpoint: endpoint.to_string(),
            found,
        });
    }
    TcpListener::from_std(socket).map_err(failed)
}

/// Logs inherited sockets that are not used.
pub(super) fn tell_left(inherited: &Inherited) {
    for name in inherited.left() {
        tracing::warn!(
            name,
            "systemd opened an unknown socket: FileDescriptorName= must be websocket or metrics"
        );
    }
}

/// Binds an endpoint and listens on it.
async fn bind(endpoint: &Endpoint, service: &'static str) -> Result<TcpListener, ListenError> {
    let address = resolve(endpoint, service).await?;
    let source = match listen(address) {
        Ok(listener) => return Ok(listener),
        Err(source) => source,
    };
    let mut refused = refusal(service, endpoint.to_string(), address, source);
    if let ListenError::Taken { holder, .. } = &mut refused
        && let Some(coordinator) = coordinator_at(endpoint).await
    {
        holder.push_str(&coordinator);
    }
    Err(refused)
}

/// Which coordinator answers at an endpoint, if one does, as a text that follows its process.
async fn coordinator_at(endpoint: &Endpoint) -> Option<String> {
    let target = ProbeTarget {
        endpoint: endpoint.clone(),
        tls: None,
    };
    let identity = probe::coordinator(&target, ASKED_MS_MAX).await?;
    Some(format!(
        ", which is the coordinator {} of the {} environment, coord {}",
        identity.node, identity.environment, identity.version
    ))
}

/// The holder of an address, as far as the kernel shows it, and the next step.
fn holder(address: SocketAddr) -> (String, String) {
    let stop_it = "stop it".to_owned();
    let found = match holders::of_port(Path::new(holders::PROC), address.port()) {
        Ok(found) => found,
        Err(error) => {
            let who = format!("another program (which one is unknown: {error})");
            return (who, stop_it);
        }
    };
    let in_the_way = found
        .iter()
        .find(|holder| holder.is_in_the_way_of(address.ip()));
    let Some(holder) = in_the_way else {
        let unseen = "connections of an ended program, which stay for a minute";
        return (unseen.to_owned(), stop_it);
    };
    // A coordinator names itself.
    let behind = holder
        .behind()
        .filter(|behind| behind.kind != COORDINATOR && behind.refused);
    let Some(behind) = behind else {
        let kernel = holder
            .kernel
            .map(|kernel| format!("stop it with `{}`", kernel.stop));
        return (holder.to_string(), kernel.unwrap_or(stop_it));
    };
    let how = behind.how().unwrap_or_default();
    let advice = if behind.stop.is_empty() {
        how
    } else {
        format!("stop what is behind it ({how})")
    };
    (format!("{holder}, {}", behind.is), advice)
}

/// The meaning of the system's error for the user.
fn refusal(
    service: &'static str,
    endpoint: String,
    address: SocketAddr,
    source: io::Error,
) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            let (holder, advice) = holder(address);
            ListenError::Taken {
                service,
                endpoint,
                port: address.port(),
                holder,
                advice,
            }
        }
        io::ErrorKind::PermissionDenied => ListenError::Denied {
            service,
            endpoint,
            source,
        },
        io::ErrorKind::AddrNotAvailable => ListenError::NotHere {
            service,
            endpoint,
            source,
        },
        _ => ListenError::Bind {
            service,
            endpoint,
            source,
        },
    }
}

async fn resolve(endpoint: &Endpoint, service: &'static str) -> Result<SocketAddr, ListenError> {
    let port = endpoint.port.number();
    let name = match &endpoint.host {
        Host::Address(address) => return Ok(SocketAddr::new(*address, port)),
        Host::Name(name) => name,
    };
    let failed = |source| ListenError::Resolve {
        service,
        host: name.clone(),
        source,
    };
    let mut found = lookup_host((name.as_str(), port)).await.map_err(failed)?;
    let none = || failed(io::Error::from(io::ErrorKind::NotFound));
    found.next().ok_or_else(none)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    // A restart must not wait for old connections in TIME_WAIT; a live listener still prevents the bind.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Raises the limit of open files as far as the system allows; every connection needs one.
pub(super) fn raise_file_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(%error, soft, "cannot raise the limit of open files");
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    fn check(errno: Errno, part: &str) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let source = io::Error::from(errno);
        let text = refusal("websocket", address.to_string(), address, source).to_string();
        assert!(
            text.contains(&format!("{address} for websocket")) && text.contains(part),
            "{text}"
        );
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let own = format!("process {}", std::process::id());
        check(Errno::EADDRINUSE, &own);
        check(Errno::EACCES, "needs root");
        check(Errno::EADDRNOTAVAIL, "not an address of this host");
        check(Errno::EMFILE, "cannot listen");
    }
}
