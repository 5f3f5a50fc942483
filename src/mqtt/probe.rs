//! Tries the broker as an operator asks for it: with the configured login, but a client id of its own, so that the
//! running coordinator keeps its connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::run::dial;
use super::wire::{self, Hello, Incoming};
use crate::config::{MqttConfig, Secret};
use crate::link::{Io, LinkError};

const READ_BYTES: usize = 4 * 1024;
/// How long a broker may take to send a retained message after it acknowledged the subscription.
const RETAINED_TIMEOUT: Duration = Duration::from_millis(300);

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// The broker accepts the login. The status of this box is what it last kept, if anything.
    Accepted {
        status: Option<String>,
    },
    /// The broker accepts the login, but not the subscription to the box's own status.
    Forbidden,
    /// The broker refuses the login, for this reason.
    Refused(String),
    /// Something listens that speaks no MQTT, or another version.
    Foreign(String),
    Unreachable(LinkFault),
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFault {
    pub what: String,
    /// TLS failed: certificates, or a server without TLS.
    pub tls: bool,
}

/// Connects, subscribes to the box's own status, and says goodbye.
pub async fn attempt(config: &Arc<MqttConfig>, time_max: Duration) -> Tried {
    let late = |what: &str| {
        Tried::Unreachable(LinkFault {
            what: format!("{what} within {} ms", time_max.as_millis()),
            tls: false,
        })
    };
    let io = match tokio::time::timeout(time_max, dial(Arc::clone(config))).await {
        Err(_) => return late("no connection"),
        Ok(Err(error)) => {
            return Tried::Unreachable(LinkFault {
                tls: matches!(error, LinkError::Tls(_)),
                what: error.to_string(),
            });
        }
        Ok(Ok(io)) => io,
    };
    match tokio::time::timeout(time_max, speak(config, io)).await {
        Ok(Ok(tried)) => tried,
        Ok(Err(what)) => Tried::Foreign(what),
        Err(_) => late("it accepts connections, but gave no answer"),
    }
}

async fn speak(config: &MqttConfig, mut io: Box<dyn Io>) -> Result<Tried, String> {
    let client_id = format!("{}-probe", config.client_id);
    let hello = Hello {
        version: config.version,
        client_id: &client_id,
        user: config.user.as_deref(),
        password: config.password.as_ref().map(Secret::expose),
        keep_alive_s: 30,
        will: None,
    };
    let mut packet = BytesMut::new();
    let too_large = |_| "the login does not fit into a packet".to_owned();
    wire::connect(&hello, &mut packet).map_err(too_large)?;
    send(&mut io, &packet).await?;
    let mut inbox = BytesMut::with_capacity(READ_BYTES);
    match next(config, &mut io, &mut inbox).await? {
        Incoming::Accepted(_) => {}
        Incoming::Refused(why) => return Ok(Tried::Refused(why)),
        _ => return Err("its answer to CONNECT is no CONNACK".to_owned()),
    }
    packet.clear();
    let topic = format!("{}/status", config.root());
    wire::subscribe(config.version, &[topic], 1, &mut packet).map_err(too_large)?;
    send(&mut io, &packet).await?;
    let mut status = None;
    loop {
        match next(config, &mut io, &mut inbox).await? {
            Incoming::SubAck { refused: true, .. } => return Ok(Tried::Forbidden),
            Incoming::SubAck { refused: false, .. } => break,
            Incoming::Publish { payload, .. } => status = Some(payload),
            _ => {}
        }
    }
    if status.is_none() {
        let retained = next(config, &mut io, &mut inbox);
        if let Ok(Ok(Incoming::Publish { payload, .. })) =
            tokio::time::timeout(RETAINED_TIMEOUT, retained).await
        {
            status = Some(payload);
        }
    }
    send(&mut io, wire::DISCONNECT).await?;
    let status = status.map(|payload| String::from_utf8_lossy(&payload).into_owned());
    Ok(Tried::Accepted { status })
}

async fn send(io: &mut Box<dyn Io>, bytes: &[u8]) -> Result<(), String> {
    let sent = async {
        io.write_all(bytes).await?;
        io.flush().await
    };
    sent.await.map_err(|error| error.to_string())
}

async fn next(
    config: &MqttConfig,
    io: &mut Box<dyn Io>,
    inbox: &mut BytesMut,
) -> Result<Incoming, String> {
    loop {
        match wire::decode(config.version, inbox) {
            Ok(Some(Incoming::Disconnect(reason))) => {
                let reason = reason.map_or_else(String::new, |r| format!(" (reason {r:#04x})"));
                return Err(format!("it ended the connection{reason}"));
            }
            Ok(Some(packet)) => return Ok(packet),
            Ok(None) => {}
            Err(error) => return Err(error.to_string()),
        }
        match io.read_buf(inbox).await {
            Ok(0) => return Err("it closed the connection".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}
