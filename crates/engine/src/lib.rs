//! Sequences, steps and sampling over a loaded model.
//!
//! An [`Engine`] is a model with its vocabulary. A [`Sequence`] is a text on it: it is given tokens, keeps what it has
//! of them already, and generates what follows. Not here: messages, templates, terminals, HTTP.
#![forbid(unsafe_code)]

mod answer;
mod defaults;
mod encode;
mod error;
pub mod fit;
mod loaded;
mod memory;
mod prefix;
pub mod sampling;
pub mod scheduler;
mod sequence;
mod spill;
mod stops;

pub use answer::{Alternatives, Finish, Guide, Limits, Terms, Token};
pub use defaults::recommended;
pub use encode::{Capabilities, Normalization, Ranked, normalize};
pub use error::Error;
pub use loaded::{Engine, Options};
pub use memory::{available_memory, peak_memory, program_memory, resident_memory};
pub use sequence::{Event, Generation, Outcome, Sequence, Timing};
pub use spill::Disk;
pub use stops::Stops;

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
