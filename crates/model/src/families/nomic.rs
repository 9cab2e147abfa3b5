//! nomic-embed-text 1 and 1.5 (5.4.2): BERT with rotations and gated networks.

use hearth_compute::Activation::Silu;

use super::{
    bert::{encoder, encoder_sizes},
    common::{Defaults, rotation},
};
use crate::{
    Result, Settings, Spec,
    names::{LAYERS, Table},
    rope::Reach,
    spec::FeedForward,
};

pub(super) const NAMES: Table = &[
    (LAYERS, "encoder.layers"),
    ("token_embd", "embeddings.word_embeddings"),
    ("token_types", "embeddings.token_type_embeddings"),
    ("token_embd_norm", "emb_ln"),
    ("attn_qkv", "attn.Wqkv"),
    ("attn_output", "attn.out_proj"),
    ("attn_output_norm", "norm1"),
    ("ffn_up", "mlp.fc11"),
    ("ffn_gate", "mlp.fc12"),
    ("ffn_down", "mlp.fc2"),
    ("layer_output_norm", "norm2"),
];

pub(super) fn nomic_bert(s: &Settings<'_>) -> Result<Spec> {
    for (key, expected) in [("prenorm", false), ("rotary_emb_interleaved", false)] {
        if s.flag(key).is_some_and(|found| found != expected) {
            return Err(s.wrong(key, !expected, expected.to_string()));
        }
    }
    let z = encoder_sizes(s)?;
    let base = s.float("", &["rotary_emb_base"])?;
    let defaults = Defaults {
        rope_base: base.filter(|_| !s.is_gguf()).map_or(1000.0, f64::from),
        ..Defaults::default()
    };
    let rope = rotation(s, &defaults, &z, Reach::Full)?;
    let network = FeedForward {
        inner: z.inner,
        activation: Silu,
        gated: true,
    };
    let mut spec = encoder(s, "nomic_bert", NAMES, &z, Some(&rope), &network)?;
    // Beyond these the published model would rescale its rotations.
    let trained = s.count_or("", &["max_trained_positions"], z.context, 1..=1 << 30)?;
    spec.context = spec.context.min(trained);
    Ok(spec)
}
