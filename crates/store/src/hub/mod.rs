//! Repositories of the Hugging Face hub: what their listings say, and which of their files make up a model.
//!
//! Only `pull` talks to a network. For the rest listings come in as bytes, and a [`Choice`] goes out.

mod choose;
mod directory;
mod git;
mod group;
mod label;
mod pull;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use choose::CHECKPOINT_TAG;
pub use choose::{Choice, ChoiceKind, INDEX};
pub(crate) use directory::{WHOLE, listed_files, missing_part};
pub use git::git_oid;
pub(crate) use group::{Group, Groups, projector_for, words};
pub(crate) use label::{bare, file_name, folder};
pub use tree::{HubFile, Revision, Tree};
