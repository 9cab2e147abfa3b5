//! Pulling from a registry that may have a bad day.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use hearth_store::{Digest, Error, Kind, Name, Store, config::Registry as RegistrySettings};

use crate::{
    Said, assert_sound, no_environment, pull, pull_with, remote, runtime,
    support::{
        Body, Reply,
        registry::{Registry, noise, part},
    },
};

const SIZE: usize = 1 << 20;

#[test]
fn a_model_is_fetched_once_and_its_manifest_kept_byte_for_byte() {
    let (registry, directory) = (Registry::start(), tempfile::tempdir().unwrap());
    let weights = noise(SIZE, 1);
    let manifest = registry.offer(
        "team/m:v1",
        &[
            (Kind::Model, &weights),
            (Kind::System, b"Be brief."),
            (Kind::License, b""),
        ],
    );
    let store = Store::new(directory.path());
    let entry = pull(&store, &registry.name("team/m:v1")).unwrap();
    assert_eq!(
        (entry.manifest.raw(), entry.manifest.digest()),
        (manifest.raw(), manifest.digest())
    );
    assert_sound(&store);
    let served = registry.served();
    assert_eq!(served, manifest.size());
    pull(&store, &registry.name("TEAM/M:V1")).unwrap();
    assert_eq!(registry.served(), served, "nothing is fetched twice");
    assert_eq!(
        store.list().unwrap().entries.len(),
        1,
        "names differ in case only"
    );
}

#[test]
fn a_line_that_breaks_all_the_time_gets_there_without_waste() {
    let count = Arc::new(AtomicUsize::new(0));
    let weights = noise(SIZE, 2);
    let (bytes, counter) = (weights.clone(), Arc::clone(&count));
    let registry = Registry::with(Box::new(move |request| {
        // Every third piece breaks off half-way.
        (request.target.contains(&Digest::of(&bytes).to_string())
            && request.header("range").is_some()
            && counter.fetch_add(1, Ordering::Relaxed) % 3 == 0)
            .then(|| {
                let mut reply = part(request, &bytes);
                let Body::Bytes(body) = reply.body else {
                    unreachable!()
                };
                reply
                    .headers
                    .push(("Content-Length".into(), body.len().to_string()));
                reply.body = Body::Cut(body[..body.len() / 2].to_vec());
                reply
            })
    }));
    registry.offer("team/m:v1", &[(Kind::Model, &weights)]);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let said = Said::default();
    pull_with(
        &store,
        &registry.name("team/m:v1"),
        &remote(),
        &said.watch(),
    )
    .unwrap();
    assert!(said.retries() > 0);
    assert_sound(&store);
    assert!(
        count.load(Ordering::Relaxed) <= SIZE / (64 << 10) * 2,
        "only what broke is asked for again"
    );
}

#[test]
fn what_landed_before_a_failure_is_not_fetched_again() {
    let weights = noise(SIZE, 3);
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let flag = Arc::clone(&broken);
    let registry = Registry::with(Box::new(move |request| {
        // The second half cannot be had.
        let first: usize = request
            .header("range")
            .and_then(|r| r[6..].split('-').next()?.parse().ok())?;
        (first >= SIZE / 2 && flag.load(Ordering::Relaxed)).then(|| Reply::new(404, "gone"))
    }));
    let manifest = registry.offer("team/m:v1", &[(Kind::Model, &weights)]);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let error = pull(&store, &registry.name("team/m:v1")).unwrap_err();
    assert!(
        matches!(error, Error::Status { status: 404, .. }),
        "{error}"
    );
    assert!(store.list().unwrap().entries.is_empty());
    let before = registry.served();
    broken.store(false, Ordering::Relaxed);
    let said = Said::default();
    pull_with(
        &store,
        &registry.name("team/m:v1"),
        &remote(),
        &said.watch(),
    )
    .unwrap();
    let resumed = said.first_completed(SIZE as u64);
    assert!(resumed > 0, "the resumed part is shown");
    assert_eq!(registry.served() - before, manifest.size() - resumed);
    assert_sound(&store);
}

#[test]
fn a_corrupt_piece_is_fetched_again_alone() {
    for chunksums in [Some(64 << 10), None] {
        let weights = noise(SIZE, 4);
        let bytes = weights.clone();
        let corrupted = AtomicUsize::new(0);
        let registry = Registry::with(Box::new(move |request| {
            let hit = request.header("range") == Some("bytes=131072-196607")
                && request.target.contains("/blobs/")
                && corrupted.fetch_add(1, Ordering::Relaxed) == 0;
            hit.then(|| {
                let mut reply = part(request, &bytes);
                let Body::Bytes(body) = &mut reply.body else {
                    unreachable!()
                };
                body[100] ^= 1;
                reply
            })
        }));
        registry.offer("team/m:v1", &[(Kind::Model, &weights)]);
        registry.content.lock().unwrap().chunksums = chunksums;
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let said = Said::default();
        pull_with(
            &store,
            &registry.name("team/m:v1"),
            &remote(),
            &said.watch(),
        )
        .unwrap();
        assert_eq!(said.retries(), 1);
        assert_sound(&store);
        let pieces = registry
            .server
            .requests()
            .iter()
            .filter(|r| r.header("range").is_some_and(|r| r.ends_with("-196607")))
            .count();
        assert_eq!(pieces, 2, "the corrupt piece is asked for twice");
        if chunksums.is_some() {
            let all = registry
                .server
                .requests()
                .iter()
                .filter(|r| {
                    r.header("range").is_some()
                        && r.target.contains(&Digest::of(&weights).to_string())
                })
                .count();
            assert_eq!(all, SIZE / (64 << 10) + 1, "and no other");
        }
    }
}

#[test]
fn a_piece_that_rots_on_the_disk_is_fetched_again_alone() {
    let weights = noise(SIZE, 5);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let flag = Arc::clone(&stop);
    let registry = Registry::with(Box::new(move |request| {
        (request.header("range")?.contains("-1048575") && flag.load(Ordering::Relaxed))
            .then(|| Reply::new(404, ""))
    }));
    registry.offer("team/m:v1", &[(Kind::Model, &weights)]);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    pull(&store, &registry.name("team/m:v1")).unwrap_err();
    let partial = directory
        .path()
        .join(".hearth/partial")
        .join(Digest::of(&weights).hex());
    let mut bytes = std::fs::read(&partial).unwrap();
    bytes[5] ^= 0x80;
    std::fs::write(&partial, bytes).unwrap();
    stop.store(false, Ordering::Relaxed);
    pull(&store, &registry.name("team/m:v1")).unwrap();
    assert_sound(&store);
    let asked = |range: &str| {
        registry
            .server
            .requests()
            .iter()
            .filter(|r| r.header("range") == Some(range))
            .count()
    };
    assert_eq!(
        (asked("bytes=0-65535"), asked("bytes=65536-131071")),
        (2, 1)
    );
}

#[test]
fn a_registry_without_ranges_works() {
    let weights = noise(300_000, 6);
    let bytes = weights.clone();
    let registry = Registry::with(Box::new(move |request| {
        (request.header("range").is_some()
            && request.target.contains(&Digest::of(&bytes).to_string()))
        .then(|| Reply::new(200, bytes.clone()))
    }));
    registry.offer("team/m:v1", &[(Kind::Model, &weights)]);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    pull(&store, &registry.name("team/m:v1")).unwrap();
    assert_sound(&store);
}

#[test]
fn two_pulls_at_once_share_one_download() {
    let registry = Registry::start();
    let weights = noise(SIZE, 7);
    let manifest = registry.offer("team/m:v1", &[(Kind::Model, &weights)]);
    registry.content.lock().unwrap().speed = Some(8192);
    let directory = tempfile::tempdir().unwrap();
    let name = registry.name("team/m:v1");
    let stores = [
        Store::new(directory.path()),
        Store::new(directory.path()),
        Store::new(directory.path()),
    ];
    std::thread::scope(|scope| {
        for store in &stores {
            scope.spawn(|| pull(store, &name).unwrap());
        }
    });
    assert_eq!(registry.served(), manifest.size());
    assert_sound(&stores[0]);
}

#[test]
fn mirrors_are_asked_first_and_the_registry_makes_up_for_them() {
    let (registry, mirror) = (Registry::start(), Registry::start());
    let weights = noise(SIZE, 8);
    for server in [&registry, &mirror] {
        server.offer(
            "team/m:v1",
            &[(Kind::Model, &weights), (Kind::System, b"s")],
        );
    }
    let digest = Digest::of(&weights).to_string();
    let mut remote = remote();
    let mirrors = vec![
        "http://127.0.0.1:1".to_owned(),
        format!("http://{}", mirror.server.address),
    ];
    remote.settings.registry.insert(
        registry.server.address.clone(),
        RegistrySettings {
            mirrors,
            ..RegistrySettings::default()
        },
    );

    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    pull_with(&store, &registry.name("team/m:v1"), &remote, &|_| {}).unwrap();
    assert_eq!(registry.served(), 0, "the mirror had everything");

    // A mirror with other bytes, and one that lacks a content.
    mirror
        .content
        .lock()
        .unwrap()
        .blobs
        .insert(digest, noise(SIZE, 9));
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    pull_with(&store, &registry.name("team/m:v1"), &remote, &|_| {}).unwrap();
    assert_sound(&store);
    assert_eq!(registry.served(), SIZE as u64);
}

#[test]
fn a_version_can_be_asked_for_by_digest_pinned_and_rolled_back() {
    let registry = Registry::start();
    let first = registry.offer("team/m:v1", &[(Kind::System, b"one")]);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let text = registry.name("team/m:v1");
    let name: Name = text.parse().unwrap();
    pull(&store, &text).unwrap();
    let second = registry.offer("team/m:v1", &[(Kind::System, b"two")]);

    // Pinned: refused before anything is fetched.
    let mut pins = store.pins().unwrap();
    pins.insert(&store.get(&name).unwrap());
    store.set_pins(&pins).unwrap();
    assert!(matches!(pull(&store, &text), Err(Error::Pinned { .. })));
    assert!(pins.remove(&name));
    store.set_pins(&pins).unwrap();

    assert_eq!(
        pull(&store, &text).unwrap().manifest.digest(),
        second.digest()
    );
    assert_eq!(
        store.rollback(&name).unwrap().manifest.digest(),
        first.digest()
    );
    assert_eq!(
        store.rollback(&name).unwrap().manifest.digest(),
        second.digest()
    );
    let by_digest = runtime().block_on(store.pull(
        &name,
        Some(first.digest()),
        &remote(),
        &no_environment,
        &|_| {},
    ));
    assert_eq!(by_digest.unwrap().manifest.digest(), first.digest());
}

#[test]
fn a_stall_is_noticed_and_tried_again() {
    let weights = noise(200_000, 10);
    let bytes = weights.clone();
    let count = AtomicUsize::new(0);
    let registry = Registry::with(Box::new(move |request| {
        let hit = request.header("range").is_some()
            && request.target.contains(&Digest::of(&bytes).to_string())
            && count.fetch_add(1, Ordering::Relaxed) == 1;
        hit.then(|| {
            let mut reply = part(request, &bytes);
            let Body::Bytes(body) = reply.body else {
                unreachable!()
            };
            // A byte now and then keeps the connection alive and gets nobody anywhere.
            reply.body = Body::Slow(body, 1, std::time::Duration::from_millis(20));
            reply
        })
    }));
    registry.offer("team/m:v1", &[(Kind::Model, &weights)]);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let said = Said::default();
    pull_with(
        &store,
        &registry.name("team/m:v1"),
        &remote(),
        &said.watch(),
    )
    .unwrap();
    assert_eq!(said.retries(), 1);
    assert_sound(&store);
}

#[test]
fn a_busy_registry_is_asked_again() {
    let count = AtomicUsize::new(0);
    let registry = Registry::with(Box::new(move |request| {
        let busy =
            request.target.contains("/manifests/") && count.fetch_add(1, Ordering::Relaxed) < 2;
        busy.then(|| Reply::new(429, "").with("Retry-After", "0"))
    }));
    registry.offer("team/m:v1", &[(Kind::System, b"s")]);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    pull(&store, &registry.name("team/m:v1")).unwrap();
    assert_sound(&store);
}
