//! Whole files through the public surface, right and wrong ones.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod directory;
mod draft;
mod files;
mod gguf;
mod gguf_hostile;
mod mlx;
mod safetensors;
