//! Registries that lie. Whatever they do, the store stays sound and nothing leaves it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hearth_store::{Digest, Error, Kind, Store};

use crate::{
    assert_sound, pull,
    support::{
        Body, Reply, Server,
        registry::{Registry, noise, part},
    },
};

/// Pulls a model whose weights are served by `lie`, and gives the error.
fn refused(
    lie: impl Fn(&crate::support::Request, &[u8]) -> Reply + Send + Sync + 'static,
) -> Error {
    let weights = noise(200_000, 20);
    let bytes = weights.clone();
    let registry = Registry::with(Box::new(move |request| {
        let asked = request.target.contains(&Digest::of(&bytes).to_string())
            && request.target.contains("/blobs/");
        asked.then(|| lie(request, &bytes))
    }));
    registry.offer("team/m:v1", &[(Kind::Model, &weights)]);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let error = pull(&store, &registry.name("team/m:v1")).unwrap_err();
    assert!(store.list().unwrap().entries.is_empty(), "{error}");
    assert!(store.blob(&Digest::of(&weights)).is_none());
    assert_sound(&store);
    error
}

#[test]
fn lengths_that_are_not_true() {
    // Another total.
    refused(|request, bytes| {
        let mut reply = part(request, bytes);
        reply
            .headers
            .iter_mut()
            .for_each(|(_, value)| *value = value.replace("200000", "100000"));
        reply
    });
    // Another range than was asked for.
    refused(|request, bytes| {
        let mut reply = part(request, bytes);
        reply.headers = vec![("Content-Range".into(), "bytes 5-65540/200000".into())];
        reply
    });
    // Fewer bytes than promised.
    refused(|request, bytes| {
        let mut reply = part(request, bytes).with("Content-Length", "65536");
        let Body::Bytes(body) = reply.body else {
            unreachable!()
        };
        reply.body = Body::Cut(body[..10].to_vec());
        reply
    });
    // More, without an end.
    refused(|_, _| {
        Reply::raw(|out| {
            out.write_all(b"HTTP/1.1 206 X\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 0-65535/200000\r\n\r\n")?;
            loop {
                out.write_all(b"4000\r\n")?;
                out.write_all(&[7; 0x4000])?;
                out.write_all(b"\r\n")?;
            }
        })
    });
    // A whole of another length.
    let error = refused(|_, bytes| Reply::new(200, bytes[1..].to_vec()));
    assert!(error.to_string().contains("199999"), "{error}");
}

#[test]
fn other_bytes_than_the_digest_says() {
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let error = refused(move |request, bytes| {
        let reply = part(request, &noise(bytes.len(), 99));
        let Body::Bytes(body) = &reply.body else {
            unreachable!()
        };
        count.fetch_add(body.len() as u64, Ordering::Relaxed);
        reply
    });
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    let sent = sent.load(Ordering::Relaxed);
    assert_eq!(
        sent, 400_000,
        "the same wrong bytes are not fetched a third time"
    );
}

#[test]
fn a_server_that_says_nothing_or_never_ends() {
    refused(|_, _| {
        Reply::raw(|_| {
            std::thread::sleep(Duration::from_secs(3));
            Ok(())
        })
    });
    // Headers without an end.
    refused(|_, _| {
        Reply::raw(|out| {
            out.write_all(b"HTTP/1.1 200 X\r\n")?;
            loop {
                out.write_all(b"X-More: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")?;
            }
        })
    });
    refused(|_, _| Reply::raw(|out| out.write_all(b"not HTTP at all\r\n\r\n")));
}

#[test]
fn redirects_to_where_none_may_lead() {
    for scheme in ["file", "ftp", "gopher", "data", "javascript"] {
        let place = format!("{scheme}://127.0.0.1/etc/passwd");
        let error = refused(move |_, _| Reply::new(307, "").with("Location", place.clone()));
        let expected = format!("a redirect from http to {scheme}");
        assert!(error.to_string().contains(&expected), "{scheme}: {error}");
    }
    for place in ["http://", "//"] {
        let error = refused(move |_, _| Reply::new(307, "").with("Location", place));
        assert!(
            error.to_string().contains("a redirect to no address"),
            "{place}: {error}"
        );
    }
    let error = refused(|request, _| Reply::new(307, "").with("Location", request.target.clone()));
    assert!(error.to_string().contains("redirects"), "{error}");
    refused(|_, _| Reply::new(307, ""));
}

/// CVE-2025-1975: a registry whose manifests are not what they should be, in every way there is.
#[test]
fn cve_2025_1975_five_hundred_malformed_manifests() {
    let registry = Registry::start();
    let good = registry.offer(
        "team/m:v1",
        &[(Kind::Model, b"weights"), (Kind::Template, b"t")],
    );
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let name = registry.name("team/m:v1");
    let text = String::from_utf8(good.raw().to_vec()).unwrap();
    let mut bad: Vec<Vec<u8>> = (0..good.raw().len())
        .map(|cut| good.raw()[..cut].to_vec())
        .take(460)
        .collect();
    let digest = Digest::of(b"weights").to_string();
    let replacements = [
        "sha256:../../../../tmp/x",
        "/etc/passwd",
        "../x",
        "sha256:",
        "",
        "sha512:aa",
        "\\u0000",
        "sha256:zz",
    ];
    bad.extend(replacements.map(|hostile| text.replace(&digest, hostile).into_bytes()));
    let sizes = [
        "-1",
        "1e99",
        "18446744073709551615",
        "\"7\"",
        "null",
        "[]",
        "7.5",
    ];
    bad.extend(sizes.map(|size| {
        text.replace("\"size\":7", &format!("\"size\":{size}"))
            .into_bytes()
    }));
    for (from, to) in [
        ("\"layers\":[", "\"layers\":[null,"),
        ("\"layers\":[", "\"layers\":{\"a\":["),
        ("\"config\"", "\"confiq\""),
        ("\"schemaVersion\":2", "\"schemaVersion\":3"),
    ] {
        bad.push(text.replacen(from, to, 1).into_bytes());
    }
    bad.push(vec![b'['; 1 << 20]);
    bad.push(vec![b' '; 9 << 20]);
    bad.push(
        text.replace("\"size\":7", "\"size\":7,\"name\":\"../../x\"")
            .into_bytes(),
    );
    bad.push(b"\xff\xfe\x00".to_vec());
    assert!(bad.len() > 480);
    while bad.len() < 500 {
        bad.push(noise(bad.len() * 7, bad.len() as u64));
    }
    for raw in bad {
        registry
            .content
            .lock()
            .unwrap()
            .manifests
            .insert("team/m/v1".into(), raw.clone());
        assert!(
            pull(&store, &name).is_err(),
            "{:.200}",
            String::from_utf8_lossy(&raw)
        );
    }
    assert!(store.list().unwrap().entries.is_empty());
    assert_sound(&store);
}

/// CVE-2024-12886: nothing is unpacked, so nothing can swell.
#[test]
fn cve_2024_12886_compressed_answers_are_not_unpacked() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let server = Server::start(move |request| {
        log.lock()
            .unwrap()
            .push(request.header("accept-encoding").map(str::to_owned));
        Reply::new(200, vec![0x1f, 0x8b, 8, 0]).with("Content-Encoding", "gzip")
    });
    let directory = tempfile::tempdir().unwrap();
    let error = pull(
        &Store::new(directory.path()),
        &format!("http://{}/team/m:v1", server.address),
    )
    .unwrap_err();
    assert!(matches!(error, Error::Manifest { .. }), "{error}");
    assert!(seen.lock().unwrap().iter().all(Option::is_none));
}

/// CVE-2025-51471: a challenge that names another host gets nothing, and redirects drop credentials.
#[test]
fn cve_2025_51471_credentials_stay_with_their_registry() {
    let other = Server::start(|_| Reply::new(200, r#"{"token":"t"}"#));
    let realm = format!(
        "Bearer realm=\"http://localhost:{}/token\",service=\"s\"",
        other.address.rsplit_once(':').unwrap().1
    );
    let registry =
        Server::start(move |_| Reply::new(401, "").with("WWW-Authenticate", realm.clone()));
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let error = pull(&store, &format!("http://{}/team/m:v1", registry.address)).unwrap_err();
    assert!(
        error.to_string().contains("does not match original host"),
        "{error}"
    );
    assert!(other.requests().is_empty(), "the other host was not asked");
}
