//! Which files of a checkpoint directory belong to its model.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{Error, Result, disk, manifest::is_plain_path};

const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// An index of the largest models has a few megabytes.
const LARGEST_INDEX: u64 = 256 << 20;
/// Vocabularies and templates that are not JSON.
const TEXTS: &[&str] = &[
    "chat_template.jinja",
    "tokenizer.model",
    "tiktoken.model",
    "vocab.txt",
    "merges.txt",
];

/// The weights of a directory and all that describes them, by their paths in it: the safetensors files that
/// [`hearth_format::Checkpoint`] reads, all JSON files here and one level down, and known text files.
///
/// # Errors
/// When a file is a link that leaves the directory or no regular file, or a name cannot be stored.
pub(super) fn files(directory: &Path) -> Result<Vec<(String, PathBuf)>> {
    let root = directory
        .canonicalize()
        .map_err(|e| Error::io(directory, e))?;
    let top = names(directory)?;
    let mut wanted: BTreeSet<String> = weights(directory, &top)?;
    for name in &top {
        if name.ends_with(".json") || TEXTS.contains(&name.as_str()) || name.ends_with(".tiktoken")
        {
            wanted.insert(name.clone());
        } else if directory.join(name).is_dir() {
            let below = names(&directory.join(name))?.into_iter();
            let below = below.filter(|file| {
                file.ends_with(".json")
                    || (name == "additional_chat_templates" && file.ends_with(".jinja"))
            });
            wanted.extend(below.map(|file| format!("{name}/{file}")));
        }
    }
    wanted
        .into_iter()
        .map(|name| {
            let path = inside(&root, &directory.join(&name))?;
            if !is_plain_path(&name) {
                let why = "a name that no model can store: rename the file";
                return Err(Error::invalid(path.display().to_string(), why));
            }
            Ok((name, path))
        })
        .collect()
}

/// GGUF files of a directory in the order of their names.
pub(super) fn ggufs(directory: &Path) -> Result<Vec<PathBuf>> {
    let root = directory
        .canonicalize()
        .map_err(|e| Error::io(directory, e))?;
    let found = names(directory)?
        .into_iter()
        .filter(|name| name.ends_with(".gguf"));
    found
        .map(|name| inside(&root, &directory.join(name)))
        .collect()
}

/// Whether a directory has weights in safetensors.
pub(super) fn has_safetensors(directory: &Path) -> Result<bool> {
    let names = names(directory)?;
    Ok(names.iter().any(|name| name.ends_with(".safetensors")))
}

/// Visible entries in the order of their names; one that is not UTF-8 is no file of a model.
fn names(directory: &Path) -> Result<Vec<String>> {
    let error = |error| Error::io(directory, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(error)? {
        let name = entry.map_err(error)?.file_name().into_string();
        names.extend(name.ok().filter(|name| !name.starts_with('.')));
    }
    names.sort_unstable();
    Ok(names)
}

/// A regular file that is not elsewhere.
fn inside(root: &Path, path: &Path) -> Result<PathBuf> {
    let real = path.canonicalize().map_err(|e| Error::io(path, e))?;
    if !real.starts_with(root) {
        let why = format!(
            "a link to {}, outside of the directory; put the file itself there",
            real.display()
        );
        return Err(Error::invalid(path.display().to_string(), why));
    }
    disk::open_regular(path).map_err(|e| Error::io(path, e))?;
    Ok(path.to_owned())
}

/// The files that hold the weights: the whole one, else those that the index lists, else every `model*` one.
fn weights(directory: &Path, top: &[String]) -> Result<BTreeSet<String>> {
    let has = |name: &str| top.iter().any(|file| file == name);
    if has(WHOLE) {
        return Ok([WHOLE.to_owned()].into());
    }
    if has(INDEX) {
        return listed(&directory.join(INDEX));
    }
    let parts = top
        .iter()
        .filter(|n| n.starts_with("model") && n.ends_with(".safetensors"));
    Ok(parts.cloned().collect())
}

fn listed(index: &Path) -> Result<BTreeSet<String>> {
    let invalid = |why: String| Error::invalid(index.display().to_string(), why);
    let bytes = crate::Disk::default().read(index, LARGEST_INDEX)?;
    let json: Value =
        serde_json::from_slice(&bytes.unwrap_or_default()).map_err(|e| invalid(e.to_string()))?;
    let map = json.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| invalid("expected an object 'weight_map'".to_owned()))?;
    map.values()
        .map(|file| match file.as_str() {
            Some(file) if is_plain_path(file) && !file.contains('/') => Ok(file.to_owned()),
            _ => Err(invalid(format!("{file} is no plain name of a file"))),
        })
        .collect()
}
