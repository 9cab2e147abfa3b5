//! Clients that go away, servers that stop, and what is counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hearth_server::usage::Usage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{answer, chunk, rest, start, start_with, until};

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_stream() {
    let server = start(|_| {}).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /api/ps HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    chunk(&mut stream).await.unwrap();
    assert_eq!(server.seen.cancelled.load(Ordering::SeqCst), 0);
    drop(stream);
    until("the cancel", || {
        server.seen.cancelled.load(Ordering::SeqCst) == 1
    })
    .await;
    until("the end", || server.metrics.in_flight.get() == 0).await;
}

#[tokio::test]
async fn a_client_that_goes_away_drops_its_handler() {
    let server = start(|_| {}).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /v1/completions HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    until("the request", || server.metrics.in_flight.get() == 1).await;
    drop(stream);
    until("the drop", || {
        server.seen.dropped.load(Ordering::SeqCst) == 1
    })
    .await;
    let text = server.get("/metrics", "").await.text();
    assert!(
        text.contains(
            "hearth_requests_total{method=\"GET\",route=\"/v1/completions\",status=\"499\"} 1"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn requests_that_run_may_end_and_resting_connections_do_not_hold_the_server() {
    let mut server = start(|_| {}).await;
    let mut resting = server.connect().await;
    let mut running = server.connect().await;
    running
        .write_all(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    until("the request", || server.metrics.in_flight.get() == 1).await;
    let reader = tokio::spawn(async move {
        let answer = answer(&mut running).await;
        assert!(rest(&mut running).await.is_empty());
        answer
    });
    server.stop().await;
    assert_eq!(reader.await.unwrap().text(), "rested");
    assert!(rest(&mut resting).await.is_empty());
}

#[tokio::test]
async fn requests_that_do_not_end_are_cut() {
    let mut server = start(|config| config.limits.shutdown_time = Duration::from_millis(200)).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /api/ps HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    until("the request", || server.metrics.in_flight.get() == 1).await;
    server.stop().await;
    assert_eq!(server.seen.cancelled.load(Ordering::SeqCst), 1);
    rest(&mut stream).await;
    assert_eq!(server.metrics.connections.get(), 0);
}

#[tokio::test]
async fn requests_are_counted_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let usage = Arc::new(Usage::open(folder.path()).unwrap());
    let mut server = start_with(|_| {}, Some(usage)).await;
    for _ in 0..3 {
        assert_eq!(
            server
                .post("/api/chat", "", "{\"model\": \"m\"}")
                .await
                .status,
            200
        );
    }
    server.get("/v1/models/a", "").await;
    let text = server.get("/metrics", "").await.text();
    for line in [
        "hearth_requests_total{method=\"POST\",route=\"/api/chat\",status=\"200\"} 3",
        "hearth_requests_total{method=\"GET\",route=\"/v1/models/{*id}\",status=\"200\"} 1",
        "hearth_tokens_total{model=\"m\",kind=\"prompt\"} 24",
        "hearth_tokens_total{model=\"m\",kind=\"cached\"} 6",
        "llamacpp:prompt_tokens_total 24",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }
    let report = server.get("/api/usage?days=2", "").await.json();
    assert_eq!(
        (
            &report["total"]["requests"],
            &report["entries"][0]["generated"]
        ),
        (&3.into(), &15.into())
    );
    for days in ["0", "401", "-1", "x", "99999999999"] {
        assert_eq!(
            server
                .get(&format!("/api/usage?days={days}"), "")
                .await
                .status,
            400,
            "{days}"
        );
    }
    server.stop().await;
    assert!(server.usage.is_some());
    assert_eq!(
        Usage::open(folder.path()).unwrap().report(1).total.requests,
        3
    );
}
