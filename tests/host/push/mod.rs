//! Metrics that are written to a receiver: a real Prometheus, and one by hand for 2.0 and for bad answers.

mod real;
mod stub;

use std::collections::BTreeSet;

use crate::support::coordinator::Start;
use crate::support::{Coordinator, http, until};
use stub::Stub;

async fn start(port: u16, protocol: &str) -> Coordinator {
    let start = Start::new()
        .variable(
            "COORD_PUSH_URL",
            format!("http://127.0.0.1:{port}/write?tenant=a"),
        )
        .variable("COORD_PUSH_INTERVAL_MS", 1_000)
        .variable("COORD_PUSH_PROTOCOL", protocol)
        .variable("COORD_PUSH_TOKEN", "a-bearer-token")
        .variable("COORD_PUSH_HEADERS", "X-Scope-OrgID: fleet");
    start.run().await
}

/// The figures that the fleet's side is planned with.
#[tokio::test]
async fn a_receiver_of_2_gets_2() {
    let mut bytes = Vec::new();
    for (protocol, version, media_type) in [
        (
            "2.0",
            "2.0.0",
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        ),
        ("1.0", "0.1.0", "application/x-protobuf"),
    ] {
        let (stub, port) = Stub::start().await;
        let coordinator = start(port, protocol).await;
        let data = stub.data(3).await;
        let got = &data[1];
        assert_eq!(got.line, "POST /write?tenant=a HTTP/1.1");
        for (name, value) in [
            ("x-prometheus-remote-write-version", version),
            ("content-type", media_type),
            ("content-encoding", "snappy"),
            ("authorization", "Bearer a-bearer-token"),
            ("x-scope-orgid", "fleet"),
        ] {
            assert_eq!(got.headers[name], value);
        }
        assert!(got.headers["user-agent"].starts_with("coord/"));
        // The connection is kept, so there is one empty request at its beginning.
        assert!(stub.got()[0].samples.is_empty());
        let kinds: BTreeSet<u64> = got.samples.iter().map(|sample| sample.kind).collect();
        let expected = if protocol == "2.0" {
            vec![1, 2, 3]
        } else {
            vec![0]
        };
        assert!(kinds.into_iter().eq(expected));
        let times: BTreeSet<i64> = got.samples.iter().map(|sample| sample.time_ms).collect();
        assert_eq!(times.len(), 1);
        let length = &got.headers["content-length"];
        let (series, protocol) = (got.samples.len(), protocol.to_owned());
        bytes.push(format!("{protocol}: {series} series, {length} bytes"));
        let spoken = http::metric(coordinator.metrics_port(), "coord_push_protocol").await;
        assert!((spoken - protocol.parse::<f64>().unwrap()).abs() < 0.1);
    }
    #[allow(clippy::print_stdout, reason = "the figures are for people")]
    {
        println!("{bytes:?}");
    }
}

/// Whatever the receiver answers, the coordinator serves its agents, and pushes when that is over.
#[tokio::test]
async fn bad_answers_harm_nobody() {
    let (stub, port) = Stub::start().await;
    let huge = "x".repeat(300_000);
    let wrong = "Date: yesterday, or so";
    stub.answer("HTTP/1.1 503 Busy\r\nRetry-After: soon\r\ncontent-length: 0\r\n\r\n");
    stub.answer("HTTP/1.1 429 Slow\r\nRetry-After: -7\r\nDate: 99\r\ncontent-length: 2\r\n\r\nno");
    stub.answer(format!(
        "HTTP/1.1 500 Broken\r\n{wrong}\r\ncontent-length: {}\r\n\r\n{huge}",
        huge.len()
    ));
    stub.answer(format!("HTTP/1.1 500 Broken\r\nX-Long: {huge}\r\n\r\n"));
    stub.answer("HTTP/1.1 503 Torn\r\ncontent-length: 100\r\n\r\ntorn");
    stub.answer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n");
    stub.answer(b"SSH-2.0-OpenSSH\r\n".as_slice());
    stub.answer([0xff, 0, 0xff].as_slice());
    let mut coordinator = start(port, "1.0").await;
    stub.emptied().await;
    let data = stub.data(2).await;
    assert!(data.iter().all(|got| got.samples.len() > 100));
    let status = until("the remark to go", async || {
        let mut operator = coordinator.operator().await;
        let status = operator
            .call("server.status", serde_json::json!({}))
            .await
            .unwrap();
        (status["push"]["state"] == "sending").then_some(status)
    })
    .await;
    assert_eq!(status["status"], "ready", "{status}");
    assert!(coordinator.stop().await.success());
    let said = coordinator.said();
    assert!(!said.contains("panicked"), "{said}");
}
