//! What a model takes, counted by running its program on a backend that only counts.

use hearth_compute::{Backend, Counted, Mask, Matrix, Sizes};

use crate::{
    Logits, Model, Result, Run, Text, Workspace,
    executor::attentions,
    spec::Attention,
    weights::{BlockWeights, OpWeights},
};

/// Largest context that is counted for; positions are 32 bits wide.
const POSITIONS_MAX: usize = 1 << 31;

/// Where the weights that a model reads lie.
#[derive(Clone, Debug)]
pub struct WeightMemory<'a> {
    /// What is read as a whole: in one step, or, of experts, sooner or later.
    pub whole: Vec<&'a [u8]>,
    /// An embedding that is no head: a row for every token.
    pub table: Option<Vec<&'a [u8]>>,
}

impl Model<Sizes> {
    /// What the steps of a sequence take that grows to `context` tokens, in steps of `step` at most: the last long step
    /// and the last token.
    ///
    /// # Errors
    /// When the vocabulary has no token at all.
    pub fn count(&self, context: usize, step: usize) -> Result<Counted> {
        let context = context.clamp(1, POSITIONS_MAX);
        let (mut state, mut work) = (self.state(), Workspace::default());
        self.backend().take();
        for (end, tokens) in [(context - 1, step.min(context - 1)), (context, 1)] {
            state.position = end - tokens;
            let run = Run {
                state: &mut state,
                tokens: &vec![0; tokens],
                logits: Logits::Last(1),
            };
            self.step(&mut work, &mut [run])?;
        }
        Ok(self.backend().take())
    }

    /// What encoding takes, `texts` of `tokens` tokens in a step, pooled as the checkpoint says.
    ///
    /// # Errors
    /// When the texts are empty or longer than the model's context.
    pub fn count_encoding(&self, texts: usize, tokens: usize) -> Result<Counted> {
        let ids = vec![0; tokens.min(POSITIONS_MAX)];
        self.backend().take();
        let texts = vec![Text::from(&ids[..]); texts];
        self.encode(&mut Workspace::default(), &texts, self.spec().pooling())?;
        Ok(self.backend().take())
    }

    /// Bytes of the keys and values of `texts` of `tokens` tokens that are encoded in a step: those of one layer.
    pub fn encoding_cache_bytes(&self, texts: usize, tokens: usize) -> usize {
        let bytes = |a: &Attention| {
            self.backend()
                .cache_bytes(a.kv_heads, a.key_dim, a.value_dim, tokens)
        };
        let largest = attentions(self.spec()).map(bytes).max().unwrap_or(0);
        largest.saturating_mul(texts)
    }

    /// Where the weights lie that steps read.
    pub fn weight_memory(&self) -> WeightMemory<'_> {
        let weights = self.weights();
        let head = weights.head.iter().map(|head| &head.matrix);
        let blocks = weights.layers.iter().flatten().flat_map(matrices);
        let mut whole: Vec<&[u8]> = blocks.chain(head).flat_map(Matrix::stored).collect();
        whole.extend(weights.beside().flat_map(Matrix::stored));
        let table = &weights.embedding;
        let tied = self.spec().output.tied();
        if tied {
            whole.extend(table.stored());
        }
        WeightMemory {
            whole,
            table: (!tied).then(|| table.stored()),
        }
    }

    /// Bytes of the state that the token after `positions` others reads: windows read their last positions only.
    pub fn cache_reads(&self, positions: usize) -> usize {
        let read = |a: &Attention| {
            let seen = match a.mask {
                Mask::Window(n) | Mask::Around(n) => positions.min(n),
                Mask::Causal | Mask::Bidirectional => positions,
            };
            self.backend()
                .cache_bytes(a.kv_heads, a.key_dim, a.value_dim, seen)
        };
        attentions(self.spec())
            .map(read)
            .fold(self.recurrent_bytes(), usize::saturating_add)
    }
}

/// All matrices of a block.
fn matrices(block: &BlockWeights<Sizes>) -> Vec<&Matrix> {
    match &block.op {
        OpWeights::Attention(w) => [&w.q, &w.k, &w.v, &w.out].map(|p| &p.matrix).to_vec(),
        OpWeights::FeedForward(w) => {
            let gate = w.gate.iter().chain([&w.up, &w.down]);
            gate.map(|p| &p.matrix).collect()
        }
        OpWeights::Experts(w) => {
            let experts = &w.experts;
            let all = experts.gate.iter().chain(&experts.up).chain(&experts.down);
            all.chain([&w.router.matrix]).collect()
        }
        OpWeights::ShortConvolution(w) => {
            let all = w.inputs.iter().chain([&w.out]);
            all.map(|p| &p.matrix).collect()
        }
        OpWeights::StateSpace(w) => {
            let chosen = w
                .convolved
                .iter()
                .flat_map(|w| w.chosen.iter().chain([&w.steps]));
            let all = w.inputs.iter().chain(chosen).chain([&w.out]);
            all.map(|p| &p.matrix).collect()
        }
    }
}
