//! Why a model could not be loaded or run.

/// Names the place in the checkpoint and what was expected there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No family has this architecture.
    #[error("{place}: architecture '{found}' is not one that hearth runs; it runs {known}")]
    Architecture {
        /// The checkpoint.
        place: String,
        /// What the metadata says.
        found: String,
        /// The architectures of [`crate::families`].
        known: String,
    },
    /// A setting is absent.
    #[error("{place}: the setting '{key}' is missing")]
    MissingSetting {
        /// The checkpoint.
        place: String,
        /// Its name in the checkpoint's own form.
        key: String,
    },
    /// A setting makes no sense.
    #[error("{place}: the setting '{key}' is {found}, expected {expected}")]
    Setting {
        /// The checkpoint.
        place: String,
        /// Its name in the checkpoint's own form.
        key: String,
        /// What it says.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A weight is absent.
    #[error("{place}: the tensor '{tensor}' is missing (expected shape {expected:?})")]
    MissingTensor {
        /// The checkpoint.
        place: String,
        /// Its name in the checkpoint's own form.
        tensor: String,
        /// Sizes, outermost first.
        expected: Vec<usize>,
    },
    /// A weight has another shape than the settings ask for.
    #[error("{place}: the tensor '{tensor}' has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The checkpoint.
        place: String,
        /// Its name in the checkpoint's own form.
        tensor: String,
        /// Sizes in the file, outermost first.
        found: Vec<usize>,
        /// Sizes that the settings ask for.
        expected: Vec<usize>,
    },
    /// A token id outside the vocabulary.
    #[error("token id {id} is outside the vocabulary of {vocab}")]
    Token {
        /// The id.
        id: u32,
        /// Number of rows of the embedding.
        vocab: usize,
    },
    /// A text that cannot be encoded as a whole.
    #[error(
        "a text of {tokens} tokens cannot be encoded: this model reads 1 to {context} tokens at once; nothing was cut, shorten the text or split it"
    )]
    Length {
        /// Tokens of the text.
        tokens: usize,
        /// Positions of the model.
        context: usize,
    },
    /// Scores of a model that gives none.
    #[error(
        "this {family} has no classifier: it gives no scores, only embeddings; take a reranker or a classifier"
    )]
    NoClassifier {
        /// The family.
        family: &'static str,
    },
    /// Logits of a model that gives none.
    #[error("{family} is an encoder: it gives embeddings and generates no text")]
    Encoder {
        /// The family.
        family: &'static str,
    },
    /// The backend refused a weight.
    #[error(transparent)]
    Compute(#[from] hearth_compute::Error),
}
