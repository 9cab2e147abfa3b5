//! Qwen 2, 3 and the mixtures of 3 (5.1.4, 5.1.5, 5.2.3).

use hearth_compute::{Activation::Silu, Mask};

use super::common::{Defaults, Sizes, attentions, decoder, dense, head_norms, mixture, sliding};
use crate::{
    Result, Settings, Spec,
    spec::{FeedForward, Op},
};

pub(super) fn qwen2(s: &Settings<'_>) -> Result<Spec> {
    let mut spec = decoder(s, &Defaults::default(), "qwen2", dense(Silu))?;
    window(s, &mut spec)?;
    Ok(spec)
}

pub(super) fn qwen3(s: &Settings<'_>) -> Result<Spec> {
    let defaults = Defaults {
        kv_heads: Some(32),
        head_dim: Some(128),
        ..Defaults::default()
    };
    let mut spec = decoder(s, &defaults, "qwen3", dense(Silu))?;
    head_norms(s, &defaults, &mut spec);
    window(s, &mut spec)?;
    Ok(spec)
}

pub(super) fn qwen3moe(s: &Settings<'_>) -> Result<Spec> {
    let defaults = Defaults {
        kv_heads: Some(4),
        ..Defaults::default()
    };
    // GGUF files carry no such flag: every release normalises, though the class default is not to.
    let normalize = s.is_gguf() || s.flag("norm_topk_prob").unwrap_or(false);
    let inner = s.count(
        "expert_feed_forward_length",
        &["moe_intermediate_size"],
        1..=1 << 24,
    )?;
    let step = s.count_or("", &["decoder_sparse_step"], 1, 1..=512)?;
    let dense_layers = s
        .json("mlp_only_layers")
        .and_then(|v| v.as_array())
        .cloned()
        .unwrap_or_default();
    let op = |i: usize, z: &Sizes| {
        let plain = dense_layers.iter().any(|n| n.as_u64() == Some(i as u64))
            || !(i + 1).is_multiple_of(step);
        if plain {
            return Ok(Op::FeedForward(FeedForward {
                inner: z.inner,
                activation: Silu,
                gated: true,
            }));
        }
        mixture(s, inner, Silu, normalize)
    };
    let mut spec = decoder(s, &defaults, "qwen3moe", op)?;
    head_norms(s, &defaults, &mut spec);
    window(s, &mut spec)?;
    Ok(spec)
}

/// Layers from `max_window_layers` on slide, where the checkpoint switches that on; GGUF has no such notion.
fn window(s: &Settings<'_>, spec: &mut Spec) -> Result<()> {
    if s.is_gguf() || !s.flag("use_sliding_window").unwrap_or(false) {
        return Ok(());
    }
    let window = s.count_or("", &["sliding_window"], 4096, 1..=1 << 30)?;
    let first = s.count_or("", &["max_window_layers"], 28, 0..=512)?;
    attentions(spec, |i, a| {
        if sliding(s, |i| i >= first, i) {
            a.mask = Mask::Window(window);
        }
    });
    Ok(())
}
