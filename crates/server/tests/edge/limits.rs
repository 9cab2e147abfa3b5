//! Each limit, over its edge.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::harness::{answer, post_text, rest, start, until};

#[tokio::test]
async fn headers_over_the_limit_are_431() {
    let server = start(|config| config.limits.header_bytes = 8192).await;
    let big = |size: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
            "x".repeat(size)
        )
    };
    assert_eq!(server.ask(big(7000)).await.status, 200);
    assert_eq!(server.ask(big(9000)).await.status, 431);
    let many: String = (0..200)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    assert_eq!(server.get("/", &many).await.status, 431);
    let long = format!("/{}", "x".repeat(9000));
    assert!((414..=431).contains(&server.get(&long, "").await.status));
}

#[tokio::test]
async fn bodies_over_the_limit_are_413() {
    let server = start(|config| config.limits.body_bytes = 1000).await;
    let text = |size: usize| format!("\"{}\"", "x".repeat(size - 2));
    assert_eq!(server.post("/api/chat", "", &text(1000)).await.status, 200);
    let answer = server.post("/api/chat", "", &text(1001)).await;
    assert_eq!(answer.status, 413);
    assert!(
        answer.json()["error"]
            .as_str()
            .unwrap()
            .contains("limit of 1000 bytes")
    );
    // What is announced is enough to refuse it; nothing is reserved. The last one hyper itself cannot count.
    for (length, status) in [
        (10_000_000_000_000u64, 413),
        (u64::MAX - 2, 413),
        (u64::MAX - 1, 431),
    ] {
        let head = format!(
            "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        );
        assert_eq!(server.ask(head).await.status, status, "{length}");
    }
    let chunked = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n{}\r\n0\r\n\r\n",
        text(2000)
    );
    let answer = server.ask(chunked).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["type"]),
        (413, &"request_too_large".into())
    );
}

#[tokio::test]
async fn a_nesting_bomb_of_ten_megabytes_is_a_400() {
    let server = start(|_| {}).await;
    for open in ["[", "{\"a\":"] {
        let bomb = open.repeat(10_000_000 / open.len());
        let answer = server.post("/api/chat", "", &bomb).await;
        assert_eq!(answer.status, 400);
        assert!(
            answer.json()["error"]
                .as_str()
                .unwrap()
                .contains("127 levels"),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn cve_2024_12886_a_compressed_bomb_is_a_413() {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    let server = start(|config| config.limits.decoded_bytes = 1 << 20).await;
    let packed = compress_to_vec(&vec![b' '; 8 << 20][..], CompressionLevel::Fastest);
    let head = format!(
        "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: zstd\r\nContent-Length: {}\r\n\r\n",
        packed.len()
    );
    assert_eq!(
        server.ask([head.as_bytes(), &packed].concat()).await.status,
        413
    );
    assert_eq!(
        server
            .post("/api/chat", "Content-Encoding: gzip\r\n", "{}")
            .await
            .status,
        415
    );
}

#[tokio::test]
async fn slow_headers_are_closed_and_resting_connections_are_not() {
    let server = start(|config| config.limits.header_time = Duration::from_millis(300)).await;
    let mut resting = server.connect().await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: loc")
        .await
        .unwrap();
    let said = rest(&mut slow).await;
    assert!(
        said.is_empty() || said.starts_with(b"HTTP/1.1 408"),
        "{said:?}"
    );
    // A drop now and then does not help.
    let mut dripping = server.connect().await;
    dripping.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let (mut read, mut write) = dripping.into_split();
    let drip = tokio::spawn(async move {
        while write.write_all(b"X: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut said = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut said).await;
    drip.await.unwrap();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        resting
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(answer(&mut resting).await.status, 200);
    }
}

#[tokio::test]
async fn resting_connections_end_after_their_time() {
    let server = start(|config| config.limits.idle_time = Duration::from_millis(200)).await;
    let mut fresh = server.connect().await;
    let mut used = server.connect().await;
    used.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(answer(&mut used).await.status, 200);
    assert!(rest(&mut used).await.is_empty());
    assert!(rest(&mut fresh).await.is_empty());
    // A request that takes longer is no rest.
    assert_eq!(server.get("/api/version", "").await.text(), "rested");
    until("the end of all connections", || {
        server.metrics.connections.get() == 0
    })
    .await;
}

#[tokio::test]
async fn slow_bodies_are_given_up() {
    let server = start(|config| config.limits.body_idle_time = Duration::from_millis(200)).await;
    let mut stream = server.connect().await;
    stream
        .write_all(
            b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"a\":",
        )
        .await
        .unwrap();
    let answer = answer(&mut stream).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["type"]),
        (408, &"timeout_error".into())
    );
    assert!(rest(&mut stream).await.is_empty());
}

#[tokio::test]
async fn bodies_that_crawl_are_given_up() {
    let server = start(|config| config.limits.body_time = Duration::from_millis(400)).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        .await
        .unwrap();
    let (mut read, mut write) = stream.into_split();
    let crawl = tokio::spawn(async move {
        while write.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert_eq!(answer(&mut read).await.status, 408);
    drop(read);
    crawl.await.unwrap();
}

#[tokio::test]
async fn clients_that_take_nothing_are_closed() {
    let server = start(|config| config.limits.write_stall_time = Duration::from_millis(300)).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    until("the request", || server.metrics.in_flight.get() == 1).await;
    until("the end of it", || server.metrics.in_flight.get() == 0).await;
    until("the end of the connection", || {
        server.metrics.connections.get() == 0
    })
    .await;
    drop(stream);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let server = start(|config| config.limits.connections = 2).await;
    let (first, _second) = (server.connect().await, server.connect().await);
    until("two connections", || server.metrics.connections.get() == 2).await;
    let mut third = server.connect().await;
    third
        .write_all(post_text("/api/chat", "", "{}").as_bytes())
        .await
        .unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(200), answer(&mut third)).await;
    assert!(waiting.is_err());
    drop(first);
    assert_eq!(answer(&mut third).await.status, 200);
}
