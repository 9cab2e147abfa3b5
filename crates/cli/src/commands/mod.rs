//! One file per command, or per few that belong together.

pub(crate) mod archive;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod create;
pub(crate) mod fit;
pub(crate) mod list;
pub(crate) mod llama_server;
pub(crate) mod logits;
pub(crate) mod pin;
pub(crate) mod prune;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod remove;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod tokenize;
