//! Why a grammar was refused or a token does not fit.

/// Why a grammar could not be compiled or followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A JSON Schema that asks for something impossible or unsupported.
    #[error("JSON schema at {path}: {reason}")]
    Schema {
        /// JSON pointer to the place, from `#`.
        path: String,
        /// What is wrong there.
        reason: String,
    },
    /// A regular expression that does not parse or uses what has no automaton (look-around, back-references).
    #[error("regular expression: {reason}")]
    Regex {
        /// The reason, with the place.
        reason: String,
    },
    /// A GBNF grammar that does not parse.
    #[error("GBNF grammar, line {line}, column {column}: {reason}")]
    Gbnf {
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What was expected and what was found.
        reason: String,
    },
    /// A Lark grammar that does not parse.
    #[error("Lark grammar: {reason}")]
    Lark {
        /// The reason, with line and column.
        reason: String,
    },
    /// A grammar beyond what is compiled, in the unit that `what` names.
    #[error("{what}: {found}, but at most {limit} are accepted; make the grammar smaller")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        found: usize,
        /// How much is accepted.
        limit: usize,
    },
    /// A token that the grammar does not allow here. The matcher is as it was.
    #[error(
        "token {token} ({text:?}) does not continue the grammar; take one that the mask allows"
    )]
    Refused {
        /// The id.
        token: u32,
        /// Its text.
        text: String,
    },
    /// The grammar cannot be followed further: a limit of work per step, or no token of the vocabulary fits.
    #[error("the grammar cannot be followed: {reason}")]
    Stuck {
        /// The reason.
        reason: String,
    },
    /// A vocabulary that no grammar can be applied to.
    #[error("vocabulary: {reason}")]
    Vocabulary {
        /// The reason.
        reason: String,
    },
    /// The system gave no thread to compile on.
    #[error("no thread to compile the grammar on: {reason}")]
    Thread {
        /// The system's reason.
        reason: String,
    },
}

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The engine's message without its internal state and backtraces.
pub(crate) fn plain(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    let end = ["\n<non-verbose/>", "\n<backtrace>", "\n<state>"]
        .iter()
        .filter_map(|marker| text.find(marker))
        .min();
    let mut text = text[..end.unwrap_or(text.len())].trim_end().to_owned();
    const LONGEST: usize = 2000;
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}
