//! HTTP as clients speak it, and as they should not.

use tokio::io::AsyncWriteExt;

use crate::harness::{answer, chunk, post_text, rest, start};

#[tokio::test]
async fn paths_are_folded_and_escaped_slashes_survive() {
    let server = start(|_| {}).await;
    for (path, expected) in [
        ("/v1/models/org%2Fname:tag", "org/name:tag"),
        ("//v1//models/org/name/", "org/name"),
        ("/v1/models/m?beta=true", "m"),
    ] {
        let answer = server.get(path, "").await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, expected),
            "{path}"
        );
    }
    for path in [
        "/api/chat/",
        "//api/chat",
        "/v1/api/chat",
        "/api/chat?x=/../y",
    ] {
        assert_eq!(server.post(path, "", "{}").await.status, 200, "{path}");
    }
    let prefixed = start(|config| config.api_prefix = "/llm/".into()).await;
    assert_eq!(prefixed.post("/llm/api/chat", "", "{}").await.status, 200);
    assert_eq!(prefixed.get("/llm", "").await.status, 200);
    assert_eq!(prefixed.post("/api/chat", "", "{}").await.status, 404);
    assert_eq!(prefixed.post("/llmx/api/chat", "", "{}").await.status, 404);
}

#[tokio::test]
async fn errors_have_the_style_of_the_path() {
    let server = start(|_| {}).await;
    for (path, pointer) in [
        ("/api/nothing", "/error"),
        ("/v1/nothing", "/error/message"),
        ("/v1/messages/nothing", "/error/message"),
        ("/nothing", "/error/message"),
    ] {
        let answer = server.post(path, "", "{}").await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(
            answer
                .json()
                .pointer(pointer)
                .unwrap()
                .as_str()
                .unwrap()
                .contains("no such path"),
            "{path}"
        );
    }
    let answer = server.get("/api/chat", "").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert!(answer.json()["error"].is_string());
    let answer = server.post("/v1/chat/completions", "", "{\"a\": }").await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("line 1 column 7")
    );
    assert_eq!(
        server.post("/api/chat", "", "").await.json()["error"],
        "missing request body"
    );
    assert_eq!(
        server.post("/completion", "", "x").await.json()["error"]["code"],
        400
    );
    let answer = server.post("/api/embed", "", "[1, 300]").await;
    assert!(
        answer.json()["error"]
            .as_str()
            .unwrap()
            .contains("invalid value: integer `300`, expected u8"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_panic_is_a_500_without_its_text() {
    let server = start(|_| {}).await;
    for path in ["/api/generate", "/v1/responses"] {
        for _ in 0..2 {
            let answer = server.post(path, "", "{}").await;
            assert_eq!(answer.status, 500);
            assert!(!answer.text().contains("secret"), "{answer:?}");
            assert!(answer.text().contains("went wrong"));
        }
    }
    assert_eq!(server.metrics.in_flight.get(), 0);
}

#[tokio::test]
async fn a_connection_serves_a_hundred_requests_of_mixed_routes() {
    let server = start(|_| {}).await;
    let mut stream = server.connect().await;
    for number in 0..100 {
        match number % 3 {
            0 => stream
                .write_all(post_text("/api/chat", "", &format!("{{\"n\": {number}}}")).as_bytes())
                .await
                .unwrap(),
            1 => stream
                .write_all(b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .await
                .unwrap(),
            _ => stream
                .write_all(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .await
                .unwrap(),
        }
        let answer = answer(&mut stream).await;
        match number % 3 {
            0 => assert_eq!(answer.json()["body"]["n"], number),
            1 => assert_eq!(answer.text().lines().count(), 5),
            _ => assert_eq!(answer.status, 404),
        }
    }
    assert_eq!(server.metrics.connections.get(), 1);
}

#[tokio::test]
async fn requests_that_are_sent_ahead_are_answered_in_order() {
    let server = start(|_| {}).await;
    let mut stream = server.connect().await;
    let many: String = (0..20)
        .map(|number| post_text("/api/chat", "", &format!("{{\"n\": {number}}}")))
        .collect();
    stream.write_all(many.as_bytes()).await.unwrap();
    for number in 0..20 {
        assert_eq!(answer(&mut stream).await.json()["body"]["n"], number);
    }
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let server = start(|_| {}).await;
    for (path, body) in [("/", "hearth is running"), ("/api/tags", "{\"n\":0}")] {
        let mut stream = server.connect().await;
        stream
            .write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let text = String::from_utf8(rest(&mut stream).await).unwrap();
        assert!(
            text.starts_with("HTTP/1.0 200") && text.contains(body) && !text.contains("chunked"),
            "{text}"
        );
    }
    let answer = server.ask("HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    // A HEAD has a length and no body, so the reader above would wait: only the status matters.
    let answer = tokio::time::timeout(std::time::Duration::from_secs(5), async {
        let mut stream = server.connect().await;
        stream
            .write_all(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        drop(answer);
        rest(&mut stream).await
    })
    .await
    .unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn chunked_bodies_are_read() {
    let server = start(|_| {}).await;
    let body = "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
                5\r\n{\"a\":\r\n3;x=y\r\n 1}\r\n0\r\n\r\n";
    let answer = server.ask(body).await;
    assert_eq!(
        (answer.status, &answer.json()["body"]["a"]),
        (200, &1.into())
    );
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn smuggled_requests_are_not_seen() {
    let server = start(|_| {}).await;
    let inner = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let cases = [
        // Both lengths, in both orders: what follows is never a request.
        format!("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{inner}"),
        format!(
            "Content-Length: 0\r\nContent-Length: {}\r\n\r\n{inner}",
            inner.len()
        ),
        format!("Content-Length: +0\r\n\r\n{inner}"),
        format!("Content-Length: 0,0\r\n\r\n{inner}"),
        format!("Content-Length: 0x0\r\n\r\n{inner}"),
        format!("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}"),
        format!("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{inner}"),
        format!("Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n\r\n{inner}"),
        format!("Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n{inner}"),
    ];
    for case in cases {
        let mut stream = server.connect().await;
        stream
            .write_all(format!("POST /api/chat HTTP/1.1\r\nHost: localhost\r\n{case}").as_bytes())
            .await
            .unwrap();
        let text = String::from_utf8(rest(&mut stream).await).unwrap();
        assert_eq!(
            text.matches("HTTP/1.1 ").count(),
            1,
            "{case:?} got {text:?}"
        );
        assert!(text.starts_with("HTTP/1.1 400"), "{case:?} got {text:?}");
    }
}

#[tokio::test]
async fn request_ids_are_kept_where_they_are_sane() {
    let server = start(|_| {}).await;
    let long = "x".repeat(129);
    for (sent, kept) in [
        ("abc-123_/=", true),
        (&long[..128], true),
        (&long[..], false),
        ("a b", false),
        ("", false),
        ("a\u{e9}", false),
    ] {
        let answer = server.get("/", &format!("x-request-id: {sent}\r\n")).await;
        let id = answer.header("x-request-id").unwrap();
        assert_eq!(id == sent, kept, "{sent}");
        assert!(kept || id.starts_with("req_") && id.len() == 28, "{id}");
    }
    for (path, status) in [("/nothing", 404), ("/v1/messages", 400)] {
        let answer = server.post(path, "", "").await;
        assert_eq!(answer.status, status);
        assert!(answer.header("x-request-id").is_some());
    }
}

#[tokio::test]
async fn frames_are_sent_as_they_come() {
    let server = start(|_| {}).await;
    let mut stream = server.connect().await;
    stream
        .write_all(
            b"GET /api/ps HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip, br, zstd\r\n\r\n",
        )
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap());
    }
    assert!(
        !String::from_utf8(head)
            .unwrap()
            .contains("content-encoding")
    );
    // The handler sends no second frame, so this one was flushed by itself.
    assert_eq!(chunk(&mut stream).await.unwrap(), b"data: {\"n\":1}\n\n");
}

#[tokio::test]
async fn zstd_bodies_are_read_on_every_route() {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    let server = start(|_| {}).await;
    let packed = compress_to_vec(&b"{\"a\": 1}"[..], CompressionLevel::Fastest);
    for path in [
        "/api/chat",
        "/v1/chat/completions",
        "/v1/messages",
        "/completion",
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: zstd\r\nContent-Length: {}\r\n\r\n",
            packed.len()
        );
        let answer = server.ask([head.as_bytes(), &packed].concat()).await;
        assert_eq!(
            (answer.status, &answer.json()["body"]["a"]),
            (200, &1.into()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_body_that_nobody_read_ends_the_connection_and_the_client_knows() {
    let server = start(|_| {}).await;
    for (path, said) in [
        ("/api/chat", None),
        ("/api/nothing", Some("close")),
        ("/api/tags", Some("close")),
        ("/%zz", Some("close")),
    ] {
        let answer = server.post(path, "", "{}").await;
        assert_eq!(
            answer.header("connection"),
            said,
            "{path}: {}",
            answer.status
        );
    }
    assert_eq!(
        server.get("/api/nothing", "").await.header("connection"),
        None
    );
}
