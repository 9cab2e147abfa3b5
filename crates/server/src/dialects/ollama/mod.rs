//! Ollama's own protocol, under `/api`.
//!
//! | method, path | reads | answers | scope |
//! | --- | --- | --- | --- |
//! | GET, HEAD `/` | | [`ALIVE`] as plain text | none |
//! | POST `/api/generate` | [`generate`] | [`Frames`]; [`loaded`], [`rendered`] by its [`Action`] | use |
//! | POST `/api/chat` | [`chat`] | the same | use |
//! | POST `/api/embed` | [`embed`] | [`embedded`] | use |
//! | POST `/api/embeddings` | [`embeddings`] | [`embedded`] | use |
//!
//! Streams are NDJSON; their default is to stream. A failure before the first line is [`error`], one behind it
//! [`error_line`]. A body must be an object; `null` is absent; what is not known is ignored and told in the last frame.

mod chat;
mod common;
mod embed;
mod error;
mod frames;
mod generate;
mod images;
mod options;
mod part;
#[cfg(test)]
mod tests;
mod time;

pub use chat::chat;
pub use common::{Action, Asked, Kind};
pub use embed::{AskedVectors, embed, embedded, embeddings};
pub use error::{Route, error, error_line};
pub use frames::{Frames, loaded, rendered};
pub use generate::generate;

/// What `GET /` answers; clients compare it.
pub const ALIVE: &str = "Ollama is running";

/// How a field is told that nobody took.
fn ignored(field: &str) -> String {
    format!("{field} is ignored: not known here")
}
