//! Requests and answers as the engine knows them, and what runs them. Dialects translate to and from these types.

mod event;
mod failure;
pub mod request;

pub use event::{Event, Finish, Outcome, Piece, Started, Timing, Token};
pub use failure::Failure;
pub use request::Request;
