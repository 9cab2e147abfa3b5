//! ModernBERT (5.4.4): norms before, rotations of two bases, windows to both sides in two layers of three.

use hearth_compute::{
    Activation::{GeluErf, GeluTanh, Relu, Silu},
    Mask,
};

use super::{
    bert::{attention, context, layer_norm, no_output},
    common::{Defaults, Sizes, rotation, sizes, sliding, vocabulary},
};
use crate::{
    Result, Settings, Spec,
    names::Table,
    pooling::Pooled,
    rope::Reach,
    spec::{Block, FeedForward, Input, Layer, Op, Output},
};

pub(super) const NAMES: Table = &[
    ("token_embd", "embeddings.tok_embeddings"),
    ("token_embd_norm", "embeddings.norm"),
    ("attn_norm", "attn_norm"),
    ("attn_qkv", "attn.Wqkv"),
    ("attn_output", "attn.Wo"),
    ("ffn_norm", "mlp_norm"),
    ("ffn_gate_up", "mlp.Wi"),
    ("ffn_down", "mlp.Wo"),
    ("output_norm", "final_norm"),
];

pub(super) fn modern_bert(s: &Settings<'_>) -> Result<Spec> {
    let defaults = |rope_base: f64| Defaults {
        rope_base,
        ..Defaults::default()
    };
    let full_base = s
        .float("", &["global_rope_theta"])?
        .filter(|_| !s.is_gguf());
    let full_base = defaults(full_base.map_or(16e4, f64::from));
    let eps = s
        .float("attention.layer_norm_epsilon", &["norm_eps"])?
        .unwrap_or(1e-5);
    let z = Sizes {
        eps,
        ..sizes(s, &full_base)?
    };
    let full = rotation(s, &full_base, &z, Reach::Full)?;
    let local = rotation(s, &defaults(1e4), &z, Reach::Sliding)?;
    let window = s.count_or(
        "attention.sliding_window",
        &["local_attention"],
        128,
        1..=1 << 30,
    )?;
    let period = s.count_or(
        "attention.sliding_window_pattern",
        &["global_attn_every_n_layers"],
        3,
        1..=512,
    )?;
    let network = FeedForward {
        inner: z.inner,
        activation: activation(s)?,
        gated: true,
    };
    let norm = |role| layer_norm(role, z.eps);
    let block = |before, op| Block {
        before,
        op,
        after: None,
        residual: 1.0,
        sum: None,
    };
    let layer = |i: usize| {
        let slides = sliding(s, |i| !i.is_multiple_of(period), i);
        let mut mixer = attention(&z, Some(if slides { &local } else { &full }));
        if slides {
            mixer.mask = Mask::Around(window / 2);
        }
        // The embedding's norm is the first layer's.
        let before = (i > 0).then(|| norm("attn_norm"));
        Layer {
            blocks: vec![
                block(before, Op::Attention(mixer)),
                block(Some(norm("ffn_norm")), Op::FeedForward(network.clone())),
            ],
        }
    };
    Ok(Spec {
        family: "modern_bert",
        width: z.width,
        vocab: vocabulary(s, NAMES)?,
        context: context(s, &z)?,
        embedding_scale: 1.0,
        input: Input {
            norm: Some(norm("token_embd_norm")),
            ..Input::default()
        },
        layers: (0..z.layers).map(layer).collect(),
        output: Output {
            norm: Some(norm("output_norm")),
            ..no_output()
        },
        pooled: Pooled::default(),
    })
}

fn activation(s: &Settings<'_>) -> Result<hearth_compute::Activation> {
    let key = "hidden_activation";
    let written = if s.is_gguf() {
        s.gguf_text(key)
    } else {
        s.json(key).and_then(|v| v.as_str()).map(str::to_owned)
    };
    match written.as_deref() {
        None | Some("gelu") => Ok(GeluErf),
        Some("gelu_new" | "gelu_pytorch_tanh") => Ok(GeluTanh),
        Some("silu" | "swish") => Ok(Silu),
        Some("relu") => Ok(Relu),
        Some(other) => Err(s.wrong(key, other, "gelu, gelu_pytorch_tanh, silu or relu")),
    }
}
