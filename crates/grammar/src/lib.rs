//! Grammars and schemas as masks over a vocabulary: which tokens may come next.
//!
//! A [`Vocabulary`] is built once per model. It compiles a [`Grammar`] (JSON Schema, regular expression, GBNF or Lark)
//! into a [`Matcher`], which is asked for a [`Mask`] before each token and told each token that was taken. Not here:
//! models, sampling, chat.
//!
//! Grammars come from strangers: compiling one ends in bounded time and memory or in an error, and never panics.
#![forbid(unsafe_code)]

mod compile;
mod environment;
mod error;
mod gbnf;
mod lark;
mod mask;
mod matcher;
mod schema;
mod vocabulary;
mod weight;

pub use compile::Grammar;
pub use error::{Error, Result};
pub use mask::Mask;
pub use matcher::Matcher;
pub use vocabulary::Vocabulary;
