//! OpenAI's API, as its clients and those of the servers that imitate it use it.
//!
//! | method and path | reads | tells | scope |
//! | --- | --- | --- | --- |
//! | POST /v1/chat/completions | [`chat::request`] | [`chat::Frames`] | use |
//! | POST /v1/moderations | – | [`error::moderations`] | use |
//!
//! A refusal before the first frame is [`error()`] with its status; after it, the frame that a `Frames` makes of
//! `Event::Failed`. `ignored` of a request goes into the log and the header `x-hearth-ignored`.

pub mod answer;
pub mod chat;
pub mod error;
pub mod format;
pub mod messages;
pub mod options;
pub mod sampling;
pub mod tools;

#[cfg(test)]
mod testing;

pub use error::error;

/// `system_fingerprint`: answers of the same one with the same seed are the same.
pub const FINGERPRINT: &str = "fp_hearth";
