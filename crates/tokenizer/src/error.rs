//! Why a tokenizer was refused.

use std::path::PathBuf;

/// Why a tokenizer could not be built. Each says which file, key or token is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key that the vocabulary needs is absent or has another type.
    #[error("`{key}` is missing or not {expected}")]
    Missing {
        /// The key of the metadata or of `tokenizer.json`.
        key: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// Two tokens have the same text.
    #[error("tokens {first} and {second} are both {text:?}")]
    Duplicate {
        /// The lower id.
        first: u32,
        /// The higher id.
        second: u32,
        /// Their text.
        text: String,
    },
    /// A part of the vocabulary contradicts another.
    #[error("{what}: {found}")]
    Invalid {
        /// What is wrong, and where.
        what: &'static str,
        /// The offending value.
        found: String,
    },
    /// A tokenizer that exists, but that this crate does not run.
    #[error("{what} `{name}` is not supported")]
    Unsupported {
        /// What kind of thing it is.
        what: &'static str,
        /// Its name in the file.
        name: String,
    },
    /// `tokenizer.json` or a file beside it is not what it should be.
    #[error("{file}: {source}")]
    Json {
        /// The file.
        file: String,
        /// Where it breaks.
        source: serde_json::Error,
    },
    /// A split pattern that the regex engine refuses.
    #[error("split pattern `{pattern}`: {source}")]
    Pattern {
        /// The expression.
        pattern: String,
        /// The engine's reason.
        source: Box<fancy_regex::Error>,
    },
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A directory without any vocabulary.
    #[error(
        "{place}: no tokenizer found; expected a GGUF with `tokenizer.ggml.*`, or one of tokenizer.json, \
         tokenizer.model, spiece.model, vocab.txt beside the weights"
    )]
    NotFound {
        /// The checkpoint.
        place: String,
    },
}

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
