//! A registry behind a certificate of the company's own authority.

use std::{path::PathBuf, sync::Arc};

use hearth_store::{Kind, Store, config::Registry as Settings};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::{
    assert_sound, pull_with, remote,
    support::{Reply, Server, registry::Registry},
};

fn testdata(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata", name]
        .iter()
        .collect()
}

#[test]
fn a_certificate_authority_of_ones_own() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let registry = Registry::start();
    let manifest = registry.offer("team/m:v1", &[(Kind::System, b"s")]);
    let plain = registry.server.address.clone();
    let certificates = vec![CertificateDer::from_pem_file(testdata("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(testdata("server.key")).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let config = Arc::new(config);
    // The same registry, spoken to by TLS.
    let server = Server::with_streams(
        move |request| forward(&plain, &request.target),
        move |stream| {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            Box::new(rustls::StreamOwned::new(connection, stream))
        },
    );
    let name = format!("{}/team/m:v1", server.address);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let mut remote = hearth_store::Remote {
        insecure: false,
        ..remote()
    };
    let error = pull_with(&store, &name, &remote, &|_| {}).unwrap_err();
    assert!(
        error.to_string().to_lowercase().contains("certificate"),
        "{error}"
    );
    let settings = Settings {
        ca: Some(testdata("ca.pem")),
        ..Settings::default()
    };
    remote
        .settings
        .registry
        .insert(server.address.clone(), settings);
    let entry = pull_with(&store, &name, &remote, &|_| {}).unwrap();
    assert_eq!(entry.manifest.digest(), manifest.digest());
    assert_sound(&store);
}

/// Asks the plain registry.
fn forward(address: &str, target: &str) -> Reply {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
    Reply::new(status, answer[end + 4..].to_vec())
}
