//! The vocabulary as the grammar engine sees it.

use std::sync::Arc;

use hearth_tokenizer::{EncodeOptions, Kind, Tokenizer};
use toktrie::{TokRxInfo, TokTrie, TokenId, TokenizerEnv};

const PLAIN: EncodeOptions = EncodeOptions {
    add_special: false,
    parse_special: false,
};

/// The trie has ten bits for how far a node climbs; a longer token is never allowed under a grammar.
const LONGEST_TOKEN: usize = 1000;

/// The trie of token bytes, and the tokenizer that says how a forced text is usually split.
pub(crate) struct Environment {
    tokenizer: Arc<Tokenizer>,
    trie: TokTrie,
}

impl Environment {
    /// Panics where the vocabulary has more nodes than a trie can hold; the caller catches it.
    pub(crate) fn new(tokenizer: Arc<Tokenizer>) -> Self {
        let ids = 0..tokenizer.vocab_len() as u32;
        let words: Vec<Vec<u8>> = ids.map(|id| word(&tokenizer, id)).collect();
        let ends: Vec<u32> = tokenizer.ends().collect();
        let eos = ends.first().copied().unwrap_or(toktrie::INVALID_TOKEN);
        let mut trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, eos), &words);
        if ends.len() > 1 {
            trie = trie.with_eos_tokens(&ends);
        }
        Self { tokenizer, trie }
    }

    fn bytes(&self, ids: &[u32]) -> Vec<u8> {
        let pieces = ids.iter().map(|&id| self.trie.token(id));
        pieces.flatten().copied().collect()
    }

    /// The usual tokens of a text that stands behind other text, so without the space that some vocabularies put
    /// before every text: such a space stays with the newline that is put in front of it and taken away again.
    fn behind_newline(&self, text: &[u8]) -> Option<Vec<u32>> {
        let anchored = [b"\n", text].concat();
        let mut ids = self.tokenizer.encode_bytes(&anchored, PLAIN);
        let anchor = ids.iter().position(|&id| self.trie.token(id) == b"\n")?;
        let rest = ids.split_off(anchor + 1);
        (self.bytes(&rest) == text).then_some(rest)
    }
}

/// What a token adds to the text, in the engine's form: markers begin with a byte that no text has.
fn word(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    const MARKER: u8 = TokTrie::SPECIAL_TOKEN_MARKER;
    let bytes = tokenizer.token_bytes(id);
    if bytes.len() > LONGEST_TOKEN {
        return Vec::new();
    }
    if tokenizer.special(id) || tokenizer.is_end(id) {
        let name = tokenizer.token_name(id);
        return [&[MARKER], name.as_bytes()].concat();
    }
    match tokenizer.kind(id) {
        Kind::Unused => Vec::new(),
        _ if bytes.len() > 1 && bytes[0] == MARKER => Vec::new(),
        _ => bytes.to_vec(),
    }
}

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    /// The split that the model saw in training where encoding keeps the bytes, else longest tokens first.
    fn tokenize_bytes(&self, text: &[u8]) -> Vec<TokenId> {
        let ids = self.tokenizer.encode_bytes(text, PLAIN);
        if self.bytes(&ids) == text {
            return ids;
        }
        self.behind_newline(text)
            .unwrap_or_else(|| self.trie.greedy_tokenize(text))
    }
}
