//! llama-server's own protocol, and its command line.
//!
//! | method and path | calls | scope |
//! | --- | --- | --- |
//! | `GET /health`, `/v1/health` | [`control::health`], or [`loading`] | none |
//! | `POST /completion`, `/completions` | [`completion`], then [`Frames`] where [`Asked::stream`], else [`whole`] | use |
//! | `POST /infill` | [`infill`], then the same | use |
//! | `POST /chat/completions` and OpenAI's other paths without `/v1` | OpenAI's, with [`chat::extend`], [`timings`] and [`progress`] | use |
//! | `POST /tokenize`, `/detokenize`, `/apply-template` | [`text`] | use |
//! | `POST /embedding`, `/embeddings` | [`embedding`] | use |
//! | `POST /rerank`, `/reranking`, `/v1/rerank`, `/v1/reranking`, `/api/rerank` | [`rerank`] | use |
//! | `GET /models`, `/v1/models` | [`control::models`] | use |
//! | `GET /props`, `GET /slots`, `GET /lora-adapters` | [`control`] | use |
//! | `POST /props`, `/slots/{id}`, `/lora-adapters` | [`control`] | manage |
//! | `GET`, `DELETE /v1/stream`, `POST /v1/streams/lookup` | [`streams`] | use |
//! | `POST /models`, `/models/load`, `/models/unload`, `DELETE /models`, `GET /models/sse` | [`router`] | manage |
//! | any, refused | [`error`] | |
//!
//! Native streams are `data:` lines without an end mark. An error before the first frame is an answer of its own; a
//! later one is the last frame.

mod answer;
pub mod chat;
pub mod completion;
pub mod control;
pub mod embedding;
mod error;
pub mod flags;
mod generation;
pub mod prompt;
pub mod rerank;
pub mod router;
mod sampling;
pub mod streams;
pub mod text;
pub mod verbose;

#[cfg(test)]
mod tests;

pub use answer::{Frames, progress, timings, whole};
pub use completion::{Asked, completion, infill};
pub use error::{error, loading, no_slot, not_found, switched_off};
pub use generation::{Standing, Style};
pub use sampling::Biases;
