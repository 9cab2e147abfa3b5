//! One file per command.

pub(crate) mod bench;
pub(crate) mod logits;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod tokenize;
