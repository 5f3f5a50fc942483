//! A whole coordinator in this process: an agent's work over WebSocket and TLS, each step durable.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{CHECK_MS_MAX, CheckError, CheckFound, CheckResult};
use crate::app::{self, Listeners};
use crate::client::{RpcConnection, Target};
use crate::clock::Clock;
use crate::config::WEBSOCKET_PATH;
use crate::config::client::OPERATOR_TOKEN_FILE;
use crate::config::{
    Config, Endpoint, Flags, Host, Invoker, MapEnvironment, Secret, ServerUrl, Trust,
};
use crate::protocol::admin::TokenCreateResult;
use crate::protocol::operations::Operation;
use crate::protocol::session::{Empty, SessionOpenResult};
use crate::protocol::task::{TaskClaimResult, TaskCompleteResult, TaskSubmitResult};

/// One answer may take as long as the whole check.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(CHECK_MS_MAX);

pub(super) async fn check(folder: &Path) -> CheckResult {
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
            return Err("the coordinator ended too early".into());
        }
        worked = work(&config, &state, ready) => worked,
    };
    let _ = stop.send(());
    serving.await?;
    worked
}

/// The testing profile on sockets that are bound already, with its state in `folder`.
fn configuration(state: &Path, listeners: &Listeners) -> Result<Config, CheckError> {
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
async fn work(config: &Config, state: &Path, ready: oneshot::Receiver<()>) -> CheckResult {
    ready.await?;
    // As an authority, not by its fingerprint: so the name and the dates in it are checked too.
    let trust = Trust::Authorities(state.join("tls").join("certificate.pem"));
    let operator = std::fs::read_to_string(state.join(OPERATOR_TOKEN_FILE))?;
    let clock = Clock::start();
    let mut operator = connect(config, operator.trim(), &trust).await?;
    let connected_us = clock.now().0;
    let params = serde_json::json!({"agent": "self-test"});
    let token: TokenCreateResult = call(&mut operator, Operation::TokenCreate, &params).await?;
    let mut agent = connect(config, &token.secret, &trust).await?;
    let _: SessionOpenResult = call(&mut agent, Operation::SessionOpen, &Empty {}).await?;
    let begun = clock.now().0;
    let params = serde_json::json!({"title": "self-test", "payload": {"number": 1}});
    let submitted: TaskSubmitResult = call(&mut operator, Operation::TaskSubmit, &params).await?;
    let claimed: TaskClaimResult = call(&mut agent, Operation::TaskClaim, &Empty {}).await?;
    let Some(claim) = claimed.claim.filter(|claim| claim.task == submitted.task) else {
        let next = "send this report to support";
        return Ok(CheckFound::failed(
            "the submitted task could not be claimed",
            next,
        ));
    };
    let params = serde_json::json!({"task": claim.task, "fence": claim.fence});
    let _: TaskCompleteResult = call(&mut agent, Operation::TaskComplete, &params).await?;
    let cycle_us = clock.now().0 - begun;
    agent.close_on_both_sides().await?;
    operator.close_on_both_sides().await?;
    Ok(CheckFound::ok(format!(
        "connected over wss in {connected_us} µs; submitted, claimed and completed a task in {cycle_us} µs"
    )))
}

/// A connection of its own. It accepts only a certificate of this coordinator, and only for this address.
async fn connect(config: &Config, token: &str, trust: &Trust) -> Result<RpcConnection, CheckError> {
    let url = ServerUrl {
        tls: true,
        endpoint: Endpoint {
            host: Host::LOOPBACK,
            port: config.websocket.endpoint.port,
        },
        path: WEBSOCKET_PATH.to_owned(),
    };
    let token = Secret::new(token.to_owned());
    let target = Target::of(url, token, "the self-test", trust.clone());
    Ok(RpcConnection::new(target.connect().await?, ANSWER_TIME_MAX))
}

/// Calls an operation once: a connection that is lost is a failure here, not a reason to try again.
async fn call<R: DeserializeOwned>(
    connection: &mut RpcConnection,
    operation: Operation,
    params: &impl Serialize,
) -> Result<R, CheckError> {
    let name = operation.name();
    let params = serde_json::to_string(params)?;
    let mut notices = VecDeque::new();
    let answer = connection.call(name, &params, ANSWER_TIME_MAX, &mut notices);
    let answer = answer.await.map_err(|error| format!("{name}: {error}"))?;
    serde_json::from_str(answer.get()).map_err(|error| {
        format!("the answer to {name} does not follow the protocol: {error}").into()
    })
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
