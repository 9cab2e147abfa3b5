//! The files of a safetensors checkpoint in a repository.

use std::collections::{BTreeMap, BTreeSet};

use hearth_format::PartName;

use super::{HubFile, INDEX, Tree};
use crate::{Error, Result};

/// The weights of a checkpoint of one file.
pub(crate) const WHOLE: &str = "model.safetensors";
const CONFIG: &str = "config.json";

#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The configuration, the weights and the tokenizer's files. All of them are at the top: what is in folders (`onnx/`,
/// `original/`) is the same model in other formats. Pickles are never taken.
pub(super) fn files(tree: &Tree, repository: &str, index: Option<&[u8]>) -> Result<Vec<HubFile>> {
    let wrong = |why: String| Error::invalid(repository, why);
    if tree.get(CONFIG).is_none() {
        return Err(wrong(
            "expected GGUF files or config.json with safetensors, found neither".to_owned(),
        ));
    }
    let weights = weights(tree, repository, index)?;
    let beside = tree.files().filter(|file| is_beside(&file.path));
    let weights = weights.iter().filter_map(|name| tree.get(name));
    Ok(beside.chain(weights).cloned().collect())
}

/// Names of the weights: the whole file, else those that the index lists, else every `model*.safetensors`.
fn weights(tree: &Tree, repository: &str, index: Option<&[u8]>) -> Result<BTreeSet<String>> {
    if tree.get(WHOLE).is_some() {
        return Ok(BTreeSet::from([WHOLE.to_owned()]));
    }
    if let (Some(json), Some(_)) = (index, tree.get(INDEX)) {
        return listed(tree, repository, json);
    }
    let named = |path: &&str| {
        path.starts_with("model") && path.ends_with(".safetensors") && !path.contains('/')
    };
    let names = tree.files().map(|file| file.path.as_str()).filter(named);
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    if names.is_empty() {
        return Err(no_weights(tree, repository));
    }
    match missing_part(names.iter().map(String::as_str)) {
        Some(missing) => Err(Error::invalid(
            repository,
            format!("incomplete: {missing} is missing"),
        )),
        None => Ok(names),
    }
}

/// The first of the parts `model-00001-of-00002.safetensors` that is not there.
pub(crate) fn missing_part<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut sets: BTreeMap<(String, u32), BTreeSet<u32>> = BTreeMap::new();
    for name in names {
        let gguf = name
            .strip_suffix(".safetensors")
            .map(|stem| format!("{stem}.gguf"));
        if let Some(part) = gguf.as_deref().and_then(PartName::parse) {
            let key = (part.prefix.to_owned(), part.count);
            sets.entry(key).or_default().insert(part.number);
        }
    }
    sets.iter().find_map(|((prefix, count), numbers)| {
        let number = (1..=*count).find(|number| !numbers.contains(number))?;
        Some(format!("{prefix}-{number:05}-of-{count:05}.safetensors"))
    })
}

/// Names of the files that an index lists.
pub(crate) fn listed_files(json: &[u8]) -> Result<BTreeSet<String>, serde_json::Error> {
    let index: Index = serde_json::from_slice(json)?;
    Ok(index.weight_map.into_values().collect())
}

/// The files that an index lists; all of them have to be there.
fn listed(tree: &Tree, repository: &str, json: &[u8]) -> Result<BTreeSet<String>> {
    let wrong = |why: String| Error::invalid(format!("{repository}, {INDEX}"), why);
    let names = listed_files(json).map_err(|error| wrong(error.to_string()))?;
    if names.is_empty() {
        return Err(wrong("it lists no weights".to_owned()));
    }
    let strange = |name: &&String| !name.ends_with(".safetensors") || tree.get(name).is_none();
    match names.iter().find(strange) {
        Some(name) => {
            let name: String = name.chars().take(80).collect();
            Err(wrong(format!(
                "it lists {name:?}, which is no safetensors file of the repository"
            )))
        }
        None => Ok(names),
    }
}

/// Whether a file belongs to a checkpoint beside its weights.
fn is_beside(path: &str) -> bool {
    if path.contains('/') || path.starts_with('.') {
        return false;
    }
    let name = path.to_ascii_lowercase();
    let ends = [".json", ".jinja", ".tiktoken", "tokenizer.model"];
    let index_of_others = name.ends_with(".index.json") && path != INDEX;
    let adapter = name.starts_with("adapter_");
    (ends.iter().any(|end| name.ends_with(end)) && !index_of_others && !adapter)
        || ["merges.txt", "vocab.txt"].contains(&name.as_str())
        || name == "license"
        || name.starts_with("license.")
}

fn no_weights(tree: &Tree, repository: &str) -> Error {
    let ends = [".bin", ".pt", ".pth", ".ckpt", ".pkl"];
    let pickle = tree
        .files()
        .find(|file| ends.iter().any(|end| file.path.ends_with(end)));
    let hint = match pickle {
        Some(file) => format!(
            "; {} is a pickle, which can run code and is never used: look for the same model as GGUF or safetensors",
            file.path
        ),
        None => String::new(),
    };
    Error::invalid(
        repository,
        format!("expected GGUF files or model*.safetensors, found neither{hint}"),
    )
}
