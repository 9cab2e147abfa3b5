//! Grammars through their masks.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod schemas;
mod support;
mod texts;
mod vocabularies;
