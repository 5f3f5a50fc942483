//! HTTP written by hand, so that a test can also send what no library would.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::waiting::within;

/// The status and everything after the status line.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub rest: String,
}

/// Sends a request as it stands and reads until the peer closes.
pub async fn exchange(port: u16, request: &str) -> std::io::Result<Reply> {
    let bytes = exchange_bytes(port, request).await?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("no HTTP reply: {text:?}")))?;
    let rest = text.split_once("\r\n").map_or("", |(_, rest)| rest);
    Ok(Reply {
        status,
        rest: rest.to_owned(),
    })
}

/// The same for an answer that is no text.
pub async fn exchange_bytes(port: u16, request: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    within("an HTTP reply", stream.read_to_end(&mut bytes)).await?;
    Ok(bytes)
}

pub async fn get(port: u16, path: &str) -> std::io::Result<Reply> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    exchange(port, &request).await
}

/// Asks for an upgrade with these further header lines. Only for requests that are refused: a
/// connection that is taken stays open.
pub async fn upgrade(port: u16, target: &str, headers: &[&str]) -> Reply {
    let mut request = format!("GET {target} HTTP/1.1\r\n");
    let usual = [
        "Connection: Upgrade, close",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    for line in usual.iter().chain(headers) {
        request.push_str(line);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    exchange(port, &request).await.unwrap()
}

/// One sample of the metrics page; a missing one is zero, as for Prometheus.
pub async fn metric(port: u16, name: &str) -> f64 {
    let page = get(port, "/metrics").await.unwrap();
    assert_eq!(page.status, 200, "{}", page.rest);
    let sample = page.rest.lines().find_map(|line| line.strip_prefix(name));
    sample.map_or(0.0, |value| value.trim().parse().unwrap())
}
