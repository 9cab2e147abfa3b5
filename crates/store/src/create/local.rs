//! Files that a model is made from: which of them are its weights, and which stand beside them.

use std::path::{Path, PathBuf};

use hearth_format::{Checkpoint, Gguf, Metadata};

use super::{Base, directory, intake::Piece, recipe::blob};
use crate::{Error, Kind, Result, Store, disk, manifest::is_plain_path};

/// What the files of a recipe are.
#[derive(Debug, Default)]
pub(super) struct Local {
    pub(super) weights: Option<Weights>,
    pub(super) projectors: Vec<PathBuf>,
}

/// Files that are one model.
#[derive(Debug)]
pub(super) enum Weights {
    /// GGUF, in the order of their parts.
    Gguf(Vec<Piece>),
    /// A checkpoint directory.
    Directory(Vec<Piece>),
}

impl Weights {
    /// What is to be stored.
    pub(super) fn pieces(&self) -> Vec<Piece> {
        let (Self::Gguf(pieces) | Self::Directory(pieces)) = self;
        pieces.clone()
    }

    /// Opens them as the model that they are.
    pub(super) fn open(&self) -> Result<Checkpoint> {
        const LABEL: &str = "the weights";
        match self {
            Self::Gguf(pieces) => {
                let paths: Vec<PathBuf> = pieces.iter().map(|p| p.path.clone()).collect();
                Ok(Checkpoint::open_parts(LABEL, &paths)?)
            }
            Self::Directory(pieces) => {
                let named = pieces.iter();
                let named = named.filter_map(|p| Some((p.name.clone()?, p.path.clone())));
                Ok(Checkpoint::open_files(LABEL, named.collect())?)
            }
        }
    }
}

impl Local {
    /// Looks at all files of a recipe.
    ///
    /// # Errors
    /// When one cannot be read, is no model and no projector, or there are two models.
    pub(super) fn find(store: &Store, bases: &[Base]) -> Result<Self> {
        let mut local = Self::default();
        let mut files = Vec::new();
        for base in bases {
            match base {
                Base::Name(_) => {}
                Base::Blob(digest) => files.push(blob(store, digest)?),
                Base::Path(path) if path.is_dir() => {
                    local.add_directory(store, path, &mut files)?
                }
                Base::Path(path) => files.push(path.clone()),
                Base::Directory(named) => {
                    let found = named
                        .iter()
                        .map(|(name, digest)| Ok((name.clone(), blob(store, digest)?)));
                    local.add_checkpoint(store, found.collect::<Result<_>>()?)?;
                }
            }
        }
        local.add_ggufs(store, files)?;
        Ok(local)
    }

    fn set(&mut self, weights: Weights) -> Result<()> {
        if self.weights.is_some() {
            let second = weights.pieces();
            let second = second.first().map(|piece| piece.path.display().to_string());
            return Err(Error::invalid(
                second.unwrap_or_default(),
                "a second model; FROM takes the files of one model, and projectors",
            ));
        }
        self.weights = Some(weights);
        Ok(())
    }

    fn add_directory(
        &mut self,
        store: &Store,
        path: &Path,
        files: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let found = directory::ggufs(path)?;
        // GGUF files are often published together with the original's config.json.
        let is_checkpoint = path.join("config.json").exists()
            && (found.is_empty() || directory::has_safetensors(path)?);
        if is_checkpoint {
            return self.add_checkpoint(store, directory::files(path)?);
        }
        if found.is_empty() {
            return Err(Error::invalid(
                path.display().to_string(),
                "no Modelfile or safetensors files found: expected config.json with safetensors files, or GGUF files",
            ));
        }
        files.extend(found);
        Ok(())
    }

    fn add_checkpoint(&mut self, store: &Store, files: Vec<(String, PathBuf)>) -> Result<()> {
        if let Some((name, _)) = files.iter().find(|(name, _)| !is_plain_path(name)) {
            return Err(Error::invalid(
                format!("{name:?}"),
                "file path must be relative",
            ));
        }
        let piece = |(name, path): (String, PathBuf)| {
            let weights = name.ends_with(".safetensors");
            let kind = if weights {
                Kind::Safetensors
            } else {
                Kind::Json
            };
            Piece::new(store, kind, Some(name), path)
        };
        let weights = Weights::Directory(files.into_iter().map(piece).collect());
        weights.open()?;
        self.set(weights)
    }

    fn add_ggufs(&mut self, store: &Store, files: Vec<PathBuf>) -> Result<()> {
        let piece = |path: &PathBuf| Piece::new(store, Kind::Model, None, path.clone());
        let mut parts = Vec::new();
        // Parts of a split that were given by other names than a split's, such as those that the store gives.
        let mut loose = Vec::new();
        for path in files {
            match open(&path) {
                Ok(file) => match role(file.metadata()) {
                    Role::Model => {
                        let set = split(&path).filter(|_| is_split(file.metadata()));
                        let set = set.unwrap_or_else(|| vec![path]);
                        self.set(Weights::Gguf(set.iter().map(piece).collect()))?;
                        parts.extend(set);
                    }
                    Role::Projector => self.projectors.push(path),
                    Role::Adapter => {
                        return Err(wrong(
                            &path,
                            "a LoRA adapter; FROM names the model that it is for, ADAPTER this file",
                        ));
                    }
                    Role::Other(kind) => {
                        return Err(wrong(
                            &path,
                            &format!("a GGUF file of type '{kind}', which is no model"),
                        ));
                    }
                },
                Err(error) => loose.push((path, error)),
            }
        }
        loose.retain(|(path, _)| !parts.contains(path));
        let paths: Vec<PathBuf> = loose.iter().map(|(path, _)| path.clone()).collect();
        let Some((_, first)) = loose.into_iter().next() else {
            return Ok(());
        };
        if paths.len() < 2 || Gguf::open_parts("the parts", &paths).is_err() {
            return Err(first);
        }
        self.set(Weights::Gguf(paths.iter().map(piece).collect()))
    }
}

/// Checks that a file is an adapter, a draft model or a projector, whichever it has to be.
pub(super) fn check(kind: Kind, path: &Path) -> Result<()> {
    if path.is_dir() && kind == Kind::Adapter {
        return Err(safetensors_adapter(&path.display().to_string()));
    }
    let file = open(path)?;
    let right = match (kind, role(file.metadata())) {
        (Kind::Adapter, Role::Adapter) | (Kind::Projector, Role::Projector) => true,
        (Kind::Draft, Role::Model) => !is_split(file.metadata()),
        _ => false,
    };
    let expected = match kind {
        Kind::Adapter => "expected a LoRA adapter: general.type is not 'adapter'",
        Kind::Draft => "expected a draft model in one GGUF file",
        _ => "expected a projector: general.architecture is not 'clip'",
    };
    if right {
        Ok(())
    } else {
        Err(wrong(path, expected))
    }
}

/// Opens a GGUF file and its parts; each has to be a regular file, so that no read waits for ever.
fn open(path: &Path) -> Result<Gguf> {
    for part in split(path).unwrap_or_else(|| vec![path.to_owned()]) {
        disk::open_regular(&part).map_err(|error| Error::io(&part, error))?;
    }
    if path.extension().is_some_and(|e| e == "safetensors") {
        return Err(wrong(
            path,
            "a safetensors file alone is no model; name the directory that has its config.json",
        ));
    }
    let file = Gguf::open(path)?;
    if file.tensors().is_empty() {
        return Err(wrong(path, "it holds no weights"));
    }
    Ok(file)
}

enum Role {
    Model,
    Projector,
    Adapter,
    Other(String),
}

fn role(metadata: &Metadata) -> Role {
    let is_clip = metadata.string("general.architecture") == Some("clip");
    match metadata.string("general.type") {
        Some("adapter") => Role::Adapter,
        Some("mmproj" | "projector") => Role::Projector,
        Some("model") | None if is_clip => Role::Projector,
        Some("model") | None => Role::Model,
        Some(other) => Role::Other(other.to_owned()),
    }
}

fn is_split(metadata: &Metadata) -> bool {
    metadata
        .integer("split.count")
        .is_some_and(|count| count > 1)
}

/// All parts of a split by the name of its first: `PREFIX-00001-of-00003.gguf`.
fn split(first: &Path) -> Option<Vec<PathBuf>> {
    let name = first.file_name()?.to_str()?.strip_suffix(".gguf")?;
    let (before, count) = name.rsplit_once("-of-")?;
    let prefix = before.strip_suffix("-00001")?;
    let digits = count.len() == 5 && count.bytes().all(|b| b.is_ascii_digit());
    let parts: u32 = count.parse().ok().filter(|_| digits)?;
    let part = |no| first.with_file_name(format!("{prefix}-{no:05}-of-{count}.gguf"));
    Some((1..=parts).map(part).collect())
}

fn wrong(path: &Path, why: &str) -> Error {
    Error::invalid(path.display().to_string(), why)
}

/// Adapters of checkpoint directories.
pub(super) fn safetensors_adapter(what: &str) -> Error {
    Error::invalid(
        what,
        "an adapter in safetensors cannot stand beside a model; convert it to GGUF (convert_lora_to_gguf.py of llama.cpp) and name that file",
    )
}
