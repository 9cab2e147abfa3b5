//! Pinned names: `hearth.lock`, a TOML file of names and digests, one model after the other in the order of names.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::{Digest, Disk, Entry, Error, Name, Result, Store};

const LARGEST: u64 = 4 << 20;

/// Names that may not change, with what they are pinned to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(BTreeMap<String, Pin>);

/// What a name is pinned to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The digest of the manifest.
    pub digest: Digest,
    /// Bytes of all contents.
    pub size: u64,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    #[serde(default)]
    models: BTreeMap<String, Pin>,
}

impl Pins {
    /// Reads a lock file; no pins where there is none.
    ///
    /// # Errors
    /// When it is no lock file of this version.
    pub fn read(disk: &Disk, path: &Path) -> Result<Self> {
        let Some(bytes) = disk.read(path, LARGEST)? else {
            return Ok(Self::default());
        };
        let invalid = |why: String| Error::invalid(path.display().to_string(), why);
        let text =
            String::from_utf8(bytes).map_err(|_| invalid("expected UTF-8 text".to_owned()))?;
        let file: File = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        if file.version != 1 {
            return Err(invalid(format!(
                "expected version 1, found {}",
                file.version
            )));
        }
        for name in file.models.keys() {
            name.parse::<Name>()?;
        }
        Ok(Self(file.models))
    }

    /// Writes a lock file, as a whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, disk: &Disk, path: &Path) -> Result<()> {
        let file = File {
            version: 1,
            models: self.0.clone(),
        };
        let what = || path.display().to_string();
        let text =
            toml::to_string(&file).map_err(|error| Error::invalid(what(), error.to_string()))?;
        let text = format!(
            "# Models of hearth by name and digest; 'hearth pin' writes this file.\n{text}"
        );
        let directory = crate::disk::parent(path);
        disk.write_whole(directory, path, text.as_bytes())
    }

    /// What a name is pinned to.
    pub fn get(&self, name: &Name) -> Option<Digest> {
        let same = |text: &&String| text.eq_ignore_ascii_case(&name.full());
        self.0.keys().find(same).map(|key| self.0[key].digest)
    }

    /// Pins a model to what it is.
    pub fn insert(&mut self, entry: &Entry) {
        self.remove(&entry.name);
        let pin = Pin {
            digest: entry.manifest.digest(),
            size: entry.manifest.size(),
        };
        self.0.insert(entry.name.full(), pin);
    }

    /// Releases a name; says whether it was pinned.
    pub fn remove(&mut self, name: &Name) -> bool {
        let before = self.0.len();
        self.0
            .retain(|key, _| !key.eq_ignore_ascii_case(&name.full()));
        self.0.len() < before
    }

    /// All of them in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (Name, &Pin)> {
        self.0
            .iter()
            .filter_map(|(name, pin)| Some((name.parse().ok()?, pin)))
    }
}

impl Store {
    /// The store's own pins.
    ///
    /// # Errors
    /// When the lock file is not valid.
    pub fn pins(&self) -> Result<Pins> {
        Pins::read(self.disk(), &self.layout().pins())
    }

    /// Replaces the store's own pins.
    ///
    /// # Errors
    /// When the lock file cannot be written.
    pub fn set_pins(&self, pins: &Pins) -> Result<()> {
        self.disk().make_directory(self.layout().root())?;
        pins.write(self.disk(), &self.layout().pins())
    }
}
