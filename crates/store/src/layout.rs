//! Where things are in a store. This is the only place that turns a digest or a name into a path.
//!
//! ```text
//! blobs/sha256-HEX                    contents
//! manifests/HOST/NAMESPACE/MODEL/TAG  names
//! .hearth/                            what only hearth knows: partial downloads, locks, earlier versions, pins
//! ```
//!
//! The first two are Ollama's, so that either program can use the other's folder.

use std::path::{Path, PathBuf};

use crate::{Digest, Name};

/// The paths of a store.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout of a store at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of contents.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// The directory of names.
    pub fn manifests(&self) -> PathBuf {
        self.root.join("manifests")
    }

    /// The content of a digest.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(format!("sha256-{}", digest.hex()))
    }

    /// The manifest of a name.
    pub fn manifest(&self, name: &Name) -> PathBuf {
        under(self.manifests(), name)
    }

    /// The name of a manifest's path; nothing where it is not four valid parts below [`Layout::manifests`].
    pub fn name_of(&self, manifest: &Path) -> Option<Name> {
        let below = manifest.strip_prefix(self.manifests()).ok()?;
        let parts: Vec<&str> = below
            .iter()
            .map(|part| part.to_str())
            .collect::<Option<_>>()?;
        let [host, namespace, model, tag] = parts[..] else {
            return None;
        };
        Name::new(host, namespace, model, tag).ok()
    }

    /// The digest of a blob's file name.
    pub fn digest_of(blob: &Path) -> Option<Digest> {
        blob.file_name()?.to_str()?.parse().ok()
    }

    fn own(&self) -> PathBuf {
        self.root.join(".hearth")
    }

    /// Drafts that have no name yet.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.own().join("tmp")
    }

    /// Downloads in progress.
    pub(crate) fn partials(&self) -> PathBuf {
        self.own().join("partial")
    }

    /// A download in progress.
    pub(crate) fn partial(&self, digest: &Digest) -> PathBuf {
        self.partials().join(digest.hex())
    }

    /// Which chunks of a download have landed.
    pub(crate) fn journal(&self, digest: &Digest) -> PathBuf {
        self.partials().join(format!("{}.chunks", digest.hex()))
    }

    /// Held by who changes what is stored.
    pub(crate) fn store_lock(&self) -> PathBuf {
        self.own().join("locks").join("store")
    }

    /// Held by who downloads a blob.
    pub(crate) fn blob_lock(&self, digest: &Digest) -> PathBuf {
        self.own().join("locks").join(digest.hex())
    }

    /// The version of a name before the present one.
    pub(crate) fn previous(&self, name: &Name) -> PathBuf {
        under(self.previous_root(), name)
    }

    /// All earlier versions.
    pub(crate) fn previous_root(&self) -> PathBuf {
        self.own().join("previous")
    }

    /// What is loaded at the moment, a file per loaded model.
    pub(crate) fn running(&self) -> PathBuf {
        self.own().join("running")
    }

    /// Pinned names.
    pub fn pins(&self) -> PathBuf {
        self.root.join("hearth.lock")
    }
}

fn under(root: PathBuf, name: &Name) -> PathBuf {
    name.parts().iter().fold(root, |path, part| path.join(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// CVE-2024-37032, CVE-2024-39722, CVE-2026-7020: whatever parses stays inside the root.
        #[test]
        fn cve_2026_7020_and_cve_2024_39722_every_path_stays_inside(name in "[a-z./:@\\\\~-]{0,40}", digest in "(sha256[:-])?[0-9a-f./]{0,70}") {
            let layout = Layout::new("/store");
            if let Ok(name) = name.parse::<Name>() {
                for path in [layout.manifest(&name), layout.previous(&name)] {
                    proptest::prop_assert!(plain_below(&path, layout.root(), 5));
                }
                let back = layout.name_of(&layout.manifest(&name)).unwrap();
                proptest::prop_assert_eq!(back.parts(), name.parts());
            }
            if let Ok(digest) = digest.parse::<Digest>() {
                for path in [layout.blob(&digest), layout.partial(&digest), layout.journal(&digest), layout.blob_lock(&digest)] {
                    proptest::prop_assert!(plain_below(&path, layout.root(), 2));
                }
                proptest::prop_assert_eq!(Layout::digest_of(&layout.blob(&digest)), Some(digest));
            }
        }
    }

    /// CVE-2026-7020 was a second function that made paths of digests, elsewhere. There is one here, in this file.
    #[test]
    fn cve_2026_7020_no_other_file_makes_paths_of_digests() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut directories = vec![source.clone()];
        let mut looked_at = 0;
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                // What only tests do comes last in a file.
                let code = text.split("#[cfg(test)]").next().unwrap();
                let here = ["layout.rs", "tests.rs", "fixtures.rs"]
                    .iter()
                    .any(|name| path.ends_with(name));
                let makes = [
                    "\"sha256-{",
                    "join(digest",
                    "join(layer.digest",
                    "join(&digest",
                    ".hex())",
                ];
                let found = makes
                    .iter()
                    .find(|text| code.contains(*text) && code.contains(".join("));
                assert!(here || found.is_none(), "{}: {found:?}", path.display());
                looked_at += 1;
            }
        }
        assert!(looked_at > 30);
    }

    fn plain_below(path: &Path, root: &Path, depth: usize) -> bool {
        let below = path.strip_prefix(root).unwrap();
        below.components().count() >= depth
            && below
                .components()
                .all(|part| matches!(part, std::path::Component::Normal(_)))
    }

    #[test]
    fn foreign_files_have_no_name() {
        let layout = Layout::new("/store");
        for path in [
            "/store/manifests/h/n/m",
            "/store/manifests/h/n/m/t/x",
            "/store/manifests/h/n/.m/t",
            "/other/h/n/m/t",
        ] {
            assert!(layout.name_of(Path::new(path)).is_none(), "{path}");
        }
    }
}
