//! Matrices after the pooling: `dense_2`, `dense_3` of a GGUF, Dense modules of sentence-transformers.

use hearth_compute::Activation;
use hearth_format::{SafeTensors, map_file};
use serde_json::Value as Json;

use super::{Dense, Stored, modules, side, stored};
use crate::{Result, Settings};

/// Names in GGUF files, in order: llama.cpp's and Ollama's.
const GGUF: [&str; 4] = ["dense_2", "dense_3", "dense.0", "dense.1"];

pub(super) fn read(s: &Settings<'_>) -> Result<Vec<Dense>> {
    if s.is_gguf() {
        let found = GGUF.into_iter().filter_map(|base| stored(s, base));
        let plain = |stored| Dense {
            stored,
            activation: None,
        };
        return Ok(found.map(plain).collect());
    }
    let modules = modules(s)?.into_iter().filter(|m| m.kind == "Dense");
    modules
        .map(|module| from_directory(s, &module.path))
        .collect()
}

fn from_directory(s: &Settings<'_>, path: &str) -> Result<Dense> {
    let file = format!("{path}/config.json");
    let config = side(s, &file)?.unwrap_or(Json::Null);
    let activation = match config.get("activation_function").and_then(Json::as_str) {
        None => Some(Activation::Tanh),
        Some(class) => match class.rsplit('.').next() {
            Some("Identity") => None,
            Some("Tanh") => Some(Activation::Tanh),
            Some("ReLU") => Some(Activation::Relu),
            Some("GELU") => Some(Activation::GeluErf),
            _ => return Err(s.wrong(&file, class, "Identity, Tanh, ReLU or GELU")),
        },
    };
    let weights = format!("{path}/model.safetensors");
    let missing = |found: String| s.wrong(&weights, found, "the matrix linear.weight");
    let place = s
        .checkpoint
        .side_file(&weights)
        .ok_or_else(|| missing("no such file".to_owned()))?;
    let file = map_file(&place)
        .and_then(|bytes| SafeTensors::from_bytes(bytes, &weights))
        .map_err(|error| missing(error.to_string()))?;
    let weight = file
        .tensor("linear.weight")
        .ok_or_else(|| missing("no such tensor".to_owned()))?;
    Ok(Dense {
        stored: Stored {
            weight: weight.clone(),
            bias: file.tensor("linear.bias").cloned(),
        },
        activation,
    })
}
