//! The decoder that most families are variations of, and the axes that several share.

use hearth_compute::{Activation, Mask, NormKind, Pairing, Rope, Router, Scoring};

use crate::{
    Result, Settings, Spec,
    names::{Names, Table},
    pooling::Pooled,
    rope::{Reach, base_and_scaling, rope},
    spec::{Attention, Block, Experts, FeedForward, Head, Input, Layer, NormSpec, Op, Output},
};

/// What a `config.json` means where it says nothing (format notes 5.1.35).
pub(super) struct Defaults {
    pub eps: f32,
    pub rope_base: f64,
    pub tied: bool,
    pub kv_heads: Option<usize>,
    pub head_dim: Option<usize>,
    pub activation: Activation,
    /// Rotation of GGUF files; checkpoints of these families always rotate halves.
    pub gguf_pairing: Pairing,
    /// `config.json` norms are stored less one.
    pub norm_plus_one: bool,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            eps: 1e-6,
            rope_base: 1e4,
            tied: false,
            kv_heads: None,
            head_dim: None,
            activation: Activation::Silu,
            gguf_pairing: Pairing::Halves,
            norm_plus_one: false,
        }
    }
}

/// The sizes of a decoder, each in a sane range before anything is sized by it.
pub(super) struct Sizes {
    pub layers: usize,
    pub width: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub inner: usize,
    pub context: usize,
    pub eps: f32,
}

pub(super) fn sizes(s: &Settings<'_>, d: &Defaults) -> Result<Sizes> {
    let width = s.count(
        "embedding_length",
        &["hidden_size", "n_embd", "dim"],
        1..=1 << 20,
    )?;
    let heads = s.count(
        "attention.head_count",
        &["num_attention_heads", "n_head"],
        1..=4096,
    )?;
    let kv_default = if s.is_gguf() {
        heads
    } else {
        d.kv_heads.unwrap_or(heads)
    };
    let kv_heads = s.count_or(
        "attention.head_count_kv",
        &["num_key_value_heads"],
        kv_default,
        1..=heads,
    )?;
    if !heads.is_multiple_of(kv_heads) {
        return Err(s.wrong(
            "attention.head_count",
            heads,
            format!("a multiple of the {kv_heads} key and value heads"),
        ));
    }
    let derived = if s.is_gguf() { None } else { d.head_dim };
    let head_dim = s.count_or(
        "attention.key_length",
        &["head_dim"],
        derived.unwrap_or(width / heads),
        1..=4096,
    )?;
    let eps = s
        .float(
            "attention.layer_norm_rms_epsilon",
            &["rms_norm_eps", "norm_eps"],
        )?
        .unwrap_or(d.eps);
    Ok(Sizes {
        layers: s.count(
            "block_count",
            &["num_hidden_layers", "n_layers", "n_layer"],
            1..=512,
        )?,
        width,
        heads,
        kv_heads,
        head_dim,
        inner: s.count_or(
            "feed_forward_length",
            &["intermediate_size", "n_inner"],
            0,
            0..=1 << 24,
        )?,
        context: s.count_or(
            "context_length",
            &["max_position_embeddings", "n_positions"],
            2048,
            1..=1 << 30,
        )?,
        eps,
    })
}

/// Rotation for layers of the given reach.
pub(super) fn rotation(
    s: &Settings<'_>,
    d: &Defaults,
    sizes: &Sizes,
    reach: Reach,
) -> Result<Rope> {
    let partial = s
        .float("", &["partial_rotary_factor"])?
        .filter(|_| !s.is_gguf())
        .unwrap_or(1.0);
    let default = (sizes.head_dim as f32 * partial) as usize;
    let dims = s.count_or("rope.dimension_count", &[], default, 2..=sizes.head_dim)?;
    if !dims.is_multiple_of(2) {
        return Err(s.wrong("rope.dimension_count", dims, "an even number"));
    }
    let (base, scaling) = base_and_scaling(s, reach, dims, d.rope_base)?;
    let pairing = if s.is_gguf() {
        d.gguf_pairing
    } else {
        Pairing::Halves
    };
    Ok(rope(pairing, dims, base, &scaling))
}

pub(super) fn norm(s: &Settings<'_>, d: &Defaults, eps: f32, role: &'static str) -> NormSpec {
    NormSpec {
        role,
        kind: NormKind::Rms,
        eps,
        plus_one: d.norm_plus_one && !s.is_gguf(),
    }
}

/// A llama: norm, attention, norm, gated network. `op` gives the feed-forward part of each layer.
pub(super) fn decoder(
    s: &Settings<'_>,
    d: &Defaults,
    family: &'static str,
    op: impl Fn(usize, &Sizes) -> Result<Op>,
) -> Result<Spec> {
    let z = sizes(s, d)?;
    let full = rotation(s, d, &z, Reach::Full)?;
    let before = |role, op| Block {
        before: Some(norm(s, d, z.eps, role)),
        op,
        after: None,
        residual: 1.0,
        sum: None,
    };
    let layers = (0..z.layers).map(|i| {
        let attention = Attention {
            heads: z.heads,
            kv_heads: z.kv_heads,
            key_dim: z.head_dim,
            value_dim: z.head_dim,
            scale: (z.head_dim as f32).powf(-0.5),
            soft_cap: None,
            mask: Mask::Causal,
            rope: Some(full.clone()),
            head_norms: None,
        };
        Ok(Layer {
            blocks: vec![
                before("attn_norm", Op::Attention(attention)),
                before("ffn_norm", op(i, &z)?),
            ],
        })
    });
    Ok(Spec {
        family,
        width: z.width,
        vocab: vocabulary(s, &[])?,
        context: z.context,
        embedding_scale: 1.0,
        input: Input::default(),
        layers: layers.collect::<Result<_>>()?,
        output: Output {
            norm: Some(norm(s, d, z.eps, "output_norm")),
            head: if tied(s, d.tied) {
                Head::Tied
            } else {
                Head::Own
            },
            scale: 1.0,
            soft_cap: None,
        },
        pooled: Pooled::default(),
    })
}

/// A dense gated network of the decoder's inner width.
pub(super) fn dense(activation: Activation) -> impl Fn(usize, &Sizes) -> Result<Op> {
    move |_, z| {
        Ok(Op::FeedForward(FeedForward {
            inner: z.inner,
            activation,
            gated: true,
        }))
    }
}

/// A mixture whose weights are a softmax over all experts.
pub(super) fn mixture(
    s: &Settings<'_>,
    inner: usize,
    activation: Activation,
    normalize: bool,
) -> Result<Op> {
    let count = s.count(
        "expert_count",
        &["num_local_experts", "num_experts"],
        1..=1024,
    )?;
    let used = s.count("expert_used_count", &["num_experts_per_tok"], 1..=count)?;
    let router = Router {
        used,
        scoring: Scoring::Softmax,
        normalize,
        scale: 1.0,
    };
    Ok(Op::Experts(Experts {
        count,
        inner,
        activation,
        router,
    }))
}

/// Changes every attention of a spec, given its layer.
pub(super) fn attentions(spec: &mut Spec, mut change: impl FnMut(usize, &mut Attention)) {
    for (i, layer) in spec.layers.iter_mut().enumerate() {
        for block in &mut layer.blocks {
            if let Op::Attention(attention) = &mut block.op {
                change(i, attention);
            }
        }
    }
}

/// Adds a norm to each query and key head, before the rotation.
pub(super) fn head_norms(s: &Settings<'_>, d: &Defaults, spec: &mut Spec) {
    let eps = spec.output.norm.as_ref().map_or(d.eps, |norm| norm.eps);
    attentions(spec, |_, a| {
        a.head_norms = Some((
            norm(s, d, eps, "attn_q_norm"),
            norm(s, d, eps, "attn_k_norm"),
        ));
    });
}

/// Whether each layer slides: what `layer_types` says, or the family's rule.
pub(super) fn sliding(s: &Settings<'_>, rule: impl Fn(usize) -> bool, layer: usize) -> bool {
    match s
        .json("layer_types")
        .and_then(|v| v.get(layer))
        .and_then(|v| v.as_str())
    {
        Some(kind) => kind == "sliding_attention",
        None => rule(layer),
    }
}

/// Rows of the embedding: the tensor decides, since files pad it or cut it.
pub(super) fn vocabulary(s: &Settings<'_>, own: Table) -> Result<usize> {
    let names = Names::new(s.checkpoint, own);
    match names.find(None, "token_embd", "weight") {
        Some(tensor) if tensor.shape.len() == 2 => Ok(tensor.rows()),
        Some(tensor) => Err(s.wrong(
            &tensor.name,
            format!("{:?}", tensor.shape),
            "a matrix of vocabulary rows",
        )),
        None => Err(crate::Error::MissingTensor {
            place: s.checkpoint.label().to_owned(),
            tensor: names.name(None, "token_embd", "weight"),
            expected: vec![],
        }),
    }
}

/// In GGUF an absent head means that the embedding serves; elsewhere the setting decides, and a stray head
/// of a tied model is ignored.
pub(super) fn tied(s: &Settings<'_>, default: bool) -> bool {
    if s.is_gguf() {
        return s.checkpoint.tensor("output.weight").is_none();
    }
    let root = s
        .checkpoint
        .config()
        .get("tie_word_embeddings")
        .and_then(serde_json::Value::as_bool);
    s.flag("tie_word_embeddings").or(root).unwrap_or(default)
}
