//! The models of this machine: the store, and what other programs keep.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use hearth_format::{Bytes, Checkpoint};
use hearth_store::{
    Config, Entry, Name, Package, Presence, Remote, Running, Store,
    config::{Settings, home},
    origins::{Files, Found, FoundListing, Origins},
};

mod abilities;
mod error;
mod kept;
mod making;
mod named;
mod parameters;
mod voice;

pub use abilities::Abilities;
pub use error::{Error, Result};
pub use making::{Made, Making, Quantizing, is_built_in};
pub use named::{Means, Named};
pub use parameters::{Parameters, first_messages};
pub(crate) use voice::special_tokens;
pub use voice::{Voice, encode, template_source};

/// The built-in model, a Llama of 5.77 million parameters trained on Shakespeare.
static BARD: &[u8] = include_bytes!("../../assets/bard.gguf");

/// What the built-in model is called.
pub const BUILT_IN: &str = "bard";

/// The store with the settings that it was opened by.
#[derive(Clone)]
pub struct Library {
    /// The store.
    pub store: Store,
    /// Its settings.
    pub settings: Settings,
    /// The model that every name of a client means, where only one is served.
    pub only: Option<Box<Located>>,
    /// Names that only this server knows. They come before all others.
    pub named: Arc<Vec<Named>>,
    /// What the Hugging Face hub is told, in place of the variable `HF_TOKEN`.
    pub hub_token: Option<OsString>,
}

/// A variable of this process.
pub fn environment(name: &str) -> Option<OsString> {
    env::var_os(name)
}

impl Library {
    /// Opens the store that settings and environment name.
    ///
    /// # Errors
    /// When the settings cannot be read or name no folder.
    pub fn open() -> Result<Self> {
        let settings = Settings::read(&environment)?;
        let store = Store::new(settings.root(&environment)?);
        Ok(Self::new(store, settings))
    }

    /// All models of a store.
    pub fn new(store: Store, settings: Settings) -> Self {
        Self {
            store,
            settings,
            only: None,
            named: Arc::default(),
            hub_token: None,
        }
    }

    /// A variable of this process, or what takes its place.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        let own = self.hub_token.clone().filter(|_| name == "HF_TOKEN");
        own.or_else(|| environment(name))
    }

    /// How registries are asked.
    pub fn remote(&self, insecure: bool) -> Remote {
        Remote {
            insecure,
            ..Remote::new(self.settings.clone())
        }
    }

    /// What other programs keep.
    pub fn others(&self) -> FoundListing {
        let home = home(&environment).unwrap_or_default();
        Origins::standard(&environment, &home, &self.settings.folders)
            .except(self.store.layout().root())
            .scan()
    }

    /// The model of a name: the store's, else another program's.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn find(&self, name: &Name) -> Result<Option<Located>> {
        if let Some(entry) = self.store.find(name)? {
            return Located::stored(self.store.clone(), entry).map(Some);
        }
        let others = self.others();
        others.find(name).map(Located::found).transpose()
    }

    /// Those of the store that can be read, the newest first, each with what its config says.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn stored(&self) -> Result<Vec<(Entry, Config)>> {
        let listing = self.store.list()?;
        let config = |entry: Entry| {
            let config = self.store.config(&entry).unwrap_or_default();
            (entry, config)
        };
        Ok(listing.entries.into_iter().map(config).collect())
    }

    /// The model of a name that a client wrote, or the built-in one. Never a path: a client must not learn what files
    /// there are.
    ///
    /// # Errors
    /// When it is no name, or the model is there and cannot be read.
    pub fn find_by_text(&self, name: &str) -> Result<Option<Located>> {
        if let Some(only) = &self.only {
            return Ok(Some(only.as_ref().clone()));
        }
        if let Some(named) = Named::find(&self.named, name) {
            return named.locate(self).map(Some);
        }
        let name = Name::parse_source(name)?;
        if let Some(found) = self.find(&name)? {
            return Ok(Some(found));
        }
        Ok(is_built_in(&name).then(Located::bard))
    }
}

/// A model that was found, with what it brings besides weights.
#[derive(Clone)]
pub struct Located {
    /// What to call it.
    pub title: String,
    /// Where its weights are.
    pub weights: Weights,
    /// What a stored model brings.
    pub package: Option<Package>,
    /// For the list of loaded models.
    pub running: Running,
    /// What another program's model was found as.
    pub found: Option<Box<Found>>,
    /// What the name that it was asked by sets, over what the model does.
    pub sets: Option<Arc<Parameters>>,
}

/// Where weights are.
#[derive(Clone)]
pub enum Weights {
    /// In this program.
    BuiltIn(&'static [u8]),
    /// In a store, ours or another program's.
    Stored(Store, Box<Entry>),
    /// The parts of a split GGUF.
    Parts(Vec<PathBuf>),
    /// A file or directory.
    Path(PathBuf),
}

impl Weights {
    /// Those of another program's model.
    pub fn found(found: &Found) -> Self {
        match &found.files {
            Files::Gguf(parts) => Self::Parts(parts.clone()),
            Files::Directory(path) => Self::Path(path.clone()),
            Files::Manifest(entry) => Self::Stored(Store::new(&found.folder), entry.clone()),
        }
    }

    /// As [`Located::key`].
    pub fn key(&self) -> String {
        match self {
            Self::BuiltIn(_) => BUILT_IN.to_owned(),
            // The manifest: models of the same weights differ in their templates, parameters and system messages.
            Self::Stored(store, entry) => {
                let root = store.layout().root().display();
                format!("{} in {root}", entry.manifest.digest())
            }
            Self::Parts(parts) => parts
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
            Self::Path(path) => path.display().to_string(),
        }
    }
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
            found: None,
            sets: None,
        })
    }

    fn found(found: &Found) -> Result<Self> {
        let located = match Weights::found(found) {
            Weights::Stored(store, entry) => Self::stored(store, *entry)?,
            weights => Self {
                title: found.title.clone(),
                weights,
                package: None,
                running: Running::new(found.title.clone(), "run"),
                found: None,
                sets: None,
            },
        };
        Ok(Self {
            found: Some(Box::new(found.clone())),
            ..located
        })
    }

    /// The model inside this program.
    pub fn bard() -> Self {
        Self {
            running: Running::new(BUILT_IN.to_owned(), "run"),
            title: BUILT_IN.to_owned(),
            weights: Weights::BuiltIn(BARD),
            package: None,
            found: None,
            sets: None,
        }
    }

    /// A digest of the bytes of the built-in model; of others, of what tells them apart.
    pub fn digest(&self) -> String {
        match &self.weights {
            Weights::BuiltIn(bytes) => hearth_store::Digest::of(bytes).hex(),
            _ => hearth_store::Digest::of(self.key().as_bytes()).hex(),
        }
    }

    /// Two that are the same model, by whatever names, have the same key, unless a name sets something.
    pub fn key(&self) -> String {
        match self.sets {
            Some(_) => format!("{} as {}", self.weights.key(), self.title),
            None => self.weights.key(),
        }
    }

    /// A file or a directory.
    pub fn path(path: &Path) -> Self {
        let title = path.display().to_string();
        Self {
            running: Running::new(title.clone(), "run"),
            title,
            weights: Weights::Path(path.to_owned()),
            package: None,
            found: None,
            sets: None,
        }
    }

    /// Bytes of the weights' files, as far as they can be seen.
    pub fn size(&self) -> usize {
        let length = |path: &PathBuf| std::fs::metadata(path).map_or(0, |file| file.len()) as usize;
        match &self.weights {
            Weights::BuiltIn(bytes) => bytes.len(),
            Weights::Stored(_, entry) => entry
                .manifest
                .contents()
                .map(|layer| layer.size as usize)
                .sum(),
            Weights::Parts(parts) => parts.iter().map(length).sum(),
            Weights::Path(path) => length(path),
        }
    }

    /// When it got its present contents; the beginning of time for what was always there.
    pub fn modified(&self) -> SystemTime {
        let of = |path: &PathBuf| std::fs::metadata(path).and_then(|file| file.modified());
        let file = match &self.weights {
            Weights::BuiltIn(_) => None,
            Weights::Stored(_, entry) => Some(entry.modified),
            Weights::Parts(parts) => parts.iter().filter_map(|path| of(path).ok()).max(),
            Weights::Path(path) => of(path).ok(),
        };
        file.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Opens the weights.
    ///
    /// # Errors
    /// When they are no checkpoint.
    pub fn open(&self) -> Result<Checkpoint> {
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
    pub fn announce(&self, context: usize, size: u64, command: &str) -> Option<Presence> {
        let running = Running {
            context: context as u64,
            size,
            command: command.to_owned(),
            ..self.running.clone()
        };
        Library::open().ok()?.store.announce(&running).ok()
    }
}
