//! Grammars through their masks.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod gbnf;
mod hostile;
mod random;
mod schemas;
mod support;
mod texts;
mod valid;
mod validate;
mod vocabularies;
