//! The models of this machine: the store, and what other programs keep.

use std::{
    env,
    ffi::OsString,
    future::Future,
    path::{Path, PathBuf},
};

use anyhow::Result;
use hearth_format::{Bytes, Checkpoint};
use hearth_store::{
    Entry, Event, Name, Package, Presence, Remote, Running, Store,
    config::{Settings, home},
    origins::{Files, Found, FoundListing, Origins},
};

use crate::{input::Interrupted, progress::Progress};

/// The store with the settings that it was opened by.
pub(crate) struct Library {
    pub store: Store,
    pub settings: Settings,
}

/// A variable of this process.
pub(crate) fn environment(name: &str) -> Option<OsString> {
    env::var_os(name)
}

impl Library {
    /// Opens the store that settings and environment name.
    pub(crate) fn open() -> Result<Self> {
        let settings = Settings::read(&environment)?;
        let store = Store::new(settings.root(&environment)?);
        Ok(Self { store, settings })
    }

    /// How registries are asked.
    pub(crate) fn remote(&self, insecure: bool) -> Remote {
        Remote {
            insecure,
            ..Remote::new(self.settings.clone())
        }
    }

    /// What other programs keep.
    pub(crate) fn others(&self) -> FoundListing {
        let home = home(&environment).unwrap_or_default();
        Origins::standard(&environment, &home, &self.settings.folders)
            .except(self.store.layout().root())
            .scan()
    }

    /// The model of a name: the store's, else another program's.
    pub(crate) fn find(&self, name: &Name) -> Result<Option<Located>> {
        if let Some(entry) = self.store.find(name)? {
            return Located::stored(self.store.clone(), entry).map(Some);
        }
        let others = self.others();
        others.find(name).map(Located::found).transpose()
    }

    /// Fetches a model, showing how far it is.
    pub(crate) fn pull(&self, name: &Name, remote: &Remote, progress: &Progress) -> Result<Entry> {
        let watch = |event: Event| progress.event(&event);
        let pulled = block_on(self.store.pull(name, None, remote, &environment, &watch));
        progress.finish();
        pulled
    }
}

/// A model that was found, with what it brings besides weights.
pub(crate) struct Located {
    /// What to call it.
    pub title: String,
    /// Where its weights are.
    pub weights: Weights,
    /// What a stored model brings.
    pub package: Option<Package>,
    /// For the list of loaded models.
    pub running: Running,
}

/// Where weights are.
pub(crate) enum Weights {
    BuiltIn(&'static [u8]),
    Stored(Store, Box<Entry>),
    Parts(Vec<PathBuf>),
    Path(PathBuf),
}

impl Located {
    /// A model of a store, ours or another program's.
    fn stored(store: Store, entry: Entry) -> Result<Self> {
        let title = entry.name.to_string();
        Ok(Self {
            running: Running::new(title.clone(), "run").of(&entry.manifest),
            package: Some(Package::read(&store, &entry)?),
            weights: Weights::Stored(store, Box::new(entry)),
            title,
        })
    }

    fn found(found: &Found) -> Result<Self> {
        let plain = |weights| Self {
            title: found.title.clone(),
            weights,
            package: None,
            running: Running::new(found.title.clone(), "run"),
        };
        match &found.files {
            Files::Gguf(parts) => Ok(plain(Weights::Parts(parts.clone()))),
            Files::Directory(path) => Ok(plain(Weights::Path(path.clone()))),
            Files::Manifest(entry) => {
                Self::stored(Store::new(&found.folder), entry.as_ref().clone())
            }
        }
    }

    /// A model inside this program.
    pub(crate) fn built_in(bytes: &'static [u8], name: &str) -> Self {
        Self {
            running: Running::new(name.to_owned(), "run"),
            title: name.to_owned(),
            weights: Weights::BuiltIn(bytes),
            package: None,
        }
    }

    /// A file or a directory.
    pub(crate) fn path(path: &Path) -> Self {
        let title = path.display().to_string();
        Self {
            running: Running::new(title.clone(), "run"),
            title,
            weights: Weights::Path(path.to_owned()),
            package: None,
        }
    }

    /// Opens the weights.
    pub(crate) fn open(&self) -> Result<Checkpoint> {
        Ok(match &self.weights {
            Weights::BuiltIn(bytes) => {
                Checkpoint::from_gguf_bytes(Bytes::new(*bytes), &self.title)?
            }
            Weights::Stored(store, entry) => store.open(entry)?,
            Weights::Parts(parts) => Checkpoint::open_parts(&self.title, parts)?,
            Weights::Path(path) => Checkpoint::open(path)?,
        })
    }

    /// Says that the model is loaded, so that nobody prunes what it maps. Where there is no store, or it cannot be
    /// written, nothing is said and nothing is held up.
    pub(crate) fn announce(&self, context: usize, size: u64) -> Option<Presence> {
        let running = Running {
            context: context as u64,
            size,
            ..self.running.clone()
        };
        Library::open().ok()?.store.announce(&running).ok()
    }
}

/// Runs what talks to the network, until Ctrl-C.
pub(crate) fn block_on<T>(work: impl Future<Output = hearth_store::Result<T>>) -> Result<T> {
    hearth_store::until_interrupted(work).map_err(|error| match error {
        hearth_store::Error::Cancelled => {
            eprintln!("{}", hearth_store::Error::Cancelled);
            Interrupted.into()
        }
        other => other.into(),
    })
}
