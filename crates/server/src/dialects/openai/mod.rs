//! OpenAI's API, as its clients and those of the servers that imitate it use it.
//!
//! | method and path | reads | tells | scope |
//! | --- | --- | --- | --- |
//! | POST /v1/chat/completions | [`chat::request`] | [`chat::Frames`] | use |
//! | POST /v1/completions | [`completions::request`] | [`completions::Frames`], a generation for each prompt | use |
//! | POST /v1/embeddings | [`embeddings::request`] | [`embeddings::whole`] | use |
//! | GET /v1/models | – | [`models::list`] | use |
//! | GET /v1/models/{*id} | [`models::id`] | [`models::one`] | use |
//! | DELETE /v1/models/{*id} | [`models::id`] | [`models::deleted`] | manage |
//! | POST /v1/responses | [`responses::request()`] | [`responses::Frames`] | use |
//! | POST /v1/responses/input_tokens | [`responses::request()`] | [`responses::input_tokens`] | use |
//! | GET /v1/responses/{id} | [`responses::States::get`] | its `response` | use |
//! | DELETE /v1/responses/{id} | [`responses::States::remove`] | [`responses::deleted`] | use |
//! | GET /v1/responses/{id}/input_items | [`responses::States::chain`] | [`responses::state::input_items`] | use |
//! | POST /v1/files | [`files::Upload`] | [`files::Files::begin`], then `keep`: [`files::Meta::object`] | use |
//! | GET /v1/files | – | [`files::Files::list`] | use |
//! | GET /v1/files/{id} | – | [`files::Files::get`] | use |
//! | DELETE /v1/files/{id} | – | [`files::Files::remove`], [`files::deleted`] | use |
//! | GET /v1/files/{id}/content | – | [`files::Files::content`] | use |
//! | POST /v1/batches | [`batches::request`] | [`batches::Batches::create`]: [`batches::Meta::object`] | use |
//! | GET /v1/batches | – | [`batches::Batches::list`] | use |
//! | GET /v1/batches/{id} | – | [`batches::Batches::get`] | use |
//! | POST /v1/batches/{id}/cancel | – | [`batches::Batches::cancel`] | use |
//! | POST /v1/moderations | – | [`error::moderations`] | use |
//!
//! A refusal before the first frame is [`error()`] with its status; after it, the frame that a `Frames` makes of
//! `Event::Failed`. `Failure::Busy` also has the header `retry-after`. `ignored` of a request goes into the log and the header `x-hearth-ignored`.

pub mod answer;
pub mod batches;
pub mod chat;
pub mod completions;
mod disk;
pub mod embeddings;
pub mod error;
pub mod files;
pub mod format;
pub mod messages;
pub mod models;
pub mod options;
pub mod page;
pub mod responses;
pub mod sampling;
pub mod tools;

#[cfg(test)]
mod testing;

pub use error::error;

/// `system_fingerprint`: answers of the same one with the same seed are the same.
pub const FINGERPRINT: &str = "fp_hearth";
