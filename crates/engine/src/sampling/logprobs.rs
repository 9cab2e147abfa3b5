//! The model's own distribution, before any sampler.

use super::candidates::Candidates;

/// Logarithms of the shares that tokens have by the raw logits.
#[derive(Clone, Copy, Debug)]
pub struct Logprobs<'l> {
    logits: &'l [f32],
    /// The logarithm of the sum of all exponentials.
    total: f64,
}

impl<'l> Logprobs<'l> {
    /// Of the whole vocabulary, in one pass over it.
    pub fn new(logits: &'l [f32]) -> Self {
        // As candidates have it: infinity is the largest number, and what is no number is nothing.
        let usable = logits.iter().filter(|logit| **logit > f32::NEG_INFINITY);
        let finite = usable.map(|logit| logit.min(f32::MAX));
        let max = finite.clone().fold(f32::MIN, f32::max);
        let sum: f64 = finite.map(|logit| f64::from((logit - max).exp())).sum();
        Self {
            logits,
            total: f64::from(max) + sum.ln(),
        }
    }

    /// That of one token: the least number where it is impossible.
    pub fn of(&self, id: u32) -> f32 {
        match self.logits.get(id as usize) {
            Some(logit) if *logit > f32::NEG_INFINITY => {
                let finite = f64::from(logit.min(f32::MAX));
                ((finite - self.total) as f32).max(f32::MIN)
            }
            _ => f32::MIN,
        }
    }

    /// The `n` most likely tokens with theirs, most likely first.
    pub fn top(&self, n: usize) -> Vec<(u32, f32)> {
        let mut candidates = Candidates::new(self.logits, None);
        candidates.keep_largest(n);
        let ids = candidates.list.iter().map(|c| c.id);
        ids.map(|id| (id, self.of(id))).collect()
    }
}
