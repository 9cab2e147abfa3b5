//! A Hugging Face directory as the source: names, shapes, values and settings in the conventions of GGUF.
//!
//! The family's own [`Spec`] says what the model computes. The metadata is written from it and read back as hearth
//! reads any GGUF; what the two readings differ in decides how the weights change (`sketch`), so that the file computes
//! what the directory does.

mod metadata;
mod planner;
mod sketch;
mod template;
mod tensors;
mod vocabulary;

use hearth_format::Checkpoint;
use hearth_model::{
    Head, Op, Reach, Scaling, Settings, Spec, base_and_scaling,
    families::{self, Family},
};

use crate::{
    Error, Options, Outline, Result,
    plan::{Plan, Target},
};

/// What is known of the source.
struct Origin<'a> {
    checkpoint: &'a Checkpoint,
    settings: Settings<'a>,
    family: &'static Family,
    spec: Spec,
    rotation: Rotation,
}

/// How the layers that see the whole context rotate.
struct Rotation {
    /// Values of a head that are rotated.
    dims: usize,
    base: f64,
    scaling: Scaling,
}

impl<'a> Origin<'a> {
    fn read(checkpoint: &'a Checkpoint) -> Result<Self> {
        let settings = Settings::new(checkpoint, None)?;
        let family = families::find(&settings)?;
        let spec = family.spec(&settings)?;
        if let Some(what) = beyond(&spec) {
            return Err(Error::NoDecoder {
                place: checkpoint.label().to_owned(),
                what,
            });
        }
        let dims = sketch::attentions(&spec)
            .find_map(|a| Some(2 * a.rope.as_ref()?.frequencies.len()))
            .unwrap_or(0);
        // What the family takes where the settings are silent.
        let silent = if matches!(family.name, "mixtral" | "gemma3") {
            1e6
        } else {
            1e4
        };
        let (base, scaling) = base_and_scaling(&settings, Reach::Full, dims, silent)?;
        Ok(Self {
            checkpoint,
            settings,
            family,
            spec,
            rotation: Rotation {
                dims,
                base,
                scaling,
            },
        })
    }

    /// `general.architecture`; the files of mistral and mixtral call themselves llama.
    fn architecture(&self) -> &'static str {
        self.family.gguf.first().copied().unwrap_or("llama")
    }

    fn inexpressible(&self, what: String) -> Error {
        Error::Inexpressible {
            place: self.checkpoint.label().to_owned(),
            what,
        }
    }
}

/// What of a model is not converted: encoders and heads.
fn beyond(spec: &Spec) -> Option<&'static str> {
    if spec.output.head == Head::None {
        return Some("an encoder");
    }
    let mut blocks = spec.layers.iter().flat_map(|layer| &layer.blocks);
    if blocks.any(|block| matches!(block.op, Op::ShortConvolution(_) | Op::StateSpace(_))) {
        return Some("a model with recurrent states");
    }
    let more = !spec.pooled.dense.is_empty() || spec.pooled.classifier.is_some();
    more.then_some("a model with layers after the pooling")
}

/// The file that a directory becomes.
pub(crate) fn plan<'a>(checkpoint: &'a Checkpoint, options: &Options) -> Result<Plan<'a>> {
    let origin = Origin::read(checkpoint)?;
    let mut notes = Vec::new();
    let mut metadata = metadata::general(&origin, options)?;
    metadata::shape(&origin, &mut metadata)?;
    let factors = tensors::factors(&origin)?;
    let changes = sketch::changes(&origin, &metadata, &factors, &mut notes)?;
    let mut targets = factors;
    targets.extend(tensors::plan(&origin, &changes, &mut notes)?);
    metadata::size_label(&origin, &targets, &mut metadata);
    vocabulary::add(&origin, &mut metadata, &mut notes)?;
    template::add(checkpoint, &mut metadata)?;
    targets.sort_by_cached_key(|target: &Target<'_>| crate::gguf::place(&target.name));
    Ok(Plan {
        outline: outline(&origin.spec),
        metadata,
        targets,
        notes,
    })
}

fn outline(spec: &Spec) -> Outline {
    let attention = sketch::attentions(spec).next();
    Outline {
        layers: spec.layers.len(),
        heads: attention.map_or(0, |a| a.heads),
        kv_heads: attention.map_or(0, |a| a.kv_heads),
        experts: sketch::experts(spec).map_or(0, |e| e.count),
        tied: spec.output.tied(),
        falcon: false,
    }
}
