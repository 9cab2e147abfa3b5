//! A conversation with a model, in a terminal or for one prompt.

mod conversation;
mod printer;
mod repl;

pub(crate) use conversation::{Conversation, Options, random_seed};
pub(crate) use printer::{Printer, print_statistics, rate};
pub(crate) use repl::repl;
