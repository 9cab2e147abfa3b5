//! A GGUF file as the source: everything stays but the types of matrices.

use hearth_format::{Array, BlockType, Checkpoint, Metadata, Storage, Value};

use crate::{
    Error, Outline, Result,
    plan::{Plan, Rows, Source, Target},
    rules::layer,
};

/// The same tensors and metadata. Parts of a split become one file.
pub(crate) fn plan(checkpoint: &Checkpoint) -> Result<Plan<'_>> {
    let from = checkpoint.metadata();
    if let Some(kind) = from.string("general.type").filter(|kind| *kind != "model") {
        return Err(Error::NotAModel {
            place: checkpoint.label().to_owned(),
            found: kind.to_owned(),
        });
    }
    let mut metadata = Metadata::default();
    for (key, value) in from.iter().filter(|(key, _)| !key.starts_with("split.")) {
        metadata.insert(key.to_owned(), value.clone());
    }
    let mut targets: Vec<_> = checkpoint
        .tensors()
        .map(|tensor| Target {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            block: match &tensor.storage {
                Storage::Blocks { block, .. } => *block,
                Storage::Affine(_) => BlockType::F16,
            },
            source: Source::Rows(Rows::whole(tensor)),
        })
        .collect();
    targets.sort_by_cached_key(|target| place(&target.name));
    Ok(Plan {
        outline: outline(checkpoint),
        metadata,
        targets,
        notes: Vec::new(),
    })
}

/// Where a tensor goes: the embedding and what belongs to no layer, the layers in order, the output.
pub(crate) fn place(name: &str) -> (usize, String) {
    let number = match layer(name) {
        Some(i) => i.saturating_add(1),
        None if name.starts_with("output") => usize::MAX,
        None => 0,
    };
    (number, name.to_owned())
}

fn outline(checkpoint: &Checkpoint) -> Outline {
    let metadata = checkpoint.metadata();
    let architecture = metadata.string("general.architecture").unwrap_or_default();
    let number = |key: &str| {
        let key = format!("{architecture}.{key}");
        // Some files have a number per layer, 0 where a layer has none of it.
        let largest = || metadata.integers(&key)?.into_iter().max()?.try_into().ok();
        let n: Option<u64> = match metadata.get(&key)? {
            Value::Array(Array::String(_)) => None,
            Value::Array(_) => largest(),
            _ => metadata.integer(&key),
        };
        usize::try_from(n?).ok()
    };
    let counted = checkpoint.tensors().filter_map(|t| layer(&t.name)).max();
    let heads = number("attention.head_count").unwrap_or(0);
    Outline {
        layers: number("block_count").unwrap_or(counted.map_or(0, |last| last + 1)),
        heads,
        kv_heads: number("attention.head_count_kv").unwrap_or(heads),
        experts: number("expert_count").unwrap_or(0),
        tied: checkpoint.tensor("output.weight").is_none(),
        falcon: architecture == "falcon",
    }
}
