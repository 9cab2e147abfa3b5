//! `/v1/responses`: conversations whose past the server may keep.
//!
//! A route reads [`request::previous`] and [`request::references`] of a body, looks both up in the [`state::States`] for the
//! key of the caller, and calls [`request::request`] with what it found. When the answer is whole and `store` was not
//! false, [`frames::Frames::kept`] goes into the states.

pub mod frames;
mod item;
pub mod items;
pub mod request;
pub mod state;

pub use frames::Frames;
pub use request::{Asked, request};
pub use state::{Kept, Limits, States};

/// The answer to `DELETE /v1/responses/{id}`.
pub fn deleted(id: &str) -> serde_json::Value {
    serde_json::json!({"id": id, "object": "response", "deleted": true})
}

/// The answer to `POST /v1/responses/input_tokens`: tokens of the prompt that the request would have.
pub fn input_tokens(tokens: usize) -> serde_json::Value {
    serde_json::json!({"object": "response.input_tokens", "input_tokens": tokens})
}
