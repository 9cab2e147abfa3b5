//! From messages to a prompt, and from generated text back to its parts.
//!
//! - [`Message`] is one turn in the form that every dialect translates to.
//! - [`Template`] renders messages to the prompt a model was trained on. Templates are Jinja text
//!   inside model files, so they are untrusted input: rendering is bounded in time and memory.
//! - [`go::GoTemplate`] does the same with the templates of Ollama's Modelfiles, which are written in
//!   Go's language, and [`ChatTemplate`] is either of the two.
//! - [`fallback`] holds built-in templates for checkpoints that carry none.
//! - [`output`] reads generated text back into reasoning, content and calls of tools.
//! - [`Conventions`] makes of a conversation what a template can render.
//! - [`Reasoning`] splits a stream of text into reasoning and answer.
//!
//! Not here: token ids, sampling, HTTP.
#![forbid(unsafe_code)]

mod dialogue;
mod error;
pub mod fallback;
pub mod go;
mod message;
pub mod output;
mod reasoning;
mod request;
mod template;

pub use dialogue::ChatTemplate;
pub use error::{Error, Result};
pub use go::GoTemplate;
pub use message::{Content, Function, Message, Part, ToolCall};
pub use reasoning::{Piece, Reasoning, Tags};
pub use request::{Continued, Conventions};
pub use template::clock::Clock;
pub use template::{Request, SpecialTokens, Template};
