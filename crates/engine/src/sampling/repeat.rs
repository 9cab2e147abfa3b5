//! Samplers against repetition: penalties on tokens that occurred, and DRY on sequences.

use std::{collections::HashMap, sync::Arc};

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
    c.change(&counts, |logit, count| {
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
    pub breakers: Breakers,
}

/// Sequences of tokens that no repetition may span: first tokens, each with what may follow it, longest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Breakers(Arc<HashMap<u32, Vec<Vec<u32>>>>);

impl From<Vec<Vec<u32>>> for Breakers {
    fn from(sequences: Vec<Vec<u32>>) -> Self {
        let mut heads: HashMap<u32, Vec<Vec<u32>>> = HashMap::new();
        for sequence in sequences {
            if let [head, tail @ ..] = sequence.as_slice() {
                heads.entry(*head).or_default().push(tail.to_vec());
            }
        }
        for tails in heads.values_mut() {
            tails.sort_by_key(|tail| std::cmp::Reverse(tail.len()));
            tails.dedup();
        }
        Self(Arc::new(heads))
    }
}

impl Breakers {
    /// Tokens of the longest one that `text` begins with.
    fn at(&self, text: &[u32]) -> Option<usize> {
        let (head, rest) = text.split_first()?;
        let tails = self.0.get(head)?;
        let tail = tails.iter().find(|tail| rest.starts_with(tail))?;
        Some(1 + tail.len())
    }

    /// Is the token one by itself?
    fn is_one(&self, id: u32) -> bool {
        let tails = self.0.get(&id);
        tails.is_some_and(|tails| tails.last().is_some_and(Vec::is_empty))
    }
}

/// Most bytes of a breaker that count, and most tokens after its first.
const BREAKER_BYTES: usize = 40;
const BREAKER_TAIL: usize = 20;

/// The tokens of DRY's breakers. A token that contains a breaker is one; a token that ends with the beginning of a
/// breaker is one with the tokens of the rest after it. `pieces` are the bytes of all tokens in the order of their ids,
/// `encode` gives the tokens of a text without special ones.
pub fn breakers<'p>(
    texts: &[String],
    pieces: impl IntoIterator<Item = &'p [u8]>,
    encode: impl Fn(&str) -> Vec<u32>,
) -> Vec<Vec<u32>> {
    // Each beginning of a breaker, with the tokens of its rest: none for the whole.
    let mut wholes = Vec::new();
    let mut beginnings = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let text = &text[..text.floor_char_boundary(BREAKER_BYTES)];
        wholes.push(text.as_bytes());
        for (at, _) in text.char_indices().skip(1) {
            let (beginning, rest) = text.split_at(at);
            let mut tail = encode(rest);
            tail.truncate(BREAKER_TAIL);
            beginnings.push((beginning.as_bytes(), tail));
        }
    }
    let contains = |piece: &[u8], text: &[u8]| piece.windows(text.len()).any(|w| w == text);
    let mut found = Vec::new();
    for (id, piece) in (0u32..).zip(pieces) {
        if wholes.iter().any(|whole| contains(piece, whole)) {
            found.push(vec![id]);
        }
        let ends = beginnings
            .iter()
            .filter(|(beginning, _)| piece.ends_with(beginning));
        found.extend(ends.map(|(_, tail)| [&[id], tail.as_slice()].concat()));
    }
    found
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
        longest.retain(|id, _| !self.breakers.is_one(*id));
        // The power stays a finite f32.
        let highest = if self.base > 1.0 {
            f32::MAX.ln() / self.base.ln()
        } else {
            f32::MAX
        };
        c.change(&longest, |logit, length| {
            let exponent = ((length as usize - self.allowed_length) as f32).min(highest);
            logit - self.multiplier * self.base.powf(exponent)
        });
    }

    /// Tokens since the newest breaker.
    fn limit(&self, history: &[u32]) -> usize {
        let end = history.len();
        let newest = (0..end).find_map(|back| {
            let length = self.breakers.at(&history[end - 1 - back..])?;
            Some(back + 1 - length)
        });
        newest.unwrap_or(end)
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
