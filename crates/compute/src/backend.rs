//! The operations a model is made of, and what a machine must offer to run one.
//!
//! An executor is generic over [`Backend`] and never sees memory: activations, weights and caches are
//! the backend's own types. Operations are coarse, since handing work out is what costs between them.
//! All activations are f32, `[rows, width]`, a row per token of the step.

use std::{
    io::{self, Read, Write},
    ops::Range,
};

use hearth_format::{Bytes, Tensor};

/// How products are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// F32 activations and cache, dequantised weights: the conformance tolerances are for this.
    Exact,
    /// Int8 or rounded activations where a kernel wants them, cache in F16.
    #[default]
    Fast,
}

/// How a normalisation divides: by the root mean square, or by the deviation from the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// `x / sqrt(mean(x²) + eps)`.
    Rms,
    /// `(x - mean) / sqrt(var + eps)`.
    Layer,
}

/// A normalisation over groups of `weight.len()` values.
#[derive(Clone, Debug)]
pub struct Norm<V> {
    /// Which statistics.
    pub kind: NormKind,
    /// Added under the root.
    pub eps: f32,
    /// Values that are normalised together: the row, or a head of it.
    pub width: usize,
    /// Multiplies the normalised values, `[width]`, or `[n * width]` for `n` neighbours each; none means 1.
    pub weight: Option<V>,
    /// Added after that, `[width]`.
    pub bias: Option<V>,
}

/// The nonlinearity of a feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// GELU by its tanh approximation.
    GeluTanh,
    /// GELU by the error function.
    GeluErf,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²`.
    ReluSquared,
    /// Hyperbolic tangent.
    Tanh,
    /// `ln(1 + e^x)`.
    Softplus,
}

/// Which two values of a head a rotation turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// `(2i, 2i + 1)`.
    Adjacent,
    /// `(i, i + dims / 2)`, "neox".
    Halves,
}

/// A rotary embedding, its scaling already applied to the frequencies.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Which values form a pair.
    pub pairing: Pairing,
    /// Radians per position, one per pair; twice as many leading values of a head are turned.
    pub frequencies: Vec<f32>,
    /// Multiplies cosine and sine (YaRN and LongRoPE).
    pub magnitude: f32,
}

/// Which keys a query sees, besides that none is later than it in a causal model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All up to itself.
    Causal,
    /// The last `n` up to itself, itself included.
    Window(usize),
    /// All that the step holds, before and after.
    Bidirectional,
    /// Of those the ones at most `n` positions away.
    Around(usize),
}

/// The shape of an attention, common to all its steps.
#[derive(Clone, Debug)]
pub struct Attend<V> {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; `heads` is a multiple.
    pub kv_heads: usize,
    /// Values of a query or key head.
    pub key_dim: usize,
    /// Values of a value head.
    pub value_dim: usize,
    /// Multiplies `q · k`.
    pub scale: f32,
    /// `cap * tanh(score / cap)`, after the scale.
    pub soft_cap: Option<f32>,
    /// Which keys are seen.
    pub mask: Mask,
    /// One more logit per head in the denominator, `[heads]`.
    pub sinks: Option<V>,
}

/// Rows of a step that belong to one sequence, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which rows of the step.
    pub rows: Range<usize>,
    /// Position of the first of them; the cache holds exactly the positions before it.
    pub first_position: usize,
}

/// A causal convolution of each channel by itself.
#[derive(Clone, Debug)]
pub struct Convolution<V> {
    /// `[channels]` for each input that is seen, the oldest first and the row's own last; at least one.
    pub taps: Vec<V>,
    /// `[channels]`, added.
    pub bias: Option<V>,
}

/// A state space: for each head `h`, each of its channels `i` and each of its `state` values `n`,
/// `s = exp(steps[h] * decay[h, n]) * s + steps[h] * x[i] * input[n]`, then `y[i] = Σ s * output[n] + skip[h] * x[i]`.
///
/// Mamba 1 has a head per channel and decays of its own for each value (arXiv:2312.00752, equation 2 discretised as its
/// code does); Mamba 2 has wide heads with one decay (arXiv:2405.21060).
#[derive(Clone, Debug)]
pub struct Scan<V> {
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Values of state per channel.
    pub state: usize,
    /// Groups of heads that share `input` and `output`; `heads` is a multiple.
    pub groups: usize,
    /// `[heads, state]`, or `[heads]` where all values of a head decay alike; not positive.
    pub decay: V,
    /// `[heads]`.
    pub skip: V,
}

/// What a scan reads of each token.
pub struct ScanInputs<'a, B> {
    /// `[tokens, heads * head_dim]`.
    pub x: &'a B,
    /// `[tokens, heads]`, positive.
    pub steps: &'a B,
    /// `[tokens, groups * state]`.
    pub input: &'a B,
    /// `[tokens, groups * state]`.
    pub output: &'a B,
}

/// How scores become the weights of the chosen experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scoring {
    /// Softmax over all experts, then the best are taken.
    Softmax,
    /// The best are taken, then softmax over them.
    SoftmaxOfChosen,
    /// Sigmoid of each.
    Sigmoid,
}

/// The choice of experts for a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Router {
    /// Experts used per token.
    pub used: usize,
    /// How scores become weights.
    pub scoring: Scoring,
    /// Weights of the chosen are divided by their sum.
    pub normalize: bool,
    /// Multiplies the weights.
    pub scale: f32,
}

/// The feed-forward networks of a mixture, one entry per expert.
#[derive(Debug)]
pub struct Experts<M> {
    /// `[width, columns]` each.
    pub gate: Vec<M>,
    /// `[width, columns]` each.
    pub up: Vec<M>,
    /// `[columns, width]` each.
    pub down: Vec<M>,
    /// Applied to the gate's product.
    pub activation: Activation,
}

/// One product of an input with a weight matrix.
pub struct Linear<'a, B: Backend> {
    /// `[rows, columns]`; `columns` is the input's width.
    pub weight: &'a B::Matrix,
    /// `[rows]`, added.
    pub bias: Option<&'a B::Vector>,
    /// Becomes `[tokens, rows]`.
    pub out: &'a mut B::Buffer,
}

/// A machine that runs the operations.
///
/// Shapes are the caller's duty (the model crate checks every weight when it is loaded); an
/// implementation may panic when they disagree.
pub trait Backend: Send + Sync + Sized + 'static {
    /// Activations `[rows, width]`; operations that write one give it its size.
    type Buffer: Send + Default;
    /// A weight matrix `[rows, columns]`, quantised or not.
    type Matrix: Send + Sync;
    /// A short array of f32: a norm's weight, a bias.
    type Vector: Send + Sync;
    /// Keys and values of one sequence in one layer. Cloning forks it: pages are shared until written.
    type Cache: Send + Clone;
    /// A page of a cache: keys and values of [`Self::page_len`] positions. Cloning shares it.
    type Page: Send + Sync + Clone;
    /// What a mixer without a cache carries from token to token, of one sequence in one layer, of a size that does not
    /// grow. A step reads it as it was before and writes what follows; cloning shares what was read.
    type Recurrent: Send + Sync + Clone;

    /// Takes a matrix, or the rows `rows` of it, or of a stack of matrices seen as one tall one.
    fn matrix(&self, tensor: &Tensor, rows: Range<usize>) -> Result<Self::Matrix, crate::Error>;
    /// Takes a short array.
    fn vector(&self, values: Vec<f32>) -> Self::Vector;
    /// An empty cache for `kv_heads` heads of the given sizes.
    fn cache(&self, kv_heads: usize, key_dim: usize, value_dim: usize) -> Self::Cache;
    /// Forgets all positions from `len` on.
    fn truncate(&self, cache: &mut Self::Cache, len: usize);
    /// Positions of a page.
    fn page_len(&self) -> usize;
    /// The page of the positions from `index * page_len` on, shared with the cache, which may fill it further without
    /// changing what was taken. None past its end.
    fn page(&self, cache: &Self::Cache, index: usize) -> Option<Self::Page>;
    /// Appends the first `positions` positions of a page to a cache of the same sizes that is whole pages long.
    fn append_page(&self, cache: &mut Self::Cache, page: &Self::Page, positions: usize);
    /// Writes a page for [`Self::read_page`], which reads it on a backend of the same precision.
    ///
    /// # Errors
    /// Those of the writer.
    fn write_page(&self, page: &Self::Page, to: &mut dyn Write) -> io::Result<()>;
    /// Reads a page for caches of the sizes of `like`; those sizes alone say how much is allocated.
    ///
    /// # Errors
    /// Those of the reader, of which the end of the data is one.
    fn read_page(&self, like: &Self::Cache, from: &mut dyn Read) -> io::Result<Self::Page>;
    /// The page at the beginning of `from`, as [`Self::write_page`] wrote it, of caches of the sizes of `like`; `from` loses
    /// it. It is used where it lies if that is possible. None where there are too few bytes, or they are not aligned.
    fn lend_page(&self, like: &Self::Cache, from: &mut Bytes) -> Option<Self::Page>;
    /// Bytes that a cache of these sizes takes for `positions` positions.
    fn cache_bytes(
        &self,
        kv_heads: usize,
        key_dim: usize,
        value_dim: usize,
        positions: usize,
    ) -> usize;
    /// A recurrent state of `values` zeros.
    fn recurrent(&self, values: usize) -> Self::Recurrent;
    /// A recurrent state of as many zeros as another has values.
    fn zeroed(&self, like: &Self::Recurrent) -> Self::Recurrent;
    /// Makes what the step's operations wrote the state, where they wrote.
    fn commit(&self, recurrent: &mut Self::Recurrent);
    /// Forgets what the step's operations wrote.
    fn restore(&self, recurrent: &mut Self::Recurrent);
    /// Writes a recurrent state for [`Self::read_recurrent`].
    ///
    /// # Errors
    /// Those of the writer.
    fn write_recurrent(&self, recurrent: &Self::Recurrent, to: &mut dyn Write) -> io::Result<()>;
    /// Reads a recurrent state of as many values as `like` has.
    ///
    /// # Errors
    /// Those of the reader, of which the end of the data is one.
    fn read_recurrent(
        &self,
        like: &Self::Recurrent,
        from: &mut dyn Read,
    ) -> io::Result<Self::Recurrent>;
    /// Copies activations to the host, row after row.
    fn read(&self, x: &Self::Buffer) -> Vec<f32>;

    /// `out[t] = scale * table[ids[t]]`.
    fn embed(&self, table: &Self::Matrix, ids: &[u32], scale: f32, out: &mut Self::Buffer);
    /// `out = norm(x)`, each group of `norm.width` values on its own.
    fn norm(&self, norm: &Norm<Self::Vector>, x: &Self::Buffer, out: &mut Self::Buffer);
    /// The same in place.
    fn norm_in_place(&self, norm: &Norm<Self::Vector>, x: &mut Self::Buffer);
    /// Products of one input with several matrices, in one hand-out.
    fn linear(&self, x: &Self::Buffer, products: &mut [Linear<'_, Self>]);
    /// Turns the heads of `x` (`[tokens, heads * head_dim]`) by `positions`.
    fn rope(&self, rope: &Rope, head_dim: usize, positions: &[u32], x: &mut Self::Buffer);
    /// Appends the rows `span.rows` of `k` and `v` at `span.first_position`.
    fn store(&self, cache: &mut Self::Cache, span: &Span, k: &Self::Buffer, v: &Self::Buffer);
    /// Attention of `q` (`[tokens, heads * key_dim]`) over each span's cache, which already holds the
    /// step's own keys; `out` becomes `[tokens, heads * value_dim]`.
    fn attend(
        &self,
        attend: &Attend<Self::Vector>,
        spans: &[(Span, &Self::Cache)],
        q: &Self::Buffer,
        out: &mut Self::Buffer,
    );
    /// Convolves the rows of each span after those before it; the state is `[taps - 1][channels]`. `out` becomes as `x`.
    fn convolve(
        &self,
        convolution: &Convolution<Self::Vector>,
        spans: &mut [(Span, &mut Self::Recurrent)],
        x: &Self::Buffer,
        out: &mut Self::Buffer,
    );
    /// Runs each span's tokens through its state, `[heads][head_dim][state]`; `out` becomes as `inputs.x`.
    fn scan(
        &self,
        scan: &Scan<Self::Vector>,
        spans: &mut [(Span, &mut Self::Recurrent)],
        inputs: ScanInputs<'_, Self::Buffer>,
        out: &mut Self::Buffer,
    );
    /// `gate = activation(gate) * up`, or `activation(gate)` without `up`.
    fn activate(&self, activation: Activation, gate: &mut Self::Buffer, up: Option<&Self::Buffer>);
    /// The weighted sum of each token's chosen experts; `scores` are the router's `[tokens, experts]`.
    fn experts(
        &self,
        router: &Router,
        experts: &Experts<Self::Matrix>,
        scores: &Self::Buffer,
        x: &Self::Buffer,
        out: &mut Self::Buffer,
    );
    /// `x += scale * y`.
    fn add(&self, x: &mut Self::Buffer, y: &Self::Buffer, scale: f32);
    /// Adds `bias` to each row of `x`.
    fn add_bias(&self, x: &mut Self::Buffer, bias: &Self::Vector);
    /// `x *= y`.
    fn multiply(&self, x: &mut Self::Buffer, y: &Self::Buffer);
    /// `x = cap * tanh(scale * x / cap)`, or `scale * x` without a cap.
    fn scale(&self, x: &mut Self::Buffer, scale: f32, soft_cap: Option<f32>);
    /// `out = x`.
    fn copy(&self, x: &Self::Buffer, out: &mut Self::Buffer);
    /// `out` = the given rows of `x`.
    fn select(&self, x: &Self::Buffer, rows: &[usize], out: &mut Self::Buffer);
    /// `out[i]` = the mean of the rows `ranges[i]` of `x`, none of them empty.
    fn mean(&self, x: &Self::Buffer, ranges: &[Range<usize>], out: &mut Self::Buffer);
}
