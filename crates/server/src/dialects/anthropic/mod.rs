//! Anthropic's Messages API.
//!
//! | method and path | calls | scope |
//! | --- | --- | --- |
//! | `POST /v1/messages` | [`request`], then [`Frames`] where [`Asked::stream`], else [`whole`] | use |
//! | `POST /v1/messages/count_tokens` | [`count`], then [`counted`] | use |
//! | any, refused | [`error`] | |
//!
//! `GET /v1/models` in Anthropic's form (where the request has the header `anthropic-version`) is [`models`].
//! Versions and betas in headers need no check: every one is accepted. The query `?beta=true` means nothing.
//!
//! What differs from the real one, for the better of local models:
//!
//! - asking for thoughts of a model that has none is not refused;
//! - messages of the role `system` may stand anywhere, and roles need not alternate;
//! - tools that Anthropic's servers run are left out, and said to be, unless the choice is to call one;
//! - a thread is refused in the words that make the SDKs send the whole conversation instead.

mod answer;
mod blocks;
mod error;
mod messages;
mod request;
mod tools;

#[cfg(test)]
mod tests;

pub use answer::{Frames, ping, whole};
pub use error::error;
pub use request::{Asked, Shape, count, counted, models, request};
