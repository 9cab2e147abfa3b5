//! Gemma 2 and 3 (5.1.8, 5.1.9): norms on both sides, a scaled embedding, layers that slide in turn.

use hearth_compute::{Activation::GeluTanh, Mask};

use super::common::{
    Defaults, Sizes, attentions, decoder, dense, head_norms, norm, rotation, sizes, sliding,
};
use crate::{Result, Settings, Spec, names::Table, rope::Reach, spec::Head};

pub(super) const NAMES: Table = &[
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];

fn defaults() -> Defaults {
    Defaults {
        tied: true,
        kv_heads: Some(4),
        head_dim: Some(256),
        activation: GeluTanh,
        norm_plus_one: true,
        ..Defaults::default()
    }
}

pub(super) fn gemma2(s: &Settings<'_>) -> Result<Spec> {
    let (mut spec, z) = sandwich(s, "gemma2")?;
    let cap = |gguf: &str, hf: &str, default: f32| -> Result<Option<f32>> {
        let value = s.float(gguf, &[hf])?.or((!s.has(hf)).then_some(default));
        Ok(value.filter(|cap| *cap > 0.0))
    };
    let scores = cap("attn_logit_softcapping", "attn_logit_softcapping", 50.0)?;
    spec.output.soft_cap = cap("final_logit_softcapping", "final_logit_softcapping", 30.0)?;
    // The 27B (46 layers) scales by width per head, which its GGUF cannot say.
    let scale = query_scale(s, &z, 46)?;
    let window = window(s, 4096)?;
    attentions(&mut spec, |i, a| {
        a.scale = scale;
        a.soft_cap = scores;
        if sliding(s, |i| i % 2 == 0, i) {
            a.mask = Mask::Window(window);
        }
    });
    Ok(spec)
}

/// Gemma 3; checkpoints of EmbeddingGemma (5.4.5) say the same and see both ways, and Ollama's files of it have a layer
/// after the pooling.
pub(super) fn gemma3(s: &Settings<'_>) -> Result<Spec> {
    let both_ways = s.flag("use_bidirectional_attention") == Some(true);
    if both_ways || (s.is_gguf() && s.checkpoint.tensor("dense.0.weight").is_some()) {
        gemma_embedding(s)
    } else {
        decoder3(s)
    }
}

/// EmbeddingGemma (5.4.5): windows reach to both sides, half their width to each.
pub(super) fn gemma_embedding(s: &Settings<'_>) -> Result<Spec> {
    let mut spec = decoder3(s)?;
    spec.family = "gemma_embedding";
    spec.output.head = Head::None;
    spec.output.soft_cap = None;
    attentions(&mut spec, |_, a| {
        a.mask = match a.mask {
            Mask::Window(width) => Mask::Around(width / 2),
            _ => Mask::Bidirectional,
        };
    });
    Ok(spec)
}

fn decoder3(s: &Settings<'_>) -> Result<Spec> {
    let (mut spec, z) = sandwich(s, "gemma3")?;
    head_norms(s, &defaults(), &mut spec);
    spec.output.soft_cap = s
        .float("final_logit_softcapping", &["final_logit_softcapping"])?
        .filter(|cap| *cap > 0.0);
    let full = rotation(
        s,
        &Defaults {
            rope_base: 1e6,
            ..defaults()
        },
        &z,
        Reach::Full,
    )?;
    let local = rotation(s, &defaults(), &z, Reach::Sliding)?;
    // The 27B has 62 layers.
    let scale = query_scale(s, &z, 62)?;
    let window = window(s, 4096)?;
    let period = s.count_or(
        "attention.sliding_window_pattern",
        &["sliding_window_pattern", "_sliding_window_pattern"],
        6,
        1..=512,
    )?;
    attentions(&mut spec, |i, a| {
        let slides = sliding(s, |i| !(i + 1).is_multiple_of(period), i);
        a.scale = scale;
        a.rope = Some(if slides { local.clone() } else { full.clone() });
        a.mask = if slides {
            Mask::Window(window)
        } else {
            Mask::Causal
        };
    });
    Ok(spec)
}

/// What both generations share.
fn sandwich(s: &Settings<'_>, family: &'static str) -> Result<(Spec, Sizes)> {
    let d = defaults();
    let z = sizes(s, &d)?;
    let mut spec = decoder(s, &d, family, dense(d.activation))?;
    spec.embedding_scale = (spec.width as f32).sqrt();
    for layer in &mut spec.layers {
        for (block, role) in layer
            .blocks
            .iter_mut()
            .zip(["post_attention_norm", "post_ffw_norm"])
        {
            block.after = Some(norm(s, &d, z.eps, role));
        }
    }
    Ok((spec, z))
}

/// `query_pre_attn_scalar^-0.5`; GGUF files have no key for it, and the largest model is known by its layers.
fn query_scale(s: &Settings<'_>, z: &Sizes, layers_of_27b: usize) -> Result<f32> {
    let by_size = if z.layers == layers_of_27b {
        z.width as f32 / z.heads as f32
    } else {
        z.head_dim as f32
    };
    let default = if s.is_gguf() { by_size } else { 256.0 };
    let scalar = s
        .float("", &["query_pre_attn_scalar"])?
        .filter(|_| !s.is_gguf())
        .unwrap_or(default);
    if scalar > 0.0 {
        Ok(scalar.powf(-0.5))
    } else {
        Err(s.wrong("query_pre_attn_scalar", scalar, "a positive number"))
    }
}

fn window(s: &Settings<'_>, default: usize) -> Result<usize> {
    s.count_or(
        "attention.sliding_window",
        &["sliding_window"],
        default,
        1..=1 << 30,
    )
}
