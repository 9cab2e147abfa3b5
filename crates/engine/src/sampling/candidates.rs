//! The tokens that may come next.

use std::cmp::Ordering;

/// A token that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Its id.
    pub id: u32,
    /// Its logit, never NaN.
    pub logit: f32,
    /// Its share, where [`Candidates::softmax`] was called last.
    pub probability: f32,
}

/// Candidates in some order, the first [`Candidates::sorted`] of them the largest ones in descending order. Most
/// chains look at few of them, so a whole vocabulary is never sorted.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    pub(crate) list: Vec<Candidate>,
    sorted: usize,
}

/// Larger first; equal ones by id, so that the order is one for every algorithm.
fn descending(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
}

impl Candidates {
    /// Takes every token whose logit is a number above minus infinity.
    pub(crate) fn fill(&mut self, logits: &[f32]) {
        self.sorted = 0;
        self.list.clear();
        let usable = logits
            .iter()
            .enumerate()
            .filter(|(_, l)| **l > f32::NEG_INFINITY);
        self.list.extend(usable.map(|(id, l)| Candidate {
            id: id as u32,
            logit: l.min(f32::MAX),
            probability: 0.0,
        }));
    }

    /// The survivors, in no particular order.
    pub fn as_slice(&self) -> &[Candidate] {
        &self.list
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Logits were changed: nothing is known of their order.
    pub(crate) fn disordered(&mut self) {
        self.sorted = 0;
    }

    /// Brings the `n` largest to the front, in order.
    pub(crate) fn sort_first(&mut self, n: usize) {
        let n = n.min(self.list.len());
        if n <= self.sorted {
            return;
        }
        let rest = &mut self.list[self.sorted..];
        let wanted = n - self.sorted;
        if wanted < rest.len() {
            rest.select_nth_unstable_by(wanted - 1, descending);
        }
        rest[..wanted].sort_unstable_by(descending);
        self.sorted = n;
    }

    pub(crate) fn truncate(&mut self, n: usize) {
        self.list.truncate(n);
        self.sorted = self.sorted.min(n);
    }

    /// Drops the first `n`.
    pub(crate) fn drop_first(&mut self, n: usize) {
        self.list.drain(..n);
        self.sorted = self.sorted.saturating_sub(n);
    }

    /// Keeps those for which `keep` holds, in their order.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Candidate) -> bool) {
        let front = self.list[..self.sorted].iter().filter(|c| keep(c)).count();
        self.list.retain(keep);
        self.sorted = front;
    }

    pub(crate) fn max(&self) -> f32 {
        match self.list.first() {
            Some(first) if self.sorted > 0 => first.logit,
            _ => self
                .list
                .iter()
                .fold(f32::NEG_INFINITY, |m, c| m.max(c.logit)),
        }
    }

    /// Sets every share.
    pub(crate) fn softmax(&mut self) {
        let max = self.max();
        let mut sum = 0.0f64;
        for c in &mut self.list {
            c.probability = (c.logit - max).exp();
            sum += f64::from(c.probability);
        }
        self.list
            .iter_mut()
            .for_each(|c| c.probability = (f64::from(c.probability) / sum) as f32);
    }

    /// The candidate at `at` of the line of shares, `at` in `0..1`.
    pub(crate) fn at(&self, at: f64) -> Option<Candidate> {
        let mut sum = 0.0;
        let found = self.list.iter().find(|c| {
            sum += f64::from(c.probability);
            sum > at
        });
        // Rounding may leave the end of the line uncovered.
        found
            .or(self.list.iter().rfind(|c| c.probability > 0.0))
            .or(self.list.first())
            .copied()
    }
}
