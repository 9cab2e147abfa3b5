//! Checkpoints converted to GGUF and quantised.
#![forbid(unsafe_code)]
