//! BERT and its kind (5.4.1): learned positions, norms after the sums, every token sees all.

use hearth_compute::{
    Activation::{GeluErf, GeluTanh, Relu, Silu},
    Mask, NormKind, Rope,
};

use super::common::{Defaults, Sizes, sizes, vocabulary};
use crate::{
    Result, Settings, Spec,
    names::{LAYERS, Table},
    pooling::{self, Pooled},
    spec::{Attention, Block, FeedForward, Head, Input, Layer, NormSpec, Op, Output, Positions},
};

pub(super) const NAMES: Table = &[
    (LAYERS, "encoder.layer"),
    ("token_embd", "embeddings.word_embeddings"),
    ("token_types", "embeddings.token_type_embeddings"),
    ("position_embd", "embeddings.position_embeddings"),
    ("token_embd_norm", "embeddings.LayerNorm"),
    ("attn_q", "attention.self.query"),
    ("attn_k", "attention.self.key"),
    ("attn_v", "attention.self.value"),
    ("attn_output", "attention.output.dense"),
    ("attn_output_norm", "attention.output.LayerNorm"),
    ("ffn_up", "intermediate.dense"),
    ("ffn_down", "output.dense"),
    ("layer_output_norm", "output.LayerNorm"),
];

pub(super) fn bert(s: &Settings<'_>) -> Result<Spec> {
    learned(s, "bert", 0)
}

/// RoBERTa's first rows of the position table stand for padding; GGUF files call themselves bert and have none of them.
pub(super) fn roberta(s: &Settings<'_>) -> Result<Spec> {
    let padding = s.count_or("", &["pad_token_id"], 1, 0..=1 << 30)?;
    learned(s, "xlm_roberta", padding + 1)
}

fn learned(s: &Settings<'_>, family: &'static str, first: usize) -> Result<Spec> {
    let z = encoder_sizes(s)?;
    let kind = s.json("position_embedding_type").and_then(|v| v.as_str());
    if let Some(other) = kind.filter(|kind| *kind != "absolute") {
        return Err(s.wrong("position_embedding_type", other, "absolute"));
    }
    if first >= z.context {
        return Err(s.wrong(
            "max_position_embeddings",
            z.context,
            format!("more than the {first} positions of padding"),
        ));
    }
    let activation = match s.json("hidden_act").and_then(|v| v.as_str()) {
        None | Some("gelu") => GeluErf,
        Some("gelu_new" | "gelu_pytorch_tanh") => GeluTanh,
        Some("relu") => Relu,
        Some("silu" | "swish") => Silu,
        Some(other) => return Err(s.wrong("hidden_act", other, "gelu, gelu_new, relu or silu")),
    };
    let network = FeedForward {
        inner: z.inner,
        activation,
        gated: false,
    };
    let mut spec = encoder(s, family, NAMES, &z, None, &network)?;
    spec.input.positions = Some(Positions {
        rows: z.context,
        first,
    });
    spec.context = spec.context.min(z.context - first);
    Ok(spec)
}

/// The sizes of an encoder; its epsilon is that of layer norms.
pub(super) fn encoder_sizes(s: &Settings<'_>) -> Result<Sizes> {
    let eps = s
        .float(
            "attention.layer_norm_epsilon",
            &["layer_norm_eps", "layer_norm_epsilon"],
        )?
        .unwrap_or(1e-12);
    let z = sizes(s, &Defaults::default())?;
    Ok(Sizes { eps, ..z })
}

/// An encoder with norms after the sums.
pub(super) fn encoder(
    s: &Settings<'_>,
    family: &'static str,
    names: Table,
    z: &Sizes,
    rope: Option<&Rope>,
    network: &FeedForward,
) -> Result<Spec> {
    let norm = |role| layer_norm(role, z.eps);
    let block = |op, role| Block {
        before: None,
        op,
        after: None,
        residual: 1.0,
        sum: Some(norm(role)),
    };
    let layer = |_| Layer {
        blocks: vec![
            block(Op::Attention(attention(z, rope)), "attn_output_norm"),
            block(Op::FeedForward(network.clone()), "layer_output_norm"),
        ],
    };
    Ok(Spec {
        family,
        width: z.width,
        vocab: vocabulary(s, names)?,
        context: context(s, z)?,
        embedding_scale: 1.0,
        input: Input {
            positions: None,
            types: types(s)?,
            norm: Some(norm("token_embd_norm")),
        },
        layers: (0..z.layers).map(layer).collect(),
        output: no_output(),
        pooled: Pooled::default(),
    })
}

/// The longest text, by the positions and by what the repository was made for.
pub(super) fn context(s: &Settings<'_>, z: &Sizes) -> Result<usize> {
    Ok(pooling::limit(s)?.map_or(z.context, |limit| limit.min(z.context)))
}

/// Kinds of tokens, where the checkpoint tells them apart at all.
fn types(s: &Settings<'_>) -> Result<usize> {
    if s.is_gguf() {
        // The key is of the tokenizer; files without it have what the tensor says.
        let table = s.checkpoint.tensor("token_types.weight");
        return Ok(table.map_or(0, |table| table.rows()));
    }
    s.count_or("", &["type_vocab_size"], 2, 0..=1 << 16)
}

/// Every token sees all.
pub(super) fn attention(z: &Sizes, rope: Option<&Rope>) -> Attention {
    Attention {
        heads: z.heads,
        kv_heads: z.kv_heads,
        key_dim: z.head_dim,
        value_dim: z.head_dim,
        scale: (z.head_dim as f32).powf(-0.5),
        soft_cap: None,
        mask: Mask::Bidirectional,
        rope: rope.cloned(),
        head_norms: None,
    }
}

pub(super) fn layer_norm(role: &'static str, eps: f32) -> NormSpec {
    NormSpec {
        role,
        kind: NormKind::Layer,
        eps,
        plus_one: false,
    }
}

pub(super) fn no_output() -> Output {
    Output {
        norm: None,
        head: Head::None,
        scale: 1.0,
        soft_cap: None,
    }
}
