//! Ollama's own protocol, under `/api`.
//!
//! | method, path | reads | answers | scope |
//! | --- | --- | --- | --- |
//! | GET, HEAD `/` | | [`ALIVE`] as plain text | none |
//! | GET, HEAD `/api/version` | | [`version`] | none |
//! | GET `/api/status` | | [`status`] | none |
//! | POST `/api/generate` | [`generate`] | [`Frames`]; [`loaded`], [`rendered`] by its [`Action`] | use |
//! | POST `/api/chat` | [`chat`] | the same | use |
//! | POST `/api/embed` | [`embed`] | [`embedded`] | use |
//! | POST `/api/embeddings` | [`embeddings`] | [`embedded`] | use |
//! | GET, HEAD `/api/tags` | | [`tags`] | use |
//! | GET `/api/ps` | | [`ps`] | use |
//! | POST `/api/show` | [`asked_show`] | [`show`] | use |
//! | POST `/api/pull`, `/api/push` | [`asked_transfer`] | [`Progress`], or [`success`] | manage |
//! | POST `/api/create` | [`asked_create`] | [`Progress`] and [`quantizing`], then [`success`] | manage |
//! | POST `/api/copy` | [`asked_copy`] | 200 without a body | manage |
//! | DELETE `/api/delete` | [`asked_delete`] | 200 without a body | manage |
//! | HEAD, POST `/api/blobs/{digest}` | [`digest`] | 200, 201 or 404 without a body; [`digest_mismatch`] | manage |
//! | the hosted service's | | [`hosted`] | none |
//!
//! What the store refuses is told by [`store_error`].
//!
//! Streams are NDJSON; their default is to stream. A failure before the first line is [`error`], one behind it
//! [`error_line`]. A body must be an object; `null` is absent; what is not known is ignored and told in the last frame.

mod chat;
mod common;
mod create;
mod embed;
mod error;
mod frames;
mod generate;
mod images;
mod listing;
mod manage;
mod options;
mod part;
mod show;
#[cfg(test)]
mod tests;
mod time;
mod transfer;

pub use chat::chat;
pub use common::{Action, Asked, Kind};
pub use create::{AskedCreate, asked_create};
pub use embed::{AskedVectors, embed, embedded, embeddings};
pub use error::{Route, error, error_line};
pub use frames::{Frames, loaded, rendered};
pub use generate::generate;
pub use listing::{Details, Listed, Resident, ps, tags};
pub use manage::{
    VERSION, asked_copy, asked_delete, digest, digest_mismatch, hosted, status, store_error,
    version,
};
pub use show::{AskedShow, Shown, asked_show, capabilities, show};
pub use transfer::{
    AskedTransfer, Progress, Transfer, asked_transfer, quantizing, success, success_with,
};

/// What `GET /` answers; clients compare it.
pub const ALIVE: &str = "Ollama is running";

/// How a field is told that nobody took.
fn ignored(field: &str) -> String {
    format!("{field} is ignored: not known here")
}
