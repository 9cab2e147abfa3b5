//! The families: each turns settings into a [`Spec`] in one short file.

mod bert;
mod common;
mod gemma;
mod lfm2;
mod llama;
mod mamba;
mod modern_bert;
mod nomic;
mod phi3;
mod qwen;

use hearth_format::Checkpoint;

use crate::{Error, Names, Result, Settings, Spec, names::Table, pooling};

/// An architecture that hearth runs.
pub struct Family {
    /// Its name in messages.
    pub name: &'static str,
    /// Values of `general.architecture` in GGUF files.
    pub gguf: &'static [&'static str],
    /// Values of `model_type` in `config.json`.
    pub hf: &'static [&'static str],
    /// Names of weights in Hugging Face checkpoints where they differ from most families'.
    pub(crate) names: Table,
    /// Reads the settings.
    pub(crate) spec: fn(&Settings<'_>) -> Result<Spec>,
}

impl Family {
    /// What the settings describe.
    ///
    /// # Errors
    /// When one is missing or makes no sense.
    pub fn spec(&self, settings: &Settings<'_>) -> Result<Spec> {
        let mut spec = (self.spec)(settings)?;
        spec.pooled = pooling::read(settings, &spec)?;
        Ok(spec)
    }

    /// What a checkpoint of this family calls its weights.
    pub fn names<'a>(&self, checkpoint: &'a Checkpoint) -> Names<'a> {
        Names::new(checkpoint, self.names)
    }
}

/// All families. GGUF files of mistral and mixtral say `llama`, which reads them too.
pub static FAMILIES: &[Family] = &[
    Family {
        name: "llama",
        gguf: &["llama"],
        hf: &["llama"],
        names: &[],
        spec: llama::llama,
    },
    Family {
        name: "mistral",
        gguf: &[],
        hf: &["mistral"],
        names: &[],
        spec: llama::mistral,
    },
    Family {
        name: "mixtral",
        gguf: &[],
        hf: &["mixtral"],
        names: llama::MIXTRAL_NAMES,
        spec: llama::mixtral,
    },
    Family {
        name: "qwen2",
        gguf: &["qwen2"],
        hf: &["qwen2"],
        names: &[],
        spec: qwen::qwen2,
    },
    Family {
        name: "qwen3",
        gguf: &["qwen3"],
        hf: &["qwen3"],
        names: &[],
        spec: qwen::qwen3,
    },
    Family {
        name: "qwen3moe",
        gguf: &["qwen3moe"],
        hf: &["qwen3_moe"],
        names: &[],
        spec: qwen::qwen3moe,
    },
    Family {
        name: "gemma2",
        gguf: &["gemma2"],
        hf: &["gemma2"],
        names: gemma::NAMES,
        spec: gemma::gemma2,
    },
    Family {
        name: "gemma3",
        gguf: &["gemma3"],
        hf: &["gemma3", "gemma3_text"],
        names: gemma::NAMES,
        spec: gemma::gemma3,
    },
    Family {
        name: "phi3",
        gguf: &["phi3"],
        hf: &["phi3"],
        names: &[],
        spec: phi3::phi3,
    },
    Family {
        name: "lfm2",
        gguf: &["lfm2"],
        hf: &["lfm2"],
        names: lfm2::NAMES,
        spec: lfm2::lfm2,
    },
    Family {
        name: "mamba",
        gguf: &["mamba"],
        hf: &["mamba", "falcon_mamba"],
        names: mamba::NAMES,
        spec: mamba::mamba,
    },
    Family {
        name: "mamba2",
        gguf: &["mamba2"],
        hf: &["mamba2"],
        names: mamba::NAMES,
        spec: mamba::mamba2,
    },
    Family {
        name: "bert",
        gguf: &["bert"],
        hf: &["bert"],
        names: bert::NAMES,
        spec: bert::bert,
    },
    Family {
        name: "xlm_roberta",
        gguf: &[],
        hf: &["xlm-roberta", "roberta", "camembert"],
        names: bert::NAMES,
        spec: bert::roberta,
    },
    Family {
        name: "nomic_bert",
        gguf: &["nomic-bert"],
        hf: &["nomic_bert"],
        names: nomic::NAMES,
        spec: nomic::nomic_bert,
    },
    Family {
        name: "modern_bert",
        gguf: &["modern-bert"],
        hf: &["modernbert"],
        names: modern_bert::NAMES,
        spec: modern_bert::modern_bert,
    },
    Family {
        name: "gemma_embedding",
        gguf: &["gemma-embedding"],
        hf: &[],
        names: gemma::NAMES,
        spec: gemma::gemma_embedding,
    },
];

/// The family of a checkpoint.
pub fn find(settings: &Settings<'_>) -> Result<&'static Family> {
    let names = |family: &Family| {
        if settings.is_gguf() {
            family.gguf
        } else {
            family.hf
        }
    };
    FAMILIES
        .iter()
        .find(|f| names(f).contains(&settings.architecture.as_str()))
        .ok_or_else(|| Error::Architecture {
            place: settings.checkpoint.label().to_owned(),
            found: settings.architecture.clone(),
            known: FAMILIES
                .iter()
                .flat_map(names)
                .copied()
                .collect::<Vec<_>>()
                .join(", "),
        })
}
