//! The loops of the operations over rows of f32, compiled for each instruction set from one body.
//!
//! Sums run in 16 lanes that are added by halves, so the bits are the same on every instruction set.

use super::ops_math::{exp, gelu_erf, gelu_tanh, per_isa, sigmoid, softplus, tanh};
use crate::backend::{Activation, NormKind, Pairing};

/// Partial sums of a reduction.
const LANES: usize = 16;

/// Keys of a tile of scores: the positions of a page.
pub(crate) const KEYS: usize = 64;

/// Folds `term` of each value with `join`, in lanes.
#[inline(always)]
fn reduce(x: &[f32], start: f32, term: impl Fn(f32) -> f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = join(lanes[i], term(chunk[i]));
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = join(*lane, term(value));
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = join(lanes[i], lanes[i + half]);
        }
    }
    lanes[0]
}

#[inline(always)]
fn sum(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    reduce(x, 0.0, term, |a, b| a + b)
}

/// One group of a normalisation.
#[inline(always)]
fn normalize(p: &NormParts<'_>, weight: Option<&[f32]>, x: &mut [f32]) {
    let width = x.len() as f32;
    let mean = match p.kind {
        NormKind::Rms => 0.0,
        NormKind::Layer => sum(x, |v| v) / width,
    };
    let square = sum(x, |v| (v - mean) * (v - mean)) / width;
    let factor = 1.0 / (square + p.eps).sqrt();
    for v in x.iter_mut() {
        *v = (*v - mean) * factor;
    }
    if let Some(weight) = weight {
        for (v, w) in x.iter_mut().zip(weight) {
            *v *= w;
        }
    }
    if let Some(bias) = p.bias {
        for (v, b) in x.iter_mut().zip(bias) {
            *v += b;
        }
    }
}

/// What [`norm`] needs to know.
#[derive(Clone, Copy)]
pub(crate) struct NormParts<'a> {
    pub(crate) kind: NormKind,
    pub(crate) eps: f32,
    pub(crate) width: usize,
    pub(crate) weight: Option<&'a [f32]>,
    pub(crate) bias: Option<&'a [f32]>,
}

/// Applies `f` to each value, times the other array's where there is one.
#[inline(always)]
fn gate(x: &mut [f32], up: Option<&[f32]>, f: impl Fn(f32) -> f32) {
    match up {
        Some(up) => x.iter_mut().zip(up).for_each(|(x, up)| *x = f(*x) * up),
        None => x.iter_mut().for_each(|x| *x = f(*x)),
    }
}

/// How raw scores become the logits of a softmax.
#[derive(Clone, Copy)]
pub(crate) struct Logits {
    pub(crate) scale: f32,
    pub(crate) soft_cap: Option<f32>,
}

/// The running softmax of some rows of queries.
pub(crate) struct Running<'a> {
    /// The largest logit so far, finite.
    pub(crate) max: &'a mut [f32],
    /// Sum of `exp(logit - max)`.
    pub(crate) sum: &'a mut [f32],
    /// What earlier results must be multiplied by, since the maximum rose.
    pub(crate) rescale: &'a mut [f32],
}

per_isa! {
    /// Normalises each group of `p.width` values.
    fn norm(p: &NormParts<'_>, x: &mut [f32]) {
        let weights = p.weight.map(|weight| weight.chunks_exact(p.width).cycle());
        let mut weights = weights.into_iter().flatten();
        for group in x.chunks_exact_mut(p.width) {
            normalize(p, weights.next(), group);
        }
    }

    /// `x = activation(x) * up`.
    fn activate(activation: Activation, x: &mut [f32], up: Option<&[f32]>) {
        match activation {
            Activation::Silu => gate(x, up, |x| x * sigmoid(x)),
            Activation::GeluTanh => gate(x, up, gelu_tanh),
            Activation::GeluErf => gate(x, up, gelu_erf),
            Activation::Relu => gate(x, up, |x| if x < 0.0 { 0.0 } else { x }),
            Activation::ReluSquared => gate(x, up, |x| if x < 0.0 { 0.0 } else { x * x }),
            Activation::Tanh => gate(x, up, tanh),
            Activation::Softplus => gate(x, up, softplus),
        }
    }

    /// `x += factor * y`.
    fn add_scaled(x: &mut [f32], y: &[f32], factor: f32) {
        for (x, y) in x.iter_mut().zip(y) {
            *x += factor * y;
        }
    }

    /// `x *= y`.
    fn multiply(x: &mut [f32], y: &[f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x *= y;
        }
    }

    /// `x = cap * tanh(factor * x / cap)`, or `factor * x`.
    fn scale(x: &mut [f32], factor: f32, soft_cap: Option<f32>) {
        match soft_cap {
            Some(cap) => x.iter_mut().for_each(|x| *x = cap * tanh(*x * factor / cap)),
            None => x.iter_mut().for_each(|x| *x *= factor),
        }
    }

    /// Turns the leading `2 * cos.len()` values of each head of `row`.
    fn rotate(pairing: Pairing, head_dim: usize, cos: &[f32], sin: &[f32], row: &mut [f32]) {
        let pairs = cos.len();
        for head in row.chunks_exact_mut(head_dim) {
            match pairing {
                Pairing::Halves => {
                    let (low, high) = head[..2 * pairs].split_at_mut(pairs);
                    for (((a, b), c), s) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                        (*a, *b) = (*a * c - *b * s, *a * s + *b * c);
                    }
                }
                Pairing::Adjacent => {
                    for ((pair, c), s) in head[..2 * pairs].chunks_exact_mut(2).zip(cos).zip(sin) {
                        let (a, b) = (pair[0], pair[1]);
                        (pair[0], pair[1]) = (a * c - b * s, a * s + b * c);
                    }
                }
            }
        }
    }

    /// `scores = softmax(scores)` over all of them.
    fn softmax(scores: &mut [f32]) {
        let max = reduce(scores, f32::MIN, |v| v, f32::max);
        scores.iter_mut().for_each(|v| *v = exp(*v - max));
        let total = sum(scores, |v| v);
        scores.iter_mut().for_each(|v| *v /= total);
    }

    /// `scores = sigmoid(scores)`.
    fn sigmoids(scores: &mut [f32]) {
        scores.iter_mut().for_each(|v| *v = sigmoid(*v));
    }

    /// One page of an online softmax: `scores` (`[rows, KEYS]`, raw products) become the weights
    /// `exp(logit - max)`, 0 for keys outside the row's range in `visible`.
    fn soften(logits: Logits, visible: &[(usize, usize)], scores: &mut [f32], running: Running<'_>) {
        let rows = scores.chunks_exact_mut(KEYS).zip(visible).enumerate();
        for (r, (row, &(first, end))) in rows {
            match logits.soft_cap {
                Some(cap) => row.iter_mut().for_each(|v| *v = cap * tanh(*v * logits.scale / cap)),
                None => row.iter_mut().for_each(|v| *v *= logits.scale),
            }
            row[..first].fill(f32::NEG_INFINITY);
            row[end..].fill(f32::NEG_INFINITY);
            let max = reduce(row, running.max[r], |v| v, |a, b| if b > a { b } else { a });
            row.iter_mut().for_each(|v| *v = exp(*v - max));
            let rescale = exp(running.max[r] - max);
            running.sum[r] = running.sum[r] * rescale + sum(row, |v| v);
            (running.max[r], running.rescale[r]) = (max, rescale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    /// Runs `f` on every instruction set and checks that the results have the same bits.
    fn same_bits(f: impl Fn(Isa) -> Vec<f32>) -> Vec<f32> {
        let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let want = f(Isa::Scalar);
        for isa in Isa::available() {
            assert_eq!(bits(&f(isa)), bits(&want), "{isa}");
        }
        want
    }

    fn wave(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.37).sin() * 5.0).collect()
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for n in [1, 2, 15, 16, 17, 64, 100] {
            for kind in [NormKind::Rms, NormKind::Layer] {
                let weight = wave(n);
                let parts = NormParts {
                    kind,
                    eps: 1e-5,
                    width: n,
                    weight: Some(&weight),
                    bias: Some(&weight),
                };
                same_bits(|isa| {
                    let mut x = wave(3 * n);
                    norm(isa, &parts, &mut x);
                    x
                });
            }
            use Activation::*;
            for activation in [Silu, GeluTanh, GeluErf, Relu, ReluSquared, Tanh, Softplus] {
                same_bits(|isa| {
                    let mut x = wave(n);
                    activate(isa, activation, &mut x, Some(&wave(n)));
                    x
                });
            }
            same_bits(|isa| {
                let mut x = wave(n);
                scale(isa, &mut x, 3.0, Some(2.0));
                add_scaled(isa, &mut x, &wave(n), 0.3);
                softmax(isa, &mut x);
                sigmoids(isa, &mut x);
                x
            });
        }
    }

    #[test]
    fn a_page_that_a_row_does_not_see_changes_nothing() {
        let mut scores = wave(2 * KEYS);
        let (mut max, mut sum, mut rescale) = ([f32::MIN, 1.5], [0.0, 2.5], [0.0; 2]);
        let running = Running {
            max: &mut max,
            sum: &mut sum,
            rescale: &mut rescale,
        };
        let logits = Logits {
            scale: 1.0,
            soft_cap: None,
        };
        soften(
            Isa::Scalar,
            logits,
            &[(0, 0), (KEYS, KEYS)],
            &mut scores,
            running,
        );
        assert!(scores.iter().all(|&w| w == 0.0));
        assert_eq!((max, sum, rescale), ([f32::MIN, 1.5], [0.0, 2.5], [1.0; 2]));
    }
}
