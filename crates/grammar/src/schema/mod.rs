//! JSON Schemas as people send them, brought into the form that the engine compiles.
//!
//! The engine knows JSON pointers without escapes, refuses what it does not know and says little about where. So a
//! schema is first rewritten: every referenced schema becomes a numbered definition, annotations go, what cannot be
//! enforced is dropped and reported, and what is wrong is told with its path. Limits are kept here, before any work
//! that multiplies.

mod at_once;
mod blame;
mod bounds;
mod definitions;
mod finite;
mod keywords;
mod normalise;
mod references;
mod together;

pub(crate) use blame::blame;
pub(crate) use normalise::{Normalised, normalise};
