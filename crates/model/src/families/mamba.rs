//! Mamba, Falcon Mamba and Mamba 2 (5.3.1, 5.3.2): state spaces and nothing else.

use hearth_compute::NormKind;
use serde_json::Value as Json;

use super::common::{tied, vocabulary};
use crate::{
    Result, Settings, Spec,
    names::Table,
    pooling::Pooled,
    spec::{Block, Head, Input, Layer, NormSpec, Op, Output, Selection, StateSpace},
};

pub(super) const NAMES: Table = &[
    ("token_embd", "embeddings"),
    ("output_norm", "norm_f"),
    ("attn_norm", "norm"),
    ("ssm_in", "mixer.in_proj"),
    ("ssm_conv1d", "mixer.conv1d"),
    ("ssm_x", "mixer.x_proj"),
    ("ssm_dt", "mixer.dt_proj"),
    ("ssm_dt_bias", "mixer.dt_bias"),
    ("ssm_a", "mixer.A_log"),
    ("ssm_d", "mixer.D"),
    ("ssm_norm", "mixer.norm"),
    ("ssm_out", "mixer.out_proj"),
];

/// Positions of a model that has no notion of them, which is what GGUF files say.
const UNBOUNDED: usize = 1 << 20;

pub(super) fn mamba(s: &Settings<'_>) -> Result<Spec> {
    spec(s, "mamba", true, |z| {
        let rank = match s.json("time_step_rank") {
            Some(Json::String(_)) => z.width.div_ceil(16),
            _ => s.count("ssm.time_step_rank", &["time_step_rank"], 1..=1 << 16)?,
        };
        // GGUF files carry one epsilon.
        let norms = match s.is_gguf() {
            true => s.gguf_flag("ssm.dt_b_c_rms").then_some(z.eps),
            false if s.architecture == "falcon_mamba" => {
                Some(s.float("", &["mixer_rms_eps"])?.unwrap_or(1e-6))
            }
            false => None,
        };
        Ok(StateSpace {
            heads: z.channels,
            head_dim: 1,
            state: z.state,
            taps: z.taps,
            selection: Selection::Convolved { rank, norms },
        })
    })
}

pub(super) fn mamba2(s: &Settings<'_>) -> Result<Spec> {
    spec(s, "mamba2", false, |z| {
        let heads = s.count("ssm.time_step_rank", &["num_heads"], 1..=1 << 16)?;
        let groups = s.count_or("ssm.group_count", &["n_groups"], 1, 1..=heads)?;
        if !z.channels.is_multiple_of(heads) || !heads.is_multiple_of(groups) {
            let expected = format!(
                "a divisor of the {} channels, and a multiple of the {groups} groups",
                z.channels
            );
            let key = if s.is_gguf() {
                "mamba2.ssm.time_step_rank"
            } else {
                "num_heads"
            };
            return Err(s.wrong(key, heads, expected));
        }
        Ok(StateSpace {
            heads,
            head_dim: z.channels / heads,
            state: z.state,
            taps: z.taps,
            selection: Selection::Input {
                groups,
                norm: norm("ssm_norm", z.eps),
            },
        })
    })
}

/// The sizes that all have.
struct Sizes {
    width: usize,
    channels: usize,
    state: usize,
    taps: usize,
    eps: f32,
}

fn spec(
    s: &Settings<'_>,
    family: &'static str,
    tied_by_default: bool,
    mixer: impl Fn(&Sizes) -> Result<StateSpace>,
) -> Result<Spec> {
    let width = s.count("embedding_length", &["hidden_size"], 1..=1 << 20)?;
    let expand = s.count_or("", &["expand"], 2, 1..=64)?;
    let eps = s.float("attention.layer_norm_rms_epsilon", &["layer_norm_epsilon"])?;
    let z = Sizes {
        width,
        channels: s.count_or(
            "ssm.inner_size",
            &["intermediate_size"],
            expand * width,
            1..=1 << 24,
        )?,
        state: s.count("ssm.state_size", &["state_size"], 1..=1 << 16)?,
        taps: s.count("ssm.conv_kernel", &["conv_kernel"], 1..=64)?,
        eps: eps.unwrap_or(1e-5),
    };
    let layers = s.count("block_count", &["num_hidden_layers", "n_layer"], 1..=512)?;
    let block = Block {
        before: Some(norm("attn_norm", z.eps)),
        op: Op::StateSpace(mixer(&z)?),
        after: None,
        residual: 1.0,
        sum: None,
    };
    Ok(Spec {
        family,
        width,
        vocab: vocabulary(s, NAMES)?,
        context: s.count_or("context_length", &[], UNBOUNDED, 1..=1 << 30)?,
        embedding_scale: 1.0,
        input: Input::default(),
        layers: vec![
            Layer {
                blocks: vec![block]
            };
            layers
        ],
        output: Output {
            norm: Some(norm("output_norm", z.eps)),
            head: match tied(s, tied_by_default) {
                true => Head::Tied,
                false => Head::Own,
            },
            scale: 1.0,
            soft_cap: None,
        },
        pooled: Pooled::default(),
    })
}

fn norm(role: &'static str, eps: f32) -> NormSpec {
    NormSpec {
        role,
        kind: NormKind::Rms,
        eps,
        plus_one: false,
    }
}
