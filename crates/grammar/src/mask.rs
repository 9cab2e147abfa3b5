//! A set of tokens, as bits.

const BITS: usize = u32::BITS as usize;

/// Which tokens may come next: one bit per row of logits, lowest bit first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    words: Vec<u32>,
    rows: usize,
}

impl Mask {
    /// The first `rows` bits of `words`; bits that `words` does not have are unset.
    pub(crate) fn new(mut words: Vec<u32>, tokens: usize, rows: usize) -> Self {
        words.truncate(tokens.div_ceil(BITS));
        if let (Some(last), true) = (words.get_mut(tokens / BITS), !tokens.is_multiple_of(BITS)) {
            *last &= (1 << (tokens % BITS)) - 1;
        }
        words.resize(rows.div_ceil(BITS), 0);
        Self { words, rows }
    }

    /// The bits, 32 per word; those past [`Mask::rows`] are unset.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// How many tokens it speaks of.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether a token is allowed.
    pub fn allows(&self, token: u32) -> bool {
        let token = token as usize;
        let word = self.words.get(token / BITS);
        word.is_some_and(|word| word >> (token % BITS) & 1 != 0)
    }

    /// How many tokens are allowed.
    pub fn count(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// The allowed tokens, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let rest = |word: &u32| Some(word & (word - 1)).filter(|&word| word != 0);
            std::iter::successors(Some(word).filter(|&word| word != 0), rest)
                .map(move |word| (index * BITS) as u32 + word.trailing_zeros())
        })
    }

    /// Sets the logits of tokens that are not allowed to negative infinity; rows past the mask are not allowed.
    pub fn apply(&self, logits: &mut [f32]) {
        let rows = self.rows.min(logits.len());
        let (masked, past) = logits.split_at_mut(rows);
        for (chunk, &word) in masked.chunks_mut(BITS).zip(&self.words) {
            match word {
                0 => chunk.fill(f32::NEG_INFINITY),
                u32::MAX => {}
                _ => {
                    // Written either way, so that it compiles to selects.
                    for (bit, logit) in chunk.iter_mut().enumerate() {
                        let allowed = word >> bit & 1 != 0;
                        *logit = if allowed { *logit } else { f32::NEG_INFINITY };
                    }
                }
            }
        }
        past.fill(f32::NEG_INFINITY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_past_the_vocabulary_are_dropped_and_rows_are_padded() {
        for (words, tokens, rows, expected) in [
            (vec![u32::MAX; 3], 40, 70, vec![u32::MAX, 0xff, 0]),
            (vec![u32::MAX; 2], 32, 64, vec![u32::MAX, 0]),
            (vec![5], 3, 3, vec![5]),
            (vec![], 3, 33, vec![0, 0]),
        ] {
            assert_eq!(Mask::new(words, tokens, rows).words(), expected);
        }
    }

    #[test]
    fn apply_iter_and_allows_agree() {
        for rows in [0, 1, 31, 32, 33, 64, 100] {
            let words = vec![0b1010, u32::MAX, 0, 0x8000_0001];
            let mask = Mask::new(words, rows, rows);
            let allowed: Vec<u32> = mask.iter().collect();
            assert_eq!(allowed.len(), mask.count());
            for length in [rows, rows + 3, rows / 2] {
                let mut logits = vec![1.0; length];
                mask.apply(&mut logits);
                for (token, logit) in logits.iter().enumerate() {
                    let token = token as u32;
                    assert_eq!(*logit == 1.0, mask.allows(token));
                    assert_eq!(allowed.contains(&token), mask.allows(token));
                }
            }
        }
    }
}
