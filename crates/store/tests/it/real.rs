//! Against a real registry: Debian's `docker-registry`.

use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hearth_store::{Kind, Name, Store, config::Registry as Settings};

use crate::{
    assert_sound, pull, remote, runtime,
    support::registry::{Registry, noise},
};

struct DockerRegistry {
    child: Child,
    address: String,
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nothing where the program is not installed.
fn start(directory: &Path, auth: &str) -> Option<DockerRegistry> {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("127.0.0.1:{port}");
    let config = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n{auth}",
        directory.join("registry").display()
    );
    let path = directory.join("config.yml");
    std::fs::write(&path, config).unwrap();
    let child = Command::new("docker-registry")
        .arg("serve")
        .arg(&path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = child else {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: docker-registry is not installed"
        );
        return None;
    };
    let registry = DockerRegistry { child, address };
    let start = Instant::now();
    while TcpStream::connect(&registry.address).is_err() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "docker-registry did not start"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(registry)
}

/// A store that has `team/m:v1` under the registry's name.
fn stocked(directory: &Path, address: &str) -> (Store, Name) {
    let origin = Registry::start();
    let weights = noise(40 << 20, 40); // more than one part
    origin.offer(
        "team/m:v1",
        &[
            (Kind::Model, &weights),
            (Kind::System, b"Be brief."),
            (Kind::License, b""),
        ],
    );
    let store = Store::new(directory.join("first"));
    pull(&store, &origin.name("team/m:v1")).unwrap();
    let name: Name = format!("{address}/team/m:v1").parse().unwrap();
    store
        .copy(&origin.name("team/m:v1").parse().unwrap(), &name)
        .unwrap();
    (store, name)
}

#[test]
fn a_model_goes_to_a_real_registry_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let Some(registry) = start(directory.path(), "") else {
        return;
    };
    let (store, name) = stocked(directory.path(), &registry.address);
    let environment = |_: &str| None;
    let remote = hearth_store::Remote {
        piece: 16 << 20,
        timing: hearth_store::Timing::default(),
        ..remote()
    };
    let push = || runtime().block_on(store.push(&name, &remote, &environment, &|_| {}));
    push().unwrap();
    push().unwrap(); // everything is there already
    let other = Store::new(directory.path().join("second"));
    let pulled = runtime()
        .block_on(other.pull(&name, None, &remote, &environment, &|_| {}))
        .unwrap();
    assert_eq!(
        pulled.manifest.raw(),
        store.get(&name).unwrap().manifest.raw()
    );
    assert_sound(&other);
    let absent: Name = format!("{}/team/absent:v1", registry.address)
        .parse()
        .unwrap();
    let error = runtime()
        .block_on(other.pull(&absent, None, &remote, &environment, &|_| {}))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("pull model manifest: file does not exist"),
        "{error}"
    );
    let by_digest = runtime().block_on(other.pull(
        &name,
        Some(pulled.manifest.digest()),
        &remote,
        &environment,
        &|_| {},
    ));
    assert_eq!(
        by_digest.unwrap().manifest.digest(),
        pulled.manifest.digest()
    );
}

#[test]
fn a_real_registry_with_a_password() {
    let directory = tempfile::tempdir().unwrap();
    // me:secret by bcrypt
    std::fs::write(directory.path().join("htpasswd"), HTPASSWD).unwrap();
    let auth = format!(
        "auth:\n  htpasswd:\n    realm: x\n    path: {}\n",
        directory.path().join("htpasswd").display()
    );
    let Some(registry) = start(directory.path(), &auth) else {
        return;
    };
    let (store, name) = stocked(directory.path(), &registry.address);
    let mut remote = hearth_store::Remote {
        timing: hearth_store::Timing::default(),
        ..remote()
    };
    let environment = |key: &str| (key == "SECRET").then(|| "secret".into());
    let refused = runtime().block_on(store.push(&name, &remote, &environment, &|_| {}));
    assert!(refused.is_err());
    let settings = Settings {
        user: Some("me".into()),
        password_env: Some("SECRET".into()),
        ..Settings::default()
    };
    remote
        .settings
        .registry
        .insert(registry.address.clone(), settings);
    runtime()
        .block_on(store.push(&name, &remote, &environment, &|_| {}))
        .unwrap();
    let other = Store::new(directory.path().join("second"));
    runtime()
        .block_on(other.pull(&name, None, &remote, &environment, &|_| {}))
        .unwrap();
    assert_sound(&other);
}

const HTPASSWD: &str = "me:$2a$05$M1YS9Gd84sxsYJC3F2pUMuC3V4QgyehmBBTY66Husw1Vpe6eADcmO\n";
