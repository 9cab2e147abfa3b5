//! A Hugging Face model directory: which files hold its weights, and its tensors (format notes 1.7 and 1.8).

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use crate::{Error, Result, SafeTensors, Tensor, json, map_file};

const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// All tensors of a directory by name: those of `model.safetensors`, else those that the index lists, else those of
/// every `model*.safetensors`. Weights in pickles are never read.
///
/// # Errors
/// When there are no weights, a file breaks a rule of its format, the index names what is not there or not a plain
/// file name, or a tensor is in two files.
pub(crate) fn tensors(directory: &Path) -> Result<HashMap<String, Tensor>> {
    if directory.join(WHOLE).exists() {
        return all_of(directory, &[WHOLE.to_owned()]);
    }
    let index = directory.join(INDEX);
    if index.exists() {
        return listed(directory, &index);
    }
    let mut files: Vec<String> = names(directory)?
        .into_iter()
        .filter(|name| name.starts_with("model") && name.ends_with(".safetensors"))
        .collect();
    files.sort_unstable();
    if files.is_empty() {
        return Err(no_weights(directory)?);
    }
    all_of(directory, &files)
}

/// Names of a directory's entries that are UTF-8; others are no file of a model.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).map_err(|e| Error::io(directory, e))?;
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    names
        .filter_map(|name: std::io::Result<_>| name.transpose())
        .collect::<std::io::Result<_>>()
        .map_err(|e| Error::io(directory, e))
}

fn no_weights(directory: &Path) -> Result<Error> {
    let pickled = |name: &String| {
        [".bin", ".pt", ".pth"]
            .iter()
            .any(|end| name.ends_with(end))
            && name.contains("model")
    };
    let hint = match names(directory)?.iter().find(|name| pickled(name)) {
        Some(name) => {
            format!(
                "; {name} is a pickle, which can run code and is never read: convert it to safetensors"
            )
        }
        None => String::new(),
    };
    Ok(Error::invalid(
        &directory.display().to_string(),
        format!("expected {WHOLE} or {INDEX} beside config.json{hint}"),
    ))
}

fn all_of(directory: &Path, files: &[String]) -> Result<HashMap<String, Tensor>> {
    let mut tensors = HashMap::new();
    for file in files {
        for tensor in open(directory, file)? {
            if let Some(double) = tensors.insert(tensor.name.clone(), tensor) {
                return Err(Error::invalid(
                    &directory.display().to_string(),
                    format!("tensor '{}' is in two files", double.name),
                ));
            }
        }
    }
    Ok(tensors)
}

fn open(directory: &Path, file: &str) -> Result<Vec<Tensor>> {
    let path = directory.join(file);
    let file = SafeTensors::from_bytes(map_file(&path)?, &path.display().to_string())?;
    Ok(file.into_tensors())
}

/// The tensors that an index lists, each from its file; others in the files are not the model's.
fn listed(directory: &Path, path: &Path) -> Result<HashMap<String, Tensor>> {
    let label = path.display().to_string();
    let index: Index = json::read(path)?;
    let mut by_file: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, file) in &index.weight_map {
        if !is_plain(file) {
            return Err(Error::invalid(
                &label,
                format!("tensor '{tensor}': {file:?} is no plain name of a safetensors file"),
            ));
        }
        by_file.entry(file).or_default().push(tensor);
    }
    let mut tensors = HashMap::with_capacity(index.weight_map.len());
    for (file, wanted) in by_file {
        let mut found: HashMap<String, Tensor> = open(directory, file)?
            .into_iter()
            .map(|tensor| (tensor.name.clone(), tensor))
            .collect();
        for name in wanted {
            let Some(tensor) = found.remove(name) else {
                return Err(Error::invalid(
                    &label,
                    format!("tensor '{name}' is not in {file}, where the index has it"),
                ));
            };
            tensors.insert(name.to_owned(), tensor);
        }
    }
    Ok(tensors)
}

/// A file of this directory and nothing else: an index may come from anyone.
fn is_plain(file: &str) -> bool {
    file.ends_with(".safetensors")
        && !file.starts_with('.')
        && !file.contains(['/', '\\', ':', '\0'])
}
