//! A whole coordinator in this process: an agent's work over WebSocket and TLS, each step durable.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use super::talk::{Talk, TalkError};
use super::{Finding, Found, tls};
use crate::app::{self, Listeners};
use crate::clock::Clock;
use crate::config::client::OPERATOR_TOKEN_FILE;
use crate::config::{Config, Flags, Invoker, MapEnvironment};
use crate::protocol::admin::TokenCreateResult;
use crate::protocol::operations::Operation;
use crate::protocol::session::{Empty, SessionOpenResult};
use crate::protocol::task::{TaskClaimResult, TaskCompleteResult, TaskSubmitResult};

type Error = Box<dyn std::error::Error + Send + Sync>;

pub(super) async fn check(folder: &Path) -> Finding {
    let listeners = Listeners {
        websocket: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        metrics: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
    };
    let state = folder.join("state");
    let config = configuration(&state, &listeners)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let (greeted, ready) = oneshot::channel();
    let mut greeting = Greeting(Some(greeted));
    let serving = app::serve(&config, listeners, &mut greeting, async {
        // Dropped or used, it means the same.
        let _ = stopped.await;
        Ok(())
    });
    let mut serving = std::pin::pin!(serving);
    let worked = tokio::select! {
        ended = &mut serving => {
            ended?;
            return Err("the coordinator ended before it was told to".into());
        }
        worked = work(&config, &state, ready) => worked,
    };
    let _ = stop.send(());
    serving.await?;
    worked
}

/// The testing profile on sockets that are bound already, with its state in `folder`.
fn configuration(state: &Path, listeners: &Listeners) -> Result<Config, Error> {
    let port =
        |listener: &TcpListener| Ok::<_, io::Error>(listener.local_addr()?.port().to_string());
    let state = state.to_str().ok_or("the folder's name is not UTF-8")?;
    let environment = MapEnvironment::from([
        ("COORD_PROFILE", "testing"),
        ("COORD_STATE_DIR", state),
        ("COORD_NODE_NAME", "self-test"),
        ("WEBSOCKET_PORT", &port(&listeners.websocket)?),
        ("METRICS_PORT", &port(&listeners.metrics)?),
        ("WEBSOCKET_SSL_ENABLED", "true"),
    ]);
    Ok(Config::load(
        &Flags::default(),
        &environment,
        Invoker::from(0),
    )?)
}

/// Submit, claim, complete; the third connection sees what the second did.
async fn work(config: &Config, state: &Path, ready: oneshot::Receiver<()>) -> Finding {
    ready.await?;
    let connector = tls::trusting(&state.join("tls").join("certificate.pem"))?;
    let connector = TlsConnector::from(Arc::new(connector));
    let operator = std::fs::read_to_string(state.join(OPERATOR_TOKEN_FILE))?;
    let clock = Clock::start();
    let mut operator = connect(config, &connector, operator.trim()).await?;
    let connected_us = clock.now().0;
    let params = serde_json::json!({"agent": "self-test"});
    let token: TokenCreateResult = operator.call(Operation::TokenCreate, &params).await?;
    let mut agent = connect(config, &connector, &token.secret).await?;
    let _: SessionOpenResult = agent.call(Operation::SessionOpen, &Empty {}).await?;
    let begun = clock.now().0;
    let params = serde_json::json!({"title": "self-test", "payload": {"number": 1}});
    let submitted: TaskSubmitResult = operator.call(Operation::TaskSubmit, &params).await?;
    let claimed: TaskClaimResult = agent.call(Operation::TaskClaim, &Empty {}).await?;
    let Some(claim) = claimed.claim.filter(|claim| claim.task == submitted.task) else {
        let next = "send this report to support";
        return Ok(Found::failed(
            "the task that was submitted could not be claimed",
            next,
        ));
    };
    let params = serde_json::json!({"task": claim.task, "fence": claim.fence});
    let _: TaskCompleteResult = agent.call(Operation::TaskComplete, &params).await?;
    let cycle_us = clock.now().0 - begun;
    agent.close().await?;
    operator.close().await?;
    Ok(Found::ok(format!(
        "connected over wss in {connected_us} µs; submitted, claimed and completed a task in {cycle_us} µs"
    )))
}

async fn connect(
    config: &Config,
    connector: &TlsConnector,
    token: &str,
) -> Result<Talk, TalkError> {
    let port = config.websocket.endpoint.port.number();
    let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    tcp.set_nodelay(true)?;
    let stream = connector.connect(tls::name(), tcp).await?;
    Talk::begin(stream, &format!("wss://{}:{port}/ws", tls::NAME), token).await
}

/// Where the coordinator's greeting goes: that it greets means that it serves.
struct Greeting(Option<oneshot::Sender<()>>);

impl Write for Greeting {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(greeted) = self.0.take() {
            // Nobody waits any more when the time is up.
            let _ = greeted.send(());
        }
        Ok(())
    }
}
