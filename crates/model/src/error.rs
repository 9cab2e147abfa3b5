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
    /// The backend refused a weight.
    #[error(transparent)]
    Compute(#[from] hearth_compute::Error),
}
