//! Foreign hosts, foreign pages, callers without keys.

use hearth_server::edge::config::KeyEntry;
use hearth_server::edge::{KeyLimits, Scope};

use crate::harness::{post_text, start};

fn key(name: &str, secret: &str, scope: Scope, limits: KeyLimits) -> KeyEntry {
    KeyEntry {
        name: name.into(),
        secret: secret.into(),
        scope,
        limits,
    }
}

#[tokio::test]
async fn cve_2024_28224_rebinding_is_refused() {
    let server = start(|_| {}).await;
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1:11434", 200),
        ("a.local", 200),
        ("evil.example", 403),
        ("evil.example:11434", 403),
        ("8.8.8.8", 403),
        ("localhost.evil.example", 403),
    ] {
        for path in ["/health", "/api/tags", "/"] {
            let answer = server
                .ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .await;
            assert_eq!(answer.status, status, "{host} {path}");
            assert!(status == 200 || answer.body.is_empty());
        }
    }
    let two = server
        .ask("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        .await;
    assert!(two.status == 400 || two.status == 403, "{two:?}");
    // A full URL as the target is a Host too, and hyper leaves the header as it is.
    let full = server
        .ask("GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        .await;
    assert_eq!(full.status, 403);
    let named = start(|config| config.hosts = vec!["models.example.org".into()]).await;
    assert_eq!(
        named
            .ask("GET / HTTP/1.1\r\nHost: models.example.org\r\n\r\n")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn foreign_pages_are_refused_before_anything_happens() {
    let server = start(|_| {}).await;
    for (origin, status) in [
        ("https://example.com", 403),
        ("null", 403),
        ("chrome-extension://abc", 403),
        ("http://localhost:5173", 200),
        ("app://obsidian.md", 200),
        ("tauri://localhost", 200),
    ] {
        let answer = server
            .post("/api/chat", &format!("Origin: {origin}\r\n"), "{}")
            .await;
        assert_eq!(answer.status, status, "{origin}");
        if status == 403 {
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("access-control-allow-origin"), None);
            assert!(
                answer
                    .header("x-hearth-refused")
                    .unwrap()
                    .contains("allowed origins")
            );
        } else {
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
            assert_eq!(answer.header("vary"), Some("Origin"));
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
    }
    let open = start(|config| config.origins = vec!["*".into()]).await;
    let answer = open
        .post("/api/chat", "Origin: https://example.com\r\n", "{}")
        .await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, Some("*"))
    );
}

#[tokio::test]
async fn preflights_get_what_they_ask_for() {
    let server =
        start(|config| config.keys = vec![key("a", "k", Scope::Use, KeyLimits::default())]).await;
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: authorization, dangerously-allow-browser\r\n\
             Access-Control-Request-Private-Network: true\r\n\r\n"
        )
    };
    for origin in [
        "app://obsidian.md",
        "tauri://localhost",
        "http://tauri.localhost",
        "http://localhost:5173",
    ] {
        let answer = server.ask(preflight(origin)).await;
        assert_eq!(answer.status, 204);
        assert!(answer.body.is_empty());
        for (name, value) in [
            ("access-control-allow-origin", origin),
            (
                "access-control-allow-headers",
                "authorization, dangerously-allow-browser",
            ),
            ("access-control-allow-private-network", "true"),
            ("access-control-max-age", "43200"),
            (
                "access-control-allow-methods",
                "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS",
            ),
        ] {
            assert_eq!(answer.header(name), Some(value), "{origin}");
        }
    }
    assert_eq!(
        server.ask(preflight("https://example.com")).await.status,
        403
    );
}

#[tokio::test]
async fn go_2025_4251_every_credential_form_on_every_kind_of_route() {
    let server = start(|config| {
        config.keys = vec![
            key("user", "use-key", Scope::Use, KeyLimits::default()),
            key("owner", "manage-key", Scope::Manage, KeyLimits::default()),
        ];
    })
    .await;
    let credentials = |secret: &str| {
        [
            format!("Authorization: Bearer {secret}\r\n"),
            format!("Authorization: {secret}\r\n"),
            format!("x-api-key: {secret}\r\n"),
            format!("API-Key: {secret}\r\n"),
        ]
    };
    for (path, user) in [
        ("/api/chat", 200),
        ("/v1/chat/completions", 200),
        ("/v1/messages", 200),
        ("/completion", 200),
        ("/api/pull", 403),
        ("/api/delete", 403),
        ("//api//pull/", 403),
        ("/v1/api/pull", 403),
        ("/no/such/path", 403),
    ] {
        assert_eq!(server.post(path, "", "{}").await.status, 401, "{path}");
        for header in credentials("use-key") {
            assert_eq!(
                server.post(path, &header, "{}").await.status,
                user,
                "{path} {header}"
            );
        }
        for header in credentials("wrong") {
            assert_eq!(
                server.post(path, &header, "{}").await.status,
                401,
                "{path} {header}"
            );
        }
        let owner = if path == "/no/such/path" { 404 } else { 200 };
        for header in credentials("manage-key") {
            assert_eq!(
                server.post(path, &header, "{}").await.status,
                owner,
                "{path} {header}"
            );
        }
    }
    // Life is public, and nothing else is.
    for (path, status) in [
        ("/", 200),
        ("/health", 200),
        ("/metrics", 401),
        ("/api/tags", 401),
        ("/api/usage", 401),
    ] {
        assert_eq!(server.get(path, "").await.status, status, "{path}");
    }
    let answer = server.post("/v1/messages", "", "{}").await;
    assert_eq!(answer.json()["error"]["type"], "authentication_error");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    assert_eq!(
        answer.json()["request_id"].as_str(),
        answer.header("request-id")
    );
}

#[tokio::test]
async fn without_keys_any_credentials_will_do_on_this_machine() {
    let server = start(|_| {}).await;
    for header in ["", "Authorization: Bearer ollama\r\n", "x-api-key: x\r\n"] {
        let answer = server.post("/api/pull", header, "{}").await;
        assert_eq!(
            (answer.status, &answer.json()["scope"]),
            (200, &"manage".into())
        );
    }
}

#[tokio::test]
async fn limits_of_keys_answer_429_with_the_time_to_wait() {
    let server = start(|config| {
        let few = KeyLimits {
            requests_per_minute: Some(2),
            ..KeyLimits::default()
        };
        let tokens = KeyLimits {
            tokens_per_day: Some(30),
            ..KeyLimits::default()
        };
        let one = KeyLimits {
            concurrent: Some(1),
            ..KeyLimits::default()
        };
        config.keys = vec![
            key("few", "few", Scope::Use, few),
            key("tokens", "tokens", Scope::Use, tokens),
            key("one", "one", Scope::Use, one),
        ];
    })
    .await;
    for (secret, allowed) in [("few", 2), ("tokens", 2)] {
        let header = format!("x-api-key: {secret}\r\n");
        for _ in 0..allowed {
            assert_eq!(
                server
                    .post("/v1/chat/completions", &header, "{\"model\": \"m\"}")
                    .await
                    .status,
                200
            );
        }
        let answer = server.post("/v1/chat/completions", &header, "{}").await;
        assert_eq!(answer.status, 429, "{secret}");
        assert_eq!(answer.json()["error"]["code"], "rate_limit_exceeded");
        assert!(
            answer
                .header("retry-after")
                .unwrap()
                .parse::<u64>()
                .unwrap()
                > 0
        );
    }
    // One request runs until its client goes away; then the next may.
    use tokio::io::AsyncWriteExt;
    let mut first = server.connect().await;
    first
        .write_all(post_text("/v1/completions", "x-api-key: one\r\n", "{}").as_bytes())
        .await
        .unwrap();
    crate::harness::until("the request", || server.metrics.in_flight.get() == 1).await;
    assert_eq!(
        server
            .post("/api/chat", "x-api-key: one\r\n", "{}")
            .await
            .status,
        429
    );
    drop(first);
    crate::harness::until("the end", || server.metrics.in_flight.get() == 0).await;
    assert_eq!(
        server
            .post("/api/chat", "x-api-key: one\r\n", "{}")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn cve_2024_37032_no_path_climbs() {
    let server = start(|_| {}).await;
    for path in [
        "/api/../etc/passwd",
        "/v1/models/..%2F..%2Fetc%2Fpasswd",
        "/v1/models/%2e%2e/x",
        "/v1/models/a%00b",
        "/v1/models/..%5Cx",
    ] {
        assert_eq!(server.get(path, "").await.status, 400, "{path}");
    }
}
