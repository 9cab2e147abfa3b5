//! A store: contents by digest, models by name.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use hearth_format::Checkpoint;

use crate::{
    Config, Digest, Disk, Error, Kind, Layer, Layout, Lock, Manifest, Name, Pins, Result,
    lock::Hold,
    manifest::{LARGEST, is_plain_path},
};

/// The largest config, template, system message, licence or list of parameters.
pub(crate) const LARGEST_TEXT: u64 = 16 << 20;

/// A directory of models. Opening it reads nothing; it is made when something is put into it.
#[derive(Clone, Debug)]
pub struct Store {
    layout: Layout,
    disk: Disk,
}

/// A model of a store.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name as it is spelled in the store.
    pub name: Name,
    /// Its contents.
    pub manifest: Manifest,
    /// When the name got this manifest.
    pub modified: SystemTime,
}

/// The models of a store.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those that can be read, the newest first.
    pub entries: Vec<Entry>,
    /// What is wrong with the others.
    pub faults: Vec<Error>,
}

impl Store {
    /// The store at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::with_disk(root, Disk::default())
    }

    /// The store at `root`, all file operations on `disk`.
    pub fn with_disk(root: impl Into<PathBuf>, disk: Disk) -> Self {
        Self {
            layout: Layout::new(root),
            disk,
        }
    }

    /// Where its files are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Held while contents are added that a name is to point at.
    pub(crate) fn adding(&self) -> Result<Lock> {
        Lock::shared(&self.disk, &self.layout.store_lock())
    }

    /// Held while contents are removed; nothing while someone adds.
    pub(crate) fn removing(&self) -> Result<Option<Lock>> {
        Lock::attempt(&self.disk, &self.layout.store_lock(), Hold::Exclusive)
    }

    /// A name as it is spelled in the store: each part like what is there already, whatever its case. What a new name
    /// would be called where nothing like it is there.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn spelling(&self, name: &Name) -> Result<Name> {
        let mut directory = self.layout.manifests();
        let mut parts = Vec::new();
        for part in name.parts() {
            let exact = directory.join(part);
            let there = if exact.exists() {
                None
            } else {
                self.alike(&directory, part)?
            };
            let spelled = there.unwrap_or_else(|| part.to_owned());
            directory.push(&spelled);
            parts.push(spelled);
        }
        Ok(name.respelled(&parts[0], &parts[1], &parts[2], &parts[3])?)
    }

    fn alike(&self, directory: &Path, part: &str) -> Result<Option<String>> {
        let entries = self.disk.entries(directory)?;
        Ok(entries
            .iter()
            .filter_map(|path| path.file_name()?.to_str())
            .find(|name| name.eq_ignore_ascii_case(part))
            .map(str::to_owned))
    }

    /// The model of a name, whatever the case.
    ///
    /// # Errors
    /// When its manifest is not valid or cannot be read.
    pub fn find(&self, name: &Name) -> Result<Option<Entry>> {
        let name = self.spelling(name)?;
        self.entry(name)
    }

    /// The model of a name.
    ///
    /// # Errors
    /// As [`Store::find`], and when there is none.
    pub fn get(&self, name: &Name) -> Result<Entry> {
        self.find(name)?
            .ok_or_else(|| Error::NotFound(name.to_string()))
    }

    fn entry(&self, name: Name) -> Result<Option<Entry>> {
        let path = self.layout.manifest(&name);
        let Some(raw) = self.disk.read(&path, LARGEST)? else {
            return Ok(None);
        };
        let manifest = Manifest::parse(&raw, &path.display().to_string())?;
        let modified = std::fs::metadata(&path).and_then(|meta| meta.modified());
        Ok(Some(Entry {
            name,
            manifest,
            modified: modified.map_err(|error| Error::io(&path, error))?,
        }))
    }

    /// All models. A manifest that cannot be read does not hide the others.
    ///
    /// # Errors
    /// When the directory of names cannot be read.
    pub fn list(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        for path in self.files_below(self.layout.manifests())? {
            let Some(name) = self.layout.name_of(&path) else {
                let why = "not HOST/NAMESPACE/MODEL/TAG, skipped";
                listing
                    .faults
                    .push(Error::invalid(path.display().to_string(), why));
                continue;
            };
            match self.entry(name) {
                Ok(entry) => listing.entries.extend(entry),
                Err(error) => listing.faults.push(error),
            }
        }
        listing.entries.sort_by(|a, b| {
            b.modified
                .cmp(&a.modified)
                .then_with(|| a.name.cmp(&b.name))
        });
        Ok(listing)
    }

    /// Files four levels below `root`, where manifests are, and stray ones above; never deeper.
    pub(crate) fn files_below(&self, root: PathBuf) -> Result<Vec<PathBuf>> {
        let mut level = vec![root];
        let mut files = Vec::new();
        for _ in 0..5 {
            let mut next = Vec::new();
            for directory in level {
                for path in self.disk.entries(&directory)? {
                    if path.is_dir() {
                        next.push(path)
                    } else {
                        files.push(path)
                    }
                }
            }
            level = next;
        }
        files.sort_unstable();
        Ok(files)
    }

    /// The file of a content, if it is there.
    pub fn blob(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.layout.blob(digest)).filter(|path| path.is_file())
    }

    /// The file of a layer.
    ///
    /// # Errors
    /// When it is not there or has another size.
    pub fn layer_file(&self, name: &Name, layer: &Layer) -> Result<PathBuf> {
        let missing = || Error::MissingBlob {
            name: name.to_string(),
            digest: layer.digest,
        };
        let path = self.blob(&layer.digest).ok_or_else(missing)?;
        let size = std::fs::metadata(&path)
            .map_err(|error| Error::io(&path, error))?
            .len();
        if size == layer.size {
            Ok(path)
        } else {
            Err(missing())
        }
    }

    /// The text of a layer.
    ///
    /// # Errors
    /// When it is not there, too large or no UTF-8.
    pub fn layer_text(&self, name: &Name, layer: &Layer) -> Result<String> {
        let path = self.layer_file(name, layer)?;
        let bytes = self.disk.read(&path, LARGEST_TEXT)?.unwrap_or_default();
        String::from_utf8(bytes)
            .map_err(|_| Error::invalid(path.display().to_string(), "expected UTF-8 text"))
    }

    /// What the config of a model says.
    ///
    /// # Errors
    /// When it is not there or no JSON object.
    pub fn config(&self, entry: &Entry) -> Result<Config> {
        let text = self.layer_text(&entry.name, &entry.manifest.config)?;
        let what = || format!("the config of {}", entry.name);
        serde_json::from_str(&text).map_err(|error| Error::invalid(what(), error.to_string()))
    }

    /// Keeps a content that is in memory.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if self.has(&digest, bytes.len() as u64) {
            return Ok(digest);
        }
        self.disk
            .write_whole(&self.layout.temporary(), &self.layout.blob(&digest), bytes)?;
        Ok(digest)
    }

    /// Whether a content is there with its whole size.
    pub(crate) fn has(&self, digest: &Digest, size: u64) -> bool {
        std::fs::metadata(self.layout.blob(digest))
            .is_ok_and(|meta| meta.is_file() && meta.len() == size)
    }

    /// Points a name at a manifest whose contents are all there. The version before is kept for [`Store::rollback`].
    /// The caller holds [`Store::adding`].
    pub(crate) fn point(&self, name: &Name, manifest: &Manifest) -> Result<Entry> {
        let name = self.spelling(name)?;
        self.check_pin(&name, manifest)?;
        for layer in manifest.contents() {
            self.layer_file(&name, layer)?;
        }
        let path = self.layout.manifest(&name);
        let temporary = self.layout.temporary();
        match self.disk.read(&path, LARGEST)? {
            Some(now) if now == manifest.raw() => {}
            now => {
                if let Some(now) = now {
                    self.disk
                        .write_whole(&temporary, &self.layout.previous(&name), &now)?;
                }
                self.disk.write_whole(&temporary, &path, manifest.raw())?;
            }
        }
        self.get(&name)
    }

    pub(crate) fn check_pin(&self, name: &Name, manifest: &Manifest) -> Result<()> {
        match Pins::read(&self.disk, &self.layout.pins())?.get(name) {
            Some(pinned) if pinned != manifest.digest() => Err(Error::Pinned {
                name: name.to_string(),
                pinned,
                found: manifest.digest(),
            }),
            _ => Ok(()),
        }
    }

    /// Gives a model a second name. Copying onto itself changes nothing.
    ///
    /// # Errors
    /// When there is no such model, or the second name is pinned to something else.
    pub fn copy(&self, from: &Name, to: &Name) -> Result<Entry> {
        let _lock = self.adding()?;
        let entry = self.get(from)?;
        self.point(to, &entry.manifest)
    }

    /// Goes back to the version before the present one, which becomes the version before.
    ///
    /// # Errors
    /// When there is none, or contents of it were pruned.
    pub fn rollback(&self, name: &Name) -> Result<Entry> {
        let _lock = self.adding()?;
        let entry = self.get(name)?;
        let path = self.layout.previous(&entry.name);
        let Some(raw) = self.disk.read(&path, LARGEST)? else {
            return Err(Error::invalid(
                entry.name.to_string(),
                "there is no earlier version; one is kept from the next pull that changes the model",
            ));
        };
        let previous = Manifest::parse(&raw, &path.display().to_string())?;
        self.point(&entry.name, &previous)
    }

    /// Opens layers of weights as a model; `label` names it in messages.
    ///
    /// # Errors
    /// When there are no weights among them, a file is missing, or it breaks a rule of its format.
    pub(crate) fn checkpoint(&self, label: &str, layers: &[Layer]) -> Result<Checkpoint> {
        let blob = |layer: &Layer| self.layout.blob(&layer.digest);
        let of_kind = |kind| layers.iter().filter(move |layer| layer.kind() == kind);
        let models: Vec<PathBuf> = of_kind(Kind::Model).map(blob).collect();
        if !models.is_empty() {
            return Ok(Checkpoint::open_parts(label, &models)?);
        }
        let named: Vec<_> = layers
            .iter()
            .filter_map(|layer| {
                let name = layer.name.clone()?;
                match layer.kind() {
                    Kind::Tensor => Some((format!("tensors/{name}.safetensors"), blob(layer))),
                    Kind::Safetensors | Kind::Json => Some((name, blob(layer))),
                    _ => None,
                }
            })
            .collect();
        if named.is_empty() {
            let why = "it has no weights; 'hearth show' tells what it is made of";
            return Err(Error::invalid(label, why));
        }
        Ok(Checkpoint::open_files(label, named)?)
    }

    /// Opens a stored model.
    ///
    /// # Errors
    /// When a content is missing, or its weights break a rule of their format.
    pub fn open(&self, entry: &Entry) -> Result<Checkpoint> {
        for layer in entry.manifest.contents() {
            self.layer_file(&entry.name, layer)?;
        }
        self.checkpoint(&entry.name.to_string(), &entry.manifest.layers)
    }

    /// Files of a checkpoint directory that a manifest keeps, by their paths in it.
    ///
    /// # Errors
    /// When one is missing, or two have the same path.
    pub fn directory_files(&self, entry: &Entry) -> Result<Vec<(String, PathBuf)>> {
        let named = entry
            .manifest
            .layers
            .iter()
            .filter_map(|layer| Some((layer.name.clone()?, layer)));
        let mut files = Vec::new();
        for (path, layer) in named {
            debug_assert!(is_plain_path(&path));
            files.push((path, self.layer_file(&entry.name, layer)?));
        }
        files.sort_unstable();
        match files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(Error::invalid(
                entry.name.to_string(),
                format!("'{}' is in it twice", pair[0].0),
            )),
            None => Ok(files),
        }
    }
}
