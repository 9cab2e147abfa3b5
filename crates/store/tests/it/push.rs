//! Signing in, and sending models.

use std::sync::{Arc, Mutex};

use hearth_store::{Kind, Name, Store, config::Registry as Settings};

use crate::{
    no_environment, pull, pull_with, remote, runtime,
    support::{Reply, Server, registry::Registry},
};

#[test]
fn a_registry_with_a_password_and_one_with_tokens() {
    for scheme in ["basic", "bearer"] {
        let address = Arc::new(Mutex::new(String::new()));
        let place = Arc::clone(&address);
        let registry = Registry::with(Box::new(move |request| {
            let basic = request.header("authorization") == Some("Basic bWU6c2VjcmV0"); // me:secret
            match (scheme, request.path()) {
                ("bearer", "/token") => {
                    assert_eq!(
                        (request.query("service"), request.query("scope")),
                        (Some("s".into()), Some("repository:team/m:pull".into()))
                    );
                    Some(if basic {
                        Reply::new(200, r#"{"token":"abc"}"#)
                    } else {
                        Reply::new(401, "")
                    })
                }
                ("bearer", _) if request.header("authorization") != Some("Bearer abc") => {
                    let challenge = format!(
                        r#"Bearer realm="http://{}/token",service="s",scope="repository:team/m:pull""#,
                        place.lock().unwrap()
                    );
                    Some(Reply::new(401, "").with("WWW-Authenticate", challenge))
                }
                ("basic", _) if !basic => {
                    Some(Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""))
                }
                _ => None,
            }
        }));
        *address.lock().unwrap() = registry.server.address.clone();
        registry.offer("team/m:v1", &[(Kind::System, b"s")]);
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        assert!(
            pull(&store, &registry.name("team/m:v1")).is_err(),
            "without credentials"
        );
        let mut with = remote();
        with.settings.registry.insert(
            registry.server.address.clone(),
            Settings {
                user: Some("me".into()),
                password_env: Some("SECRET".into()),
                ..Settings::default()
            },
        );
        let name: Name = registry.name("team/m:v1").parse().unwrap();
        let environment = |key: &str| (key == "SECRET").then(|| "secret".into());
        runtime()
            .block_on(store.pull(&name, None, &with, &environment, &|_| {}))
            .unwrap();
        let error = pull_with(&store, &registry.name("team/m:v1"), &with, &|_| {}).unwrap_err();
        assert!(error.to_string().contains("SECRET"), "{error}");
    }
}

#[test]
fn what_docker_login_stored_is_used_and_not_sent_elsewhere() {
    let storage = Server::start(|request| match request.header("authorization") {
        Some(_) => Reply::new(500, "credentials leaked"),
        None => Reply::new(200, "s"),
    });
    let elsewhere = format!(
        "http://localhost:{}/blob",
        storage.address.rsplit_once(':').unwrap().1
    );
    let registry = Registry::with(Box::new(move |request| {
        if request.header("authorization") != Some("Basic bWU6c2VjcmV0") {
            return Some(Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""));
        }
        let blob = request.path().contains("/blobs/")
            && request
                .path()
                .contains(&hearth_store::Digest::of(b"s").hex());
        blob.then(|| Reply::new(307, "").with("Location", elsewhere.clone()))
    }));
    registry.offer("team/m:v1", &[(Kind::System, b"s")]);
    let directory = tempfile::tempdir().unwrap();
    let login = directory.path().join("docker");
    std::fs::create_dir(&login).unwrap();
    let config = format!(
        r#"{{"auths":{{"{}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#,
        registry.server.address
    );
    std::fs::write(login.join("config.json"), config).unwrap();
    let store = Store::new(directory.path().join("store"));
    let name: Name = registry.name("team/m:v1").parse().unwrap();
    let environment = move |key: &str| (key == "DOCKER_CONFIG").then(|| login.clone().into());
    runtime()
        .block_on(store.pull(&name, None, &remote(), &environment, &|_| {}))
        .unwrap();
    assert_eq!(storage.requests().len(), 1);
}

#[test]
fn plain_http_needs_a_permission() {
    let registry = Registry::start();
    registry.offer("team/m:v1", &[(Kind::System, b"s")]);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let strict = hearth_store::Remote {
        insecure: false,
        ..remote()
    };
    let error = pull_with(&store, &registry.name("team/m:v1"), &strict, &|_| {}).unwrap_err();
    assert!(
        error.to_string().contains("insecure protocol http"),
        "{error}"
    );
    let absent = pull(&store, &registry.name("team/other:v1")).unwrap_err();
    assert!(
        absent
            .to_string()
            .starts_with("pull model manifest: file does not exist"),
        "{absent}"
    );
}

/// What a registry does with a piece may take longer than the silence that is allowed while something is fetched.
#[test]
fn a_slow_registry_gets_its_time_and_every_byte() {
    let received = Arc::new(Mutex::new(Vec::new()));
    let bytes = Arc::clone(&received);
    let registry = Server::start(move |request| match request.method.as_str() {
        "HEAD" => Reply::new(404, ""),
        "POST" => Reply::new(202, "").with("Location", "/v2/team/m/blobs/uploads/1?state=a"),
        "PATCH" => {
            std::thread::sleep(std::time::Duration::from_millis(700));
            bytes.lock().unwrap().extend_from_slice(&request.body);
            Reply::new(202, "").with("Location", "/v2/team/m/blobs/uploads/1?state=b")
        }
        _ => {
            // The digest of what it got takes its time as well.
            std::thread::sleep(std::time::Duration::from_millis(700));
            Reply::new(201, "")
        }
    });
    let origin = Registry::start();
    let weights = crate::support::registry::noise(17 << 20, 60); // two pieces
    origin.offer("team/m:v1", &[(Kind::Model, &weights)]);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    pull(&store, &origin.name("team/m:v1")).unwrap();
    let name: Name = format!("{}/team/m:v1", registry.address).parse().unwrap();
    store
        .copy(&origin.name("team/m:v1").parse().unwrap(), &name)
        .unwrap();
    runtime()
        .block_on(store.push(&name, &remote(), &no_environment, &|_| {}))
        .unwrap();
    let received = received.lock().unwrap();
    assert!(received.starts_with(&weights));
    let asked = registry.requests();
    let ranges: Vec<_> = asked
        .iter()
        .filter(|request| request.method == "PATCH")
        .filter_map(|request| request.header("content-range"))
        .collect();
    assert_eq!(ranges[..2], ["0-16777215", "16777216-17825791"]);
    let commit = asked
        .iter()
        .find(|request| request.method == "PUT")
        .unwrap();
    assert_eq!(
        commit.query("digest"),
        Some(hearth_store::Digest::of(&weights).to_string())
    );
    assert_eq!(
        commit.query("state").as_deref(),
        Some("b"),
        "each answer names the next place"
    );
    assert!(
        asked
            .last()
            .unwrap()
            .target
            .ends_with("/v2/team/m/manifests/v1"),
        "the manifest comes last"
    );
}
