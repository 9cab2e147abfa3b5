//! TLS and socket files.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use crate::harness::{answer, rest, start, until};

#[tokio::test]
async fn tls_is_spoken_and_nothing_else() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let server = start(|config| {
        config.tls_certificate = Some(certificate.clone());
        config.tls_key = Some(key.clone());
        config.limits.header_time = Duration::from_millis(500);
    })
    .await;

    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector
        .connect(name, server.connect().await)
        .await
        .unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
            .await
            .unwrap();
        assert_eq!(answer(&mut stream).await.status, 200);
    }

    let mut plain = server.connect().await;
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    assert!(!rest(&mut plain).await.starts_with(b"HTTP"));
    // Who never begins the handshake is closed.
    let mut silent = server.connect().await;
    assert!(rest(&mut silent).await.is_empty());
    drop(stream);
    until("the end of all connections", || {
        server.metrics.connections.get() == 0
    })
    .await;
}

#[tokio::test]
async fn tls_files_that_are_none_are_refused_with_their_name() {
    use hearth_server::edge::{Config, Server};
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for certificate in [folder.path().join("absent.pem"), empty.clone()] {
        let config = Config {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            tls_certificate: Some(certificate.clone()),
            tls_key: Some(empty.clone()),
            ..Config::default()
        };
        let error = Server::bind(config, Arc::default(), None)
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(certificate.to_str().unwrap()), "{error}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    use hearth_server::edge::Address;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hearth.sock");
    // One that a crash left is replaced.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut server = start(|config| {
        config.listen = vec![Address::Unix(path.clone()), "127.0.0.1:0".parse().unwrap()]
    })
    .await;
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    stream
        .write_all(b"POST /api/pull HTTP/1.1\r\nHost: anything\r\nContent-Length: 2\r\n\r\n{}")
        .await
        .unwrap();
    assert_eq!(answer(&mut stream).await.json()["scope"], "manage");
    assert_eq!(server.get("/", "").await.status, 200);

    // One that is in use is not, and neither is a file.
    use hearth_server::edge::{Config, Server};
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    for taken in [&path, &file] {
        let config = Config {
            listen: vec![Address::Unix(taken.clone())],
            ..Config::default()
        };
        assert!(
            Server::bind(config, Arc::default(), None).await.is_err(),
            "{taken:?}"
        );
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    drop(stream);
    server.stop().await;
    assert!(!path.exists());
}
