//! The cache of the hub's clients: `models--OWNER--REPOSITORY/{blobs,refs,snapshots/COMMIT}`, where a snapshot's
//! files are links to blobs. Python's client and newer llama.cpp share it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    Found, Place,
    files::{DEEPEST, walk},
    repository::{Source, named},
    unreadable,
};
use crate::{Disk, Error, Name};

/// A commit and a newline.
const LONGEST_COMMIT: u64 = 128;

/// The models of all repositories.
pub(super) fn scan(place: &Place, faults: &mut Vec<Error>) -> Vec<Found> {
    let entries = match Disk::default().entries(&place.folder) {
        Ok(entries) => entries,
        Err(error) => {
            faults.push(unreadable::explain(error));
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for repository in entries {
        let name = repository.file_name().and_then(|name| name.to_str());
        if let Some(id) = name.and_then(|name| name.strip_prefix("models--")) {
            found.extend(models(place, &repository, id, faults));
        }
    }
    found
}

/// The models of a repository: those of the snapshot that `main` means, then those that only others have.
fn models(place: &Place, folder: &Path, id: &str, faults: &mut Vec<Error>) -> Vec<Found> {
    let source = match id.split_once("--") {
        Some((owner, repository)) => Source::Repository(owner, repository),
        // Repositories without an owner are of the hub's early days.
        None => Source::Unknown,
    };
    let mut found: Vec<Found> = Vec::new();
    for snapshot in snapshots(folder, faults) {
        let files = walk(&snapshot, DEEPEST, faults);
        for mut model in named(place, source, &files, faults) {
            if source == Source::Unknown {
                id.clone_into(&mut model.title);
                model.name = None;
            }
            let known = |name: &Name| found.iter().any(|other| other.is_called(name));
            if !model.name.as_ref().is_some_and(known) {
                found.push(model);
            }
        }
    }
    found
}

/// The snapshots of a repository: first that of `main`, then the newest.
fn snapshots(folder: &Path, faults: &mut Vec<Error>) -> Vec<PathBuf> {
    let disk = Disk::default();
    let mut found = match disk.entries(&folder.join("snapshots")) {
        Ok(entries) => entries,
        Err(error) => {
            faults.push(unreadable::explain(error));
            return Vec::new();
        }
    };
    let main = disk.read(&folder.join("refs").join("main"), LONGEST_COMMIT);
    let main = main.ok().flatten().unwrap_or_default();
    let main = String::from_utf8_lossy(&main).trim().to_owned();
    let age = |path: &PathBuf| {
        let modified = fs::metadata(path).and_then(|meta| meta.modified());
        std::cmp::Reverse(modified.unwrap_or(SystemTime::UNIX_EPOCH))
    };
    found.sort_by_key(|path| {
        let is_main = path.file_name().is_some_and(|name| name == main.as_str());
        (!is_main, age(path))
    });
    found
}
