//! WordPiece: the longest token from the left, over and over, or one unknown token for the word.

use crate::{
    cuts::SPACE,
    trie::{Node, Trie},
};

/// One vocabulary.
#[derive(Debug)]
pub(crate) struct WordPiece {
    trie: Trie,
    /// Where tokens that begin a word are: behind U+2581.
    begin: Option<Node>,
    unknown: Option<u32>,
    /// Words of more characters are unknown.
    longest: usize,
}

impl WordPiece {
    /// Takes tokens as a GGUF spells them: U+2581 before those that begin a word, nothing before the others.
    pub(crate) fn new<'t>(
        tokens: impl Iterator<Item = (&'t [u8], u32)>,
        unknown: Option<u32>,
        longest: usize,
    ) -> Self {
        let trie = Trie::new(tokens);
        let mut begin = Some(trie.root());
        for byte in SPACE.encode_utf8(&mut [0; 4]).bytes() {
            begin = begin.and_then(|node| trie.step(node, byte));
        }
        Self {
            trie,
            begin,
            unknown,
            longest,
        }
    }

    /// Appends the tokens of one word.
    pub(crate) fn encode(&self, word: &str, out: &mut Vec<u32>) {
        let begin = out.len();
        if self.pieces(word, out).is_none() {
            out.truncate(begin);
            out.extend(self.unknown);
        }
    }

    fn pieces(&self, word: &str, out: &mut Vec<u32>) -> Option<()> {
        if word.len() > self.longest && word.chars().count() > self.longest {
            return None;
        }
        let mut rest = word.as_bytes();
        let mut node = self.begin?;
        while !rest.is_empty() {
            let (length, id) = self.trie.longest(node, rest)?;
            out.push(id);
            rest = &rest[length..];
            node = self.trie.root();
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greedy_or_unknown() {
        let texts = ["[UNK]", "▁un", "aff", "able", "▁a", "▁", "f"];
        let entries = texts
            .iter()
            .enumerate()
            .map(|(i, t)| (t.as_bytes(), i as u32));
        let model = WordPiece::new(entries, Some(0), 12);
        for (word, ids) in [
            ("unaffable", &[1, 2, 3][..]),
            ("a", &[4]),
            ("unx", &[0]),
            ("aff", &[4, 6, 6]),
            ("unaffableable", &[0]),
        ] {
            let mut out = vec![9];
            model.encode(word, &mut out);
            assert_eq!(out[1..], *ids, "{word}");
        }
    }
}
