//! Why a request is refused, before a dialect puts it in its own words.

use std::time::Duration;

/// A refusal. Its text never has paths, addresses or another caller's words.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// No model of that name.
    #[error("model '{0}' not found")]
    UnknownModel(String),
    /// A field is missing or says what cannot be.
    #[error("{message}")]
    Invalid {
        /// The field, as the client wrote it; empty where it is none of them.
        field: String,
        /// What was expected and found.
        message: String,
    },
    /// The model cannot do it.
    #[error("\"{model}\" does not support {capability}")]
    Unsupported {
        /// The model by its full name.
        model: String,
        /// `generate`, `chat`, `tools`, `thinking`, `insert`, `embed`, `rerank`, `classify`, `images`, `audio`.
        capability: &'static str,
    },
    /// It does not fit the context.
    #[error(
        "the prompt has {prompt} tokens, the context of this model holds {context} and one must be left for the answer: nothing was cut"
    )]
    Context {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of the context.
        context: usize,
    },
    /// Too many wait.
    #[error("server busy, please try again.  maximum pending requests exceeded")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The model could not be loaded, with the reason.
    #[error("{0}")]
    Load(String),
    /// A template could not be rendered for these messages.
    #[error("{0}")]
    Template(String),
    /// Something went wrong here; the log has the rest.
    #[error("{0}")]
    Internal(String),
    /// The caller went away, or the server shuts down.
    #[error("request canceled")]
    Cancelled,
}

impl Failure {
    /// A field that says what cannot be.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            message: message.into(),
        }
    }
}
