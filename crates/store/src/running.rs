//! What is loaded at the moment: a file per loaded model, locked by the process that has it.

use std::{fs::File, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Digest, Disk, Error, Manifest, Result, Store};

const LARGEST: u64 = 1 << 20;

/// A model that a process has loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Its name, or the path of its file.
    pub name: String,
    /// The digest of its manifest; none for files outside the store.
    pub digest: Option<Digest>,
    /// Contents that it maps: they are not pruned.
    pub blobs: Vec<Digest>,
    /// Bytes of memory that it takes as predicted at its load.
    pub size: u64,
    /// Tokens of context.
    pub context: u64,
    /// The process.
    pub process: u32,
    /// Its command, `run` or `serve`.
    pub command: String,
    /// Seconds since 1970 when it was loaded.
    pub since: u64,
}

impl Running {
    /// A model that this process loads now.
    pub fn new(name: String, command: &str) -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            name,
            digest: None,
            blobs: Vec::new(),
            size: 0,
            context: 0,
            process: std::process::id(),
            command: command.to_owned(),
            since: since.map_or(0, |d| d.as_secs()),
        }
    }

    /// The same for a model of a store.
    #[must_use]
    pub fn of(mut self, manifest: &Manifest) -> Self {
        self.digest = Some(manifest.digest());
        self.blobs = manifest.contents().map(|layer| layer.digest).collect();
        self
    }
}

/// Says that a model is loaded until it is dropped, or the process ends.
#[derive(Debug)]
pub struct Presence {
    path: PathBuf,
    disk: Disk,
    _lock: File,
}

impl Drop for Presence {
    fn drop(&mut self) {
        // What stays after a failure here is found to be stale, since nobody holds its lock.
        let _ = self.disk.remove(&self.path);
    }
}

impl Store {
    /// Says that a model is loaded. From then on its contents are not pruned; the caller checks that they are there
    /// after this.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn announce(&self, running: &Running) -> Result<Presence> {
        let (disk, directory) = (self.disk(), self.layout().running());
        disk.make_directory(&directory)?;
        let draft = disk.draft(&directory)?;
        // Locked before it has its name, so that nobody takes it for stale.
        draft
            .as_file()
            .try_lock()
            .map_err(|error| Error::io(draft.path(), error.into()))?;
        let bytes = serde_json::to_vec(running)
            .map_err(|error| Error::invalid("the record of a loaded model", error.to_string()))?;
        disk.write(draft.path(), draft.as_file(), &bytes)?;
        let unique = draft
            .path()
            .file_name()
            .map(|name| name.to_string_lossy().replace("draft-", ""))
            .unwrap_or_default();
        let path = directory.join(format!("{}-{unique}.json", running.process));
        let lock = disk.run(&path, || draft.persist(&path).map_err(|error| error.error))?;
        Ok(Presence {
            path,
            disk: disk.clone(),
            _lock: lock,
        })
    }

    /// What is loaded in all processes. Records of processes that are gone are removed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn running(&self) -> Result<Vec<Running>> {
        let mut found = Vec::new();
        for path in self.disk().entries(&self.layout().running())? {
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let Ok(file) = self.disk().open(&path) else {
                continue;
            };
            if file.try_lock_shared().is_ok() {
                let _ = self.disk().remove(&path); // stale; the next reader tries again
                continue;
            }
            let record = self.disk().read(&path, LARGEST)?;
            found.extend(record.and_then(|bytes| serde_json::from_slice(&bytes).ok()));
        }
        Ok(found)
    }
}
