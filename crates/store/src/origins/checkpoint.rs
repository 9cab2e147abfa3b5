//! Directories with `config.json` and safetensors files: plain checkpoints and MLX ones.

use std::collections::BTreeMap;

use super::files::Local;
use crate::{
    Disk, Error, Result,
    hub::{INDEX, WHOLE, file_name, folder, listed_files, missing_part},
};

const CONFIG: &str = "config.json";
const LARGEST_INDEX: u64 = 256 << 20;

/// A complete checkpoint directory.
pub(super) struct Checkpoint<'a> {
    /// The directory below the folder that was walked; empty for that folder itself.
    pub(super) below: &'a str,
    /// Its `config.json`.
    pub(super) config: &'a Local,
    /// The weights.
    pub(super) weights: Vec<&'a Local>,
    /// `model_type`.
    pub(super) architecture: String,
}

/// The checkpoints among files. A directory whose `config.json` names no kind of model is none.
pub(super) fn checkpoints<'a>(files: &'a [Local], faults: &mut Vec<Error>) -> Vec<Checkpoint<'a>> {
    let mut directories: BTreeMap<&str, BTreeMap<&str, &Local>> = BTreeMap::new();
    for file in files {
        let names = directories.entry(folder(&file.below)).or_default();
        names.insert(file_name(&file.below), file);
    }
    let mut found = Vec::new();
    for (below, names) in directories {
        match checkpoint(below, &names) {
            Ok(checkpoint) => found.extend(checkpoint),
            Err(error) => faults.push(error),
        }
    }
    found
}

fn checkpoint<'a>(
    below: &'a str,
    names: &BTreeMap<&'a str, &'a Local>,
) -> Result<Option<Checkpoint<'a>>> {
    let is_weights = |name: &&str| name.starts_with("model") && name.ends_with(".safetensors");
    let weights: Vec<&str> = names.keys().copied().filter(is_weights).collect();
    let Some(config) = names.get(CONFIG).copied() else {
        return Ok(None);
    };
    if weights.is_empty() && !names.contains_key(INDEX) {
        return Ok(None);
    }
    let Some(architecture) = model_type(config)? else {
        return Ok(None);
    };
    let missing = match names.get(INDEX) {
        _ if names.contains_key(WHOLE) => None,
        Some(index) => {
            let json = Disk::default().read(&index.path, LARGEST_INDEX)?;
            let listed = listed_files(&json.unwrap_or_default());
            let listed = listed.map_err(|error| wrong(index, error.to_string()))?;
            let gone = |name: &String| !names.contains_key(name.as_str());
            listed.into_iter().find(gone)
        }
        None => missing_part(weights.iter().copied()),
    };
    if let Some(missing) = missing {
        let missing: String = missing.chars().take(120).collect();
        return Err(wrong(config, format!("incomplete: {missing:?} is missing")));
    }
    Ok(Some(Checkpoint {
        below,
        config,
        weights: weights
            .iter()
            .filter_map(|name| names.get(name).copied())
            .collect(),
        architecture,
    }))
}

fn model_type(config: &Local) -> Result<Option<String>> {
    let label = config.path.display().to_string();
    let json: serde_json::Value = hearth_format::read_json(&config.path, &label)?;
    let kind = json.get("model_type").and_then(|kind| kind.as_str());
    Ok(kind.map(str::to_owned))
}

fn wrong(file: &Local, why: String) -> Error {
    Error::invalid(file.path.display().to_string(), why)
}
