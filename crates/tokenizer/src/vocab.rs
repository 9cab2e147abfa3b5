//! The tokens themselves: their texts, kinds and what they print.

use crate::{
    Error, Result,
    arena::{Arena, Index},
};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Produced by the algorithm.
    Normal,
    /// Stands for what has no token.
    Unknown,
    /// A marker such as the begin of a sequence: never produced from plain text, not printed.
    Control,
    /// Found in any text before the algorithm runs, and printed.
    UserDefined,
    /// Fills up the table.
    Unused,
    /// One byte.
    Byte,
}

impl Kind {
    /// From `tokenizer.ggml.token_type`; 0 and unheard-of numbers are normal.
    pub(crate) fn from_gguf(number: i64) -> Self {
        match number {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Normal,
        }
    }

    /// The number of `tokenizer.ggml.token_type`.
    pub(crate) fn to_gguf(self) -> i32 {
        match self {
            Self::Normal => 1,
            Self::Unknown => 2,
            Self::Control => 3,
            Self::UserDefined => 4,
            Self::Unused => 5,
            Self::Byte => 6,
        }
    }
}

/// A table of tokens.
#[derive(Debug)]
pub(crate) struct Vocab {
    /// Texts as the file has them.
    pub names: Arena,
    /// By text.
    pub index: Index,
    /// What each is for.
    pub kinds: Vec<Kind>,
}

/// Most tokens of a vocabulary; the largest known has 262,144.
pub(crate) const TOKENS_MAX: usize = 1 << 24;

impl Vocab {
    /// Takes texts and kinds, as many of one as of the other.
    ///
    /// # Errors
    /// When two texts are equal, or there are more than 2^24.
    pub(crate) fn new(names: Arena, kinds: Vec<Kind>) -> Result<Self> {
        if names.len() > TOKENS_MAX {
            return Err(Error::Invalid {
                what: "more tokens than the limit of 2^24",
                found: names.len().to_string(),
            });
        }
        let mut index = Index::with_capacity(names.len());
        for (id, text) in names.iter() {
            if let Some(first) = index.insert(&names, id) {
                return Err(Error::Duplicate {
                    first,
                    second: id,
                    text: String::from_utf8_lossy(text).into_owned(),
                });
            }
        }
        Ok(Self {
            names,
            index,
            kinds,
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// The id of a text.
    pub(crate) fn id(&self, text: &[u8]) -> Option<u32> {
        self.index.get(&self.names, text)
    }

    /// The kind of a token; unused if there is no such token.
    pub(crate) fn kind(&self, id: u32) -> Kind {
        self.kinds.get(id as usize).copied().unwrap_or(Kind::Unused)
    }
}
