//! The tokenizer: text to ids by way of markers, normalisation, cutting and the algorithm.

use std::collections::BTreeSet;

use crate::{
    arena::Arena,
    bpe::Bpe,
    decode::{Decoder, Decoding},
    markers::{Fragment, Markers},
    merge,
    normalize::{self, Step},
    plamo::Plamo,
    roles::Roles,
    split::Splitter,
    trie::Trie,
    unigram::{self, Unigram},
    vocab::{Kind, Vocab},
    wordpiece::WordPiece,
};

/// A vocabulary with everything that turns text into its ids and back.
///
/// It holds no state of any text; one serves all threads.
#[derive(Debug)]
pub struct Tokenizer {
    pub(crate) vocab: Vocab,
    /// What each token prints.
    pub(crate) pieces: Arena,
    pub(crate) roles: Roles,
    pub(crate) ends: BTreeSet<u32>,
    /// Found in the text as it is.
    pub(crate) markers: Markers,
    /// Found in the normalised text.
    pub(crate) late_markers: Markers,
    pub(crate) steps: Vec<Step>,
    pub(crate) splitter: Splitter,
    pub(crate) model: Model,
    pub(crate) prefix: Vec<u32>,
    pub(crate) suffix: Vec<u32>,
    pub(crate) decoding: Decoding,
    pub(crate) suppressed: Vec<u32>,
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Tokenizer>();
};

/// The algorithm.
#[derive(Debug)]
pub(crate) enum Model {
    /// Pair encoding: SentencePiece-BPE and byte-level BPE.
    Bpe(Box<Bpe>),
    /// Best sum of scores.
    Unigram(Box<Unigram>),
    /// Longest from the left, by word.
    WordPiece(WordPiece),
    /// Whole words or the unknown token.
    WordLevel(Option<u32>),
    /// Longest from the left over bytes, and what a byte without a token becomes.
    Longest(Trie, Option<u32>),
    /// Best sum of scores from the end, bytes for the rest.
    Plamo(Box<Plamo>),
}

/// What to do with special tokens when encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Add those that the vocabulary wants around a text (begin, end).
    pub add_special: bool,
    /// Read control tokens written in the text as such. Off for what users write: they could forge turns.
    pub parse_special: bool,
}

#[derive(Debug, Default)]
struct Scratch {
    merge: merge::Scratch,
    steps: Vec<unigram::Step>,
}

impl Tokenizer {
    /// The ids of a text.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Vec<u32> {
        let mut out = Vec::with_capacity(text.len() / 4 + 4);
        if options.add_special {
            out.extend(&self.prefix);
        }
        let mut scratch = Scratch::default();
        let special = options.parse_special;
        self.markers
            .split(text, special, &mut |fragment| match fragment {
                Fragment::Token(id) => out.push(id),
                Fragment::Text(part, at) => {
                    self.encode_fragment(part, at == 0, special, &mut scratch, &mut out);
                }
            });
        if options.add_special {
            out.extend(&self.suffix);
        }
        out
    }

    /// The ids of bytes that may not all be UTF-8; what is not counts as U+FFFD.
    pub fn encode_bytes(&self, bytes: &[u8], options: EncodeOptions) -> Vec<u32> {
        self.encode(&String::from_utf8_lossy(bytes), options)
    }

    fn encode_fragment(
        &self,
        text: &str,
        first: bool,
        special: bool,
        scratch: &mut Scratch,
        out: &mut Vec<u32>,
    ) {
        let text = normalize::apply(&self.steps, text);
        if self.late_markers.is_empty() {
            return self.encode_words(&text, first, scratch, out);
        }
        self.late_markers
            .split(&text, special, &mut |fragment| match fragment {
                Fragment::Token(id) => out.push(id),
                Fragment::Text(part, at) => {
                    self.encode_words(part, first && at == 0, scratch, out);
                }
            });
    }

    fn encode_words(&self, text: &str, first: bool, scratch: &mut Scratch, out: &mut Vec<u32>) {
        let mut each = |word: &str| match &self.model {
            Model::Bpe(model) => model.encode(word, &mut scratch.merge, out),
            Model::Unigram(model) => model.encode(word, &mut scratch.steps, out),
            Model::WordPiece(model) => model.encode(word, out),
            Model::WordLevel(unknown) => out.extend(self.vocab.id(word.as_bytes()).or(*unknown)),
            Model::Longest(trie, unknown) => longest(trie, *unknown, word.as_bytes(), out),
            Model::Plamo(model) => model.encode(word, out),
        };
        self.splitter.each(text, first, &mut each);
    }

    /// The text of ids. Control tokens are left out unless `special`; bytes that make no character become U+FFFD. A
    /// space that encoding puts before every text is taken off again.
    pub fn decode(&self, ids: &[u32], special: bool) -> String {
        self.decoding.join(self, ids, special)
    }

    /// A decoder for ids as they come.
    pub fn decoder(&self, special: bool) -> Decoder<'_> {
        Decoder::new(self, special)
    }

    /// The bytes that a token stands for: for a control token the text it is written as; nothing for an id outside the
    /// vocabulary.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.pieces.get(id).unwrap_or_default()
    }

    /// The bytes that a token prints: nothing for control tokens unless `special`.
    pub fn printed(&self, id: u32, special: bool) -> &[u8] {
        match self.vocab.kind(id) {
            Kind::Control | Kind::Unknown if !special => &[],
            _ => self.token_bytes(id),
        }
    }

    /// A token as the vocabulary spells it (`Ġthe`, `▁the`, `<0x0A>`), for display.
    pub fn token_name(&self, id: u32) -> String {
        String::from_utf8_lossy(self.vocab.names.get(id).unwrap_or_default()).into_owned()
    }

    /// The id of a token by its spelling in the vocabulary.
    pub fn token_to_id(&self, name: &str) -> Option<u32> {
        self.vocab.id(name.as_bytes())
    }

    /// How many ids there are.
    pub fn vocab_len(&self) -> usize {
        self.vocab.len()
    }

    /// What a token is for.
    pub fn kind(&self, id: u32) -> Kind {
        self.vocab.kind(id)
    }

    /// Whether a token is a marker, not text.
    pub fn special(&self, id: u32) -> bool {
        matches!(self.vocab.kind(id), Kind::Control | Kind::Unknown)
    }

    /// Tokens by role.
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// The token that begins a sequence.
    pub fn bos(&self) -> Option<u32> {
        self.roles.bos
    }

    /// The token that ends a sequence.
    pub fn eos(&self) -> Option<u32> {
        self.roles.eos
    }

    /// Every token after which generation stops, in order.
    pub fn ends(&self) -> impl Iterator<Item = u32> {
        self.ends.iter().copied()
    }

    /// Whether generation stops after this token.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// Whether encoding with special tokens puts the begin token first.
    pub fn add_bos(&self) -> bool {
        !self.prefix.is_empty() && self.prefix.first().copied() == self.roles.bos
    }

    /// Whether encoding with special tokens puts the end token last.
    pub fn add_eos(&self) -> bool {
        !self.suffix.is_empty() && self.suffix.last().copied() == self.roles.eos
    }

    /// Tokens that the file says are never to be sampled.
    pub fn suppressed(&self) -> &[u32] {
        &self.suppressed
    }
}

fn longest(trie: &Trie, unknown: Option<u32>, mut text: &[u8], out: &mut Vec<u32>) {
    while !text.is_empty() {
        let found = trie.longest(trie.root(), text);
        out.extend(found.map(|f| f.1).or(unknown));
        text = &text[found.map_or(1, |f| f.0)..];
    }
}
