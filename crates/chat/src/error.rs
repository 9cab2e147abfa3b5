//! What can go wrong between messages and a prompt.

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a template was refused or did not render.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The template is not valid in its language.
    #[error("chat template, line {line}: {message}")]
    Syntax {
        /// The line in the template, from 1; 0 where the place is not known.
        line: usize,
        /// What the parser expected and found.
        message: String,
    },

    /// The template called `raise_exception`: it refuses these messages (an error of the caller).
    #[error("the chat template refuses these messages: {message}")]
    Refused {
        /// The text that the template gave.
        message: String,
    },

    /// The template failed on these messages.
    #[error("chat template, line {line}: {message}")]
    Render {
        /// The line in the template, from 1; 0 where the place is not known.
        line: usize,
        /// What failed.
        message: String,
    },

    /// The template asked for more time or memory than rendering may take.
    #[error("chat template stopped at its limit: {message}")]
    Limit {
        /// Which limit, and what it is.
        message: String,
    },

    /// There is no built-in template of this name.
    #[error("no built-in chat template {name:?}; there are: {known}")]
    UnknownName {
        /// The name asked for.
        name: String,
        /// All names, separated by commas.
        known: String,
    },

    /// The thread that renders could not be started, or the engine inside it failed.
    #[error("rendering a chat template failed: {message}")]
    Engine {
        /// The cause.
        message: String,
    },
}
