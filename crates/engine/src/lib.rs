//! Sequences, steps and sampling over a loaded model.
#![forbid(unsafe_code)]

pub mod sampling;
