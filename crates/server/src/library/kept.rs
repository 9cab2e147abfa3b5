//! Prefixes on disk: where they lie, how many there may be, and what tells the models apart that they belong to.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use hearth_engine::Disk;
use hearth_store::{Digest, free_space};

use super::{Library, Located, Weights};

/// Bytes of prefixes where nobody says, and the share of the free disk that they never pass then.
const MOST: u64 = 8 << 30;
const SHARE: u64 = 10;

impl Library {
    /// Where prefixes are kept: in the store's directory, up to so many bytes, by default 8 GiB or a tenth of the free
    /// disk, whichever is less. Nothing where that is 0.
    pub fn kept(&self, bytes: Option<u64>) -> Option<Disk> {
        let root = self.store.layout().root();
        let directory = root.join("cache");
        let there = root.ancestors().find(|path| path.exists());
        let free = || there.and_then(free_space).unwrap_or(0);
        let bytes = bytes.unwrap_or_else(|| MOST.min(free() / SHARE));
        (bytes > 0).then_some(Disk { directory, bytes })
    }
}

impl Located {
    /// What tells the model from all others: the digest of its contents, or of its files' paths, sizes and times where
    /// they are not in a store.
    pub fn identity(&self) -> [u8; 32] {
        let files = |paths: &[PathBuf]| {
            let all: Vec<String> = paths.iter().map(|path| about(path)).collect();
            Digest::of(all.join("\n").as_bytes())
        };
        let digest = match &self.weights {
            Weights::BuiltIn(bytes) => Digest::of(bytes),
            Weights::Stored(_, entry) => entry.manifest.digest(),
            Weights::Parts(parts) => files(parts),
            Weights::Path(path) => match fs::read_dir(path) {
                Ok(entries) => {
                    let mut parts: Vec<PathBuf> =
                        entries.flatten().map(|entry| entry.path()).collect();
                    parts.sort();
                    files(&parts)
                }
                Err(_) => files(std::slice::from_ref(path)),
            },
        };
        *digest.bytes()
    }
}

fn about(path: &Path) -> String {
    let about = fs::metadata(path);
    let time = about.as_ref().ok().and_then(|about| about.modified().ok());
    let time = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let bytes = about.map(|about| about.len()).ok();
    format!("{} {bytes:?} {time:?}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_other_models() {
        let place = tempfile::TempDir::new().unwrap();
        let path = place.path().join("a.gguf");
        fs::write(&path, "one").unwrap();
        let (first, same) = (
            Located::path(&path).identity(),
            Located::path(&path).identity(),
        );
        assert_eq!(first, same);
        fs::write(&path, "other").unwrap();
        let changed = Located::path(&path).identity();
        assert_ne!(first, changed);
        let file = fs::File::open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_ne!(Located::path(&path).identity(), changed);
        let directory = Located::path(place.path()).identity();
        fs::write(place.path().join("b"), "more").unwrap();
        assert_ne!(Located::path(place.path()).identity(), directory);
        assert_ne!(Located::bard().identity(), [0; 32]);
    }
}
