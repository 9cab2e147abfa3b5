//! Phi 3, 3.5, 4 and 4-mini (5.1.13): a llama with fused projections and LongRoPE.

use hearth_compute::{Activation::Silu, Mask};

use super::common::{Defaults, attentions, decoder, dense};
use crate::{Result, Settings, Spec};

pub(super) fn phi3(s: &Settings<'_>) -> Result<Spec> {
    let mut spec = decoder(
        s,
        &Defaults {
            eps: 1e-5,
            ..Defaults::default()
        },
        "phi3",
        dense(Silu),
    )?;
    // GGUF files of this family carry a window that the engine they are made for does not apply.
    if let Some(window) = s
        .integer("", &["sliding_window"])?
        .filter(|w| *w > 0 && !s.is_gguf())
    {
        attentions(&mut spec, |_, a| a.mask = Mask::Window(window));
    }
    Ok(spec)
}
