//! A Hugging Face model directory: which files hold its weights, and its tensors (format notes 1.7 and 1.8).

use std::collections::{BTreeMap, HashMap};

use crate::{Error, Result, SafeTensors, Tensor, files::Files, json, map_file};

const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Where files lie that are named after a tensor.
const SINGLE: &str = "tensors/";
const EXTENSION: &str = ".safetensors";

#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// All tensors by name: those of `model.safetensors`, else those that the index lists, else those of every
/// `model*.safetensors`, else, where the files were chosen one by one, those of every safetensors file. Weights in
/// pickles are never read.
///
/// # Errors
/// When there are no weights, a file breaks a rule of its format, the index names what is not there or not a plain
/// file name, or a tensor is in two files.
pub(crate) fn tensors(files: &Files) -> Result<HashMap<String, Tensor>> {
    if files.find(WHOLE).is_some() {
        return all_of(files, &[WHOLE.to_owned()]);
    }
    if files.find(INDEX).is_some() {
        return listed(files);
    }
    let mut weights = files.names()?;
    weights.retain(|name| name.ends_with(EXTENSION));
    let named = |name: &String| name.starts_with("model");
    if weights.iter().any(named) {
        weights.retain(named);
    } else if !files.are_chosen() {
        weights.clear();
    }
    if weights.is_empty() {
        return Err(no_weights(files)?);
    }
    all_of(files, &weights)
}

fn no_weights(files: &Files) -> Result<Error> {
    let pickled = |name: &String| {
        [".bin", ".pt", ".pth"]
            .iter()
            .any(|end| name.ends_with(end))
            && name.contains("model")
    };
    let hint = match files.names()?.iter().find(|name| pickled(name)) {
        Some(name) => {
            format!(
                "; {name} is a pickle, which can run code and is never read: convert it to safetensors"
            )
        }
        None => String::new(),
    };
    Ok(Error::invalid(
        files.label(),
        format!("expected {WHOLE} or {INDEX} beside config.json{hint}"),
    ))
}

fn all_of(files: &Files, names: &[String]) -> Result<HashMap<String, Tensor>> {
    let mut tensors = HashMap::new();
    for name in names {
        for tensor in open(files, name)? {
            if let Some(double) = tensors.insert(tensor.name.clone(), tensor) {
                return Err(Error::invalid(
                    files.label(),
                    format!("tensor '{}' is in two files", double.name),
                ));
            }
        }
    }
    Ok(tensors)
}

fn open(files: &Files, name: &str) -> Result<Vec<Tensor>> {
    let label = files.label_of(name);
    let file = SafeTensors::from_bytes(map_file(&files.get(name)?)?, &label)?;
    let mut tensors = file.into_tensors();
    if let Some(tensor) = single(name) {
        rename(&label, tensor, &mut tensors)?;
    }
    Ok(tensors)
}

/// The tensor that a file is named after.
fn single(file: &str) -> Option<&str> {
    file.strip_prefix(SINGLE)?.strip_suffix(EXTENSION)
}

/// A file that is named after a tensor holds that tensor: the file's name counts, as the name inside may be a
/// placeholder. What belongs to the tensor may be with it under names that begin with its own (packed experts).
fn rename(label: &str, tensor: &str, tensors: &mut [Tensor]) -> Result<()> {
    if let [one] = tensors {
        one.name = tensor.to_owned();
        return Ok(());
    }
    let belongs = |name: &str| {
        let rest = name.strip_prefix(tensor);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    // A module of Ollama's own quantisation: `p.weight`, `p.weight.scale` and maybe `p.weight.bias`.
    let quantised = |t: &Tensor| t.name.ends_with(".weight.scale");
    let problem = if tensors.is_empty() {
        format!("expected tensor '{tensor}', found none")
    } else if let Some(stranger) = tensors.iter().find(|t| !belongs(&t.name)) {
        format!("expected tensor '{tensor}', found '{}'", stranger.name)
    } else if tensors.iter().any(quantised) {
        format!(
            "tensor '{tensor}' is quantised by Ollama's MLX scheme, which hearth does not read yet; use a GGUF of this model"
        )
    } else {
        return Ok(());
    };
    Err(Error::invalid(label, problem))
}

/// The tensors that an index lists, each from its file; others in the files are not the model's.
fn listed(files: &Files) -> Result<HashMap<String, Tensor>> {
    let label = files.label_of(INDEX);
    let index: Index = json::read(&files.get(INDEX)?, &label)?;
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
        let mut found: HashMap<String, Tensor> = open(files, file)?
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
    file.ends_with(EXTENSION) && !file.starts_with('.') && !file.contains(['/', '\\', ':', '\0'])
}
