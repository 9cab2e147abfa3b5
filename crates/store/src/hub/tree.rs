//! Listings of a repository (`/api/models/R/revision/REV` and `/api/models/R/tree/REV?recursive=true`).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Digest, Error, Result, manifest::is_plain_path};

/// No repository of a model has more files.
const MOST_FILES: usize = 100_000;
/// No page of a listing is larger.
const LARGEST_PAGE: usize = 64 << 20;
/// No file of a model is larger; sizes are added up without looking again.
const LARGEST_FILE: u64 = 1 << 44;

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFile {
    /// The path in the repository, of ordinary parts joined by `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// The SHA-256, known of files in large file storage.
    pub sha256: Option<Digest>,
    /// The git id, known of other files; [`super::git_oid`] computes it.
    pub git_oid: Option<[u8; 20]>,
}

/// The files of a repository at one revision.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, HubFile>,
    passed_over: usize,
}

/// What the hub says of a revision.
#[derive(Clone, Debug)]
pub struct Revision {
    /// The commit, 40 hexadecimal digits: what `main` meant at that moment.
    pub commit: String,
    /// The files where the listing has their sizes (asked for with `?blobs=true`).
    pub tree: Option<Tree>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    size: Option<u64>,
    oid: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    #[serde(alias = "sha256")]
    oid: String,
    size: u64,
}

#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8], repository: &str) -> Result<T> {
    let wrong = |why: String| Error::invalid(format!("the listing of {repository}"), why);
    if json.len() > LARGEST_PAGE {
        return Err(wrong(format!("larger than {LARGEST_PAGE} bytes")));
    }
    serde_json::from_slice(json).map_err(|error| wrong(error.to_string()))
}

impl Revision {
    /// Reads the answer to `/api/models/R/revision/REV`; `repository` names it in messages.
    ///
    /// # Errors
    /// When it is no such answer, or as [`Tree::add_page`].
    pub fn parse(json: &[u8], repository: &str) -> Result<Self> {
        let info: Info = parse(json, repository)?;
        if hex20(&info.sha).is_none() {
            let sha: String = info.sha.chars().take(80).collect();
            return Err(Error::invalid(
                format!("the listing of {repository}"),
                format!("expected a commit of 40 hexadecimal digits, found {sha:?}"),
            ));
        }
        let sized = info.siblings.iter().all(|file| file.size.is_some());
        let mut tree = Tree::default();
        for file in info.siblings.into_iter().filter(|_| sized) {
            let node = Node {
                kind: "file".to_owned(),
                path: file.rfilename,
                size: file.size,
                oid: file.blob_id,
                lfs: file.lfs,
            };
            tree.add(node, repository)?;
        }
        Ok(Self {
            commit: info.sha.to_ascii_lowercase(),
            tree: Some(tree).filter(|tree| sized && !tree.files.is_empty()),
        })
    }
}

impl Tree {
    /// Adds a page of `/api/models/R/tree/REV?recursive=true`; `repository` names it in messages. Files whose paths
    /// could lead out of a directory are passed over: no model needs them.
    ///
    /// # Errors
    /// When the page is no listing, has a file twice, a size or an id that cannot be, or there are too many files.
    pub fn add_page(&mut self, json: &[u8], repository: &str) -> Result<()> {
        let nodes: Vec<Node> = parse(json, repository)?;
        nodes
            .into_iter()
            .try_for_each(|node| self.add(node, repository))
    }

    fn add(&mut self, node: Node, repository: &str) -> Result<()> {
        if node.kind != "file" {
            return Ok(());
        }
        if !is_plain_path(&node.path) {
            self.passed_over += 1;
            return Ok(());
        }
        let wrong = |why: String| {
            let what = format!("the listing of {repository}, file {}", node.path);
            Err(Error::invalid(what, why))
        };
        if self.files.len() >= MOST_FILES {
            return wrong(format!("more than {MOST_FILES} files"));
        }
        let Some(size) = node.lfs.as_ref().map(|lfs| lfs.size).or(node.size) else {
            return wrong("its size is missing".to_owned());
        };
        if size > LARGEST_FILE {
            return wrong(format!("{size} bytes, at most {LARGEST_FILE} are possible"));
        }
        let sha256 = node.lfs.as_ref().map(|lfs| {
            let digits = lfs.oid.strip_prefix("sha256:").unwrap_or(&lfs.oid);
            Digest::from_hex(digits)
        });
        // Of a file in large storage, `oid` is that of the pointer.
        let git_oid = node.oid.as_deref().filter(|_| sha256.is_none()).map(hex20);
        if sha256 == Some(None) || git_oid == Some(None) {
            return wrong("the id is no SHA-256 and no git id".to_owned());
        }
        let file = HubFile {
            path: node.path.clone(),
            size,
            sha256: sha256.flatten(),
            git_oid: git_oid.flatten(),
        };
        match self.files.insert(node.path.clone(), file) {
            Some(_) => wrong("it is there twice".to_owned()),
            None => Ok(()),
        }
    }

    /// The file of a path.
    pub fn get(&self, path: &str) -> Option<&HubFile> {
        self.files.get(path)
    }

    /// All files in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = &HubFile> {
        self.files.values()
    }

    /// How many files have paths that are not used.
    pub fn passed_over(&self) -> usize {
        self.passed_over
    }
}

/// 40 hexadecimal digits.
fn hex20(digits: &str) -> Option<[u8; 20]> {
    if digits.len() != 40 {
        return None;
    }
    let padded = Digest::from_hex(&format!("{digits:0<64}"))?;
    padded.bytes().first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIT: &str = "a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9";

    fn tree(json: &str) -> Result<Tree> {
        let mut tree = Tree::default();
        tree.add_page(json.as_bytes(), "o/r").map(|()| tree)
    }

    #[test]
    fn a_listing_as_the_hub_writes_it() {
        let sha = "b".repeat(64);
        let found = tree(&format!(
            r#"[{{"type":"directory","oid":"{GIT}","size":0,"path":"BF16"}},
                {{"type":"file","oid":"{GIT}","size":1519,"path":".gitattributes"}},
                {{"type":"file","oid":"{GIT}","size":134,"path":"BF16/m.gguf",
                  "lfs":{{"oid":"{sha}","size":5000000000,"pointerSize":134}},"xetHash":"{sha}"}},
                {{"type":"file","oid":"{GIT}","size":1,"path":"../evil.gguf"}},
                {{"type":"file","oid":"{GIT}","size":1,"path":"/etc/evil.gguf"}},
                {{"type":"file","oid":"{GIT}","size":1,"path":"a\\evil.gguf"}}]"#
        ))
        .unwrap();
        assert_eq!((found.files().count(), found.passed_over()), (2, 3));
        let model = found.get("BF16/m.gguf").unwrap();
        assert_eq!(model.size, 5_000_000_000);
        assert_eq!(model.sha256.unwrap().hex(), sha);
        assert_eq!(model.git_oid, None);
        let small = found.get(".gitattributes").unwrap();
        assert_eq!((small.sha256, small.git_oid.unwrap()[0]), (None, 0xa0));
    }

    #[test]
    fn a_revision_with_and_without_sizes() {
        let sha = "c".repeat(64);
        let with = Revision::parse(
            format!(
                r#"{{"sha":"{GIT}","gated":false,"siblings":[
                  {{"rfilename":"config.json","size":3,"blobId":"{GIT}"}},
                  {{"rfilename":"m.gguf","size":9,"blobId":"{GIT}",
                    "lfs":{{"sha256":"{sha}","size":9,"pointerSize":1}}}}]}}"#
            )
            .as_bytes(),
            "o/r",
        )
        .unwrap();
        assert_eq!(with.commit, GIT);
        let tree = with.tree.unwrap();
        assert_eq!(tree.get("m.gguf").unwrap().sha256.unwrap().hex(), sha);
        assert!(tree.get("config.json").unwrap().git_oid.is_some());
        for siblings in [r#"[{"rfilename":"m.gguf"}]"#, "[]"] {
            let json = format!(r#"{{"sha":"{GIT}","siblings":{siblings}}}"#);
            assert!(
                Revision::parse(json.as_bytes(), "o/r")
                    .unwrap()
                    .tree
                    .is_none()
            );
        }
        for json in [
            "{}",
            "[]",
            r#"{"sha":"main"}"#,
            r#"{"sha":"../../../../../../../../../../../../a/b"}"#,
            r#"{"sha":1}"#,
        ] {
            assert!(Revision::parse(json.as_bytes(), "o/r").is_err(), "{json}");
        }
    }

    #[test]
    fn hostile_listings_are_errors() {
        let file = |rest: &str| format!(r#"[{{"type":"file","path":"m.gguf",{rest}}}]"#);
        for json in [
            String::new(),
            "{}".into(),
            r#"{"error":"Repository not found"}"#.into(),
            "[null]".into(),
            "[".repeat(100_000),
            file(r#""size":-1"#),
            file(&format!(r#""size":{}"#, u64::MAX)),
            file(r#""size":1,"oid":"zz""#),
            file(r#""size":1,"oid":"../../x""#),
            file(r#""size":1,"lfs":{"oid":"sha256:12","size":1}"#),
            file(&format!(
                r#""size":1,"lfs":{{"oid":"{}","size":1}}"#,
                "é".repeat(32)
            )),
            file(r#""size":1,"lfs":{}"#),
            r#"[{"type":"file","path":"m.gguf"}]"#.into(),
            r#"[{"type":"file","path":"a","size":1},{"type":"file","path":"a","size":1}]"#.into(),
        ] {
            assert!(tree(&json).is_err(), "{:.80}", json);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_listing_makes_the_reader_panic(path in ".{0,40}", oid in "[0-9a-f]{0,45}", size: u64) {
            let json = serde_json::json!([{"type": "file", "path": path, "oid": oid, "size": size}]);
            if let Ok(tree) = tree(&json.to_string()) {
                proptest::prop_assert!(tree.files().all(|file| is_plain_path(&file.path)));
            }
        }
    }
}
