//! Requests and answers as the engine knows them, and what runs them. Dialects translate to and from these types.

mod embedding;
mod encode;
mod event;
mod failure;
mod guide;
mod limits;
pub mod models;
mod phases;
pub mod prepare;
pub mod request;
mod service;

pub use embedding::{Classified, Embedded, Embedding, Ranked, Ranking};
pub use event::{Event, Finish, Outcome, Piece, Started, Timing, Token};
pub use failure::Failure;
pub use request::Request;
pub use service::{Generation, Service};

#[cfg(test)]
mod tests;
