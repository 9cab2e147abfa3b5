//! Conversions against the conformance kit: types, errors, logits and ids of what was written.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "conversion/directories.rs"]
mod directories;
#[path = "conversion/forms.rs"]
mod forms;
#[path = "conversion/kit.rs"]
mod kit;
#[path = "conversion/quantized.rs"]
mod quantized;
