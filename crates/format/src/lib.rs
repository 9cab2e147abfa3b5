//! Model files as they are: GGUF, safetensors and MLX directories, mapped and checked, never converted.
//!
//! [`Checkpoint`] is any of them seen as one thing. Every count, length and offset of a file is checked against
//! the file's size before it is used, so a [`Tensor`] is always inside its file.

#![deny(unsafe_code)]

mod blocks;
mod bytes;
mod checkpoint;
mod directory;
mod error;
mod files;
mod gguf;
mod json;
#[allow(
    unsafe_code,
    reason = "mapping a file is the one thing here that the compiler cannot check"
)]
mod map;
mod metadata;
mod mlx;
mod safetensors;
mod tensor;
mod writer;

pub use blocks::BlockType;
pub use bytes::{Backing, Bytes};
pub use checkpoint::{Checkpoint, Source};
pub use error::Error;
pub use gguf::{Gguf, PartName};
pub use json::read as read_json;
pub use map::map_file;
pub use metadata::{Array, Metadata, Text, Value};
pub use safetensors::SafeTensors;
pub use tensor::{Affine, Storage, Tensor};
pub use writer::{GgufBody, GgufWriter};

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
