//! Llama, and mistral and mixtral, whose GGUF files call themselves llama (5.1.1, 5.1.2, 5.2.1).

use hearth_compute::{Activation::Silu, Mask, Pairing};

use super::common::{Defaults, attentions, decoder, dense, mixture};
use crate::{Result, Settings, Spec, names::Table};

pub(super) const MIXTRAL_NAMES: Table = &[
    ("ffn_gate_inp", "block_sparse_moe.gate"),
    ("ffn_gate_exps", "block_sparse_moe.experts.{}.w1"),
    ("ffn_up_exps", "block_sparse_moe.experts.{}.w3"),
    ("ffn_down_exps", "block_sparse_moe.experts.{}.w2"),
];

fn defaults() -> Defaults {
    Defaults {
        gguf_pairing: Pairing::Adjacent,
        ..Defaults::default()
    }
}

pub(super) fn llama(s: &Settings<'_>) -> Result<Spec> {
    if s.is_gguf() && s.integer("expert_count", &[])?.is_some_and(|n| n > 0) {
        return mixtral(s);
    }
    decoder(s, &defaults(), "llama", dense(Silu))
}

pub(super) fn mistral(s: &Settings<'_>) -> Result<Spec> {
    let mut spec = decoder(
        s,
        &Defaults {
            kv_heads: Some(8),
            ..defaults()
        },
        "mistral",
        dense(Silu),
    )?;
    // Absent means the class default; `null` means no window.
    let window = match s.integer("", &["sliding_window"])? {
        None if !s.has("sliding_window") => Some(4096),
        window => window,
    };
    if let Some(window) = window.filter(|w| *w > 0) {
        attentions(&mut spec, |_, a| a.mask = Mask::Window(window));
    }
    Ok(spec)
}

pub(super) fn mixtral(s: &Settings<'_>) -> Result<Spec> {
    let defaults = Defaults {
        eps: 1e-5,
        rope_base: if s.is_gguf() { 1e4 } else { 1e6 },
        kv_heads: Some(8),
        ..defaults()
    };
    let mut spec = decoder(s, &defaults, "mixtral", |_, z| {
        mixture(s, z.inner, Silu, true)
    })?;
    if let Some(window) = s
        .integer("attention.sliding_window", &["sliding_window"])?
        .filter(|w| *w > 0 && !s.is_gguf())
    {
        attentions(&mut spec, |_, a| a.mask = Mask::Window(window));
    }
    Ok(spec)
}
