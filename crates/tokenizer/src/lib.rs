//! Vocabularies: text to token ids and back.
//!
//! [`Tokenizer`] is any of them: byte-level and SentencePiece pair encoding, Unigram, WordPiece, and the two of RWKV and
//! PLaMo-2, read from a GGUF, a `tokenizer.json` or a SentencePiece model. Not here: chat templates.
#![forbid(unsafe_code)]

mod arena;
mod assemble;
mod bpe;
mod bytes;
mod charsmap;
mod checkpoint;
mod cuts;
mod decode;
mod error;
mod export;
mod gguf;
mod json;
mod markers;
mod merge;
mod normalize;
mod plamo;
mod roles;
mod sentencepiece;
mod split;
mod tokenizer;
mod trie;
mod unicode;
mod unigram;
mod vocab;
mod vocab_txt;
mod wordpiece;

pub use decode::{Decoder, Utf8Stream};
pub use error::{Error, Result};
pub use roles::Roles;
pub use tokenizer::{EncodeOptions, Tokenizer};
pub use vocab::Kind;
