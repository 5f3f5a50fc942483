//! Sockets that somebody else opened, handed over as systemd does, by its own tool.

use crate::support::coordinator::Start;
use crate::support::port::HeldPort;
use crate::support::{Coordinator, http};

/// A coordinator behind `systemd-socket-activate`, which opens `listen` under `names`. It starts its
/// child at the first connection; a coordinator that is waited for is asked anyway.
fn activated(start: Start, listen: &[String], names: &str) -> Start {
    let mut words = vec![
        "systemd-socket-activate".to_owned(),
        format!("--fdname={names}"),
    ];
    for address in listen {
        words.extend(["-l".to_owned(), address.clone()]);
    }
    // Only what is named is handed on.
    for name in [
        "COORD_PROFILE",
        "COORD_STATE_DIR",
        "WEBSOCKET_PORT",
        "METRICS_PORT",
        "HOME",
        "NOTIFY_SOCKET",
    ] {
        words.push(format!("--setenv={name}"));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    start.wrapper(&words)
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

#[tokio::test]
async fn both_listeners_can_be_handed_over() {
    let start = Start::new();
    let (websocket, metrics) = (start.websocket_port(), start.metrics_port());
    let listen = [address(metrics), address(websocket)];
    let mut coordinator = activated(start, &listen, "metrics:websocket").run().await;
    coordinator.operator().await.check_alive().await;
    let page = http::get(metrics, "/metrics").await.unwrap();
    assert_eq!(page.status, 200);
    assert_eq!(coordinator.stop().await.code(), Some(0));
}

/// Starts one that has been handed the wrong thing, and lets somebody knock.
async fn refused(start: Start, listen: &[String], names: &str, knock: u16, words: &[&str]) {
    let start = activated(start, listen, names);
    let knocking = tokio::spawn(async move {
        // Until there is something to connect to, and then never again.
        while tokio::net::TcpStream::connect(("127.0.0.1", knock))
            .await
            .is_err()
        {
            tokio::time::sleep(crate::support::POLL).await;
        }
    });
    start.run_to_end().await.check(78, words);
    knocking.await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_not_configured_is_refused() {
    let (start, other) = (Start::new(), HeldPort::take());
    let configured = address(start.websocket_port());
    let handed = address(other.number());
    let words = [&*configured, &*handed, "coord install", "websocket.port"];
    refused(
        start,
        std::slice::from_ref(&handed),
        "websocket",
        other.number(),
        &words,
    )
    .await;
    let start = Start::new();
    let port = start.websocket_port();
    let wildcard = format!("0.0.0.0:{port}");
    let words = [&*wildcard, "the configuration says 127.0.0.1"];
    refused(
        start,
        std::slice::from_ref(&wildcard),
        "websocket",
        port,
        &words,
    )
    .await;
}

#[tokio::test]
async fn two_of_one_name_are_refused() {
    let (start, other) = (Start::new(), HeldPort::take());
    let listen = [address(start.websocket_port()), address(other.number())];
    let knock = other.number();
    refused(
        start,
        &listen,
        "websocket:websocket",
        knock,
        &["2 inherited sockets are called websocket"],
    )
    .await;
}

#[tokio::test]
async fn sockets_for_somebody_else_are_left_alone() {
    let mut start = Start::new();
    for (name, value) in [
        ("LISTEN_FDS", "2"),
        ("LISTEN_PID", "1"),
        ("LISTEN_FDNAMES", "websocket:metrics"),
    ] {
        start = start.variable(name, value);
    }
    let coordinator: Coordinator = start.run().await;
    coordinator.operator().await.check_alive().await;
}
