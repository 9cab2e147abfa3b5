//! Everything that distinguishes one model from another, and nothing else.
//!
//! The axes and their values: Part 5 of the format notes, section 5.0. Weights are named by role, which is
//! the GGUF base name (`attn_q`); `names.rs` says what other checkpoints call them.

use hearth_compute::{Activation, Mask, NormKind, Rope, Router};

use crate::pooling::Pooled;

/// A decoder or an encoder.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Name in the family table.
    pub family: &'static str,
    /// Model dimension.
    pub width: usize,
    /// Rows of the embedding, from its tensor.
    pub vocab: usize,
    /// Positions that the model was made for.
    pub context: usize,
    /// Multiplies the rows of the embedding.
    pub embedding_scale: f32,
    /// What else becomes of them before the first layer.
    pub input: Input,
    /// One entry per layer: rules ("every sixth layer") are applied when this is built.
    pub layers: Vec<Layer>,
    /// From the last layer to logits.
    pub output: Output,
    /// How the rows of a text become one vector, where the model is used for that.
    pub pooled: Pooled,
}

impl Spec {
    /// Whether a token is computed with those after it in view, so that a text must be read as a whole.
    pub fn sees_ahead(&self) -> bool {
        let blocks = self.layers.iter().flat_map(|layer| &layer.blocks);
        blocks.into_iter().any(|block| {
            matches!(&block.op, Op::Attention(a) if matches!(a.mask, Mask::Bidirectional | Mask::Around(_)))
        })
    }
}

/// What is added to the rows of the embedding, and their norm.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// A learned row for each position is added (`position_embd`).
    pub positions: Option<Positions>,
    /// A learned row for the kind of each token is added (`token_types`): how many kinds there are, or none.
    pub types: usize,
    /// Norm of the sum.
    pub norm: Option<NormSpec>,
}

/// Learned positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    /// Rows of the table.
    pub rows: usize,
    /// Which of them is position 0: those before stand for padding.
    pub first: usize,
}

/// A layer is its sub-layers in order.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Usually a mixer and a feed-forward network.
    pub blocks: Vec<Block>,
}

/// One sub-layer: `sum(x + residual * after(op(before(x))))`, each norm optional.
#[derive(Clone, Debug)]
pub struct Block {
    /// Norm of the input.
    pub before: Option<NormSpec>,
    /// What is computed.
    pub op: Op,
    /// Norm of the result.
    pub after: Option<NormSpec>,
    /// Multiplies the result before it is added.
    pub residual: f32,
    /// Norm of the sum.
    pub sum: Option<NormSpec>,
}

/// What a block computes.
#[derive(Clone, Debug)]
pub enum Op {
    /// Softmax attention over a cache.
    Attention(Attention),
    /// `down(activation(gate(x)) * up(x))`, or `down(activation(up(x)))`.
    FeedForward(FeedForward),
    /// A mixture of experts, each a gated network.
    Experts(Experts),
    /// `out(c ⊙ convolution(b ⊙ x))`, where `[b; c; x]` is a projection of the input.
    ShortConvolution(ShortConvolution),
    /// A state space.
    StateSpace(StateSpace),
}

/// A norm and the weight it uses.
#[derive(Clone, Debug)]
pub struct NormSpec {
    /// Role of the weight; its bias, where the checkpoint has one, is honoured.
    pub role: &'static str,
    /// Which statistics.
    pub kind: NormKind,
    /// Added under the root.
    pub eps: f32,
    /// The file stores the weight less one.
    pub plus_one: bool,
}

/// Softmax attention. Biases of the projections are honoured where the checkpoint has them.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Values of a query or key head.
    pub key_dim: usize,
    /// Values of a value head.
    pub value_dim: usize,
    /// Multiplies `q · k`.
    pub scale: f32,
    /// `cap * tanh(score / cap)`.
    pub soft_cap: Option<f32>,
    /// Which keys are seen.
    pub mask: Mask,
    /// None where the layer has no positions.
    pub rope: Option<Rope>,
    /// Norms of each query and key head, before the rotation: `(query, key)`.
    pub head_norms: Option<(NormSpec, NormSpec)>,
}

/// A feed-forward network.
#[derive(Clone, Debug)]
pub struct FeedForward {
    /// Its inner width.
    pub inner: usize,
    /// Applied to the gate, or to `up` where there is none.
    pub activation: Activation,
    /// Whether there is a gate.
    pub gated: bool,
}

/// A mixture of experts.
#[derive(Clone, Debug)]
pub struct Experts {
    /// How many there are.
    pub count: usize,
    /// Inner width of each.
    pub inner: usize,
    /// Applied to the gate.
    pub activation: Activation,
    /// How they are chosen.
    pub router: Router,
}

/// A gated convolution over the last inputs, as wide as the model. Its bias is honoured where the checkpoint has one.
#[derive(Clone, Debug)]
pub struct ShortConvolution {
    /// Inputs that are seen.
    pub taps: usize,
}

/// A state space: `out(gated(scan(x)))`, where `x` is convolved and activated with SiLU first. See
/// [`hearth_compute::Scan`] for what the scan computes.
#[derive(Clone, Debug)]
pub struct StateSpace {
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Values of state per channel.
    pub state: usize,
    /// Inputs that its convolution sees.
    pub taps: usize,
    /// What chooses steps, inputs and outputs.
    pub selection: Selection,
}

/// Where a state space's steps, inputs and outputs come from.
#[derive(Clone, Debug)]
pub enum Selection {
    /// From the convolved values, steps through fewer values (Mamba 1); `y ⊙ silu(z)` is the result.
    Convolved {
        /// Those fewer values.
        rank: usize,
        /// Added under the root of the norms, without weights, of steps, inputs and outputs.
        norms: Option<f32>,
    },
    /// From the layer's input, inputs and outputs convolved as well (Mamba 2).
    Input {
        /// Groups of heads that share inputs and outputs.
        groups: usize,
        /// Norm of `y ⊙ silu(z)`, each group's values on their own.
        norm: NormSpec,
    },
}

impl StateSpace {
    /// Channels of all heads.
    pub fn channels(&self) -> usize {
        self.heads * self.head_dim
    }
}

/// From the last layer to logits.
#[derive(Clone, Debug)]
pub struct Output {
    /// The last norm.
    pub norm: Option<NormSpec>,
    /// What gives logits.
    pub head: Head,
    /// Multiplies the logits.
    pub scale: f32,
    /// `cap * tanh(logit / cap)`.
    pub soft_cap: Option<f32>,
}

impl Output {
    /// Whether the embedding is the output matrix as well.
    pub fn tied(&self) -> bool {
        self.head == Head::Tied
    }
}

/// The output matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// The embedding.
    Tied,
    /// One of its own.
    Own,
    /// None: an encoder, which gives rows and no logits.
    None,
}
