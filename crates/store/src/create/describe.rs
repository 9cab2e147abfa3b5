//! What a config says of weights.

use std::collections::HashMap;

use hearth_format::{Checkpoint, Source, Storage};

use crate::{Config, parameter_text};

/// The family of vision projectors, by which programs know that a model sees.
const PROJECTOR: &str = "clip";

impl Config {
    /// What a config says of a checkpoint that is in no store.
    pub fn of(checkpoint: &Checkpoint) -> Self {
        let mut config = Self::default();
        describe(&mut config, checkpoint, 0);
        config
    }
}

/// Says in a config what a checkpoint is.
pub(crate) fn describe(config: &mut Config, checkpoint: &Checkpoint, projectors: usize) {
    let gguf = checkpoint.source == Source::Gguf;
    let text = if gguf {
        checkpoint.metadata().string("general.architecture")
    } else {
        checkpoint
            .config()
            .get("model_type")
            .and_then(|v| v.as_str())
    };
    let family = text.unwrap_or_default().to_owned();
    config.model_format = if gguf { "gguf" } else { "safetensors" }.to_owned();
    config.model_families = vec![family.clone()];
    config.model_family = family;
    config.model_type = parameter_text(checkpoint.parameters());
    config.file_type =
        named_type(checkpoint).map_or_else(|| most_frequent(checkpoint), str::to_owned);
    if projectors > 0 {
        add_projector(config);
    }
}

/// Says in a config that there is a projector.
pub(super) fn add_projector(config: &mut Config) {
    if !config.model_families.iter().any(|f| f == PROJECTOR) {
        config.model_families.push(PROJECTOR.to_owned());
    }
}

/// `general.file_type` by name (format notes 2.9); above 1024 it was guessed.
fn named_type(checkpoint: &Checkpoint) -> Option<&'static str> {
    let number = checkpoint.metadata().integer("general.file_type")? % 1024;
    let name = NAMES.get(usize::try_from(number).ok()?)?;
    (!name.is_empty()).then_some(*name)
}

/// By number; those removed from the format have no name.
const NAMES: [&str; 42] = [
    "F32", "F16", "Q4_0", "Q4_1", "", "", "", "Q8_0", "Q5_0", "Q5_1", "Q2_K", "Q3_K_S", "Q3_K_M",
    "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "IQ2_XXS", "IQ2_XS", "Q2_K_S",
    "IQ3_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ3_M", "IQ2_S", "IQ2_M", "IQ4_XS", "IQ1_M",
    "BF16", "", "", "", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4", "Q1_0", "Q2_0",
];

/// The type of most values.
fn most_frequent(checkpoint: &Checkpoint) -> String {
    let mut values: HashMap<String, u128> = HashMap::new();
    for tensor in checkpoint.tensors() {
        let name = match &tensor.storage {
            Storage::Blocks { block, .. } => block.name().to_owned(),
            Storage::Affine(affine) => format!("int{}", affine.bits),
        };
        let count: u128 = tensor.shape.iter().map(|n| *n as u128).product();
        *values.entry(name).or_default() += count;
    }
    let most = values
        .into_iter()
        .max_by(|a, b| (a.1, &b.0).cmp(&(b.1, &a.0)));
    most.map_or_else(|| "unknown".to_owned(), |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_types_have_the_names_of_the_notes() {
        for (number, name) in [
            (0, "F32"),
            (7, "Q8_0"),
            (15, "Q4_K_M"),
            (18, "Q6_K"),
            (21, "Q2_K_S"),
            (25, "IQ4_NL"),
            (30, "IQ4_XS"),
            (31, "IQ1_M"),
            (32, "BF16"),
            (33, ""),
            (36, "TQ1_0"),
            (38, "MXFP4"),
            (41, "Q2_0"),
        ] {
            assert_eq!(NAMES[number], name);
        }
    }
}
