//! Every file operation of a pull fails once, in turn. What is left is sound, nothing complete is fetched again, and
//! the next pull finishes.

use hearth_store::{Disk, Faults, Kind, Name, Prune, Store};

use crate::{
    assert_sound, pull, runtime,
    support::registry::{Registry, noise},
};

#[test]
fn every_file_operation_of_a_pull_fails_once() {
    let registry = Registry::start();
    let weights = noise(200_000, 30);
    let earlier = registry.offer("team/m:v1", &[(Kind::System, b"earlier")]);
    let origin = tempfile::tempdir().unwrap();
    pull(&Store::new(origin.path()), &registry.name("team/m:v1")).unwrap();
    let manifest = registry.offer(
        "team/m:v1",
        &[
            (Kind::Model, &weights),
            (Kind::System, b"system"),
            (Kind::Template, b"template"),
        ],
    );
    let name: Name = registry.name("team/m:v1").parse().unwrap();
    let mut failures = 0;
    for at in 0.. {
        let directory = tempfile::tempdir().unwrap();
        // There is a version already: it stays what it was until the new one is whole.
        pull_earlier(origin.path(), directory.path());
        let faults = Faults::after(at);
        let faulty = Store::with_disk(directory.path(), Disk::with_faults(faults.clone()));
        let result = pull(&faulty, &registry.name("team/m:v1"));
        let store = Store::new(directory.path());
        assert_sound(&store);
        let now = store.get(&name).unwrap().manifest.digest();
        assert!(
            now == earlier.digest() || now == manifest.digest(),
            "operation {at}"
        );
        let complete: Vec<String> = manifest
            .contents()
            .filter(|layer| store.blob(&layer.digest).is_some())
            .map(|layer| layer.digest.to_string())
            .collect();
        let logged = registry.server.requests().len();
        let again = pull(&store, &registry.name("team/m:v1")).unwrap();
        assert_eq!(again.manifest.digest(), manifest.digest());
        for request in &registry.server.requests()[logged..] {
            let again = complete
                .iter()
                .any(|digest| request.target.ends_with(digest.as_str()));
            assert!(!again, "operation {at}: {} was complete", request.target);
        }
        assert_sound(&store);
        if faults.operations() <= u64::from(at) {
            result.unwrap();
            break;
        }
        failures += usize::from(result.is_err());
    }
    assert!(failures > 40, "only {failures} operations failed");
}

fn pull_earlier(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (source, name) = entry
            .map(|entry| (entry.path(), entry.file_name()))
            .unwrap();
        let target = to.join(name);
        if source.is_dir() {
            std::fs::create_dir(&target).unwrap();
            pull_earlier(&source, &target);
        } else {
            std::fs::copy(&source, &target).unwrap();
        }
    }
}

#[test]
fn every_file_operation_of_removing_and_pruning_fails_once() {
    let registry = Registry::start();
    registry.offer(
        "team/a:v1",
        &[(Kind::Model, b"shared"), (Kind::System, b"a")],
    );
    registry.offer(
        "team/b:v1",
        &[(Kind::Model, b"shared"), (Kind::System, b"b")],
    );
    let (a, b): (Name, Name) = (
        registry.name("team/a:v1").parse().unwrap(),
        registry.name("team/b:v1").parse().unwrap(),
    );
    for at in 0.. {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        pull(&store, &registry.name("team/a:v1")).unwrap();
        pull(&store, &registry.name("team/b:v1")).unwrap();
        let faults = Faults::after(at);
        let faulty = Store::with_disk(directory.path(), Disk::with_faults(faults.clone()));
        let removed = faulty.remove(&a);
        let everything = Prune {
            grace: std::time::Duration::ZERO,
            previous: true,
            partial: true,
            dry_run: false,
        };
        let pruned = faulty.prune(everything);
        assert_sound(&store);
        assert!(store.get(&b).is_ok());
        store.prune(everything).unwrap();
        assert_sound(&store);
        if faults.operations() <= u64::from(at) {
            removed.unwrap();
            pruned.unwrap();
            break;
        }
    }
}

#[test]
fn prune_keeps_what_is_used_and_takes_the_rest() {
    let registry = Registry::start();
    registry.offer(
        "team/m:v1",
        &[(Kind::Model, b"weights"), (Kind::System, b"one")],
    );
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let text = registry.name("team/m:v1");
    let name: Name = text.parse().unwrap();
    let entry = pull(&store, &text).unwrap();
    let presence = store
        .announce(&hearth_store::Running::new(text.clone(), "serve").of(&entry.manifest))
        .unwrap();
    registry.offer("team/m:v1", &[(Kind::System, b"two")]);
    pull(&store, &text).unwrap();
    let everything = Prune {
        grace: std::time::Duration::ZERO,
        previous: true,
        partial: true,
        dry_run: false,
    };

    // The earlier version is kept for a rollback, then dropped; what is loaded stays all the same.
    let gentle = store
        .prune(Prune {
            grace: std::time::Duration::ZERO,
            ..Prune::default()
        })
        .unwrap();
    assert_eq!((gentle.blobs, gentle.previous), (0, 0));
    let dry = store
        .prune(Prune {
            dry_run: true,
            ..everything
        })
        .unwrap();
    assert_eq!((dry.blobs, dry.previous), (0, 1));
    assert!(store.prune(everything).unwrap().kept_in_use > 0);
    assert!(
        entry
            .manifest
            .contents()
            .all(|layer| store.blob(&layer.digest).is_some())
    );
    assert_eq!(store.running().unwrap().len(), 1);
    drop(presence);
    assert!(store.running().unwrap().is_empty());
    assert_eq!(
        store.prune(everything).unwrap().blobs,
        2,
        "weights and the first system message"
    );
    assert_sound(&store);

    // While someone adds, nothing is removed: the pull cannot lose what it is about to name.
    registry.content.lock().unwrap().speed = Some(40);
    registry.offer("team/slow:v1", &[(Kind::Model, &noise(40_000, 1))]);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| pull(&store, &registry.name("team/slow:v1")).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(matches!(
            store.prune(everything),
            Err(hearth_store::Error::Busy(_))
        ));
        assert!(store.remove(&name).unwrap().1.is_none());
        slow.join().unwrap();
    });
    store.prune(everything).unwrap();
    assert_sound(&store);
    runtime().shutdown_background();
}
