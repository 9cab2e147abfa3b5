//! Why a checkpoint was not converted.

use std::io;

use crate::EncodeError;

/// Names the checkpoint or tensor, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source has lost precision already.
    #[error(
        "{place}: the tensor '{tensor}' is quantised already ({found}); convert from the F16, BF16 or F32 original, or \
         allow requantising"
    )]
    AlreadyQuantized {
        /// The checkpoint.
        place: String,
        /// The first such tensor.
        tensor: String,
        /// Its type.
        found: String,
    },
    /// The file is a GGUF of another kind.
    #[error("{place}: expected a model, found a GGUF of type '{found}' (`general.type`)")]
    NotAModel {
        /// The checkpoint.
        place: String,
        /// What it is.
        found: String,
    },
    /// A tensor's values do not fit its new type.
    #[error("{place}: the tensor '{tensor}', row {row}: {source}")]
    Encode {
        /// The checkpoint.
        place: String,
        /// The tensor, by its name in the new file.
        tensor: String,
        /// The row, from 0.
        row: usize,
        /// What is wrong.
        #[source]
        source: EncodeError,
    },
    /// A tensor is missing, or not of the shape that the settings ask for.
    #[error("{place}: the tensor '{tensor}' {problem}")]
    Tensor {
        /// The checkpoint.
        place: String,
        /// The tensor.
        tensor: String,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// GGUF files of the family have no way to say something that the checkpoint says.
    #[error("{place}: a GGUF file of this family cannot say that {what}; run the directory itself")]
    Inexpressible {
        /// The checkpoint.
        place: String,
        /// What would be lost.
        what: String,
    },
    /// A model that is no plain decoder.
    #[error(
        "{place}: this is {what}, and only decoders of attention are converted; run the directory itself"
    )]
    NoDecoder {
        /// The checkpoint.
        place: String,
        /// What it is.
        what: &'static str,
    },
    /// The family is not known, or a setting makes no sense.
    #[error(transparent)]
    Model(#[from] hearth_model::Error),
    /// The vocabulary cannot be read or written.
    #[error("{place}: {source}")]
    Vocabulary {
        /// The checkpoint.
        place: String,
        /// What is wrong.
        #[source]
        source: hearth_tokenizer::Error,
    },
    /// A file beside the weights cannot be read.
    #[error("{file}: {problem}")]
    SideFile {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// The new file cannot be written.
    #[error("cannot write the GGUF file: {0}")]
    Write(#[source] io::Error),
    /// The caller wanted no more.
    #[error("the conversion was cancelled")]
    Cancelled,
}
