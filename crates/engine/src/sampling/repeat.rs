//! Samplers against repetition: penalties on tokens that occurred, and DRY on sequences.

use std::collections::HashMap;

use super::candidates::Candidates;

/// Lowers tokens of the last `last_n`: logits are divided by `repeat` (multiplied where negative), then lowered by
/// `frequency` for each occurrence and by `presence` once.
pub(super) fn penalties(
    c: &mut Candidates,
    history: &[u32],
    last_n: usize,
    repeat: f32,
    frequency: f32,
    presence: f32,
) {
    if last_n == 0 || (repeat == 1.0 && frequency == 0.0 && presence == 0.0) {
        return;
    }
    let mut counts: HashMap<u32, u32> = HashMap::new();
    tail(history, last_n)
        .iter()
        .for_each(|id| *counts.entry(*id).or_default() += 1);
    change(c, &counts, |logit, count| {
        let scaled = if logit <= 0.0 {
            logit * repeat
        } else {
            logit / repeat
        };
        scaled - count as f32 * frequency - presence
    });
}

/// "Don't repeat yourself" (its author's proposal to text-generation-webui, 2024).
#[derive(Clone, Debug, PartialEq)]
pub struct Dry {
    /// Size of the penalty; 0 switches it off.
    pub multiplier: f32,
    /// Grows with every token of the repetition; below 1 switches it off.
    pub base: f32,
    /// Repetitions of fewer tokens are free.
    pub allowed_length: usize,
    /// Tokens that are looked at.
    pub last_n: usize,
    /// Sequences that no repetition may span.
    pub breakers: Vec<Vec<u32>>,
}

impl Dry {
    pub(super) fn apply(&self, c: &mut Candidates, history: &[u32]) {
        let history = tail(history, self.last_n);
        if self.multiplier == 0.0 || self.base < 1.0 || history.len() <= self.allowed_length {
            return;
        }
        let limit = self.limit(history);
        if limit < self.allowed_length {
            return;
        }
        let mut longest: HashMap<u32, u32> = HashMap::new();
        let reversed: Vec<u32> = history.iter().rev().copied().collect();
        for (k, length) in common_prefixes(&reversed).into_iter().enumerate().skip(1) {
            let length = length.min(limit);
            if length >= self.allowed_length {
                // What came after the earlier occurrence would make it one longer.
                let entry = longest.entry(reversed[k - 1]).or_default();
                *entry = (*entry).max(length as u32);
            }
        }
        longest.retain(|id, _| !self.breakers.iter().any(|b| b == &[*id]));
        // The power stays a finite f32.
        let highest = if self.base > 1.0 {
            f32::MAX.ln() / self.base.ln()
        } else {
            f32::MAX
        };
        change(c, &longest, |logit, length| {
            let exponent = ((length as usize - self.allowed_length) as f32).min(highest);
            logit - self.multiplier * self.base.powf(exponent)
        });
    }

    /// Tokens since the newest breaker.
    fn limit(&self, history: &[u32]) -> usize {
        let end = history.len();
        (0..end)
            .find_map(|back| {
                let rest = &history[end - 1 - back..];
                let longest = self
                    .breakers
                    .iter()
                    .filter(|b| !b.is_empty() && rest.starts_with(b))
                    .map(Vec::len)
                    .max()?;
                Some(back + 1 - longest)
            })
            .unwrap_or(end)
    }
}

fn tail(history: &[u32], n: usize) -> &[u32] {
    &history[history.len().saturating_sub(n)..]
}

/// For each position, how many tokens from there equal those from the start (the Z function, linear in time).
fn common_prefixes(text: &[u32]) -> Vec<usize> {
    let n = text.len();
    let mut z = vec![n; n];
    let (mut left, mut right) = (0, 0);
    for i in 1..n {
        let mut length = if i < right {
            z[i - left].min(right - i)
        } else {
            0
        };
        while i + length < n && text[length] == text[i + length] {
            length += 1;
        }
        z[i] = length;
        if i + length > right {
            (left, right) = (i, i + length);
        }
    }
    z
}

fn change(c: &mut Candidates, marked: &HashMap<u32, u32>, to: impl Fn(f32, u32) -> f32) {
    if marked.is_empty() {
        return;
    }
    for candidate in &mut c.list {
        if let Some(mark) = marked.get(&candidate.id) {
            candidate.logit = to(candidate.logit, *mark).clamp(f32::MIN, f32::MAX);
        }
    }
    c.disordered();
}
