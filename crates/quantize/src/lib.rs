//! Checkpoints converted to GGUF and quantised.
//!
//! [`convert`] writes what hearth reads as one GGUF file: a GGUF with its metadata kept, or a Hugging Face directory
//! under the names, shapes and conventions of GGUF. A [`Mixture`] says what matrices are stored as. Tensors are
//! streamed: some rows are in memory at a time, never a tensor of the whole.
#![forbid(unsafe_code)]

mod convert;
mod encode;
mod error;
mod gguf;
mod hf;
mod mixture;
mod plan;
mod rules;
mod side;
mod write;

pub use convert::{Options, Progress, Summary, convert};
pub use encode::{EncodeError, encodable, encode};
pub use error::Error;
pub use mixture::{Mixture, Outline, UnknownMixture};

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
