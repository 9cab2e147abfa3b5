//! A mixture of experts: the choice, the products grouped by expert, the weighted sum.
//!
//! A token's experts are added in ascending order of their index, whatever else the step holds.

use crate::{
    Buffer, Matrix, Precision, Team,
    backend::{Experts, Router, Scoring},
    isa::Isa,
    kernels::ops_rows,
    matmul::{Product, linear},
    ops::{Pool, rows},
};

/// The least that weights are divided by (Hugging Face's constant for the sigmoid routers).
const TINY: f32 = 1e-20;

/// Scratch memory, kept from one call to the next.
pub(crate) type Scratch = Pool<Work>;

#[derive(Debug, Default)]
pub(crate) struct Work {
    inputs: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    down: Vec<f32>,
}

/// How much more than an even share of the tokens the most popular expert of a step gets: half as much again. Tokens
/// beyond it are possible, and then take more memory than was said.
const UNEVEN: (usize, usize) = (3, 2);

/// Bytes of [`Work`] for a step of `tokens` tokens of `width`. The largest batch is either one token with all its
/// experts, or the most popular expert.
pub(crate) fn work_bytes(
    router: &Router,
    experts: &Experts<Matrix>,
    tokens: usize,
    width: usize,
) -> usize {
    let rows = |matrices: &[Matrix]| matrices.first().map_or(0, Matrix::rows);
    let (hidden, out) = (rows(&experts.gate), rows(&experts.down));
    let even = (tokens * router.used).div_ceil(experts.down.len().max(1));
    let popular = (even * UNEVEN.0).div_ceil(UNEVEN.1).min(tokens);
    let inner = 2 * hidden * popular.max(router.used);
    (popular * (width + out) + inner) * size_of::<f32>()
}

/// A token that an expert was chosen for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Choice {
    pub(crate) expert: usize,
    pub(crate) token: usize,
    pub(crate) weight: f32,
}

/// The chosen experts of a token, and their weights.
pub(crate) fn choose(isa: Isa, router: &Router, token: usize, scores: &[f32]) -> Vec<Choice> {
    let mut scores = scores.to_vec();
    match router.scoring {
        Scoring::Softmax => ops_rows::softmax(isa, &mut scores),
        Scoring::Sigmoid => ops_rows::sigmoids(isa, &mut scores),
        Scoring::SoftmaxOfChosen => {}
    }
    // A NaN ranks last; among equals the lower index wins, since the sort is stable.
    let rank = |expert: usize| {
        if scores[expert].is_nan() {
            f32::NEG_INFINITY
        } else {
            scores[expert]
        }
    };
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| rank(b).total_cmp(&rank(a)));
    order.truncate(router.used);

    let mut weights: Vec<f32> = order.iter().map(|&expert| scores[expert]).collect();
    if router.scoring == Scoring::SoftmaxOfChosen {
        ops_rows::softmax(isa, &mut weights);
    }
    let total = if router.normalize {
        weights.iter().sum::<f32>().max(TINY)
    } else {
        1.0
    };
    let choice = |(expert, weight)| Choice {
        expert,
        token,
        weight: weight / total * router.scale,
    };
    order.into_iter().zip(weights).map(choice).collect()
}

/// One call of the operation.
pub(crate) struct Step<'a> {
    pub(crate) team: &'a Team,
    pub(crate) isa: Isa,
    pub(crate) precision: Precision,
    pub(crate) experts: &'a Experts<Matrix>,
    pub(crate) x: &'a Buffer,
}

impl Step<'_> {
    /// `out` = the weighted sum of each token's experts.
    pub(crate) fn run(
        &self,
        scratch: &Scratch,
        router: &Router,
        scores: &Buffer,
        out: &mut Buffer,
    ) {
        assert_eq!(scores.rows(), self.x.rows(), "scores per token");
        assert_eq!(scores.width, self.experts.down.len(), "a score per expert");
        let width = self.experts.down.first().map_or(self.x.width, Matrix::rows);
        out.reshape(self.x.rows(), width).fill(0.0);
        let mut choices: Vec<Choice> = (0..scores.rows())
            .flat_map(|token| choose(self.isa, router, token, scores.row(token)))
            .collect();
        choices.sort_by_key(|choice| (choice.expert, choice.token));
        let used: Vec<&[Choice]> = choices.chunk_by(|a, b| a.expert == b.expert).collect();
        let same_tokens =
            |a: &&[Choice], b: &&[Choice]| a.iter().map(|c| c.token).eq(b.iter().map(|c| c.token));
        scratch.with(|work| {
            // Experts with the same tokens (all of them, when there is one token) share a hand-out.
            for batch in used.chunk_by(same_tokens) {
                self.batch(work, batch, out);
            }
        });
    }

    fn batch(&self, work: &mut Work, batch: &[&[Choice]], out: &mut Buffer) {
        let Experts {
            gate,
            up,
            down,
            activation,
        } = self.experts;
        let Some((tokens, expert)) = batch
            .first()
            .and_then(|c| Some((c.len(), c.first()?.expert)))
        else {
            return;
        };
        let hidden = gate[expert].rows();
        work.inputs.clear();
        for choice in batch[0] {
            work.inputs.extend_from_slice(self.x.row(choice.token));
        }
        let size = tokens * hidden;
        work.gate.resize(batch.len() * size, 0.0);
        work.up.resize(batch.len() * size, 0.0);
        let outs = work
            .gate
            .chunks_exact_mut(size)
            .zip(work.up.chunks_exact_mut(size));
        let mut products: Vec<Product<'_>> = outs
            .zip(batch)
            .flat_map(|((gate_out, up_out), choices)| {
                let expert = choices[0].expert;
                [
                    Product {
                        weight: &gate[expert],
                        out: gate_out,
                        out_stride: hidden,
                    },
                    Product {
                        weight: &up[expert],
                        out: up_out,
                        out_stride: hidden,
                    },
                ]
            })
            .collect();
        linear(
            self.team,
            self.isa,
            self.precision,
            &work.inputs,
            tokens,
            &mut products,
        );
        rows::activate(
            self.team,
            self.isa,
            *activation,
            &mut work.gate,
            Some(&work.up),
        );
        for (hidden_rows, choices) in work.gate.chunks_exact(size).zip(batch) {
            work.down.resize(tokens * out.width, 0.0);
            let product = Product {
                weight: &down[choices[0].expert],
                out: &mut work.down,
                out_stride: out.width,
            };
            linear(
                self.team,
                self.isa,
                self.precision,
                hidden_rows,
                tokens,
                &mut [product],
            );
            for (row, choice) in work.down.chunks_exact(out.width).zip(*choices) {
                ops_rows::add_scaled(self.isa, out.row_mut(choice.token), row, choice.weight);
            }
        }
    }
}
