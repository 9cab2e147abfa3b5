//! Removing models, and contents that no model uses.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{Digest, Entry, Error, Layout, Manifest, Name, Result, Store, manifest::LARGEST};

/// Younger contents may belong to a model that another program is making in this folder.
const GRACE: Duration = Duration::from_secs(3600);

/// What to prune.
#[derive(Clone, Copy, Debug)]
pub struct Prune {
    /// Also earlier versions of models, which `rollback` needs.
    pub previous: bool,
    /// Also downloads that were not finished, which the next pull would go on with.
    pub partial: bool,
    /// Contents younger than this stay.
    pub grace: Duration,
    /// Only say what would go.
    pub dry_run: bool,
}

impl Default for Prune {
    fn default() -> Self {
        Self {
            previous: false,
            partial: false,
            grace: GRACE,
            dry_run: false,
        }
    }
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Contents.
    pub blobs: u64,
    /// Unfinished downloads.
    pub partials: u64,
    /// Earlier versions.
    pub previous: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Bytes that only earlier versions use, if they stay.
    pub kept_for_rollback: u64,
    /// Bytes of unfinished downloads, if they stay.
    pub kept_partial: u64,
    /// Bytes that no name uses but a loaded model does.
    pub kept_in_use: u64,
    /// Bytes that nothing uses and that are younger than the grace.
    pub kept_young: u64,
}

impl Store {
    /// Removes a name, its earlier version and its pin, and the contents that nothing else uses. Says how many bytes
    /// went, or nothing if contents had to stay for a later prune because another process is adding some.
    ///
    /// # Errors
    /// When there is no such model, or a file cannot be removed.
    pub fn remove(&self, name: &Name) -> Result<(Entry, Option<u64>)> {
        let entry = self.get(name)?;
        let manifest = self.layout().manifest(&entry.name);
        let previous = self.layout().previous(&entry.name);
        let mut candidates: HashSet<Digest> = entry.manifest.contents().map(|l| l.digest).collect();
        if let Some(raw) = self.disk().read(&previous, LARGEST)?
            && let Ok(earlier) = Manifest::parse(&raw, "an earlier version")
        {
            candidates.extend(earlier.contents().map(|layer| layer.digest));
        }
        let mut pins = self.pins()?;
        if pins.remove(&entry.name) {
            self.set_pins(&pins)?;
        }
        self.disk().remove(&manifest)?;
        self.disk().remove(&previous)?;
        for (path, root) in [
            (&manifest, self.layout().manifests()),
            (&previous, self.layout().previous_root()),
        ] {
            if let Some(directory) = path.parent() {
                self.disk().remove_empty(directory, &root);
            }
        }
        Ok((entry, self.drop_unused(&candidates)?))
    }

    fn drop_unused(&self, candidates: &HashSet<Digest>) -> Result<Option<u64>> {
        let Some(_lock) = self.removing()? else {
            return Ok(None);
        };
        let Ok(uses) = self.uses() else {
            return Ok(None);
        };
        let mut bytes = 0;
        for digest in candidates {
            let used = uses.named.contains(digest)
                || uses.previous.contains(digest)
                || uses.loaded.contains(digest);
            let path = self.layout().blob(digest);
            let size = length(&path);
            if !used && self.disk().remove(&path)? {
                bytes += size;
            }
        }
        Ok(Some(bytes))
    }

    /// Removes contents that nothing uses.
    ///
    /// # Errors
    /// When another process is adding contents, a manifest cannot be read (what it uses is not known then), or a
    /// file cannot be removed.
    pub fn prune(&self, options: Prune) -> Result<Pruned> {
        let Some(_lock) = self.removing()? else {
            return Err(Error::Busy("prune"));
        };
        let mut pruned = Pruned::default();
        if options.previous {
            for path in self.files_below(self.layout().previous_root())? {
                pruned.previous += 1;
                if !options.dry_run {
                    self.disk().remove(&path)?;
                }
            }
        }
        self.prune_blobs(options, &mut pruned)?;
        self.prune_partials(options, &mut pruned)?;
        if !options.dry_run {
            self.prune_leftovers()?;
        }
        Ok(pruned)
    }

    fn prune_blobs(&self, options: Prune, pruned: &mut Pruned) -> Result<()> {
        let uses = self.uses()?;
        for path in self.disk().entries(&self.layout().blobs())? {
            let size = length(&path);
            let digest = Layout::digest_of(&path);
            let is = |set: &HashSet<Digest>| digest.is_some_and(|digest| set.contains(&digest));
            if is(&uses.named) {
                continue;
            }
            if is(&uses.loaded) {
                pruned.kept_in_use += size;
            } else if is(&uses.previous) && !options.previous {
                pruned.kept_for_rollback += size;
            } else if age(&path) < options.grace || !path.is_file() {
                pruned.kept_young += size;
            } else {
                pruned.blobs += 1;
                pruned.bytes += size;
                if !options.dry_run {
                    self.disk().remove(&path)?;
                }
            }
        }
        Ok(())
    }

    /// A download is its data and its journal.
    fn prune_partials(&self, options: Prune, pruned: &mut Pruned) -> Result<()> {
        let mut downloads: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for path in self.disk().entries(&self.layout().partials())? {
            downloads
                .entry(path.with_extension(""))
                .or_default()
                .push(path);
        }
        for files in downloads.into_values() {
            let bytes = files.iter().map(|path| length(path)).sum::<u64>();
            if !options.partial {
                pruned.kept_partial += bytes;
                continue;
            }
            pruned.partials += 1;
            pruned.bytes += bytes;
            if !options.dry_run {
                files
                    .iter()
                    .try_for_each(|path| self.disk().remove(path).map(drop))?;
            }
        }
        Ok(())
    }

    /// Drafts that a killed process left, and locks that nobody can hold while we hold the store's.
    fn prune_leftovers(&self) -> Result<()> {
        let locks = self.layout().store_lock();
        let locks = locks.parent().unwrap_or(&locks);
        let drafts = self.disk().entries(&self.layout().temporary())?;
        let blob_locks = self.disk().entries(locks)?;
        for path in drafts
            .iter()
            .chain(blob_locks.iter().filter(|path| !path.ends_with("store")))
        {
            self.disk().remove(path)?;
        }
        Ok(())
    }

    /// Which contents are used by what.
    fn uses(&self) -> Result<Uses> {
        let mut uses = Uses::default();
        let roots = [
            (self.layout().manifests(), &mut uses.named),
            (self.layout().previous_root(), &mut uses.previous),
        ];
        for (root, set) in roots {
            for path in self.files_below(root)? {
                let raw = self.disk().read(&path, LARGEST)?.unwrap_or_default();
                let manifest = Manifest::parse(&raw, &path.display().to_string())?;
                set.extend(manifest.contents().map(|layer| layer.digest));
            }
        }
        uses.loaded.extend(
            self.running()?
                .into_iter()
                .flat_map(|running| running.blobs),
        );
        Ok(uses)
    }
}

#[derive(Default)]
struct Uses {
    named: HashSet<Digest>,
    previous: HashSet<Digest>,
    loaded: HashSet<Digest>,
}

/// Bytes that a file takes on the disk; less than its length where it has holes.
fn length(path: &Path) -> u64 {
    let Ok(meta) = std::fs::symlink_metadata(path) else {
        return 0;
    };
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::blocks(&meta) * 512;
    #[cfg(not(unix))]
    meta.len()
}

fn age(path: &Path) -> Duration {
    let modified = std::fs::symlink_metadata(path).and_then(|meta| meta.modified());
    let modified = modified.unwrap_or_else(|_| SystemTime::now());
    SystemTime::now()
        .duration_since(modified)
        .unwrap_or_default()
}
