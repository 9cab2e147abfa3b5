//! Whole operations on a real directory, against servers on loopback.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod crash;
mod hostile;
mod hub;
mod pull;
mod push;
mod real;
mod tls;

use std::{sync::Mutex, time::Duration};

use hearth_store::{Entry, Event, Name, Remote, Result, Store, Timing, Verb, config::Settings};

/// Times that make failures quick.
fn remote() -> Remote {
    Remote {
        timing: Timing {
            connect: Duration::from_secs(2),
            stall: Duration::from_millis(400),
            pause: Duration::from_millis(5),
            attempts: 4,
        },
        insecure: true,
        piece: 64 << 10,
        ..Remote::new(Settings::default())
    }
}

fn no_environment(_: &str) -> Option<std::ffi::OsString> {
    None
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn pull(store: &Store, name: &str) -> Result<Entry> {
    pull_with(store, name, &remote(), &|_| {})
}

fn pull_with(
    store: &Store,
    name: &str,
    remote: &Remote,
    watch: &(dyn Fn(Event) + Sync),
) -> Result<Entry> {
    let name: Name = name.parse().unwrap();
    runtime().block_on(store.pull(&name, None, remote, &no_environment, watch))
}

/// Every name points at contents that are there and are what they are called; nothing else calls itself a content.
fn assert_sound(store: &Store) {
    let listing = store.list().unwrap();
    assert!(listing.faults.is_empty(), "{:?}", listing.faults);
    for entry in &listing.entries {
        for layer in entry.manifest.contents() {
            let file = store.layer_file(&entry.name, layer).unwrap();
            assert_eq!(
                hearth_store::Digest::of(&std::fs::read(file).unwrap()),
                layer.digest,
                "{}",
                entry.name
            );
        }
    }
    let Ok(blobs) = std::fs::read_dir(store.layout().blobs()) else {
        return;
    };
    for blob in blobs {
        let path = blob.unwrap().path();
        let digest = hearth_store::Layout::digest_of(&path).unwrap();
        assert_eq!(
            hearth_store::Digest::of(&std::fs::read(&path).unwrap()),
            digest
        );
    }
}

/// Collects what is said.
#[derive(Default)]
struct Said(Mutex<Vec<Event>>);

impl Said {
    fn watch(&self) -> impl Fn(Event) + Sync + '_ {
        |event| self.0.lock().unwrap().push(event)
    }

    fn retries(&self) -> usize {
        self.0
            .lock()
            .unwrap()
            .iter()
            .filter(|event| matches!(event, Event::Retry { .. }))
            .count()
    }

    fn first_completed(&self, size: u64) -> u64 {
        let said = self.0.lock().unwrap();
        let mut completed = said.iter().filter_map(|event| match event {
            Event::Content {
                verb: Verb::Pull,
                total,
                completed,
                ..
            } if *total == size => Some(*completed),
            _ => None,
        });
        completed.next().unwrap()
    }
}
