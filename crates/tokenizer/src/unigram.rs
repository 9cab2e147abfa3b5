//! Unigram: the segmentation with the largest sum of scores.

use crate::{
    cuts::Cuts,
    merge::NONE,
    trie::Trie,
    vocab::{Kind, Vocab},
};

/// One vocabulary's scores.
#[derive(Debug)]
pub(crate) struct Unigram {
    trie: Trie,
    scores: Vec<f32>,
    unknown: Option<u32>,
    unknown_score: f64,
    /// Byte tokens in place of the unknown one, where all of a character's exist.
    bytes: Option<Box<[u32; 256]>>,
    cuts: Cuts,
}

/// The best way to reach a position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    score: f64,
    start: u32,
    id: u32,
}

const UNREACHED: Step = Step {
    score: f64::NEG_INFINITY,
    start: 0,
    id: NONE,
};

impl Unigram {
    /// Takes a score for each token; markers and byte tokens are no pieces.
    pub(crate) fn new(
        vocab: &Vocab,
        mut scores: Vec<f32>,
        unknown: Option<u32>,
        bytes: Option<Box<[u32; 256]>>,
    ) -> Self {
        scores.resize(vocab.len(), 0.0);
        let mut lowest = f32::INFINITY;
        for (score, kind) in scores.iter_mut().zip(&vocab.kinds) {
            match kind {
                Kind::UserDefined => *score = 0.0,
                _ if !score.is_finite() => *score = f32::MIN / 2.0,
                Kind::Normal => lowest = lowest.min(*score),
                _ => {}
            }
        }
        let is_piece = |id: u32| {
            matches!(
                vocab.kind(id),
                Kind::Normal | Kind::UserDefined | Kind::Unused
            )
        };
        let pieces = || vocab.names.iter().filter(|&(id, _)| is_piece(id));
        Self {
            trie: Trie::new(pieces().map(|(id, text)| (text, id))),
            cuts: Cuts::of(pieces().map(|(_, text)| text)),
            scores,
            unknown,
            unknown_score: f64::from(if lowest.is_finite() { lowest } else { 0.0 }) - 10.0,
            bytes,
        }
    }

    /// Appends the tokens of one word, or of a whole text with its spaces written U+2581.
    pub(crate) fn encode(&self, word: &str, steps: &mut Vec<Step>, out: &mut Vec<u32>) {
        let begin = out.len();
        let mut rest = word;
        while let Some(at) = self.cuts.first(rest) {
            let (head, tail) = rest.split_at(at);
            self.encode_part(head, steps, begin, out);
            rest = tail;
        }
        self.encode_part(rest, steps, begin, out);
    }

    fn encode_part(&self, word: &str, steps: &mut Vec<Step>, begin: usize, out: &mut Vec<u32>) {
        steps.clear();
        steps.resize(word.len() + 1, UNREACHED);
        steps[0].score = 0.0;
        for (start, c) in word.char_indices() {
            self.offer(word, start, c.len_utf8(), steps);
        }
        let path = out.len();
        let mut end = word.len();
        while end > 0 {
            let step = steps[end];
            let start = step.start as usize;
            if step.id == NONE {
                self.fall_back(&word[start..end], out);
            } else {
                out.push(step.id);
            }
            end = start;
        }
        out[path..].reverse();
        self.fuse_unknown(begin, path, out);
    }

    /// Tries every piece that begins at `start`.
    fn offer(&self, word: &str, start: usize, width: usize, steps: &mut [Step]) {
        let base = steps[start].score;
        let mut offer = |end: usize, score: f64, id: u32| {
            if base + score > steps[end].score {
                steps[end] = Step {
                    score: base + score,
                    start: start as u32,
                    id,
                };
            }
        };
        let mut node = self.trie.root();
        let mut covered = false;
        for (i, &byte) in word.as_bytes()[start..].iter().enumerate() {
            let Some(next) = self.trie.step(node, byte) else {
                break;
            };
            node = next;
            if let Some(id) = self.trie.value(node) {
                covered |= i + 1 == width;
                offer(start + i + 1, f64::from(self.scores[id as usize]), id);
            }
        }
        if !covered {
            offer(start + width, self.unknown_score, NONE);
        }
    }

    /// Last byte first, because the path is read from its end.
    fn fall_back(&self, text: &str, out: &mut Vec<u32>) {
        if let Some(bytes) = &self.bytes
            && text.bytes().all(|b| bytes[usize::from(b)] != NONE)
        {
            return out.extend(text.bytes().rev().map(|b| bytes[usize::from(b)]));
        }
        out.extend(self.unknown);
    }

    fn fuse_unknown(&self, begin: usize, path: usize, out: &mut Vec<u32>) {
        let Some(unknown) = self.unknown else {
            return;
        };
        let mut kept = path;
        for i in path..out.len() {
            if out[i] == unknown && kept > begin && out[kept - 1] == unknown {
                continue;
            }
            out[kept] = out[i];
            kept += 1;
        }
        out.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_best_sum_and_one_unknown_per_run() {
        let texts = ["<unk>", "▁", "a", "b", "ab", "▁ab", "abc"];
        let mut kinds = vec![Kind::Normal; texts.len()];
        kinds[0] = Kind::Unknown;
        let vocab = Vocab::new(texts.iter().map(|t| t.as_bytes()).collect(), kinds).unwrap();
        let scores = vec![0.0, -2.0, -3.0, -3.0, -4.0, -7.0, -20.0];
        let unigram = Unigram::new(&vocab, scores, Some(0), None);
        for (text, ids) in [
            ("▁ab", &[1, 4][..]), // -6 beats -7
            ("ab", &[4]),
            ("abc", &[6]),
            ("xyab", &[0, 4]),
            ("axb", &[2, 0, 3]),
            ("", &[]),
        ] {
            let mut out = Vec::new();
            unigram.encode(text, &mut Vec::new(), &mut out);
            assert_eq!(out, ids, "{text}");
        }
    }
}
