//! LFM2 (5.3.9): short convolutions, and attention in some layers.

use hearth_compute::Activation::Silu;

use super::common::{Defaults, Sizes, decoder, head_norms};
use crate::{
    Result, Settings, Spec,
    names::Table,
    spec::{FeedForward, Op, ShortConvolution},
};

pub(super) const NAMES: Table = &[
    ("output_norm", "embedding_norm"),
    ("attn_norm", "operator_norm"),
    ("attn_output", "self_attn.out_proj"),
    ("attn_q_norm", "self_attn.q_layernorm"),
    ("attn_k_norm", "self_attn.k_layernorm"),
    ("shortconv.in_proj", "conv.in_proj"),
    ("shortconv.conv", "conv.conv"),
    ("shortconv.out_proj", "conv.out_proj"),
    ("ffn_norm", "ffn_norm"),
    ("ffn_gate", "feed_forward.w1"),
    ("ffn_up", "feed_forward.w3"),
    ("ffn_down", "feed_forward.w2"),
];

pub(super) fn lfm2(s: &Settings<'_>) -> Result<Spec> {
    let defaults = Defaults {
        eps: 1e-5,
        rope_base: 1e6,
        tied: true,
        kv_heads: Some(8),
        ..Defaults::default()
    };
    let mut spec = decoder(s, &defaults, "lfm2", |_, z| {
        Ok(Op::FeedForward(FeedForward {
            inner: inner(s, z)?,
            activation: Silu,
            gated: true,
        }))
    })?;
    head_norms(s, &defaults, &mut spec);
    let taps = s.count_or("shortconv.l_cache", &["conv_L_cache"], 3, 1..=64)?;
    let convolves = convolutions(s, spec.layers.len());
    for (layer, convolves) in spec.layers.iter_mut().zip(convolves) {
        if convolves {
            layer.blocks[0].op = Op::ShortConvolution(ShortConvolution { taps });
        }
    }
    // GGUF files call the last norm so, though it has nothing to do with the embedding.
    if s.is_gguf() && s.checkpoint.tensor("output_norm.weight").is_none() {
        spec.output
            .norm
            .iter_mut()
            .for_each(|norm| norm.role = "token_embd_norm");
    }
    Ok(spec)
}

/// The inner width: GGUF files have the number, `config.json` what it is computed from.
fn inner(s: &Settings<'_>, z: &Sizes) -> Result<usize> {
    let given = s.count_or("", &["block_ff_dim"], z.inner, 1..=1 << 24)?;
    if s.is_gguf() || !s.flag("block_auto_adjust_ff_dim").unwrap_or(true) {
        return Ok(given);
    }
    let key = "block_ffn_dim_multiplier";
    let factor = s.float("", &[key])?.unwrap_or(1.0);
    if !(0.0..=1024.0).contains(&factor) {
        return Err(s.wrong(key, factor, "a number from 0 to 1024"));
    }
    let step = s.count_or("", &["block_multiple_of"], 256, 1..=1 << 16)?;
    let inner = (factor * (2 * given / 3) as f32) as usize;
    Ok(inner.next_multiple_of(step))
}

/// Which layers have no attention.
fn convolutions(s: &Settings<'_>, layers: usize) -> Vec<bool> {
    if s.is_gguf() {
        let heads = s.gguf_list("attention.head_count_kv");
        return (0..layers).map(|i| heads.get(i) == Some(&0)).collect();
    }
    let list = |key: &str| s.json(key).and_then(serde_json::Value::as_array);
    let convolves = |i: usize| match (list("layer_types"), list("full_attn_idxs")) {
        (Some(kinds), _) => kinds.get(i).is_some_and(|kind| kind == "conv"),
        (None, Some(attentions)) => !attentions.iter().any(|n| n.as_u64() == Some(i as u64)),
        (None, None) => false,
    };
    (0..layers).map(convolves).collect()
}
