//! The protocols that clients speak: each one translates bodies to [`crate::core::Request`] and [`crate::core::Event`]s
//! to frames. A dialect is pure functions: it knows no HTTP, no engine and no clock.

pub mod anthropic;
pub mod classify;
pub mod fields;
pub mod frame;
pub mod llama_server;
pub mod ollama;
pub mod openai;
mod record;

pub use fields::Fields;
pub use frame::{Frame, Stamp};
