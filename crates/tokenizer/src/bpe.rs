//! Pair encoding over bytes or characters, by a list of merges or by the scores of whole tokens.
//!
//! Symbols are numbers: those below [`Bpe::tokens`] are tokens, those above texts that merges go through although no
//! token is spelled so. A word that is a token, and that merging would give back whole, is found by one look-up; whether
//! merging does so is tried once per token and remembered.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::{
    Error, Result,
    arena::{Arena, FastMap, Index},
    cuts::Cuts,
    merge::{NONE, Pairs, Scratch, Symbol},
    vocab::Kind,
};

/// What a word is cut into before merging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Bytes.
    Bytes,
    /// Characters.
    Chars,
}

/// What happens to a symbol that is no token.
#[derive(Debug)]
pub(crate) struct Fallback {
    /// The token of each byte, [`NONE`] where there is none.
    pub bytes: Box<[u32; 256]>,
    /// Whether one byte without a token makes the whole symbol unknown.
    pub all_or_none: bool,
    /// The token for what is left; without one it is dropped.
    pub unknown: Option<u32>,
    /// Whether neighbouring unknowns of a word are one.
    pub fuse: bool,
}

/// Where the ranks come from.
#[derive(Debug)]
enum Ranks {
    /// Pairs of symbols to rank and result.
    Merges {
        table: FastMap<u64, (u32, u32)>,
        /// The same for pairs of single bytes, by `left << 8 | right`.
        bytes: Vec<(u32, u32)>,
    },
    /// Any two neighbours that make a token together, by that token's rank.
    Whole { ranks: Vec<u32>, longest: usize },
}

/// Whether a token is what merging makes of its own text.
const UNTRIED: u8 = 0;
const WHOLE: u8 = 1;
const APART: u8 = 2;

/// One vocabulary's pair encoding.
#[derive(Debug)]
pub(crate) struct Bpe {
    start: Start,
    symbols: Arena,
    index: Index,
    tokens: u32,
    single: Box<[u32; 256]>,
    ranks: Ranks,
    whole: Vec<AtomicU8>,
    fallback: Fallback,
    cuts: Cuts,
}

/// What a [`Bpe`] is made from.
pub(crate) struct Parts<'p> {
    /// What a word is cut into.
    pub start: Start,
    /// Each token's text, as it stands in words; `None` where no word can hold it.
    pub texts: Vec<Option<Vec<u8>>>,
    /// Each token's kind.
    pub kinds: &'p [Kind],
    /// What becomes of symbols without a token.
    pub fallback: Fallback,
    /// Which words are taken as tokens whether or not merging would make them.
    pub whole: &'p dyn Fn(&[u8]) -> bool,
}

impl Bpe {
    /// By merges, first to last; `None` for one that no text can bring about.
    ///
    /// # Errors
    /// When two tokens have the same text.
    pub(crate) fn by_merges(
        parts: Parts<'_>,
        merges: impl Iterator<Item = Option<(Vec<u8>, Vec<u8>)>>,
    ) -> Result<Self> {
        let mut bpe = Self::new(parts)?;
        let mut table = FastMap::default();
        for (rank, merge) in merges.enumerate() {
            let Some((left, right)) = merge else {
                continue;
            };
            let both = [left.as_slice(), &right].concat();
            let (left, right) = (bpe.intern(&left), bpe.intern(&right));
            let merged = bpe.intern(&both);
            table
                .entry(key(left, right))
                .or_insert((rank as u32, merged));
        }
        let mut bytes = vec![(NONE, NONE); 1 << 16];
        if bpe.start == Start::Bytes {
            bpe.find_singles();
            for (pair, entry) in bytes.iter_mut().enumerate() {
                let (left, right) = (bpe.single[pair >> 8], bpe.single[pair & 0xFF]);
                if let Some(found) = table.get(&key(left, right)) {
                    *entry = *found;
                }
            }
        }
        bpe.ranks = Ranks::Merges { table, bytes };
        Ok(bpe.finish())
    }

    /// By whole tokens: `ranks` has one per token, lowest merges first, [`NONE`] never.
    ///
    /// # Errors
    /// When two tokens have the same text.
    pub(crate) fn by_rank(parts: Parts<'_>, ranks: Vec<u32>) -> Result<Self> {
        let mut bpe = Self::new(parts)?;
        let longest = bpe.symbols.iter().map(|(_, text)| text.len()).max();
        bpe.ranks = Ranks::Whole {
            ranks,
            longest: longest.unwrap_or(0),
        };
        Ok(bpe.finish())
    }

    fn new(parts: Parts<'_>) -> Result<Self> {
        let count = parts.texts.len();
        let mut symbols = Arena::default();
        for text in &parts.texts {
            symbols.push(text.as_deref().unwrap_or_default());
        }
        let mut index = Index::with_capacity(count);
        for id in 0..count as u32 {
            let Some(text) = parts.texts[id as usize]
                .as_deref()
                .filter(|t| !t.is_empty())
            else {
                continue;
            };
            if let Some(first) = index.insert(&symbols, id) {
                return Err(Error::Duplicate {
                    first,
                    second: id,
                    text: String::from_utf8_lossy(text).into_owned(),
                });
            }
        }
        // Text must not turn into a marker by being looked up whole.
        let whole = parts.kinds.iter().zip(&parts.texts).map(|(kind, text)| {
            AtomicU8::new(match (kind, text) {
                (Kind::Control | Kind::Unknown | Kind::Unused | Kind::Byte, _) | (_, None) => APART,
                (_, Some(text)) if (parts.whole)(text) => WHOLE,
                _ => UNTRIED,
            })
        });
        Ok(Self {
            start: parts.start,
            tokens: count as u32,
            single: Box::new([NONE; 256]),
            ranks: Ranks::Whole {
                ranks: Vec::new(),
                longest: 0,
            },
            whole: whole.collect(),
            fallback: parts.fallback,
            cuts: Cuts::default(),
            symbols,
            index,
        })
    }

    fn finish(mut self) -> Self {
        self.find_singles();
        self.cuts = Cuts::of(self.symbols.iter().map(|(_, text)| text));
        self
    }

    fn find_singles(&mut self) {
        let last = if self.start == Start::Bytes { 255 } else { 127 };
        for byte in 0..=last {
            self.single[usize::from(byte)] = self.index.get(&self.symbols, &[byte]).unwrap_or(NONE);
        }
    }

    fn intern(&mut self, text: &[u8]) -> u32 {
        self.index.get(&self.symbols, text).unwrap_or_else(|| {
            let id = self.symbols.push(text);
            self.index.insert(&self.symbols, id);
            id
        })
    }

    /// Appends the tokens of one word.
    pub(crate) fn encode(&self, word: &str, scratch: &mut Scratch, out: &mut Vec<u32>) {
        let begin = out.len();
        let mut rest = word;
        while let Some(at) = self.cuts.first(rest) {
            let (head, tail) = rest.split_at(at);
            self.encode_part(head, scratch, begin, out);
            rest = tail;
        }
        self.encode_part(rest, scratch, begin, out);
    }

    fn encode_part(&self, word: &str, scratch: &mut Scratch, begin: usize, out: &mut Vec<u32>) {
        let whole = self
            .index
            .get(&self.symbols, word.as_bytes())
            .filter(|&id| id < self.tokens);
        let state = whole.map(|id| (id, self.whole[id as usize].load(Relaxed)));
        if let Some((id, WHOLE)) = state {
            return out.push(id);
        }
        self.start(word, scratch);
        scratch.merge(word.as_bytes(), self);
        if let Some((id, UNTRIED)) = state {
            let same = matches!(scratch.symbols.as_slice(), [only] if only.id == id);
            self.whole[id as usize].store(if same { WHOLE } else { APART }, Relaxed);
        }
        for i in 0..scratch.symbols.len() {
            let Symbol { id, start } = scratch.symbols[i];
            if id < self.tokens {
                out.push(id);
            } else {
                let end = scratch
                    .symbols
                    .get(i + 1)
                    .map_or(word.len(), |s| s.start as usize);
                self.fall_back(&word.as_bytes()[start as usize..end], begin, out);
            }
        }
        scratch.trim();
    }

    fn start(&self, word: &str, scratch: &mut Scratch) {
        scratch.symbols.clear();
        match self.start {
            Start::Bytes => scratch
                .symbols
                .extend(word.bytes().enumerate().map(|(i, b)| Symbol {
                    id: self.single[usize::from(b)],
                    start: i as u32,
                })),
            Start::Chars => scratch
                .symbols
                .extend(word.char_indices().map(|(i, c)| Symbol {
                    id: if c.is_ascii() {
                        self.single[c as usize]
                    } else {
                        self.index
                            .get(&self.symbols, c.encode_utf8(&mut [0; 4]).as_bytes())
                            .unwrap_or(NONE)
                    },
                    start: i as u32,
                })),
        }
    }

    fn fall_back(&self, text: &[u8], begin: usize, out: &mut Vec<u32>) {
        let Fallback {
            bytes,
            all_or_none,
            unknown,
            fuse,
        } = &self.fallback;
        let token = |b: &u8| bytes[usize::from(*b)];
        let unknown = |out: &mut Vec<u32>| {
            if let Some(id) = *unknown
                && !(*fuse && out.len() > begin && out.last() == Some(&id))
            {
                out.push(id);
            }
        };
        if *all_or_none && text.iter().any(|b| token(b) == NONE) {
            return unknown(out);
        }
        for b in text {
            match token(b) {
                NONE => unknown(out),
                id => out.push(id),
            }
        }
    }
}

impl Pairs for Bpe {
    #[inline]
    fn pair(&self, left: u32, right: u32, text: &[u8]) -> Option<(u32, u32)> {
        match &self.ranks {
            Ranks::Merges { table, bytes } => {
                if self.start == Start::Bytes && text.len() == 2 {
                    let pair = usize::from(text[0]) << 8 | usize::from(text[1]);
                    return Some(bytes[pair]);
                }
                table.get(&key(left, right)).copied()
            }
            Ranks::Whole { ranks, longest } => {
                if text.len() > *longest {
                    return None;
                }
                let id = self.index.get(&self.symbols, text)?;
                Some((*ranks.get(id as usize)?, id))
            }
        }
    }
}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNKNOWN: u32 = 0;

    fn parts<'p>(texts: &[String], kinds: &'p [Kind]) -> Parts<'p> {
        Parts {
            start: Start::Chars,
            texts: texts.iter().map(|t| Some(t.as_bytes().to_vec())).collect(),
            kinds,
            fallback: Fallback {
                bytes: Box::new([NONE; 256]),
                all_or_none: true,
                unknown: Some(UNKNOWN),
                fuse: false,
            },
            whole: &|_| false,
        }
    }

    /// The rule as it is written, over strings: `rank` of two neighbours, lowest first, leftmost of equal ones.
    fn by_the_rule(
        word: &str,
        texts: &[String],
        rank: impl Fn(&str, &str) -> Option<u32>,
    ) -> Vec<u32> {
        let mut symbols: Vec<String> = word.chars().map(String::from).collect();
        loop {
            let pairs = symbols.windows(2).enumerate();
            let best = pairs
                .filter_map(|(i, pair)| Some((rank(&pair[0], &pair[1])?, i)))
                .min();
            let Some((_, i)) = best else {
                break;
            };
            let right = symbols.remove(i + 1);
            symbols[i].push_str(&right);
        }
        let id = |symbol: &String| texts.iter().position(|t| t == symbol);
        symbols
            .iter()
            .map(|s| id(s).map_or(UNKNOWN, |id| id as u32))
            .collect()
    }

    fn run(bpe: &Bpe, word: &str) -> Vec<u32> {
        let mut out = Vec::new();
        bpe.encode(word, &mut Scratch::default(), &mut out);
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn follows_the_rule(
            texts in proptest::collection::btree_set("[ab▁é]{1,4}", 1..14),
            merges in proptest::collection::vec(("[ab▁é]{1,2}", "[ab▁é]{1,2}"), 0..14),
            ranks in proptest::collection::vec(0_u32..6, 16),
            words in proptest::collection::vec("[ab▁éx]{0,90}", 1..4),
        ) {
            let texts: Vec<String> = ["<unk>".to_owned()].into_iter().chain(texts).collect();
            let mut kinds = vec![Kind::Normal; texts.len()];
            kinds[0] = Kind::Unknown;
            let bytes = merges.iter().map(|(a, b)| Some((a.clone().into_bytes(), b.clone().into_bytes())));
            let by_merges = Bpe::by_merges(parts(&texts, &kinds), bytes).unwrap();
            let rank_list = ranks[..texts.len()].to_vec();
            let by_rank = Bpe::by_rank(parts(&texts, &kinds), rank_list).unwrap();
            // The second time, whole words are remembered.
            for word in words.iter().chain(&words).chain(&texts[1..]).chain(&texts[1..]) {
                let merge = |a: &str, b: &str| {
                    merges.iter().position(|m| m.0 == a && m.1 == b).map(|i| i as u32)
                };
                prop_assert_eq!(run(&by_merges, word), by_the_rule(word, &texts, merge), "{}", word);
                let whole = |a: &str, b: &str| {
                    let both = format!("{a}{b}");
                    texts.iter().position(|t| *t == both).map(|i| ranks[i])
                };
                prop_assert_eq!(run(&by_rank, word), by_the_rule(word, &texts, whole), "{}", word);
            }
        }
    }
}
