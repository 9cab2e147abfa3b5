//! PLaMo-2: the segmentation with the largest sum of scores, found from the end; bytes for what no token covers.

use crate::{
    bytes,
    merge::NONE,
    trie::Trie,
    vocab::{Kind, Vocab},
};

/// What a character costs that no token covers.
const UNCOVERED: i64 = -10_000_000;
/// Characters worked on as one: longer texts are cut here, which no token of a known vocabulary comes near.
const PART_MAX: usize = 1 << 22;

/// One vocabulary's scores.
#[derive(Debug)]
pub(crate) struct Plamo {
    trie: Trie,
    scores: Vec<i64>,
    bytes: Box<[u32; 256]>,
}

impl Plamo {
    /// Takes a score for each token; those that are not finite, markers and bytes are no pieces.
    pub(crate) fn new(vocab: &Vocab, scores: &[f32]) -> Self {
        let score = |id: u32| scores.get(id as usize).copied().unwrap_or(f32::NAN);
        let pieces = vocab.names.iter().filter(|&(id, _)| {
            matches!(
                vocab.kind(id),
                Kind::Normal | Kind::UserDefined | Kind::Unused
            ) && score(id).is_finite()
        });
        let mut byte_tokens = Box::new([NONE; 256]);
        for (id, name) in vocab.names.iter() {
            if let Some(byte) = bytes::of_token(name) {
                byte_tokens[usize::from(byte)] = id;
            }
        }
        Self {
            trie: Trie::new(pieces.map(|(id, text)| (text, id))),
            scores: (0..vocab.len() as u32)
                .map(|id| (f64::from(score(id)) * 10_000.0).round() as i64)
                .collect(),
            bytes: byte_tokens,
        }
    }

    /// Appends the tokens of a text.
    pub(crate) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let mut rest = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        while !rest.is_empty() {
            let end = rest
                .char_indices()
                .nth(PART_MAX)
                .map_or(rest.len(), |(i, _)| i);
            self.encode_part(&rest[..end], out);
            rest = &rest[end..];
        }
    }

    fn encode_part(&self, text: &str, out: &mut Vec<u32>) {
        // For each position: the best score from there on, the piece to take and where it ends.
        let mut best = vec![(0_i64, NONE, 0_u32); text.len() + 1];
        for (at, c) in text.char_indices().rev() {
            let mut here = (i64::MIN, NONE, 0);
            let mut offer = |score: i64, id: u32, end: usize| {
                let total = best[end].0.saturating_add(score);
                // Longer pieces come later and win ties.
                if total >= here.0 {
                    here = (total, id, end as u32);
                }
            };
            offer(UNCOVERED, NONE, at + c.len_utf8());
            let mut node = self.trie.root();
            for (i, &byte) in text.as_bytes()[at..].iter().enumerate() {
                let Some(next) = self.trie.step(node, byte) else {
                    break;
                };
                node = next;
                if let Some(id) = self.trie.value(node) {
                    offer(self.scores[id as usize], id, at + i + 1);
                }
            }
            best[at] = here;
        }
        let mut at = 0;
        while at < text.len() {
            let (_, id, end) = best[at];
            let end = end as usize;
            if id == NONE {
                let tokens = text.as_bytes()[at..end]
                    .iter()
                    .map(|b| self.bytes[usize::from(*b)]);
                out.extend(tokens.filter(|&t| t != NONE));
            } else {
                out.push(id);
            }
            at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_sum_then_longest_then_bytes() {
        let texts = ["<0x41>", "a", "ab", "b", "abc", "c"];
        let mut kinds = vec![Kind::Normal; texts.len()];
        kinds[0] = Kind::Byte;
        let vocab = Vocab::new(texts.iter().map(|t| t.as_bytes()).collect(), kinds).unwrap();
        let plamo = Plamo::new(&vocab, &[0.0, -1.0, -2.0, -1.0, -4.0, -1.0]);
        for (text, ids) in [
            ("ab", &[2][..]),
            ("abc", &[2, 5]),
            ("\u{FEFF}aA", &[1, 0]),
            ("", &[]),
        ] {
            let mut out = Vec::new();
            plamo.encode(text, &mut out);
            assert_eq!(out, ids, "{text:?}");
        }
    }
}
