//! Puts a tokenizer together from what a file says, one function per algorithm.

use std::collections::BTreeSet;

use crate::{
    Result,
    arena::Arena,
    bpe::{Bpe, Fallback, Parts, Start},
    bytes,
    charsmap::Charsmap,
    cuts::SPACE,
    decode::{Decoding, Spelling},
    markers::{Marker, Markers, Order},
    merge::NONE,
    normalize::{Bert, Step},
    plamo::Plamo,
    roles::{self, Roles},
    split::{Behavior, Pattern, Splitter, Stage},
    tokenizer::{Model, Tokenizer},
    trie::Trie,
    unicode::{PUNCTUATION, SPACE as WHITE},
    unigram::Unigram,
    vocab::{Kind, Vocab},
    wordpiece::WordPiece,
};

/// What is added to texts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// A space before.
    pub add_space_prefix: bool,
    /// The begin token.
    pub add_bos: bool,
    /// The end token.
    pub add_eos: bool,
    /// Runs of spaces count as one.
    pub remove_extra_spaces: bool,
}

/// Special tokens that take white space with them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Strip {
    /// None.
    #[default]
    None,
    /// This one, before it.
    Before(&'static str),
    /// All but these, and `</s>`, after them.
    AfterAllBut(&'static [&'static str]),
}

/// A vocabulary on its way to a tokenizer.
#[derive(Debug)]
pub(crate) struct Draft {
    pub vocab: Vocab,
    pub roles: Roles,
    pub ends: BTreeSet<u32>,
    pub flags: Flags,
    pub strip: Strip,
    pub suppressed: Vec<u32>,
    /// Tokens that plain text must not become.
    control: Vec<bool>,
}

/// What differs between the algorithms.
pub(crate) struct Finish {
    pub model: Model,
    pub steps: Vec<Step>,
    pub splitter: Splitter,
    pub spelling: Spelling,
    pub decoding: Decoding,
}

fn is_control(kind: Kind) -> bool {
    matches!(kind, Kind::Control | Kind::Unknown)
}

impl Draft {
    /// Checks the texts and finds the roles.
    ///
    /// # Errors
    /// When two texts are equal or there are too many.
    pub(crate) fn new(
        names: Arena,
        kinds: Vec<Kind>,
        mut roles: Roles,
        flags: Flags,
    ) -> Result<Self> {
        let mut vocab = Vocab::new(names, kinds)?;
        let before = vocab.kinds.clone();
        let ends = roles::complete(&mut roles, &mut vocab, &[]);
        let both = before.iter().zip(&vocab.kinds);
        Ok(Self {
            control: both
                .map(|(a, b)| is_control(*a) || is_control(*b))
                .collect(),
            vocab,
            roles,
            ends,
            flags,
            strip: Strip::None,
            suppressed: Vec::new(),
        })
    }

    /// Whether plain text must not become this token.
    pub(crate) fn is_control(&self, id: u32) -> bool {
        self.control.get(id as usize).copied().unwrap_or(false)
    }

    /// The markers of a GGUF: all control, unknown and user-defined tokens.
    fn markers(&self) -> Result<Markers> {
        let markers = self.vocab.names.iter().filter_map(|(id, name)| {
            let kind = self.vocab.kind(id);
            if !is_control(kind) && kind != Kind::UserDefined && !self.is_control(id) {
                return None;
            }
            let text = std::str::from_utf8(name).ok()?.to_owned();
            let (lstrip, rstrip) = match self.strip {
                Strip::None => (false, false),
                Strip::Before(only) => (text == only, false),
                Strip::AfterAllBut(spared) => {
                    let named = is_control(kind) || text == "</s>";
                    (false, named && !spared.contains(&text.as_str()))
                }
            };
            Some(Marker {
                control: self.is_control(id),
                id,
                text,
                lstrip,
                rstrip,
                single_word: false,
            })
        });
        Markers::new(markers.collect(), Order::Longest)
    }

    /// The tokenizer with the markers of a GGUF.
    pub(crate) fn finish(self, parts: Finish) -> Result<Tokenizer> {
        let markers = self.markers()?;
        let some = |wanted: bool, id: Option<u32>| id.filter(|_| wanted).into_iter().collect();
        let prefix = some(self.flags.add_bos, self.roles.bos);
        let suffix = some(self.flags.add_eos, self.roles.eos);
        Ok(self.finish_with(parts, [markers, Markers::default()], prefix, suffix))
    }

    /// The tokenizer with markers in the raw and the normalised text, and tokens around.
    pub(crate) fn finish_with(
        self,
        parts: Finish,
        markers: [Markers; 2],
        prefix: Vec<u32>,
        suffix: Vec<u32>,
    ) -> Tokenizer {
        let [markers, late_markers] = markers;
        Tokenizer {
            pieces: parts.spelling.pieces(&self.vocab),
            vocab: self.vocab,
            roles: self.roles,
            ends: self.ends,
            markers,
            late_markers,
            steps: parts.steps,
            splitter: parts.splitter,
            model: parts.model,
            prefix,
            suffix,
            decoding: parts.decoding,
            suppressed: self.suppressed,
        }
    }

    /// The tokens for single bytes that are written like `<0x0A>`.
    pub(crate) fn byte_tokens(&self) -> Box<[u32; 256]> {
        let mut table = Box::new([NONE; 256]);
        for (id, name) in self.vocab.names.iter() {
            if let Some(byte) = bytes::of_token(name) {
                table[usize::from(byte)] = id;
            }
        }
        table
    }

    /// Texts as SentencePiece writes them; markers and byte tokens are no part of any word.
    fn word_texts(&self) -> Vec<Option<Vec<u8>>> {
        let texts = self.vocab.names.iter().map(|(id, name)| {
            let in_words = !is_control(self.vocab.kind(id)) && self.vocab.kind(id) != Kind::Byte;
            in_words.then(|| name.to_vec())
        });
        texts.collect()
    }
}

fn spaces_escaped() -> Step {
    Step::Replace(Pattern::Literal(" ".into()), SPACE.into())
}

/// SentencePiece with pair encoding by score.
pub(crate) fn spm(draft: Draft, scores: Vec<f32>, charsmap: Option<Charsmap>) -> Result<Tokenizer> {
    let flags = draft.flags;
    let mut fallback = draft.byte_tokens();
    for byte in 0..128_u8 {
        let entry = &mut fallback[usize::from(byte)];
        if *entry == NONE {
            *entry = draft.vocab.id(&[byte]).unwrap_or(NONE);
        }
    }
    let bpe = Bpe::by_rank(
        Parts {
            start: Start::Chars,
            texts: draft.word_texts(),
            kinds: &draft.vocab.kinds,
            fallback: Fallback {
                bytes: fallback,
                all_or_none: true,
                unknown: draft.roles.unknown,
                fuse: false,
            },
            whole: &|_| false,
        },
        ranks(&scores),
    )?;
    let mut steps: Vec<Step> = charsmap.map(Step::Charsmap).into_iter().collect();
    if flags.remove_extra_spaces {
        steps.push(Step::Spaces {
            add_prefix: flags.add_space_prefix,
            remove_extra: true,
        });
    } else {
        if flags.add_space_prefix {
            steps.push(Step::Prepend(SPACE.into()));
        }
        steps.push(spaces_escaped());
    }
    draft.finish(Finish {
        model: Model::Bpe(Box::new(bpe)),
        steps,
        splitter: Splitter::default(),
        spelling: Spelling::spaces(),
        decoding: Decoding {
            strip_space: flags.add_space_prefix,
            clean: false,
        },
    })
}

/// The place of each score among all, highest first, equal ones alike.
fn ranks(scores: &[f32]) -> Vec<u32> {
    let clean = |s: f32| {
        if s.is_nan() {
            f32::NEG_INFINITY
        } else {
            s + 0.0
        }
    };
    let mut order: Vec<f32> = scores.iter().map(|s| clean(*s)).collect();
    order.sort_by(|a, b| b.total_cmp(a));
    order.dedup();
    let place = |s: &f32| order.partition_point(|other| *other > clean(*s)) as u32;
    scores.iter().map(place).collect()
}

/// Byte-level pair encoding. Without merges, pairs are ranked by the id of what they make.
pub(crate) fn byte_level(
    draft: Draft,
    merges: Option<Vec<(&[u8], &[u8])>>,
    splitter: Splitter,
    ignore_merges: bool,
) -> Result<Tokenizer> {
    let mut fallback = Box::new([NONE; 256]);
    for byte in 0..=255_u8 {
        let name = bytes::to_char(byte).to_string();
        fallback[usize::from(byte)] = draft.vocab.id(name.as_bytes()).unwrap_or(NONE);
    }
    let parts = Parts {
        start: Start::Bytes,
        texts: draft
            .vocab
            .names
            .iter()
            .map(|(_, name)| bytes::decode(name))
            .collect(),
        kinds: &draft.vocab.kinds,
        fallback: Fallback {
            bytes: fallback,
            all_or_none: false,
            unknown: None,
            fuse: false,
        },
        whole: &|_| ignore_merges,
    };
    let bpe = match merges {
        Some(merges) => Bpe::by_merges(
            parts,
            merges
                .iter()
                .map(|(left, right)| Some((bytes::decode(left)?, bytes::decode(right)?))),
        )?,
        None => Bpe::by_rank(parts, (0..draft.vocab.len() as u32).collect())?,
    };
    draft.finish(Finish {
        model: Model::Bpe(Box::new(bpe)),
        steps: Vec::new(),
        splitter,
        spelling: Spelling::ByteLevel,
        decoding: Decoding::default(),
    })
}

/// Pair encoding by merges over characters, spaces written U+2581.
pub(crate) fn raw_bpe(
    draft: Draft,
    merges: Vec<(&[u8], &[u8])>,
    splitter: Splitter,
) -> Result<Tokenizer> {
    let flags = draft.flags;
    let bpe = Bpe::by_merges(
        Parts {
            start: Start::Chars,
            texts: draft.word_texts(),
            kinds: &draft.vocab.kinds,
            fallback: Fallback {
                bytes: draft.byte_tokens(),
                all_or_none: true,
                unknown: draft.roles.unknown,
                fuse: false,
            },
            whole: &|text| text.iter().all(|b| *b == b'\n'),
        },
        merges
            .iter()
            .map(|(left, right)| Some((left.to_vec(), right.to_vec()))),
    )?;
    let mut steps = Vec::new();
    if flags.add_space_prefix {
        steps.push(Step::Prepend(SPACE.into()));
    }
    steps.push(spaces_escaped());
    draft.finish(Finish {
        model: Model::Bpe(Box::new(bpe)),
        steps,
        splitter,
        spelling: Spelling::spaces(),
        decoding: Decoding {
            strip_space: flags.add_space_prefix,
            clean: false,
        },
    })
}

/// SentencePiece with unigram scores.
pub(crate) fn unigram(
    draft: Draft,
    scores: Vec<f32>,
    charsmap: Option<Charsmap>,
) -> Result<Tokenizer> {
    let flags = draft.flags;
    let mut steps: Vec<Step> = charsmap.map(Step::Charsmap).into_iter().collect();
    steps.push(Step::Spaces {
        add_prefix: flags.add_space_prefix,
        remove_extra: flags.remove_extra_spaces,
    });
    let model = Unigram::new(&draft.vocab, scores, draft.roles.unknown, None);
    draft.finish(Finish {
        model: Model::Unigram(Box::new(model)),
        steps,
        splitter: Splitter::default(),
        spelling: Spelling::spaces(),
        decoding: Decoding {
            strip_space: flags.add_space_prefix || flags.remove_extra_spaces,
            clean: false,
        },
    })
}

/// The cutting of BERT: white space away, each punctuation character alone.
pub(crate) fn bert_stages() -> Vec<Stage> {
    vec![
        Stage::Cut {
            pattern: Pattern::Chars(|classes, c| classes.of(c) & WHITE != 0),
            behavior: Behavior::Removed,
            invert: false,
        },
        Stage::Cut {
            pattern: Pattern::Chars(|classes, c| {
                c.is_ascii_punctuation() || classes.of(c) & PUNCTUATION != 0
            }),
            behavior: Behavior::Isolated,
            invert: false,
        },
    ]
}

/// Word pieces as a GGUF spells them.
pub(crate) fn wordpiece(draft: Draft, lowercase: bool, strip_accents: bool) -> Result<Tokenizer> {
    let pieces = draft
        .vocab
        .names
        .iter()
        .filter(|(id, _)| !is_control(draft.vocab.kind(*id)));
    let model = WordPiece::new(
        pieces.map(|(id, name)| (name, id)),
        draft.roles.unknown,
        usize::MAX,
    );
    let bert = Bert {
        clean: true,
        ideographs: true,
        strip_accents,
        lowercase,
    };
    let suffix = draft
        .roles
        .separator
        .or(draft.roles.eos)
        .into_iter()
        .collect();
    let mut tokenizer = draft.finish(Finish {
        model: Model::WordPiece(model),
        steps: vec![Step::Bert(bert)],
        splitter: Splitter {
            stages: bert_stages(),
        },
        spelling: Spelling::spaces(),
        decoding: Decoding {
            strip_space: true,
            clean: true,
        },
    })?;
    tokenizer.suffix = suffix;
    Ok(tokenizer)
}

/// RWKV: the longest token from the left, over bytes.
pub(crate) fn longest(draft: Draft) -> Result<Tokenizer> {
    let vocab = &draft.vocab;
    let pieces = vocab
        .names
        .iter()
        .filter(|(id, _)| !is_control(vocab.kind(*id)));
    let pieces: Vec<_> = pieces
        .map(|(id, name)| (bytes::unescape(name), id))
        .collect();
    let trie = Trie::new(pieces.iter().map(|(text, id)| (text.as_slice(), *id)));
    let model = Model::Longest(trie, draft.roles.unknown);
    draft.finish(Finish {
        model,
        steps: Vec::new(),
        splitter: Splitter::default(),
        spelling: Spelling::Escaped,
        decoding: Decoding::default(),
    })
}

/// PLaMo-2.
pub(crate) fn plamo(draft: Draft, scores: &[f32]) -> Result<Tokenizer> {
    let model = Model::Plamo(Box::new(Plamo::new(&draft.vocab, scores)));
    draft.finish(Finish {
        model,
        steps: Vec::new(),
        splitter: Splitter::default(),
        spelling: Spelling::Replace(Vec::new()),
        decoding: Decoding::default(),
    })
}
