//! Places in a word that no token can lie across.

use crate::arena::FastMap;

/// What is known of neighbours inside tokens: where two characters never stand next to each other in any of them, a word
/// falls apart exactly.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    /// Pairs of bytes inside some token, a bit each.
    inside: Vec<u64>,
    /// Characters that stand before U+2581 inside some token.
    before_space: FastMap<char, ()>,
}

/// The character that stands for a space.
pub(crate) const SPACE: char = '\u{2581}';
const SPACE_BYTES: &[u8] = "\u{2581}".as_bytes();

/// Words up to this length, in bytes, are only cut at spaces.
const UNCUT: usize = 48;
/// Longest stretch that is worked on as one, in bytes, so that positions fit 32 bits.
const PART_MAX: usize = 1 << 30;

impl Cuts {
    /// Collects the neighbours inside `texts`.
    pub(crate) fn of<'t>(texts: impl Iterator<Item = &'t [u8]>) -> Self {
        let mut cuts = Self {
            inside: vec![0; 1 << 10],
            before_space: FastMap::default(),
        };
        for text in texts {
            for pair in text.windows(2) {
                let bit = usize::from(pair[0]) << 8 | usize::from(pair[1]);
                cuts.inside[bit >> 6] |= 1 << (bit & 63);
            }
            let Ok(text) = std::str::from_utf8(text) else {
                continue;
            };
            for (at, _) in text.match_indices(SPACE) {
                if let Some(before) = text[..at].chars().next_back() {
                    cuts.before_space.insert(before, ());
                }
            }
        }
        cuts
    }

    /// The first place to cut `word` at, if there is one.
    #[inline]
    pub(crate) fn first(&self, word: &str) -> Option<usize> {
        let bytes = word.as_bytes();
        let long = bytes.len() > UNCUT;
        for at in 1..bytes.len() {
            let here = bytes[at];
            let apart = (here == SPACE_BYTES[0]
                && bytes[at..].starts_with(SPACE_BYTES)
                && self.parts_before_space(&word[..at]))
                || (long && !self.is_inside(bytes[at - 1], here))
                || at >= PART_MAX;
            if apart && word.is_char_boundary(at) {
                return Some(at);
            }
        }
        None
    }

    #[inline]
    fn is_inside(&self, left: u8, right: u8) -> bool {
        let bit = usize::from(left) << 8 | usize::from(right);
        self.inside[bit >> 6] >> (bit & 63) & 1 == 1
    }

    fn parts_before_space(&self, head: &str) -> bool {
        let before = head.chars().next_back();
        before.is_some_and(|c| !self.before_space.contains_key(&c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fall_apart_where_no_token_reaches() {
        let cuts = Cuts::of(
            ["▁▁", "▁a", "ab", ">▁</", "ba"]
                .iter()
                .map(|t| t.as_bytes()),
        );
        let parts = |mut word: &str| {
            let mut out = Vec::new();
            while let Some(at) = cuts.first(word) {
                out.push(word[..at].to_owned());
                word = &word[at..];
            }
            out.push(word.to_owned());
            out
        };
        assert_eq!(parts("▁a▁▁b>▁</c"), ["▁a", "▁▁b>▁</c"]);
        let long = "ab".repeat(30) + "cab";
        assert_eq!(
            parts(&long),
            ["ab".repeat(30), "cab".into()].map(|s: String| s)
        );
    }
}
