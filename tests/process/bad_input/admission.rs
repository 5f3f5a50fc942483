//! Who gets in, and who does not: tokens, Host, Origin, slow handshakes, too many connections.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::coordinator::Start;
use crate::support::{Client, Coordinator, http, until, within};

/// Asks for an upgrade that must be refused with `status`, saying `words`.
async fn check(coordinator: &Coordinator, headers: &[&str], status: u16, words: &[&str]) {
    let reply = http::upgrade(coordinator.port(), "/ws", headers).await;
    assert_eq!(reply.status, status, "{headers:?}: {reply:?}");
    for word in words {
        assert!(reply.rest.contains(word), "{word:?} is not in {reply:?}");
    }
    coordinator.operator().await.check_alive().await;
}

#[tokio::test]
async fn without_a_token_that_holds() {
    let coordinator = Coordinator::start().await;
    let host = format!("Host: 127.0.0.1:{}", coordinator.port());
    let told = ["unauthenticated", "Bearer"];
    check(&coordinator, &[&host], 401, &told).await;
    for value in [
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic dXNlcjpwYXNz",
        "wrong",
    ] {
        let line = format!("Authorization: {value}");
        check(&coordinator, &[&host, &line], 401, &["unauthenticated"]).await;
    }
    let offered = "Sec-WebSocket-Protocol: coord, bearer.wrong";
    check(&coordinator, &[&host, offered], 401, &["unauthenticated"]).await;
    check(
        &coordinator,
        &[&host, "Sec-WebSocket-Protocol: coord"],
        401,
        &told,
    )
    .await;
    // A token in the address would end up in logs, so it is no way in.
    let target = format!("/ws?token={}", coordinator.operator_token());
    let reply = http::upgrade(coordinator.port(), &target, &[&host]).await;
    assert_eq!(reply.status, 401);
    assert!(
        !coordinator.said().contains(&coordinator.operator_token()),
        "a secret in the log"
    );
}

#[tokio::test]
async fn with_a_wrong_host_or_origin() {
    let start = Start::new()
        .variable("COORD_ALLOWED_HOSTS", "gateway.example")
        .variable("COORD_ALLOWED_ORIGINS", "https://page.example");
    let coordinator = start.run().await;
    let bearer = format!("Authorization: Bearer {}", coordinator.operator_token());
    let refused = ["forbidden", "allowed_hosts"];
    check(
        &coordinator,
        &["Host: evil.example", &bearer],
        403,
        &refused,
    )
    .await;
    check(
        &coordinator,
        &["Host: 127.0.0.1.evil.example", &bearer],
        403,
        &refused,
    )
    .await;
    check(&coordinator, &["Host: a b", &bearer], 403, &[]).await;
    check(&coordinator, &["Host:", &bearer], 403, &[]).await;
    check(&coordinator, &[&bearer], 403, &[]).await;
    let host = format!("Host: 127.0.0.1:{}", coordinator.port());
    for origin in [
        "https://evil.example",
        "null",
        "https://page.example:444",
        "page.example",
    ] {
        let line = format!("Origin: {origin}");
        check(
            &coordinator,
            &[&host, &bearer, &line],
            403,
            &["Origin", "allowed_origins"],
        )
        .await;
    }
    let mut request =
        crate::support::client::request(coordinator.port(), "/ws", &coordinator.operator_token());
    let headers = request.headers_mut();
    headers.insert("host", "gateway.example".parse().unwrap());
    headers.insert("origin", "https://page.example".parse().unwrap());
    let stream = TcpStream::connect(("127.0.0.1", coordinator.port()))
        .await
        .unwrap();
    tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
}

/// Asks for a page under a name; with `None`, without any Host.
async fn page(port: u16, line: &str, host: Option<&str>) -> http::Reply {
    let host = host.map_or_else(String::new, |host| format!("Host: {host}\r\n"));
    let request = format!("{line}\r\n{host}Connection: close\r\n\r\n");
    http::exchange(port, &request).await.unwrap()
}

/// DNS rebinding: a page of another site must not read anything of either listener, whatever it asks for.
#[tokio::test]
async fn no_page_of_either_port_is_served_under_a_name_that_is_not_ours() {
    let start = Start::new()
        .variable("COORD_ALLOWED_HOSTS", "gateway.example")
        .variable(
            "COORD_METRICS_ALLOWED_HOSTS",
            "scrape.example:9,box.example",
        );
    let coordinator = start.run().await;
    let (front, metrics) = (coordinator.port(), coordinator.metrics_port());
    let pages = [
        (front, "GET /readyz HTTP/1.1", 200),
        (front, "GET /healthz HTTP/1.1", 200),
        (front, "HEAD /readyz HTTP/1.1", 200),
        (front, "GET /readyz HTTP/1.0", 200),
        (front, "GET / HTTP/1.1", 406),
        (front, "POST /page/login HTTP/1.1", 403),
        (front, "GET /page/session HTTP/1.1", 401),
        (front, "GET /ws HTTP/1.1", 426),
        (front, "GET /nowhere HTTP/1.1", 404),
        (front, "POST /readyz HTTP/1.1", 405),
        (front, "OPTIONS * HTTP/1.1", 404),
        (metrics, "GET /metrics HTTP/1.1", 200),
        (metrics, "GET / HTTP/1.1", 404),
        (metrics, "POST /metrics HTTP/1.1", 405),
    ];
    for (port, line, status) in pages {
        let setting = if port == front {
            "websocket.allowed_hosts"
        } else {
            "metrics.allowed_hosts"
        };
        for wrong in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "a b",
            "",
        ] {
            let reply = page(port, line, Some(wrong)).await;
            assert_eq!(reply.status, 403, "{line} {wrong:?}: {reply:?}");
            let told = line.starts_with("HEAD") || reply.rest.contains(setting);
            assert!(
                told && !reply.rest.contains("coord_build_info"),
                "{reply:?}"
            );
        }
        let own = format!("127.0.0.1:{port}");
        for right in [
            &*own,
            "localhost",
            "[::1]:1",
            "192.0.2.1",
            "gateway.example",
        ] {
            let reply = page(port, line, Some(right)).await;
            assert_eq!(reply.status, status, "{line} {right}: {reply:?}");
        }
        let two = page(port, line, Some("localhost\r\nHost: evil.example")).await;
        assert!([400, 403].contains(&two.status), "{line}: {two:?}");
    }
    // A target that names a host counts as much as Host does; without Host only old checkers get in.
    let line = "GET http://evil.example/readyz HTTP/1.1";
    assert_eq!(page(front, line, Some("localhost")).await.status, 403);
    assert_eq!(page(front, "GET /readyz HTTP/1.1", None).await.status, 403);
    assert_eq!(page(front, "GET /readyz HTTP/1.0", None).await.status, 200);
    // Names for the scraper are its own, with the port where one was given.
    let scrape = "GET /metrics HTTP/1.1";
    assert_eq!(
        page(metrics, scrape, Some("box.example:7")).await.status,
        200
    );
    assert_eq!(
        page(metrics, scrape, Some("scrape.example:9")).await.status,
        200
    );
    assert_eq!(
        page(metrics, scrape, Some("scrape.example")).await.status,
        403
    );
    assert_eq!(
        page(front, "GET /readyz HTTP/1.1", Some("box.example"))
            .await
            .status,
        403
    );
    let refused = http::metric(metrics, "coord_connections_refused_total{reason=\"host\"}").await;
    assert!(refused > 60.0, "{refused}");
}

#[tokio::test]
async fn what_is_no_upgrade() {
    let coordinator = Coordinator::start().await;
    let port = coordinator.port();
    let reply = http::get(port, "/ws").await.unwrap();
    assert_eq!(reply.status, 426, "{reply:?}");
    assert!(reply.rest.contains("version 13"), "{reply:?}");
    assert_eq!(http::get(port, "/nowhere").await.unwrap().status, 404);
    let with_body = format!(
        "POST /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(http::exchange(port, &with_body).await.unwrap().status, 405);
    for nonsense in [
        "\r\n\r\n",
        "GARBAGE\r\n\r\n",
        "GET /ws HTTP/9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}",
    ] {
        // Refused or closed; never a hang, never an end of the process.
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut text = Vec::new();
        let _ = within("an end", stream.read_to_end(&mut text)).await;
    }
    let fat = format!(
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {}\r\n\r\n",
        "x".repeat(64_000)
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let _ = stream.write_all(fat.as_bytes()).await;
    let mut text = Vec::new();
    let _ = within("an end", stream.read_to_end(&mut text)).await;
    assert!(!String::from_utf8_lossy(&text).contains(" 101 "));
    coordinator.operator().await.check_alive().await;
}

#[tokio::test]
async fn a_revoked_token() {
    let coordinator = Coordinator::start().await;
    let mut operator = coordinator.operator().await;
    let made = operator
        .call("token.create", json!({"agent": "alice"}))
        .await
        .unwrap();
    let secret = made["secret"].as_str().unwrap();
    let mut alice = Client::connect(coordinator.port(), secret).await;
    let mut second = Client::connect(coordinator.port(), secret).await;
    alice.call("session.open", json!({})).await.unwrap();
    operator
        .call("token.revoke", json!({"token": made["token"]}))
        .await
        .unwrap();
    for client in [&mut alice, &mut second] {
        let told = client.notification("session.closed").await;
        assert!(
            told["reason"].as_str().unwrap().contains("revoked"),
            "{told}"
        );
        assert!(client.closed().await.is_some());
    }
    let bearer = format!("Authorization: Bearer {secret}");
    let host = format!("Host: 127.0.0.1:{}", coordinator.port());
    check(&coordinator, &[&host, &bearer], 401, &["revoked"]).await;
    let gone = operator
        .call("token.revoke", json!({"token": made["token"]}))
        .await;
    gone.unwrap_err()
        .check("not_found", &[made["token"].as_str().unwrap()]);
    // It is gone after a restart too.
    let mut coordinator = coordinator;
    coordinator.kill().await;
    coordinator.restart().await;
    check(&coordinator, &[&host, &bearer], 401, &["revoked"]).await;
}

#[tokio::test]
async fn a_token_that_has_run_out() {
    let coordinator = Coordinator::start().await;
    let mut operator = coordinator.operator().await;
    let params = json!({"agent": "alice", "ttl_ms": 1_000});
    let made = operator.call("token.create", params).await.unwrap();
    let mut alice = Client::connect(coordinator.port(), made["secret"].as_str().unwrap()).await;
    let told = alice.notification("session.closed").await;
    assert!(told["reason"].as_str().unwrap().contains("token"), "{told}");
    let again = Client::try_connect(coordinator.port(), "/ws", made["secret"].as_str().unwrap());
    assert!(again.await.is_err());
}

#[tokio::test]
async fn the_last_way_in_cannot_be_revoked_for_good() {
    let mut coordinator = Coordinator::start().await;
    let mut operator = coordinator.operator().await;
    // Refused, or a restart makes another: nobody is locked out of the gateway.
    let _ = operator
        .call("token.revoke", json!({"token": "t-operator"}))
        .await;
    coordinator.stop().await;
    coordinator.restart().await;
    coordinator.operator().await.check_alive().await;
}

#[tokio::test]
async fn a_handshake_that_dawdles() {
    let start = Start::new().variable("COORD_HANDSHAKE_TIMEOUT_MS", 300);
    let coordinator = start.run().await;
    let mut idle = TcpStream::connect(("127.0.0.1", coordinator.port()))
        .await
        .unwrap();
    let mut slow = TcpStream::connect(("127.0.0.1", coordinator.port()))
        .await
        .unwrap();
    slow.write_all(b"GET /ws HTTP/1.1\r\nHost: 127.")
        .await
        .unwrap();
    let mut client = coordinator.operator().await;
    client.check_alive().await;
    for stream in [&mut idle, &mut slow] {
        let mut text = Vec::new();
        // A reset is an end as well.
        let _ = within("the coordinator to give up", stream.read_to_end(&mut text)).await;
        assert!(!String::from_utf8_lossy(&text).contains(" 101 "));
    }
    client.check_alive().await;
}

#[tokio::test]
async fn more_connections_than_allowed() {
    let coordinator = Start::new()
        .variable("COORD_CONNECTIONS_MAX", 3)
        .run()
        .await;
    let (port, token) = (coordinator.port(), coordinator.operator_token());
    // The places of health checks are free again once the coordinator has seen their end.
    let connect = async || {
        until("a free place", async || {
            Client::try_connect(port, "/ws", &token).await.ok()
        })
        .await
    };
    let mut clients = [connect().await, connect().await, connect().await];
    assert!(Client::try_connect(port, "/ws", &token).await.is_err());
    let name = "coord_connections_refused_total{reason=\"connections_max\"}";
    assert!(http::metric(coordinator.metrics_port(), name).await >= 1.0);
    for client in &mut clients {
        client.check_alive().await;
    }
    let [first, ..] = clients;
    drop(first);
    connect().await.check_alive().await;
}
