//! The loops of convolutions and scans, compiled for each instruction set from one body.

use std::ops::Range;

use super::ops_math::{exp, per_isa};
use crate::backend::Scan;

/// What a scan reads of one token.
pub(crate) struct Token<'a> {
    /// `[heads]`.
    pub(crate) steps: &'a [f32],
    /// `[heads * head_dim]`.
    pub(crate) x: &'a [f32],
    /// `[groups * state]`.
    pub(crate) input: &'a [f32],
    /// `[groups * state]`.
    pub(crate) output: &'a [f32],
}

/// Partial sums of a product.
const LANES: usize = 16;

/// `h = decay * h + dx * input` of one channel; returns `Σ h * output`, summed in lanes.
#[inline(always)]
fn channel(h: &mut [f32], decay: &[f32], dx: f32, input: &[f32], output: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let whole = h.len() / LANES * LANES;
    let (head, tail) = h.split_at_mut(whole);
    let chunks = head.chunks_exact_mut(LANES).zip(decay.chunks_exact(LANES));
    let weights = input.chunks_exact(LANES).zip(output.chunks_exact(LANES));
    for ((h, decay), (input, output)) in chunks.zip(weights) {
        for i in 0..LANES {
            h[i] = decay[i] * h[i] + dx * input[i];
            lanes[i] += h[i] * output[i];
        }
    }
    for (i, h) in tail.iter_mut().enumerate() {
        *h = decay[whole + i] * *h + dx * input[whole + i];
        lanes[i] += *h * output[whole + i];
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

per_isa! {
    /// `out += x ⊙ factor`.
    fn add_product(out: &mut [f32], x: &[f32], factor: &[f32]) {
        for ((out, x), factor) in out.iter_mut().zip(x).zip(factor) {
            *out += x * factor;
        }
    }

    /// Takes one token into the states of some heads, `[heads][head_dim][state]`, and gives their results.
    fn token(
        scan: &Scan<Vec<f32>>,
        heads: Range<usize>,
        token: &Token<'_>,
        decay: &mut [f32],
        states: &mut [f32],
        y: &mut [f32],
    ) {
        let (n, dim) = (scan.state, scan.head_dim);
        let per_head = heads.zip(states.chunks_exact_mut(n * dim)).zip(y.chunks_exact_mut(dim));
        for ((head, states), y) in per_head {
            let step = token.steps[head];
            match scan.decay.len() == scan.heads {
                true => decay.fill(exp(step * scan.decay[head])),
                false => {
                    for (decay, a) in decay.iter_mut().zip(&scan.decay[head * n..]) {
                        *decay = exp(step * a);
                    }
                }
            }
            let group = head * scan.groups / scan.heads * n;
            let (input, output) = (&token.input[group..][..n], &token.output[group..][..n]);
            let xs = &token.x[head * dim..][..dim];
            for ((h, &x), y) in states.chunks_exact_mut(n).zip(xs).zip(y) {
                *y = channel(h, decay, step * x, input, output) + scan.skip[head] * x;
            }
        }
    }
}
