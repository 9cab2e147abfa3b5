//! Why a model is not there or cannot be run.

/// Says what was expected, what was found, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] hearth_store::Error),
    /// Its name is none.
    #[error(transparent)]
    Name(#[from] hearth_store::NameError),
    /// The files are no checkpoint.
    #[error(transparent)]
    Format(#[from] hearth_format::Error),
    /// The template cannot be read.
    #[error(transparent)]
    Template(#[from] hearth_chat::Error),
    /// It is not here.
    #[error("{0} runs in Ollama's cloud: nothing of it is on this machine")]
    Cloud(String),
    /// A name means it, and it is not here.
    #[error("{title} is {name}, which is not on this machine yet: pull it")]
    NotFetched {
        /// What it was asked by.
        title: String,
        /// What it is.
        name: String,
    },
    /// A part of it would be left out.
    #[error(
        "{0} has a LoRA adapter, which hearth cannot apply yet; its base would answer differently, so it is not run"
    )]
    Adapter(String),
    /// A parameter says what cannot be.
    #[error("{model}: parameter {name} is {value}, which it cannot be")]
    Parameter {
        /// The model.
        model: String,
        /// The parameter.
        name: String,
        /// Its value.
        value: String,
    },
}

/// What this module's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
