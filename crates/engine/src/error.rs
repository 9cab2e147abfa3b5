//! Why a model could not be loaded, or a text not be continued.

/// Says what was expected, what was found, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The checkpoint is no model that runs.
    #[error(transparent)]
    Model(#[from] hearth_model::Error),
    /// The vocabulary cannot be read.
    #[error("vocabulary: {0}")]
    Tokenizer(#[from] hearth_tokenizer::Error),
    /// The backend refused.
    #[error(transparent)]
    Compute(#[from] hearth_compute::Error),
    /// The vocabulary has tokens that the embedding has no row for.
    #[error(
        "the vocabulary has {tokens} tokens, the embedding only {rows} rows: the files do not belong together"
    )]
    Vocabulary {
        /// Tokens of the vocabulary.
        tokens: usize,
        /// Rows of the embedding.
        rows: usize,
    },
    /// The model does not fit into memory. Sizes are in MiB.
    #[error(
        "a context of {context} tokens needs {needed} MiB of memory (weights {weights}, cache {cache}, the rest {rest}), {available} MiB are free: {next}; --force loads it all the same"
    )]
    Memory {
        /// Tokens of the context.
        context: usize,
        /// What is needed.
        needed: usize,
        /// Weights.
        weights: usize,
        /// Keys and values.
        cache: usize,
        /// Everything else.
        rest: usize,
        /// What is there.
        available: usize,
        /// What to do.
        next: String,
    },
    /// A context of nothing.
    #[error("a context of 0 tokens holds nothing; give at least 1")]
    NoContext,
    /// The prompt is longer than the context.
    #[error(
        "the prompt has {prompt} tokens, the context holds {context} and one must be left for the answer: nothing was cut; shorten the prompt or give a larger --ctx"
    )]
    Prompt {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of the context.
        context: usize,
    },
    /// Nothing to continue.
    #[error("the prompt has no tokens: give some text, or a vocabulary with a begin token")]
    EmptyPrompt,
    /// The grammar allows nothing, or not what was chosen.
    #[error("the form that the answer must have cannot be kept: {0}")]
    Guide(String),
    /// Something broke while this text was computed; others were not touched.
    #[error("computing this answer failed inside the engine; the log says where")]
    Broken,
    /// A token that the vocabulary does not have.
    #[error("token {id} is not in the vocabulary, which has {vocab} tokens")]
    Token {
        /// The token.
        id: u32,
        /// Tokens of the vocabulary.
        vocab: usize,
    },
    /// The model is being unloaded.
    #[error("the model is being unloaded; ask again")]
    Stopped,
    /// No token is possible.
    #[error(
        "the model gives no token a usable score after {position} tokens: its weights are damaged, or the settings forbid every token"
    )]
    NoToken {
        /// Tokens before.
        position: usize,
    },
}
